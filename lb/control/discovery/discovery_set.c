/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From records to backends.
 *
 * Happy path: each address becomes a backend; at the end they are in the order of their names.
 *
 * Failure paths: what cannot be a backend's address is refused one by one and counted; beyond the limit
 * nothing is added, and too_many says that the whole is worth nothing.
 *
 * Called by discovery_dns.c and discovery.c on the control thread, by the fuzzer and the tests.
 */
#include "control/discovery/discovery_set.h"

#include "control/config/config_discover.h"

#define XXH_INLINE_ALL
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SRV_FIXED 6 /* priority, weight, port */
#define LABEL_MAX 63
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

static uint16_t number_at(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* Labels with their lengths, and a root, to the very end of the data. */
static int parse_target(const uint8_t *at, size_t left, char target[CONFIG_HOST_MAX + 1])
{
    size_t used = 0;

    while (left > 0 && at[0] > 0) {
        size_t len = at[0];
        if (len > LABEL_MAX || len + 1 > left || used + len + 1 > CONFIG_HOST_MAX)
            return -EINVAL;
        for (size_t i = 1; i <= len; i++)
            if (at[i] == 0 || !strchr(LETTERS, at[i]))
                return -EINVAL;
        if (used > 0)
            target[used++] = '.';
        memcpy(target + used, at + 1, len);
        used += len;
        at += len + 1;
        left -= len + 1;
    }
    target[used] = '\0';
    return left == 1 ? 0 : -EINVAL;
}

int discovery_service_parse(const uint8_t *data, size_t size, struct discovery_service *ret)
{
    struct discovery_service s;

    if (size <= SRV_FIXED)
        return -EINVAL;
    s.priority = number_at(data);
    s.weight = number_at(data + 2);
    s.port = number_at(data + 4);
    if (parse_target(data + SRV_FIXED, size - SRV_FIXED, s.target) < 0)
        return -EINVAL;
    *ret = s;
    return 0;
}

static bool addr_of(const uint8_t *data, size_t size, uint16_t port, union addr *ret)
{
    union addr a = {.sa.sa_family = size == 4 ? AF_INET : size == 16 ? AF_INET6 : AF_UNSPEC};

    if (a.sa.sa_family == AF_UNSPEC)
        return false;
    memcpy(size == 4 ? (void *)&a.v4.sin_addr : (void *)&a.v6.sin6_addr, data, size);
    addr_set_port(&a, port);
    *ret = a;
    return true;
}

static void refuse(struct discovery_set *s, const char *what, const char *why)
{
    if (s->refused++ == 0)
        snprintf(s->why, sizeof(s->why), "%s %s", what, why);
}

static struct backend_spec *find(struct discovery_set *s, const char *name)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (strcmp(s->specs[i].name, name) == 0)
            return &s->specs[i];
    return NULL;
}

void discovery_set_add_spec(struct discovery_set *s, const struct backend_spec *spec)
{
    if (s->n == CONFIG_FOUND_MAX)
        s->too_many = true;
    else
        s->specs[s->n++] = *spec;
}

void discovery_set_add(struct discovery_set *s, const struct config *c, uint32_t source, const uint8_t *data,
    size_t size, const struct discovery_service *service)
{
    struct backend_spec spec = {
        .priority = service->priority, .weight = service->weight, .state = BACKEND_READY};
    char host[ADDR_TEXT_MAX];
    union addr a;

    if (!addr_of(data, size, service->port, &a)) {
        refuse(s, "a record", "is no address");
        return;
    }
    addr_format_host(&a, host);
    const char *trouble = config_found_trouble(c, source, &a);
    if (trouble) {
        refuse(s, host, trouble);
        return;
    }
    *(a.sa.sa_family == AF_INET6 ? &spec.v6 : &spec.v4) = a;
    _Static_assert(sizeof(spec.name) >= ADDR_TEXT_MAX, "an endpoint is a name");
    addr_format_written(&a, spec.name);
    struct backend_spec *known = find(s, spec.name);
    if (!known)
        discovery_set_add_spec(s, &spec);
    else if (spec.priority < known->priority ||
             (spec.priority == known->priority && spec.weight > known->weight))
        *known = spec;
}

/* An SRV weight of 0 asks for a very small share, not for none. */
void discovery_set_scale(struct discovery_set *s)
{
    uint32_t most = SNAPSHOT_WEIGHT_MAX;

    for (uint32_t i = 0; i < s->n; i++)
        most = s->specs[i].weight > most ? s->specs[i].weight : most;
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t *weight = &s->specs[i].weight;
        *weight = most == SNAPSHOT_WEIGHT_MAX ? *weight : *weight * SNAPSHOT_WEIGHT_MAX / most;
        *weight = *weight > 0 ? *weight : 1;
    }
}

static int by_name(const void *a, const void *b)
{
    const struct backend_spec *x = a, *y = b;
    return strcmp(x->name, y->name);
}

void discovery_set_sort(struct discovery_set *s)
{
    qsort(s->specs, s->n, sizeof(s->specs[0]), by_name);
}

/* Field by field: between them there may be anything. */
static void hash_addr(XXH3_state_t *h, const union addr *a)
{
    size_t size = 0;
    const uint8_t *bytes = a->sa.sa_family == AF_UNSPEC ? NULL : addr_bytes(a, &size);
    uint32_t about[2] = {a->sa.sa_family, bytes ? addr_port(a) : 0};

    XXH3_64bits_update(h, about, sizeof(about));
    if (bytes)
        XXH3_64bits_update(h, bytes, size);
}

uint64_t discovery_set_identity(const struct discovery_set *s)
{
    XXH3_state_t h;

    XXH3_64bits_reset(&h);
    for (uint32_t i = 0; i < s->n; i++) {
        const struct backend_spec *spec = &s->specs[i];
        uint32_t numbers[3] = {spec->weight, spec->priority, spec->state};
        XXH3_64bits_update(&h, spec->name, strlen(spec->name) + 1);
        XXH3_64bits_update(&h, spec->zone, strlen(spec->zone) + 1);
        XXH3_64bits_update(&h, numbers, sizeof(numbers));
        hash_addr(&h, &spec->v4);
        hash_addr(&h, &spec->v6);
    }
    return XXH3_64bits_digest(&h);
}
