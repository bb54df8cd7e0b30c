/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes: connections to backends as sessions make them, or as a stranger or the gateway itself would, many
 * at a time. What is seen is kept; what it means is judged elsewhere. The caller waits meanwhile.
 */
#ifndef DOCTOR_PROBE_H
#define DOCTOR_PROBE_H

#include "base/addr.h"
#include "snapshot_pool.h"
#include "tools/doctor/talk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBES_AT_A_TIME 64

enum probe_reach {
    REACH_NOT_TRIED,
    REACH_CONNECTED,
    REACH_REFUSED,     /* RST */
    REACH_SILENT,      /* nothing in time */
    REACH_UNREACHABLE, /* no route, no neighbour, or an ICMP error */
    REACH_NOT_ALLOWED, /* this host does not let it out, or does not let us bind */
};

/* What to do; all but `to` may be left zero. */
struct probe_plan {
    union addr to;
    union addr from;   /* any address at all, without a port; AF_UNSPEC: as the kernel chooses */
    union addr client; /* whom a header names; AF_UNSPEC: this end of the connection */
    enum pool_proxy header;
    struct talk_plan talk;
    bool large;          /* sends segments of full size, where the server takes several commands */
    uint32_t connect_ms; /* then it is given up */
    uint32_t timeout_ms; /* from the connection on */
};

struct probe {
    struct probe_plan plan;
    /* What was seen. */
    enum probe_reach reach;
    int error;        /* of connecting, an errno; 0 */
    union addr local; /* this end */
    uint32_t ms;      /* until the greeting, from the connection on */
    bool closed, reset, timed_out;
    uint32_t segment_bytes; /* the largest that TCP sends; 0: not connected */
    struct talk talk;
    /* While it runs. */
    int fd;
    uint8_t phase;
    size_t sent;
    uint64_t started_ms, end_ms;
};

/*
 * Carries them all out. 0, or -errno when waiting itself fails: -EINTR when one of the signals that end a
 * program is pending, which the caller had blocked. Each connection is closed at the end.
 */
int probes_run(struct probe *const *probes, size_t n);

/* "refused", "no answer to the SYN in 4s": how connecting ended, or how the conversation did. Returns buf. */
#define PROBE_TEXT_MAX 256
char *probe_describe(const struct probe *p, char buf[PROBE_TEXT_MAX]);

#endif
