/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places of a session become names. HAProxy's words stand where they mean the same here; what it says of
 * its buffers and tasks has nothing to stand for. Called by admin_sessions.c, control thread only.
 */
#include "control/admin/session_text.h"

#include "control/admin/admin_commands.h"
#include "control/admin/admin_id.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct names {
    const char *listener, *pool, *backend, *zone; /* NULL: none */
};

static struct names names_of(const struct roster *r, const struct session_view *v)
{
    struct names n = {0};

    if (v->listener < r->n_listeners)
        n.listener = r->listeners[v->listener].name;
    if (v->pool < r->n_pools)
        n.pool = r->pools[v->pool].name;
    if (v->backend < r->n_backends) {
        n.backend = r->backends[v->backend].spec.name;
        n.zone = r->backends[v->backend].spec.zone;
    }
    return n;
}

/* HAProxy's words for that. */
static const char *or_none(const char *name)
{
    return name ? name : "<none>";
}

static const char *pool_or_none(const char *name)
{
    return name ? name : "<NONE>";
}

/* "192.0.2.1:4242" and, as HAProxy has it, "2001:db8::1:4242". */
static const char *endpoint(const union addr *a, char buf[2 * ADDR_TEXT_MAX])
{
    char host[ADDR_TEXT_MAX];

    if (a->sa.sa_family == AF_UNSPEC)
        return "-";
    snprintf(buf, 2 * (size_t)ADDR_TEXT_MAX, "%s:%u", addr_format_host(a, host), addr_port(a));
    return buf;
}

/* "5s", "1m5s", "2h1m", "3d2h". */
static const char *human_time(uint64_t ms, char buf[32])
{
    static const struct {
        const char *unit;
        uint64_t s;
    } units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};
    uint64_t s = ms / 1000;
    unsigned i = 0;

    while (i < 3 && s < units[i].s)
        i++;
    int n = snprintf(buf, 32, "%llu%s", (unsigned long long)(s / units[i].s), units[i].unit);
    if (i < 3)
        snprintf(buf + n, 32 - (size_t)n, "%llu%s", (unsigned long long)(s % units[i].s / units[i + 1].s),
            units[i + 1].unit);
    return buf;
}

static const char *protocol(const struct session_view *v)
{
    return v->client.sa.sa_family == AF_INET6 ? "tcpv6" : "tcpv4";
}

void session_text_line(const struct roster *r, const struct session_view *v, struct admin_reply *reply)
{
    char source[2 * ADDR_TEXT_MAX], age[32], idle[32];
    struct names n = names_of(r, v);

    admin_reply_print(reply,
        "0x%016llx: proto=%s src=%s fe=%s be=%s srv=%s age=%s idle=%s in=%llu out=%llu state=%s\n",
        (unsigned long long)v->id, protocol(v), endpoint(&v->client, source), or_none(n.listener),
        pool_or_none(n.pool), or_none(n.backend), human_time(v->age_ms, age), human_time(v->idle_ms, idle),
        (unsigned long long)v->bytes_in, (unsigned long long)v->bytes_out, session_state_name(v->state));
}

/* When it was accepted, "21/Nov/2026:20:40:49.123", as HAProxy's log has it. */
static const char *accepted_at(const struct session_view *v, char buf[64])
{
    struct timespec now;
    struct tm local;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t at_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 - v->age_ms;
    time_t second = (time_t)(at_ms / 1000);
    localtime_r(&second, &local);
    size_t n = strftime(buf, 64, "%d/%b/%Y:%H:%M:%S", &local);
    snprintf(buf + n, 64 - n, ".%03u", (unsigned)(at_ms % 1000));
    return buf;
}

void session_text_whole(const struct roster *r, const struct session_view *v, struct admin_reply *reply)
{
    char at[64], text[2 * ADDR_TEXT_MAX], age[32], idle[32];
    struct names n = names_of(r, v);

    admin_reply_print(reply, "0x%016llx: [%s] id=%llu proto=%s source=%s\n", (unsigned long long)v->id,
        accepted_at(v, at), (unsigned long long)v->id, protocol(v), endpoint(&v->client, text));
    admin_reply_print(reply, "  state=%s conn_retries=%u thread=%u age=%s idle=%s in=%llu out=%llu\n",
        session_state_name(v->state), v->retries, v->worker, human_time(v->age_ms, age),
        human_time(v->idle_ms, idle), (unsigned long long)v->bytes_in, (unsigned long long)v->bytes_out);
    admin_reply_print(reply, "  frontend=%s (id=%u mode=tcp) addr=%s\n", or_none(n.listener),
        n.listener ? admin_listener_id(v->listener) : 0, endpoint(&v->vip, text));
    if (v->upstream.sa.sa_family != AF_UNSPEC)
        admin_reply_print(reply, "  upstream=%s\n", endpoint(&v->upstream, text));
    admin_reply_print(reply, "  backend=%s (id=%u mode=tcp) addr=%s\n", pool_or_none(n.pool),
        n.pool ? admin_pool_id(v->pool) : 0, endpoint(&v->source, text));
    admin_reply_print(reply, "  server=%s (id=%u) addr=%s\n", or_none(n.backend),
        n.backend ? v->backend + 1u : 0, endpoint(&v->backend_address, text));
}

/* NULL for an address that there is none of. */
static const char *address(const union addr *a, char buf[ADDR_TEXT_MAX])
{
    return a->sa.sa_family == AF_UNSPEC ? NULL : addr_format(a, buf);
}

void session_text_json(const struct roster *r, const struct session_view *v, struct admin_reply *reply)
{
    char client[ADDR_TEXT_MAX], upstream[ADDR_TEXT_MAX], vip[ADDR_TEXT_MAX], source[ADDR_TEXT_MAX],
        backend[ADDR_TEXT_MAX], id[17];
    struct names n = names_of(r, v);

    snprintf(id, sizeof(id), "%016llx", (unsigned long long)v->id);
    json_t *o = json_pack("{s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?}", "id", id, "client",
        address(&v->client, client), "upstream", address(&v->upstream, upstream), "vip",
        address(&v->vip, vip), "source", address(&v->source, source), "backend_address",
        address(&v->backend_address, backend), "listener", n.listener, "pool", n.pool, "backend", n.backend,
        "zone", n.zone);
    json_t *rest = json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:i}", "worker", v->worker, "state",
        session_state_name(v->state), "age_ms", (json_int_t)v->age_ms, "idle_ms", (json_int_t)v->idle_ms,
        "bytes_in", (json_int_t)v->bytes_in, "bytes_out", (json_int_t)v->bytes_out, "retries", v->retries);
    char *text = json_object_update(o, rest) == 0 ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

    if (text) {
        admin_reply_text(reply, text);
        admin_reply_text(reply, "\n");
    } else
        reply->cut = true; /* no memory: the answer is not passed off as a whole one */
    free(text);
    json_decref(rest);
    json_decref(o);
}
