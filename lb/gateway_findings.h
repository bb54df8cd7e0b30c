/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What checks, agents and relay tests have found out about backends, from a process to the one that takes
 * over: over an upgrade nobody is sent to a backend that is down, and gates do not shut. A restart finds it
 * out anew. Thread: control.
 */
#ifndef POSTERN_GATEWAY_FINDINGS_H
#define POSTERN_GATEWAY_FINDINGS_H

struct checks;
struct roster;
struct serving;

/* As it is now: a descriptor of memory, the caller's; -1: none could be had. */
int gateway_findings_fd(const struct roster *r, const struct checks *c);

/*
 * Takes it over into the first roster, before anybody has a snapshot of that; `fd` is -1 when nothing is
 * given. 0 or -ENOMEM.
 */
int gateway_findings_restore(struct serving *v, int fd);

/* The same for the checks, once there are any: who was down is down until they find otherwise. */
void gateway_findings_resume(const struct roster *r, struct checks *c, int fd);

#endif
