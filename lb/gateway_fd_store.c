/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sd_pid_notify_with_fds(3), under the names that descriptors have at an upgrade in place (hand_over.h).
 *
 * Happy path: take -> (postern serves) -> put -> (a crash) -> take. Failure path: what the manager does not
 * keep is lost with the process, as without it. Called by gateway.c and gateway_life.c, control thread only.
 */
#include "gateway_fd_store.h"

#include "control/kernel/bpf_load.h"
#include "gateway_life.h"
#include "path/worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

static void forget(const char *name, int index)
{
    char full[HAND_NAME_MAX];

    hand_name(full, name, index);
    (void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", full);
}

static void keep(const char *name, int index, int fd)
{
    char full[HAND_NAME_MAX], state[HAND_NAME_MAX + 32];

    if (fd < 0)
        return;
    hand_name(full, name, index);
    snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s", full);
    (void)sd_pid_notify_with_fds(0, 0, state, &fd, 1);
}

static void forget_workers(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        forget(HAND_FD_LISTENER_V4, (int)i);
        forget(HAND_FD_LISTENER_V6, (int)i);
    }
}

void gateway_fd_store_take(struct gateway *g)
{
    char **names = NULL;
    int n = sd_listen_fds_with_names(1, &names);

    for (int i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        inheritance_add(&g->inherited, names[i], fd);
        forget(names[i], -1);
        free(names[i]);
    }
    free(names);
}

void gateway_fd_store_put(struct gateway *g)
{
    keep(HAND_FD_CATCH, -1, bpf_catch_link(g->serving.kernel.bpf));
    for (uint32_t i = 0; i < g->n_workers; i++) {
        keep(HAND_FD_LISTENER_V4, (int)i, g->workers[i].listener_v4);
        keep(HAND_FD_LISTENER_V6, (int)i, g->workers[i].listener_v6);
    }
    forget_workers(g->n_workers, g->inherited.offer.workers); /* of a process that had more */
}

void gateway_fd_store_clear(struct gateway *g)
{
    forget(HAND_FD_CATCH, -1);
    forget_workers(0, g->n_workers);
}
