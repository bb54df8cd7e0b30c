/* SPDX-License-Identifier: Apache-2.0 */
/* Which eBPF programs are attached where. Needs root. */
#ifndef DOCTOR_PROGRAMS_H
#define DOCTOR_PROGRAMS_H

#include <stdbool.h>

/* Their names in the kernel, which keeps fifteen letters. */
#define PROGRAM_CATCH "catch_lookup"
#define PROGRAM_RETURN "return_path"
#define PROGRAM_DISSOLVE "dissolve"
#define PROGRAM_ADMIT "admit"

/* True when a program of that name is attached to the sockets of this network namespace, or to what comes in
 * on an interface; also when the kernel does not tell. */
bool programs_on_namespace(const char *name);
bool programs_on_interface(const char *interface, const char *name);

#endif
