/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery: looks in the DNS and in files for the backends of the pools that ask for it, again and again,
 * and tells which have been found. Thread: control; nothing here waits.
 */
#ifndef POSTERN_CONTROL_DISCOVERY_H
#define POSTERN_CONTROL_DISCOVERY_H

#include "control/discovery/discovery_set.h"
#include "control/roster/roster.h"

#include <systemd/sd-event.h>

struct discovery;

struct discovery_given {
    sd_event *loop;
    /* A pool's backends are these from now on. NULL: taken; else why not: it is tried again. */
    const char *(*on_found)(void *arg, const char *pool, const struct backend_spec *specs, uint32_t n);
    void *arg;
    uint64_t seed; /* of the jitter */
};

int discovery_new(const struct discovery_given *given, struct discovery **ret);

/*
 * Follows a configuration, which must live until the next call: looks for all pools at once, with a resolver
 * that remembers nothing. For a pool that is asked for as before, what is known is kept, and what is held
 * back counts as confirmed. 0 or -errno, in which case some pools are not looked for.
 */
int discovery_apply(struct discovery *d, const struct config *c);

/* A process before us has found this set for a pool and serves it: what is found is compared with it, when it
 * is looked for where that was. */
void discovery_resume(struct discovery *d, const char *pool, const char *from, struct discovery_set *set);

/* What is known of a pool's source; texts last until the loop goes on. */
struct discovery_view {
    const char *from; /* "srv _smtp._tcp.example.org" */
    uint32_t known;   /* backends that were taken last */
    const char *kept; /* why these are kept although a look was taken; "": they are not */
    uint32_t held;    /* backends of what is held back; 0: nothing is */
};

/* False: that pool does not discover; d may be NULL. */
bool discovery_look(const struct discovery *d, const char *pool, struct discovery_view *ret);

/* Ends it. NULL is accepted. */
void discovery_free(struct discovery *d);

#endif
