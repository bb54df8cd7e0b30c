/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interfaces towards the backends: asks the kernel for the route to each backend address of a transparent
 * pool, keeps the return program attached there, and follows when routes or links change. Thread: control.
 */
#ifndef POSTERN_CONTROL_ROUTES_H
#define POSTERN_CONTROL_ROUTES_H

#include "control/kernel/bpf_load.h"
#include "snapshot.h"

struct routes;

/*
 * Opens netlink, asks once, attaches. 0 or -errno; `ret_error` then says what failed and how to mend it:
 * -ENETUNREACH when a backend cannot be reached (no route, or an unreachable, blackhole or prohibit route),
 * -EINVAL when a transparent backend is an address of this very host.
 * `b` may be NULL: then nothing is attached (for the plan). `s` and `b` must outlive it.
 */
int routes_open(
    const struct snapshot *s, struct bpf *b, struct routes **ret, char *ret_error, size_t error_size);
void routes_close(struct routes *r); /* detaches what it attached; NULL is accepted */

/*
 * Asks for the route to each backend address of a transparent pool, and calls `each` with why it cannot be
 * reached (NULL: it can) and, while that is so, each of the interfaces that lead there. Attaches nothing. 0
 * or -errno.
 */
typedef void routes_look_fn(const struct snapshot_backend *backend, const union addr *address,
    const char *interface, const char *trouble, void *arg);
int routes_look(const struct snapshot *s, routes_look_fn *each, void *arg);

/* Readable when the kernel reported a change of routes, rules, addresses or links. */
int routes_fd(const struct routes *r);

/*
 * Reads the pending reports and, when something changed, asks again: attaches to new interfaces; logs each
 * change, and each backend that lost or regained its route. An interface that no backend is behind any more
 * keeps the program until it disappears or routes_close(): answers to living sessions may still come that
 * way. 0 or -errno.
 */
int routes_on_event(struct routes *r);

/*
 * Follows to another snapshot: asks for the routes to its backends and attaches where they lead. A backend
 * that cannot be reached is a log line. 0 or -errno. `s` must outlive it.
 */
int routes_change(struct routes *r, const struct snapshot *s);

/*
 * Calls `each` for every interface that carries (or would carry) the return program; `backends` is a list
 * with commas, empty when the interface is only kept for living sessions.
 */
void routes_each_interface(const struct routes *r,
    void (*each)(int ifindex, const char *name, const char *backends, void *arg), void *arg);

#endif
