/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold before postern starts, and what it only warns of: one clear line each. Thread: control. */
#ifndef POSTERN_CONTROL_PREFLIGHT_H
#define POSTERN_CONTROL_PREFLIGHT_H

#include "snapshot.h"

#include <stdio.h>
#include <sys/types.h>

/*
 * Checks kernel version, capabilities, io_uring, file descriptors (raising the soft limit to what the
 * configured sessions need), that nobody else listens on a VIP's port, and that no other postern runs in this
 * network namespace: the lock is held until the process ends, or gives it away, because a second one would
 * undo the first one's rules and routes. Writes one line for each refusal to `errors`. 0, or
 * -ENOSYS/-EPERM/-EMFILE/-EADDRINUSE for the first refusal.
 */
int preflight_check(const struct snapshot *s, FILE *errors);

/* Two of its parts alone: 0, or -errno after a line in `errors`. */
int preflight_kernel(FILE *errors);
int preflight_io_uring(FILE *errors);

/* The lock alone: 0, or -EADDRINUSE after a line in `errors`. */
int preflight_lock(FILE *errors);

/* The same without a word. */
bool preflight_try_lock(void);

/* Whether a postern has this network namespace. Its process; 0 when that is not told (another process
 * namespace).
 */
bool preflight_running(pid_t *ret_pid);

/* The lock itself goes from process to process: its descriptor, or -1; taken over (the descriptor is then
 * ours); named as ours to those who ask; let go. */
int preflight_lock_fd(void);
void preflight_lock_adopt(int fd);
void preflight_lock_sign(void);
void preflight_unlock(void);

/*
 * Logs a warning for each sysctl that is wrong for the job, with the command that sets it, and for a
 * capability that is missed but not needed. Changes nothing.
 */
void preflight_warn(const struct snapshot *s, const int *backend_ifindexes, int n);

/* File descriptors that this many sessions and workers need. Pure. */
uint64_t preflight_descriptors(uint32_t max_sessions, uint32_t workers);

/* True when a kernel release text ("6.18.44-x") is at least major.minor. Pure. */
bool preflight_kernel_at_least(const char *release, unsigned major, unsigned minor);

/*
 * True when a listening socket on `listening` takes connections meant for a VIP of prefix `p` and port
 * `port`. `v6_only` tells of a listener on [::] whether it leaves IPv4 alone. Pure.
 */
bool preflight_in_the_way(
    const union addr *listening, bool v6_only, const struct addr_prefix *p, uint16_t port);

#endif
