/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a roster of the configuration, then for each pool that discovers what the status document says
 * was found, then the snapshot. Failure paths: a pool that discovers no more, and an address that cannot be
 * read, are left out. Called by doctor.c.
 */
#include "tools/doctor/found.h"

#include "control/roster/roster.h"
#include "tools/posternctl/document.h"
#include "tools/posternctl/memory.h"

#include <errno.h>
#include <stdlib.h>

static struct backend_spec read_backend(const json_t *backend)
{
    struct backend_spec spec = {.weight = 1};
    const json_t *address;
    size_t i;

    snprintf(spec.name, sizeof(spec.name), "%s", text_of(backend, "name"));
    snprintf(spec.zone, sizeof(spec.zone), "%s", text_of(backend, "zone"));
    json_array_foreach (json_object_get(backend, "addresses"), i, address) {
        union addr a;
        if (json_is_string(address) && addr_parse(json_string_value(address), &a) == 0)
            *(a.sa.sa_family == AF_INET6 ? &spec.v6 : &spec.v4) = a;
    }
    return spec;
}

static uint32_t read_pool(const json_t *pool, struct backend_spec specs[CONFIG_FOUND_MAX])
{
    const json_t *backend;
    uint32_t n = 0;
    size_t i;

    json_array_foreach (json_object_get(pool, "backends"), i, backend)
        if (n < CONFIG_FOUND_MAX && strcmp(text_of(backend, "origin"), "found") == 0)
            specs[n++] = read_backend(backend);
    return n;
}

static int add_found(struct roster **roster, const json_t *pool)
{
    struct backend_spec *specs = must(calloc(CONFIG_FOUND_MAX, sizeof(*specs)));
    struct roster *next = NULL;
    uint32_t n = read_pool(pool, specs);

    int error = n ? roster_next_found(*roster, text_of(pool, "name"), specs, n, 0, &next) : -ENOENT;
    free(specs);
    if (error)
        return error == -ENOENT ? 0 : error;
    roster_free(*roster);
    *roster = next;
    return 0;
}

int found_snapshot(const struct config *c, const json_t *status, struct snapshot **ret)
{
    struct roster *roster = NULL;
    const json_t *pool;
    size_t i;

    int error = roster_next(NULL, c, 0, &roster);
    json_array_foreach (json_object_get(status, "pools"), i, pool)
        if (!error)
            error = add_found(&roster, pool);
    if (!error) {
        (void)roster_weigh(roster, 0);
        error = roster_publish(roster, ret);
    }
    roster_free(roster);
    return error;
}
