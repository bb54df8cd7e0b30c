/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sending has shown: every backend address was connected to as a session would, and where that failed in
 * other ways, to find out why. Done once, for all checks that judge it.
 */
#ifndef DOCTOR_NETWORK_H
#define DOCTOR_NETWORK_H

#include "snapshot.h"
#include "tools/doctor/judge_proxy.h"
#include "tools/doctor/probe.h"
#include "tools/doctor/setup.h"
#include "tools/doctor/tap.h"

#include <stdbool.h>
#include <stddef.h>

struct doctor;

#define NETWORK_WHY_MAX 512

/* One address of a backend. Probes are NULL where there was no need for them. */
struct target {
    const struct snapshot_backend *backend;
    const struct snapshot_pool *pool;
    const union addr *address;
    union addr gateway; /* this host's address towards it; AF_UNSPEC: there is no route, and why: */
    int route_error;    /* errno */
    char name[SETUP_NAME_MAX];
    const char *untested;    /* why no connection was made; NULL: one was */
    const char *no_way_back; /* why none was made as a stranger, who would get no answer; NULL: one was */
    bool pinged;             /* as the stranger */
    bool led_away;           /* an answer came, and the rules lead it on */
    bool silent;             /* nobody on the link answers for its address */
    bool other_way;          /* an answer came by an interface that leads to no backend */
    struct tap_seen tap;
    struct probe *session; /* as sessions come */
    struct probe *own;     /* from this gateway */
    struct probe
        *trials[PROXY_KINDS]; /* as sessions, with each kind of header; that of the pool is `session` */
    /* Asked to relay: as relay_test's untrusted address, which is the stranger's, and as its trusted one. */
    struct probe *relay[2];
    struct probe *stranger; /* with a header, from an address that is no gateway's */
};

struct network {
    struct target *targets;
    size_t n;
    union addr strangers[2];   /* IPv4, IPv6: whom the tests pretend to be; relay_test.untrusted */
    bool tapped;               /* what came in was seen */
    bool temporary;            /* a return path of our own was set up, and taken away */
    char why[NETWORK_WHY_MAX]; /* why it could not be; "" */
};

/* Looks, the first time. Stays the doctor's. */
const struct network *network_look(struct doctor *d);
void network_free(struct network *n); /* NULL is accepted */

/* A conversation as sessions of this target begin it: from a client's address, or with a header that names
 * it. */
struct probe_plan target_session(const struct doctor *d, const struct target *t, const union addr *client);

/* The same, to ask whether it relays. */
struct probe_plan target_question(const struct doctor *d, const struct target *t, const union addr *client);

#endif
