/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: an array of pools in JSON, each with where it was looked and the backends found there. Failure
 * path: what is missing or not understood has not been found. Called by gateway_upgrade.c, gateway.c and
 * gateway_health.c.
 */
#include "gateway_found.h"

#include "base/fd.h"
#include "control/config/config_discover.h"
#include "control/discovery/discovery.h"
#include "control/roster/roster_join.h"
#include "serving.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- giving ------------------------------------------------------------------------------------------- */

static json_t *write_backend(const struct backend_spec *spec)
{
    char v4[ADDR_TEXT_MAX], v6[ADDR_TEXT_MAX];

    return json_pack("{ss ss ss ss si si si}", "name", spec->name, "zone", spec->zone, "v4",
        addr_format_written(&spec->v4, v4), "v6", addr_format_written(&spec->v6, v6), "weight",
        (int)spec->weight, "priority", (int)spec->priority, "state", (int)spec->state);
}

static json_t *write_pool(const struct roster *r, uint16_t pool, const struct discovery *d)
{
    struct discovery_view view;
    json_t *backends = json_array();

    for (uint16_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        if (b->member && b->pool == pool && b->origin == BACKEND_FOUND)
            (void)json_array_append_new(backends, write_backend(&b->spec));
    }
    bool looks = discovery_look(d, r->pools[pool].name, &view);
    return json_pack(
        "{ss ss so}", "pool", r->pools[pool].name, "from", looks ? view.from : "", "backends", backends);
}

int gateway_found_fd(const struct roster *r, const struct discovery *d)
{
    int fd = memfd_create("postern-found", MFD_CLOEXEC);
    json_t *pools = json_array();

    for (uint16_t i = 0; i < r->n_pools; i++)
        if (r->pools[i].config && config_discovers(r->pools[i].config))
            (void)json_array_append_new(pools, write_pool(r, i, d));
    if (fd >= 0 && json_dumpfd(pools, fd, JSON_COMPACT) < 0)
        fd_close(&fd);
    json_decref(pools);
    return fd;
}

/* ---- taking ------------------------------------------------------------------------------------------- */

static bool read_endpoint(const char *text, sa_family_t family, union addr *ret)
{
    return strcmp(text, "-") == 0 || (addr_parse(text, ret) == 0 && ret->sa.sa_family == family);
}

static bool read_backend(json_t *json, struct backend_spec *ret)
{
    struct backend_spec spec = {0};
    const char *name, *zone, *v4, *v6;
    int weight, priority, state;

    if (json_unpack(json, "{ss ss ss ss si si si}", "name", &name, "zone", &zone, "v4", &v4, "v6", &v6,
            "weight", &weight, "priority", &priority, "state", &state) < 0)
        return false;
    if (!name[0] || strlen(name) >= sizeof(spec.name) || strlen(zone) >= sizeof(spec.zone))
        return false;
    if (!read_endpoint(v4, AF_INET, &spec.v4) || !read_endpoint(v6, AF_INET6, &spec.v6))
        return false;
    if (weight < 0 || weight > SNAPSHOT_WEIGHT_MAX || state < BACKEND_READY || state > BACKEND_MAINT)
        return false;
    roster_set_name(spec.name, name);
    roster_set_name(spec.zone, zone);
    spec.weight = (uint32_t)weight;
    spec.priority = (uint32_t)priority;
    spec.state = (enum backend_state)state;
    *ret = spec;
    return true;
}

typedef int on_pool(void *arg, const char *name, const char *from, struct discovery_set *set);

static int read_pool(json_t *json, on_pool *handler, void *arg)
{
    struct discovery_set *set = calloc(1, sizeof(*set));
    const char *name, *from;
    json_t *backends, *backend;
    struct backend_spec spec;
    size_t i;

    if (!set)
        return -ENOMEM;
    bool understood =
        json_unpack(json, "{ss ss so}", "pool", &name, "from", &from, "backends", &backends) == 0;
    if (understood)
        json_array_foreach (backends, i, backend)
            if (set->n < CONFIG_FOUND_MAX && read_backend(backend, &spec))
                discovery_set_add_spec(set, &spec);
    int error = understood && set->n > 0 ? handler(arg, name, from, set) : 0;
    free(set);
    return error;
}

static int read_all(int fd, on_pool *handler, void *arg)
{
    json_t *pools, *pool;
    int error = 0;
    size_t i;

    if (fd < 0)
        return 0;
    (void)lseek(fd, 0, SEEK_SET);
    pools = json_loadfd(fd, 0, NULL);
    json_array_foreach (pools, i, pool)
        if (!error)
            error = read_pool(pool, handler, arg);
    json_decref(pools);
    return error;
}

static int restore(void *arg, const char *name, const char *from, struct discovery_set *set)
{
    struct serving *v = arg;
    struct roster *roster;

    /* 0: they are as old as what is configured, and need no slow start. */
    int error = roster_next_found(v->roster, name, set->specs, set->n, 0, &roster);
    if (error) /* else it looks for nobody any more, or has no place for them, which the next look tells */
        return error == -ENOMEM ? error : 0;
    roster_free(v->roster);
    v->roster = roster;
    return 0;
}

int gateway_found_restore(struct serving *v, int fd)
{
    int error = read_all(fd, restore, v);
    return error || fd < 0 ? error : serving_begin_anew(v);
}

static int resume(void *arg, const char *name, const char *from, struct discovery_set *set)
{
    discovery_resume(arg, name, from, set);
    return 0;
}

void gateway_found_resume(struct discovery *d, int fd)
{
    (void)read_all(fd, resume, d);
}
