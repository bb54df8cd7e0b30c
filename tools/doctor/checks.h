/* SPDX-License-Identifier: Apache-2.0 */
/* All checks, in the order of causes: when two fail, the first one may be why the second one does. */
#ifndef DOCTOR_CHECKS_H
#define DOCTOR_CHECKS_H

#include "tools/doctor/doctor.h"

extern const struct doctor_check doctor_checks[];
extern const size_t n_doctor_checks;

/* NULL: there is none of this name, of `n` bytes. */
const struct doctor_check *doctor_find_check(const char *id, size_t n);

#endif
