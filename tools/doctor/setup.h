/* SPDX-License-Identifier: Apache-2.0 */
/* What several checks ask of a snapshot, or tell alike. */
#ifndef DOCTOR_SETUP_H
#define DOCTOR_SETUP_H

#include "snapshot.h"
#include "tools/doctor/doctor.h"

/* Some pool's sessions become entries in the kernel. */
bool setup_dissolves(const struct snapshot *s);

/* Some pool shows backends the client's address as the source, and has addresses of this family. */
bool setup_is_transparent(const struct snapshot *s, sa_family_t family);
bool setup_has_vip(const struct snapshot *s, sa_family_t family);

/* "backend inbound/mta1 (10.2.0.11:25)". Returns buf. */
#define SETUP_NAME_MAX 256
char *setup_backend_name(const struct snapshot *s, const struct snapshot_backend *b,
    const union addr *address, char buf[SETUP_NAME_MAX]);

/* Tells of a setting of the kernel that has another value than is good: with dots, as sysctl(8) has it. */
void setup_tell_sysctl(
    struct doctor *d, enum verdict verdict, const char *name, long seen, long good, const char *why);

#endif
