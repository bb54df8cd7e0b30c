/* SPDX-License-Identifier: Apache-2.0 */
/* A pool in the snapshot: the settings that its sessions and its checks go by. A part of snapshot.h. */
#ifndef POSTERN_SNAPSHOT_POOL_H
#define POSTERN_SNAPSHOT_POOL_H

#include <stdbool.h>
#include <stdint.h>

enum pool_source { SOURCE_CLIENT, SOURCE_GATEWAY };
enum pool_proxy { PROXY_OFF, PROXY_V1, PROXY_V2 };
enum snapshot_then { THEN_PASS, THEN_RETRY };
enum pool_balance { BALANCE_LEAST_SESSIONS, BALANCE_ROUND_ROBIN, BALANCE_SOURCE_HASH };
enum pool_check { POOL_CHECK_SMTP, POOL_CHECK_TCP, POOL_CHECK_OFF };

/* What becomes of a 4xx reply that a backend greets with. */
struct snapshot_verdict {
    const char *reply; /* a glob for its first line */
    enum snapshot_then then;
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
    bool awaited[2];         /* somebody may be there any moment: IPv4, IPv6 clients wait */
    bool deserted[2];        /* nobody has been there for long: IPv4, IPv6 clients are refused */
    bool dissolve;           /* sessions become one kernel entry after the greeting */
    const uint16_t *members; /* indices into backends; those that have left are not among them */
    uint32_t *weight_sums;   /* of the members up to and with each: snapshot_sum_weights() */
    uint16_t n_members;
    uint16_t n_verdicts;
    uint16_t retries;                        /* further backends tried after the first */
    const struct snapshot_verdict *verdicts; /* the first that matches counts; none: THEN_PASS */
    uint32_t queue_length;                   /* sessions that wait for a backend, over all workers */
    uint32_t queue_timeout_ms;
    uint32_t connect_timeout_ms;
    uint32_t greeting_timeout_ms;       /* per backend */
    uint32_t greeting_total_timeout_ms; /* from accept, over all backends */
    uint32_t idle_timeout_ms;
    uint32_t half_closed_timeout_ms;
    struct snapshot_check check;
};

#endif
