/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proxy of a few sessions with real sockets in the lab, that dissolves each when it can, as the daemon
 * does: relay, repair, arm; cancel and relay again when something comes first; close both sockets some
 * milliseconds after the notice. And the two peers of each session, which know every byte they must get.
 */
#ifndef POSTERN_TESTS_SMALL_PROXY_H
#define POSTERN_TESTS_SMALL_PROXY_H

#include "dissolver.h"

#define PROXY_SESSIONS 16
#define PROXY_VIP_V4 "203.0.113.25"
#define PROXY_VIP_V6 "2001:db8:25::25"
#define PROXY_BUFFER 65536

enum proxy_end {
    PROXY_BOTH_CLOSE,    /* each side closes when it has sent all */
    PROXY_CLIENT_FIRST,  /* the backend sends only after the client has closed its half */
    PROXY_BACKEND_FIRST, /* the other way round */
    PROXY_CLIENT_RESETS, /* when both have all */
    PROXY_BACKEND_RESETS,
};

/* A batch of sessions. */
struct proxy_plan {
    const char *what;
    enum proxy_end end;
    uint64_t bytes[DISSOLVE_WAYS];
    unsigned sessions; /* alternating IPv4 and IPv6 */
    unsigned loss_percent;
    unsigned backend_mtu;     /* once all are dissolved, the backend's link becomes so narrow; 0: it stays */
    int scale[DISSOLVE_WAYS]; /* of the client, of the backend */
    bool no_timestamps[DISSOLVE_WAYS], no_sack[DISSOLVE_WAYS], ecn[DISSOLVE_WAYS];
    enum dissolve_reason refusal; /* DISSOLVE_none: it must dissolve */
    uint16_t client_port;         /* 0: any */
};

struct proxy_peer {
    int fd;
    uint64_t sent, allowed, received;
    bool closed, ended, reset;
};

struct proxy_session {
    unsigned number;
    struct proxy_peer peer[DISSOLVE_WAYS];
    int fd[DISSOLVE_WAYS]; /* F and K; -1 once dissolved */
    char buffer[DISSOLVE_WAYS][PROXY_BUFFER];
    size_t buffered[DISSOLVE_WAYS];
    bool at_end[DISSOLVE_WAYS], in_repair, dissolved;
    bool held; /* the link is still to become narrow */
    uint64_t relayed[DISSOLVE_WAYS];
    int64_t close_at_ms;
    unsigned rounds;
    struct dissolve_entry *e;
};

struct proxy {
    struct dissolver d;
    const struct proxy_plan *plan;
    struct proxy_session *sessions;
    int listeners[2], backends[2];
    uint32_t next_index;
    unsigned n_read; /* notices */
};

void proxy_up(struct proxy *p);
void proxy_down(struct proxy *p);

/* Carries out a plan; fails the test that runs unless every byte arrived, every end did, and the entries say
 * so. */
void proxy_carry(struct proxy *p, const struct proxy_plan *plan);

/* The entry of the plan's session `i`, the one carried last. */
struct dissolve_entry *proxy_entry(struct proxy *p, unsigned i);

#endif
