/* SPDX-License-Identifier: Apache-2.0 */
/* Backends in the DNS: one resolver for all, and looking a pool's name up with it. Thread: control. */
#ifndef POSTERN_CONTROL_DISCOVERY_DNS_H
#define POSTERN_CONTROL_DISCOVERY_DNS_H

#include "control/discovery/discovery_set.h"

#include <systemd/sd-event.h>

#define DNS_TTL_MAX 50      /* seconds: with a second more and jitter a pool follows within a minute */
#define DNS_LOOKUP_MS 10000 /* for all questions of one lookup */
#define DNS_SERVICES_MAX 64 /* SRV records of one name */

struct dns;
struct dns_lookup;

/* A resolver on the loop that asks this server ("": those of /etc/resolv.conf). 0 or -errno. */
int dns_new(sd_event *loop, const char *resolver, struct dns **ret);

/* All lookups must have ended. NULL is accepted. */
void dns_free(struct dns *d);

/*
 * Looks up what a pool asks for. `done` is called once, from the loop: with NULL and a whole, sorted set
 * (which is the lookup's, and may be empty) and for how many seconds it is good, or with why there is none.
 * `c` and `pool` must live until then. 0 or -errno; the lookup has ended once `done` is called.
 */
typedef void dns_done_fn(void *arg, const char *why, const struct discovery_set *set, uint32_t ttl);
int dns_lookup_start(struct dns *d, const struct config *c, const struct config_pool *pool, dns_done_fn *done,
    void *arg, struct dns_lookup **ret);

/* Ends a lookup without a word. NULL is accepted. */
void dns_lookup_cancel(struct dns_lookup *l);

#endif
