/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: begin -> (configuration and programs are loaded) -> take -> (workers start) -> catch -> end.
 * Failure paths: whatever fails ends this process, and the other one goes on. If that one dies before it has
 * let go, this one goes on as after any death: it has the listening sockets, so nobody is refused. Called by
 * gateway.c.
 */
#include "gateway_takeover.h"

#include "base/fd.h"
#include "control/kernel/bpf_load.h"
#include "control/kernel/dissolve_load.h"
#include "control/kernel/preflight.h"
#include "gateway_upgrade.h"
#include "log.h"
#include "serving.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TAKE_MS 60000 /* longer than the other process waits for anything */

static int fail(const char *what, int error)
{
    fprintf(stderr, "postern: cannot take over: %s: %s\n", what, strerror(-error));
    return error;
}

int gateway_takeover_begin(struct inheritance *h, struct serving *v)
{
    int error = inheritance_open(h);

    if (error)
        return fail("no offer from the process that started this one", error);
    if (!gateway_is_heir(h))
        return 0;
    int lock = inheritance_take(h, HAND_FD_LOCK, -1);
    if (lock >= 0)
        preflight_lock_adopt(lock);
    v->kernel.shared = true;
    return 0;
}

int gateway_takeover_take(struct inheritance *h, struct serving *v)
{
    struct hand_message m = {.kind = HAND_PREPARED, .workers = serving_snapshot(v)->workers};
    int carried = -1;

    if (!gateway_is_heir(h))
        return 0;
    snprintf(m.name, sizeof(m.name), "%s", dissolve_layout(v->kernel.dissolve));
    int error = hand_send(h->socket, &m, -1);
    if (!error)
        error = hand_await(h->socket, TAKE_MS, &m, &carried);
    fd_close(&carried);
    if (error == -ECONNRESET || error == -EPIPE)
        log_event(LOG_LEVEL_WARNING, "predecessor_died", "pid=%d predecessor=%u", getpid(), h->offer.pid);
    else if (error)
        return fail("no answer from the process that serves", error);
    else if (m.kind != HAND_TAKE)
        return fail("the process that serves speaks another language", -EPROTO);
    return kernel_take(&v->kernel);
}

int gateway_takeover_catch(struct inheritance *h, struct serving *v)
{
    int link = inheritance_take(h, HAND_FD_CATCH, -1);

    return link < 0 ? bpf_catch_attach(v->kernel.bpf) : bpf_catch_take(v->kernel.bpf, link);
}

void gateway_takeover_end(struct inheritance *h, struct gateway_upgrade *u)
{
    const struct hand_message serving = {.kind = HAND_SERVING};

    if (!gateway_is_heir(h)) {
        inheritance_close(h, false); /* kept over a crash, and of no use any more */
        return;
    }
    (void)hand_send(h->socket, &serving, -1); /* whoever does not hear it has died */
    preflight_lock_sign();
    u->last = (struct reload_result){.at = time(NULL), .ok = true};
    gateway_upgrade_follow(u, h->socket);
    h->socket = -1;
    for (int i = 0; i < UPGRADE_PREDECESSORS_MAX; i++) {
        int socket = inheritance_take(h, HAND_FD_PREDECESSOR, i);
        if (socket >= 0)
            gateway_upgrade_follow(u, socket);
    }
    inheritance_close(h, true);
    log_event(LOG_LEVEL_INFO, "took_over", "pid=%d from=%u", getpid(), h->offer.pid);
}
