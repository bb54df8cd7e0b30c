/* SPDX-License-Identifier: Apache-2.0 */
/* A small snapshot built by hand, and postern's kernel side set up from it on the lab's gateway. */
#ifndef POSTERN_TESTS_FIXTURE_H
#define POSTERN_TESTS_FIXTURE_H

#include "lab.h"

#include "bpf/abi.h"
#include "control/kernel/bpf_load.h"
#include "control/kernel/host.h"
#include "control/kernel/routes.h"

#include <string.h>

#define FIXTURE_MAX 8

struct fixture {
    struct snapshot_vip vips[FIXTURE_MAX]; /* all of one listener */
    struct snapshot_listener listener;
    struct snapshot_backend backends[FIXTURE_MAX];
    struct snapshot_pool pool;
    struct snapshot s;
    struct bpf *bpf;
    struct host *host;
    struct routes *routes;
};

static inline void fixture_init(struct fixture *f, uint32_t workers)
{
    memset(f, 0, sizeof(*f));
    f->pool.source = SOURCE_CLIENT;
    f->s = (struct snapshot){.workers = workers, .max_sessions = 100, .n_pools = 1, .n_listeners = 1};
    f->s.vips = f->vips;
    f->s.listeners = &f->listener;
    f->s.backends = f->backends;
    f->s.pools = &f->pool;
}

static inline void fixture_vip(struct fixture *f, const char *text)
{
    struct snapshot_vip *vip = &f->vips[f->s.n_vips++];

    assert_int_equal(addr_prefix_parse(text, &vip->prefix, &vip->port), 0);
}

/* Either address may be NULL. */
static inline void fixture_backend(struct fixture *f, const char *name, const char *v4, const char *v6)
{
    struct snapshot_backend *b = &f->backends[f->s.n_backends++];

    b->name = name;
    if (v4)
        b->v4 = lab_addr(v4);
    if (v6)
        b->v6 = lab_addr(v6);
}

static inline void fixture_load(struct fixture *f)
{
    char error[512] = "";

    snapshot_sort_vips(&f->s);
    if (bpf_load(&f->s, 0, &f->bpf, error, sizeof(error)))
        fail_msg("%s", error);
}

/* Everything: programs, rules, routes, links; without the listeners. */
static inline void fixture_up(struct fixture *f)
{
    char error[512] = "";

    fixture_load(f);
    assert_int_equal(host_open(&f->s, &f->host), 0);
    assert_int_equal(host_apply(f->host, false), 0);
    if (routes_open(&f->s, f->bpf, &f->routes, error, sizeof(error)))
        fail_msg("%s", error);
    assert_int_equal(bpf_catch_attach(f->bpf), 0);
}

static inline void fixture_down(struct fixture *f)
{
    routes_close(f->routes);
    if (f->host)
        assert_int_equal(host_undo(f->host), 0);
    host_close(f->host);
    bpf_free(f->bpf);
    f->routes = NULL;
    f->host = NULL;
    f->bpf = NULL;
}

static inline uint64_t fixture_caught(const struct fixture *f, enum catch_counter which)
{
    uint64_t caught[CATCH_COUNTERS], returned[RETURN_COUNTERS];

    assert_int_equal(bpf_counters(f->bpf, caught, returned), 0);
    return caught[which];
}

static inline uint64_t fixture_returned(const struct fixture *f, enum return_counter which)
{
    uint64_t caught[CATCH_COUNTERS], returned[RETURN_COUNTERS];

    assert_int_equal(bpf_counters(f->bpf, caught, returned), 0);
    return returned[which];
}

#endif
