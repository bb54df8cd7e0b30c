/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relay tests as operators see them: the verdict that holds, and of each family the last test in its own
 * words. Called by status_pool.c and metrics, control thread only.
 */
#include "control/watch/status_relay.h"

#include "control/checks/relay_tests.h"
#include "control/config/config_schema.h"
#include "control/watch/status.h"

#include <stdio.h>

static bool look(const struct admin_world *w, uint16_t backend, bool v6, struct relay_view *ret)
{
    return w->relay_tests && relay_tests_look(*w->relay_tests, backend, v6, ret);
}

bool status_relay_is_conclusive(const struct admin_world *w, uint16_t backend, bool *ret_tested)
{
    struct relay_view v;
    bool conclusive = true;

    *ret_tested = false;
    for (int v6 = 0; v6 < 2; v6++) {
        if (!look(w, backend, v6, &v))
            continue;
        *ret_tested |= v.last != NULL;
        conclusive &= v.last && v.last->verdict != RELAY_INCONCLUSIVE;
    }
    return conclusive && *ret_tested;
}

static json_t *family_status(const struct relay_view *v, bool v6)
{
    static const struct relay_result none = {.why = ""};
    const struct relay_result *r = v->last ? v->last : &none;

    return json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:s}", "clients", v6 ? "ipv6" : "ipv4", "verdict",
        relay_verdict_name(r->verdict), "holds", relay_verdict_name(v->holds), "at", (json_int_t)v->at,
        "stranger", status_text(r->stranger.said), "trusted", status_text(r->trusted.said), "why", r->why);
}

json_t *status_relay(const struct admin_world *w, uint16_t backend)
{
    const struct roster *r = *w->roster;
    const struct roster_backend *b = &r->backends[backend];
    enum relay_test_mode mode = r->pools[b->pool].relay_test;
    const struct config_section *listener = config_find_key(&config_root, "listeners")->section;
    struct relay_view v;
    bool tested;
    bool conclusive = status_relay_is_conclusive(w, backend, &tested);

    if (!tested && mode == RELAY_TEST_OFF)
        return json_null();
    json_t *families = json_array();
    for (int v6 = 0; v6 < 2; v6++)
        if (look(w, backend, v6, &v))
            (void)json_array_append_new(families, family_status(&v, v6));
    return json_pack("{s:s, s:s, s:b, s:b, s:o}", "mode",
        config_find_key(listener, "relay_test")->words[mode], "verdict", relay_verdict_name(b->relay),
        "conclusive", conclusive, "gated", roster_is_gated(r, backend), "families", families);
}

void status_relay_why(const struct admin_world *w, uint16_t backend, char *buf, size_t size)
{
    enum relay_verdict holds = (*w->roster)->backends[backend].relay;
    struct relay_view v;

    snprintf(buf, size, "its relay test has not ended yet");
    for (int v6 = 0; v6 < 2; v6++) {
        if (!look(w, backend, v6, &v) || !v.last || v.holds != holds)
            continue;
        if (holds == RELAY_OPEN)
            snprintf(buf, size, "it is an open relay%s%s", v.last->verdict == RELAY_OPEN ? ": " : "",
                v.last->verdict == RELAY_OPEN ? v.last->stranger.said : "");
        else if (holds == RELAY_INCONCLUSIVE)
            snprintf(buf, size, "its relay test proves nothing: %s", v.last->why);
    }
}
