/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold before postern starts, and what it only warns of. Each check is one clear line. Thread: control, at start. */
#ifndef POSTERN_CONTROL_PREFLIGHT_H
#define POSTERN_CONTROL_PREFLIGHT_H

#include "snapshot.h"

#include <stdio.h>

/*
 * Checks kernel version, capabilities, io_uring, file descriptors (raising the soft limit to what the configured sessions need)
 * and that nobody else listens on a VIP's port. Writes one line for each refusal to `errors`.
 * 0, or -EPERM/-ENOSYS/-EADDRINUSE/-EMFILE for the first refusal.
 */
int preflight_check(const struct snapshot *s, FILE *errors);

/* Logs a warning for each sysctl that is wrong for the job, with the command that sets it. Changes nothing. */
void preflight_warn(const struct snapshot *s, const int *backend_ifindexes, int n);

/* File descriptors that this many sessions and workers need. Pure. */
uint64_t preflight_descriptors(uint32_t max_sessions, uint32_t workers);

/* True when a kernel release text ("6.18.44-x") is at least major.minor. Pure. */
bool preflight_kernel_at_least(const char *release, unsigned major, unsigned minor);

#endif
