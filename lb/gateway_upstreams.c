/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nobody holds anything: nothing is said. One that begins to, and one that stops: a line each. Called by
 * gateway_life.c, which a worker wakes for the former.
 */
#include "gateway_upstreams.h"

#include "log.h"

static bool is_among(const struct upstream_silence *one, const struct upstream_silence *all, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (addr_same_host(&one->host, &all[i].host))
            return true;
    return false;
}

static const char *listener_name(const struct snapshot *s, uint16_t listener)
{
    return listener < s->n_listeners ? s->listeners[listener].name : "-";
}

void gateway_upstreams_tend(
    struct gateway_upstreams *u, const struct counters *all, const struct snapshot *s, uint64_t now_ms)
{
    struct upstream_silence now[UPSTREAMS_NOTED];
    uint32_t n = upstreams_holding(all, s->workers, now_ms, now);
    char host[ADDR_TEXT_MAX];

    for (uint32_t i = 0; i < n; i++)
        if (!is_among(&now[i], u->told, u->n))
            log_event(LOG_LEVEL_WARNING, "upstream_holds_header",
                "upstream=%s listener=%s connections=%u hint=\"no PROXY header came within 5 s, again and "
                "again: it waits for the client to speak, which waits for the greeting; have it sent when "
                "the upstream connects\"",
                addr_format_host(&now[i].host, host), listener_name(s, now[i].listener), now[i].silent);
    for (uint32_t i = 0; i < u->n; i++)
        if (!is_among(&u->told[i], now, n))
            log_event(LOG_LEVEL_INFO, "upstream_holds_no_more", "upstream=%s listener=%s",
                addr_format_host(&u->told[i].host, host), listener_name(s, u->told[i].listener));
    for (uint32_t i = 0; i < n; i++)
        u->told[i] = now[i];
    u->n = n;
}
