/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the DNS, one after the other, by gateway.resolver or as this host asks. */
#ifndef DOCTOR_LOOKUP_H
#define DOCTOR_LOOKUP_H

#include "base/addr.h"

#include <stdbool.h>

struct ub_ctx;
struct ub_result;

/* "": as this host does. 0 or -errno; ub_ctx_delete() frees it. */
int lookup_open(const char *resolver, struct ub_ctx **ret);

#define LOOKUP_WHY_MAX 128

struct lookup {
    char why[LOOKUP_WHY_MAX]; /* why there is no answer; "": there is one, be it that there is nothing */
    bool exists;              /* the name has records of this type */
    struct ub_result *result; /* NULL: no answer */
};

/* Waits some seconds for the answer, at most. To be freed with lookup_done() in any case. */
struct lookup lookup_ask(struct ub_ctx *ctx, const char *name, int type);
void lookup_done(struct lookup *l);

/* The record of this number: an address (of A and AAAA), or a name without its last dot (of PTR). False:
 * there are no more, or it is none. */
#define LOOKUP_NAME_MAX 256
bool lookup_address(const struct lookup *l, unsigned i, union addr *ret);
bool lookup_name(const struct lookup *l, unsigned i, char ret[LOOKUP_NAME_MAX]);

/*
 * The name under which an address is looked up backwards: "1.2.0.192.in-addr.arpa" in the zone NULL, else
 * "1.2.0.192.<zone>", as block lists have it. 0 or -ENAMETOOLONG. Pure.
 */
int lookup_reverse(const union addr *a, const char *zone, char ret[LOOKUP_NAME_MAX]);

#endif
