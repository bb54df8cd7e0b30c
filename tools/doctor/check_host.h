/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of this host, each in the file that its comment names. */
#ifndef DOCTOR_CHECK_HOST_H
#define DOCTOR_CHECK_HOST_H

struct doctor;

void check_config(struct doctor *d); /* check_config.c, as are: */

#endif
