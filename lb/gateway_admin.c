/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a socket is configured and opened before the first client is caught; without one there is still
 * the world that a status is made of. Failure path: it cannot be opened, and postern does not start. Called
 * by gateway.c.
 */
#include "gateway_admin.h"

#include "control/admin_socket.h"
#include "control/hand_over.h"
#include "gateway_health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int publish(void *arg)
{
    struct gateway_health *h = arg;
    return serving_publish(h->serving);
}

static const char *replace(void *arg, int error, struct roster *next)
{
    return gateway_health_replace(arg, error, next);
}

static const char *reason(int error)
{
    switch (error) {
    case -EADDRINUSE:
        return "somebody listens there already; is another postern running?";
    case -EEXIST:
        return "something that is no socket is there; move it away";
    case -ENOENT:
        return "there is no such directory; make it";
    default:
        return strerror(-error);
    }
}

/* The socket of the process before us, when it is the one that is configured; else it is left where it is. */
static int inherited_socket(struct inheritance *inherited, const char *path)
{
    int fd = inheritance_find(inherited, HAND_FD_ADMIN, -1);
    return admin_socket_is_at(fd, path) ? inheritance_take(inherited, HAND_FD_ADMIN, -1) : -1;
}

int gateway_admin_start(struct gateway_admin *a, struct gateway_health *h, struct inquiries *inquiries,
    struct inheritance *inherited, uint64_t started_ms)
{
    const char *path = h->serving->config->admin.socket;

    struct admin_base *bases = calloc(SNAPSHOT_BACKENDS_MAX, sizeof(*bases));
    char *kept = strdup(path); /* a reload frees the configuration */
    a->world = malloc(sizeof(*a->world));
    if (!bases || !kept || !a->world) {
        free(bases);
        free(kept);
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
        .socket = kept,
        .started_ms = started_ms,
        .daemon = &a->daemon,
        .publish = publish,
        .replace = replace,
        .arg = h,
    };
    a->daemon = (struct status_daemon){
        .phase = "serving", .file = h->serving->file, .reload = &h->serving->last_reload};
    admin_follow(a->world);
    if (!path[0])
        return 0;
    int error = admin_socket_open(h->loop, a->world, inherited_socket(inherited, path), &a->socket);
    if (error)
        fprintf(stderr, "postern: cannot open the admin socket %s: %s\n", path, reason(error));
    return error;
}

void gateway_admin_follow(struct gateway_admin *a)
{
    if (a->world)
        admin_follow(a->world);
}

int gateway_admin_fd(const struct gateway_admin *a)
{
    return admin_socket_fd(a->socket);
}

void gateway_admin_hand_over(struct gateway_admin *a)
{
    admin_socket_abandon(a->socket);
    a->socket = NULL;
}

void gateway_admin_stop(struct gateway_admin *a)
{
    admin_socket_close(a->socket);
    if (!a->world)
        return;
    free(a->world->bases);
    free((char *)a->world->socket);
    free(a->world);
}
