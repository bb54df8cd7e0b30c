/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a copy of the snapshot without VIPs, in which only the wanted backends are reached from the
 * client's address, is set up as postern would, and undone.
 * Failure paths: what an earlier postern has left is used when it is all there, and then left alone; when it
 * is there in part, nothing is done, for what is ours and what is another's could not be told apart later.
 * Without a postern its lock is held meanwhile: one that starts would be undone in the middle.
 * Called by network.c.
 */
#include "tools/doctor/return_path.h"

#include "control/kernel/bpf_load.h"
#include "control/kernel/host.h"
#include "control/kernel/preflight.h"
#include "control/kernel/routes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct return_path {
    struct snapshot s;
    struct bpf *bpf;
    struct routes *routes;
    struct host *host;
    bool locked, added;
};

static int copy(struct return_path *r, const struct snapshot *s, const struct wanted_address *wanted)
{
    r->s = *s;
    r->s.n_vips = 0;
    r->s.backends = malloc(s->n_backends * sizeof(*s->backends));
    if (!r->s.backends)
        return -ENOMEM;
    memcpy(r->s.backends, s->backends, s->n_backends * sizeof(*s->backends));
    for (uint32_t i = 0; i < s->n_backends; i++) {
        struct snapshot_backend *b = &r->s.backends[i];
        b->source = SOURCE_CLIENT;
        b->v4 = wanted[i].of[0] ? b->v4 : (union addr){0};
        b->v6 = wanted[i].of[1] ? b->v6 : (union addr){0};
    }
    return 0;
}

/* Rule and route. 0 or -errno with the reason. */
static int set_up_host(struct return_path *r, char ret_why[RETURN_PATH_WHY_MAX])
{
    int error = host_open(&r->s, &r->host);

    if (error) {
        snprintf(ret_why, RETURN_PATH_WHY_MAX, "the host's rules cannot be read: %s", strerror(-error));
        return error;
    }
    if (host_is_settled(r->host, true))
        return 0;
    if (host_has_ours(r->host)) {
        snprintf(ret_why, RETURN_PATH_WHY_MAX,
            r->locked
                ? "an earlier postern has left rules here: postern --flush removes them"
                : "the running postern keeps no return path of this family: before it starts, or after a "
                  "reload that needs one, this can be tried");
        return -EEXIST;
    }
    error = host_apply(r->host, true);
    r->added = true;
    if (error)
        snprintf(ret_why, RETURN_PATH_WHY_MAX, "the rule and route of the return path cannot be set up: %s",
            strerror(-error));
    return error;
}

struct return_path *return_path_up(const struct snapshot *s, const struct wanted_address *wanted, bool daemon,
    char ret_why[RETURN_PATH_WHY_MAX])
{
    struct return_path *r = calloc(1, sizeof(*r));

    snprintf(ret_why, RETURN_PATH_WHY_MAX, "no memory");
    if (!r || copy(r, s, wanted))
        goto fail;
    r->locked = !daemon && preflight_try_lock();
    if (!daemon && !r->locked) {
        snprintf(ret_why, RETURN_PATH_WHY_MAX, "postern, or another doctor, has just started here");
        goto fail;
    }
    if (bpf_load(&r->s, 0, &r->bpf, ret_why, RETURN_PATH_WHY_MAX) ||
        routes_open(&r->s, r->bpf, &r->routes, ret_why, RETURN_PATH_WHY_MAX) || set_up_host(r, ret_why))
        goto fail;
    return r;

fail:
    return_path_down(r);
    return NULL;
}

struct question {
    const char *interface;
    bool found;
};

static void compare(int ifindex, const char *name, const char *backends, void *arg)
{
    struct question *q = arg;
    q->found |= strcmp(name, q->interface) == 0;
}

bool return_path_leads(const struct snapshot *s, const struct snapshot_backend *b, const union addr *address,
    const char *interface)
{
    struct question q = {.interface = interface};
    struct return_path r = {0};
    struct routes *routes = NULL;
    char ignored[RETURN_PATH_WHY_MAX];
    struct wanted_address *wanted = calloc(s->n_backends, sizeof(*wanted));
    bool known = false;

    if (wanted) {
        wanted[b - s->backends].of[address->sa.sa_family == AF_INET6] = true;
        known = copy(&r, s, wanted) == 0 && routes_open(&r.s, NULL, &routes, ignored, sizeof(ignored)) == 0;
    }
    if (known)
        routes_each_interface(routes, compare, &q);
    routes_close(routes);
    free(r.s.backends);
    free(wanted);
    return !known || q.found;
}

void return_path_down(struct return_path *r)
{
    if (!r)
        return;
    if (r->added)
        (void)host_undo(r->host);
    host_close(r->host);
    routes_close(r->routes);
    bpf_free(r->bpf);
    if (r->locked)
        preflight_unlock();
    free(r->s.backends);
    free(r);
}
