/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot: everything the data path needs to know of the configuration, immutable once published.
 * The control thread builds it (control/publish.c); the workers read it. All policy ends up here as plain
 * numbers: a backend's weight is its *effective* weight, 0 means "take no new session".
 *
 * Listeners, pools and backends keep their index from one snapshot to the next, for as long as a session may
 * refer to it. A backend that has left its pool stays in `backends`, under no pool's list, until its last
 * session has ended; a place that nobody has is without a name.
 */
#ifndef POSTERN_SNAPSHOT_H
#define POSTERN_SNAPSHOT_H

#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>

#define SNAPSHOT_BACKENDS_MAX 1024 /* over all pools */
#define SNAPSHOT_WEIGHT_MAX 256    /* as configured */
#define SNAPSHOT_WEIGHT_SCALE 256  /* an effective weight is in 1/256 of a configured one */

enum vip_state {
    VIP_SERVED,
    VIP_REFUSED, /* nobody could serve it: connections are refused at once */
    VIP_LEAVING, /* no longer configured: it takes no connection, sessions may still live on it */
};
enum backend_state { BACKEND_READY, BACKEND_DRAIN, BACKEND_MAINT };
enum pool_source { SOURCE_CLIENT, SOURCE_GATEWAY };
enum pool_proxy { PROXY_OFF, PROXY_V1, PROXY_V2 };
enum pool_balance { BALANCE_LEAST_SESSIONS, BALANCE_ROUND_ROBIN };
enum pool_check { POOL_CHECK_SMTP, POOL_CHECK_TCP, POOL_CHECK_OFF };

/* One address or prefix of a listener. Ordered by snapshot_sort_vips(). */
struct snapshot_vip {
    struct addr_prefix prefix;
    uint16_t port;
    uint16_t listener; /* index into listeners */
    enum vip_state state;
};

struct snapshot_listener {
    const char *name;
    uint16_t pool; /* index into pools */
};

struct snapshot_backend {
    const char *name;
    const char *zone; /* "" when none was given */
    union addr v4;    /* AF_UNSPEC when the backend has no address of this family */
    union addr v6;
    uint32_t weight;       /* effective, 0..SNAPSHOT_WEIGHT_MAX * SNAPSHOT_WEIGHT_SCALE */
    uint32_t max_sessions; /* over all workers; 0: no limit */
    uint16_t pool;         /* index into pools */
    enum pool_source source;
};

/* How the backends of a pool are checked; for the control thread alone. */
struct snapshot_check {
    enum pool_check type;
    bool starttls;    /* must be offered */
    const char *rcpt; /* an address that must be accepted; "" when none was given */
    uint32_t interval_ms;
    uint32_t fast_interval_ms;
    uint32_t timeout_ms;
    uint32_t rise;
    uint32_t fall;
    uint16_t agent_port; /* 0: no agent */
    uint32_t agent_interval_ms;
};

struct snapshot_pool {
    const char *name;
    enum pool_source source;
    enum pool_proxy proxy;
    enum pool_balance balance;
    bool dissolve;           /* sessions become one kernel entry after the greeting */
    const uint16_t *members; /* indices into backends; those that have left are not among them */
    uint16_t n_members;
    uint16_t retries; /* further backends tried after the first */
    uint32_t connect_timeout_ms;
    uint32_t greeting_timeout_ms;       /* per backend */
    uint32_t greeting_total_timeout_ms; /* from accept, over all backends */
    uint32_t idle_timeout_ms;
    uint32_t half_closed_timeout_ms;
    struct snapshot_check check;
};

struct snapshot {
    uint64_t version;       /* each is one more than the last */
    struct snapshot *older; /* a list of the control thread's */
    const char *gateway_name;
    const char *gateway_zone;
    uint32_t workers;
    uint32_t max_sessions; /* over all workers */
    uint16_t n_vips;
    uint16_t n_listeners;
    uint16_t n_pools;
    uint16_t n_backends;
    struct snapshot_vip *vips;
    struct snapshot_listener *listeners;
    struct snapshot_pool *pools;
    struct snapshot_backend *backends;
};

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

/* Puts the VIPs into the order in which snapshot_find_listener() needs them: longest prefix first. */
void snapshot_sort_vips(struct snapshot *s);

/* The listener that owns this destination: the longest prefix with this port. NULL when nobody does. */
const struct snapshot_listener *snapshot_find_listener(const struct snapshot *s, const union addr *vip);

/* Frees a snapshot and all it owns; NULL is accepted. */
void snapshot_free(struct snapshot *s);

#endif
