/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: what is configured is opened before the first client is caught; without it there is still the
 * world that a status is made of. A reload opens what is new first. Failure path: it cannot be opened, and
 * postern does not start, or the reload is refused. Called by gateway.c.
 */
#include "gateway_admin.h"

#include "control/admin_socket.h"
#include "control/config_schema.h"
#include "control/hand_over.h"
#include "gateway_health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int publish(void *arg)
{
    struct gateway_admin *a = arg;
    int error = serving_publish(a->health->serving);

    if (!error)
        a->on_change(a->arg);
    return error;
}

static const char *replace(void *arg, int error, struct roster *next)
{
    struct gateway_admin *a = arg;
    const char *why = gateway_health_replace(a->health, error, next);

    if (!why)
        a->on_change(a->arg);
    return why;
}

/* The sockets of the process before us, where they are those that are configured; else they are left there.
 */
static void inherit(struct gateway_admin *a, struct inheritance *from)
{
    const struct config_admin *c = &a->health->serving->config->admin;
    bool unix_fits = admin_endpoint_is_unix(inheritance_find(from, HAND_FD_ADMIN, -1), c->socket);
    bool tcp_fits = admin_endpoint_is_tcp(inheritance_find(from, HAND_FD_ADMIN_TCP, -1), c->tcp);

    admin_socket_inherit(a->socket, unix_fits ? inheritance_take(from, HAND_FD_ADMIN, -1) : -1,
        tcp_fits ? inheritance_take(from, HAND_FD_ADMIN_TCP, -1) : -1);
}

int gateway_admin_start(struct gateway_admin *a, struct gateway_health *h, struct inquiries *inquiries,
    struct inheritance *inherited, uint64_t started_ms)
{
    struct admin_base *bases = calloc(SNAPSHOT_BACKENDS_MAX, sizeof(*bases));
    a->health = h;
    a->world = malloc(sizeof(*a->world));
    if (!bases || !a->world) {
        free(bases);
        free(a->world);
        a->world = NULL;
        fprintf(stderr, "postern: no memory for what operators may see\n");
        return -ENOMEM;
    }
    *a->world = (struct admin_world){
        .roster = &h->serving->roster,
        .counters = h->counters,
        .workers = h->serving->publication.n_workers,
        .loads = h->loads,
        .checks = h->checks,
        .rates = h->rates,
        .inquiries = inquiries,
        .bases = bases,
        .started_ms = started_ms,
        .daemon = &a->daemon,
        .publish = publish,
        .replace = replace,
        .arg = a,
    };
    a->daemon = (struct status_daemon){
        .phase = "serving", .file = h->serving->file, .reload = &h->serving->last_reload};
    admin_follow(a->world);
    int error = admin_socket_new(h->loop, a->world, &a->socket);
    if (!error)
        inherit(a, inherited);
    const char *why = error ? strerror(-error) : gateway_admin_prepare(a, h->serving->config);
    if (a->socket)
        gateway_admin_reloaded(a, !why);
    if (why)
        fprintf(stderr, "postern: %s\n", why);
    return why ? -EINVAL : 0;
}

const char *gateway_admin_prepare(struct gateway_admin *a, const struct config *after)
{
    return admin_socket_prepare(a->socket, &after->admin, a->why) ? a->why : NULL;
}

void gateway_admin_reloaded(struct gateway_admin *a, bool applied)
{
    admin_socket_settle(a->socket, applied);
}

void gateway_admin_follow(struct gateway_admin *a)
{
    if (a->world)
        admin_follow(a->world);
}

int gateway_admin_fd(const struct gateway_admin *a, bool tcp)
{
    return a->socket ? admin_socket_fd(a->socket, tcp) : -1;
}

void gateway_admin_hand_over(struct gateway_admin *a)
{
    admin_socket_abandon(a->socket);
    a->socket = NULL;
}

void gateway_admin_stop(struct gateway_admin *a)
{
    admin_socket_free(a->socket);
    if (!a->world)
        return;
    free(a->world->bases);
    free(a->world);
}
