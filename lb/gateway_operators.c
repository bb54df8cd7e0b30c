/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: all of them are open before the first client is caught, and follow each reload together.
 * Failure path: what one of them cannot do keeps the gateway from starting, or refuses the reload. Called by
 * gateway.c.
 */
#include "gateway_operators.h"

#include "gateway_health.h"

#include <stdio.h>
#include <string.h>

static void on_change(void *arg)
{
    struct gateway_operators *o = arg;
    gateway_state_note(&o->state);
}

static const char *prepare(void *arg, const struct config *after)
{
    struct gateway_operators *o = arg;
    const char *why = gateway_admin_prepare(&o->admin, after);

    return why ? why : gateway_http_prepare(&o->http, after);
}

int gateway_operators_start(struct gateway_operators *o, struct gateway_health *h,
    struct inquiries *inquiries, struct inheritance *inherited, uint64_t started_ms)
{
    h->serving->prepare = prepare;
    h->serving->prepare_arg = o;
    o->admin.on_change = on_change;
    o->admin.arg = o;
    int error = gateway_admin_start(&o->admin, h, inquiries, inherited, started_ms);
    if (error)
        return error;
    error = gateway_state_start(&o->state, h->loop, o->admin.world);
    if (error) {
        fprintf(stderr, "postern: cannot make a timer for the state file: %s\n", strerror(-error));
        return error;
    }
    o->http = (struct gateway_http){.loop = h->loop, .serving = h->serving, .world = o->admin.world};
    return gateway_http_start(&o->http);
}

void gateway_operators_stop(struct gateway_operators *o, bool heir)
{
    gateway_state_stop(&o->state);
    if (heir)
        gateway_admin_hand_over(&o->admin);
    gateway_http_stop(&o->http);
    gateway_admin_stop(&o->admin);
}

void gateway_operators_reloaded(struct gateway_operators *o, bool applied)
{
    gateway_admin_reloaded(&o->admin, applied);
    gateway_http_reloaded(&o->http, applied);
    if (applied)
        gateway_state_note(&o->state);
}

void gateway_operators_follow(struct gateway_operators *o)
{
    gateway_admin_follow(&o->admin);
    gateway_state_follow(&o->state);
}

void gateway_operators_say(struct gateway_operators *o, bool catching, const char *phase)
{
    o->http.catching = catching;
    o->admin.daemon.phase = phase;
}
