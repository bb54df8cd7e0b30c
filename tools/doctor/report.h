/* SPDX-License-Identifier: Apache-2.0 */
/* What was found, for people and for machines. */
#ifndef DOCTOR_REPORT_H
#define DOCTOR_REPORT_H

#include "tools/doctor/doctor.h"

struct screen;

/* For a change ticket: who was looked at and when, every check, and what to mend first. */
void report_text(const struct doctor *d, const struct screen *s);

/* The same as JSON; posternctl(8) describes it. NULL without memory; the caller's reference. */
json_t *report_json(const struct doctor *d);

#endif
