/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: what is configured is opened before the first client is caught; without it there is still the
 * world that a status is made of. A reload opens what is new first. Failure path: it cannot be opened, and
 * postern does not start, or the reload is refused. Called by gateway.c.
 */
#include "gateway_admin.h"

#include "control/admin/admin_socket.h"
#include "control/config/config_schema.h"
#include "control/process/hand_over.h"
#include "gateway.h"
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

static int print_plan(void *arg, FILE *out)
{
    const struct gateway_admin *a = arg;
    return gateway_print_plan(serving_snapshot(a->health->serving), out);
}

static const char *replace(void *arg, int error, struct roster *next)
{
    struct gateway_admin *a = arg;
    const char *why = gateway_health_replace(a->health, error, next);

    if (!why)
        a->on_change(a->arg);
    return why;
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
        .sources = a->sources,
        .checks = h->checks,
        .discovery = &h->discovery,
        .relay_tests = &h->relay_tests,
        .rates = h->rates,
        .inquiries = inquiries,
        .bases = bases,
        .started_ms = started_ms,
        .daemon = &a->daemon,
        .orders = &a->orders,
        .publish = publish,
        .print_plan = print_plan,
        .replace = replace,
        .arg = a,
    };
    a->daemon = (struct status_daemon){.phase = "serving",
        .file = h->serving->file,
        .reload = &h->serving->last_reload,
        .upgrade = a->upgrade};
    admin_follow(a->world);
    const struct config_admin *c = &h->serving->config->admin;
    int error = admin_socket_new(h->loop, a->world, &a->socket);
    if (!error) /* those that another process has had at the same places */
        admin_socket_adopt(a->socket, c, inheritance_take_at(inherited, HAND_FD_ADMIN, c->socket),
            inheritance_take_at(inherited, HAND_FD_ADMIN_TCP, c->tcp));
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
    return admin_socket_fd(a->socket, tcp);
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
