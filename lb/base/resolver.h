/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS by libunbound: whom a resolver asks, and what its failures mean. */
#ifndef POSTERN_BASE_RESOLVER_H
#define POSTERN_BASE_RESOLVER_H

#include "base/addr.h"

#define RESOLVER_PORT 53

struct ub_ctx;
struct ub_result;

/* One of libunbound's options, its name with a colon. */
struct resolver_option {
    const char *name, *value;
};

/*
 * A resolver that passes questions on to this server, or, without one, to those of /etc/resolv.conf; it
 * answers by a thread of its own (ub_fd(), ub_process()). 0 or -errno. ub_ctx_delete() frees it.
 */
int resolver_new(
    const union addr *server, const struct resolver_option *options, size_t n_options, struct ub_ctx **ret);

/* Why a question has no answer, in words; NULL: it has one, be it that there is no such name or record. */
const char *resolver_failure(int error, const struct ub_result *result);

#endif
