/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What relay tests have proven, from a process to the one that takes over: gates do not shut over an upgrade.
 * A restart proves it anew. Thread: control.
 */
#ifndef POSTERN_GATEWAY_RELAY_H
#define POSTERN_GATEWAY_RELAY_H

struct roster;
struct serving;

/* As it is now: a descriptor of memory, the caller's; -1: none could be had. */
int gateway_relay_fd(const struct roster *r);

/*
 * Takes it over into the first roster, before anybody has a snapshot of that; `fd` is -1 when nothing is
 * given. 0 or -ENOMEM.
 */
int gateway_relay_restore(struct serving *v, int fd);

#endif
