/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backends that discovery has found, from a process to the one that takes over: over an upgrade no pool
 * waits for the DNS. A restart looks anew: who had an address an hour ago need not have it now.
 * Thread: control.
 */
#ifndef POSTERN_GATEWAY_FOUND_H
#define POSTERN_GATEWAY_FOUND_H

struct discovery;
struct roster;
struct serving;

/* As it is now: a descriptor of memory, the caller's; -1: none could be had. */
int gateway_found_fd(const struct roster *r, const struct discovery *d);

/*
 * Takes it over into the first roster, before anybody has a snapshot of that, for the pools that still
 * discover; `fd` is -1 when nothing is given. 0 or -errno.
 */
int gateway_found_restore(struct serving *v, int fd);

/* The same for discovery, once it looks: what it finds is compared with this, where it still looks there. */
void gateway_found_resume(struct discovery *d, int fd);

#endif
