/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot: everything the data path needs to know of the configuration, immutable once published.
 * The control thread builds it (control/roster/publish.c); the workers read it. All policy ends up here as
 * plain numbers: a backend's weight is its *effective* weight, 0 means "take no new session".
 *
 * Listeners, pools and backends keep their index from one snapshot to the next, for as long as a session may
 * refer to it. A backend that has left its pool stays in `backends`, under no pool's list, until its last
 * session has ended; a place that nobody has is without a name.
 */
#ifndef POSTERN_SNAPSHOT_H
#define POSTERN_SNAPSHOT_H

#include "base/addr.h"
#include "base/prefix_trie.h"
#include "snapshot_limits.h"
#include "snapshot_pool.h"

#include <stdbool.h>
#include <stdint.h>

#define SNAPSHOT_BACKENDS_MAX 1024 /* over all pools */
#define SNAPSHOT_POOLS_MAX SNAPSHOT_BACKENDS_MAX
#define SNAPSHOT_LISTENERS_MAX 4096
#define SNAPSHOT_WEIGHT_MAX 256   /* as configured */
#define SNAPSHOT_WEIGHT_SCALE 256 /* an effective weight is in 1/256 of a configured one */

enum vip_state {
    VIP_SERVED,
    VIP_REFUSED, /* nobody could serve it: connections are refused at once */
    VIP_LEAVING, /* no longer configured: it takes no connection, sessions may still live on it */
};
/*
 * A source's class: its place among all sources that this process has known, as those of pools are. Of more
 * than there is place for, the rest count among the others.
 */
#define SNAPSHOT_CLASSES_MAX 256
enum { CLASS_NONE /* not let in */, CLASS_OTHERS /* in no source */, CLASS_FIRST };

enum backend_state { BACKEND_READY, BACKEND_DRAIN, BACKEND_MAINT };

/* One address or prefix of a listener. Ordered by snapshot_sort_vips(). */
struct snapshot_vip {
    struct addr_prefix prefix;
    uint16_t port;
    uint16_t listener; /* index into listeners */
    enum vip_state state;
};

/* Clients of a source go to a pool of their own. */
struct snapshot_route {
    uint8_t source; /* its bit in what an address matches */
    uint16_t pool;  /* index into pools */
};

struct snapshot_listener {
    const char *name;
    const struct snapshot_route *routes; /* the first that fits counts */
    const struct addr_prefix *upstreams; /* from here, a PROXY header names the client */
    uint16_t n_routes;
    uint16_t n_upstreams;
    uint16_t pool;         /* index into pools: of all other clients */
    uint32_t max_sessions; /* over all workers; 0: no limit of its own */
};

struct snapshot_backend {
    const char *name;
    const char *zone; /* "" when none was given */
    union addr v4;    /* AF_UNSPEC when the backend has no address of this family */
    union addr v6;
    uint64_t identity;       /* of the name, alike on every gateway: snapshot_identity() */
    uint32_t weight;         /* effective, 0..SNAPSHOT_WEIGHT_MAX * SNAPSHOT_WEIGHT_SCALE */
    uint32_t reserve;        /* its weight for a session that nobody by `weight` can take */
    uint32_t max_sessions;   /* over all workers; 0: no limit */
    uint16_t pool;           /* index into pools */
    enum pool_source source; /* how its sessions are dialled, for as long as it has this place */
    enum pool_proxy proxy;   /* and introduced */
    bool by_operator;        /* its address is not that of the configuration */
};

struct proxy_tlv;

struct snapshot {
    uint64_t version;       /* each is one more than the last */
    struct snapshot *older; /* a list of the control thread's */
    const char *gateway_name;
    const char *host_name; /* what mail servers are told that this is */
    const char *gateway_zone;
    const char *unavailable; /* what clients are told when no backend can serve them: a whole reply */
    uint32_t workers;
    uint32_t max_sessions; /* over all workers */
    uint32_t log_sample;   /* of so many sessions that end in order, one has its line */
    uint16_t n_vips;
    uint16_t n_listeners;
    uint16_t n_pools;
    uint16_t n_backends;
    struct snapshot_vip *vips;
    struct snapshot_listener *listeners;
    struct snapshot_pool *pools;
    struct snapshot_backend *backends;
    struct snapshot_route *routes;
    struct addr_prefix *upstreams;
    struct prefix_trie *sources; /* a reference of its own; NULL: none are configured, as with: */
    const char **source_names;
    struct proxy_tlv *source_tlvs;
    uint16_t n_sources;
    uint8_t source_classes[PREFIX_LISTS_MAX]; /* by source */
    struct snapshot_limits limits;
};

/* Whether the listener's clients are named by who has this address. */
bool snapshot_is_upstream(const struct snapshot_listener *l, const union addr *peer);

/* The backend's address for a family, or NULL when it has none. */
static inline const union addr *snapshot_backend_addr(const struct snapshot_backend *b, sa_family_t family)
{
    const union addr *a = family == AF_INET6 ? &b->v6 : &b->v4;
    return a->sa.sa_family == AF_UNSPEC ? NULL : a;
}

/*
 * The address that a session of a client of this family is dialled at: the client's own family, always, while
 * the client's address is the source; the other one too when that is the gateway's own. NULL when there is
 * none.
 */
static inline const union addr *snapshot_backend_dialled(
    enum pool_source source, const struct snapshot_backend *b, sa_family_t family)
{
    const union addr *a = snapshot_backend_addr(b, family);
    if (a || source == SOURCE_CLIENT)
        return a;
    return snapshot_backend_addr(b, family == AF_INET6 ? AF_INET : AF_INET6);
}

/* What stands for a backend where gateways must agree: indices depend on what was loaded before. */
uint64_t snapshot_identity(const char *name);

/* Brings weight_sums up to date with the weights; the last step before a snapshot is published. */
void snapshot_sum_weights(struct snapshot *s);

/* Puts the VIPs into the order in which snapshot_find_listener() needs them: longest prefix first. */
void snapshot_sort_vips(struct snapshot *s);

/* The listener that owns this destination: the longest prefix with this port. NULL when nobody does. */
const struct snapshot_listener *snapshot_find_listener(const struct snapshot *s, const union addr *vip);

/* Frees a snapshot and all it owns; NULL is accepted. */
void snapshot_free(struct snapshot *s);

#endif
