/* SPDX-License-Identifier: Apache-2.0 */
/* The relay test, as postern itself makes it, by hand. One thread. */
#ifndef DOCTOR_CHECK_RELAYING_H
#define DOCTOR_CHECK_RELAYING_H

struct doctor;
struct network;

/*
 * Asks every backend that greets sessions, while the return path is there; the answers are kept with the
 * targets. 0, or -errno as probes_run().
 */
int relay_ask(struct network *n, const struct doctor *d);

void check_relaying(struct doctor *d);

#endif
