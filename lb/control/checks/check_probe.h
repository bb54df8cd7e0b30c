/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One probe: a connection to one address of a backend, the PROXY header where one is expected, one
 * conversation, and a polite end. It comes from this host's own address, or as a session of somebody would.
 * Thread: control.
 */
#ifndef POSTERN_CONTROL_CHECK_PROBE_H
#define POSTERN_CONTROL_CHECK_PROBE_H

#include "base/addr.h"
#include "control/checks/check.h"
#include "snapshot.h"

#include <systemd/sd-event.h>

struct check_probe;

/* What a probe does; copied. */
struct check_task {
    union addr to;
    const struct check_kind *kind;
    struct check_plan plan;
    struct agent_state agent; /* so far, when an agent is asked */
    union addr as; /* the client of a session: its port does not matter; AF_UNSPEC: this host itself */
    enum pool_source source; /* SOURCE_CLIENT: the connection comes from `as`, where that is given */
    enum pool_proxy proxy;
    uint32_t timeout_ms; /* for all of it */
};

struct check_result {
    bool ok;
    bool accepted;      /* by check_relay */
    const char *reason; /* not ok: what failed */
    uint32_t ms;        /* until the verdict */
    struct agent_state agent;
};

/* Called once, from the loop, when the connection is closed; the probe is gone when it returns. */
typedef void check_done(void *arg, const struct check_result *result);

/* 0, or -errno when this host cannot start it or knows no way to the address: `done` is not called then. */
int check_probe_start(
    sd_event *loop, const struct check_task *task, check_done *done, void *arg, struct check_probe **ret);

/* Ends it without a call of `done`. NULL is accepted. */
void check_probe_free(struct check_probe *p);

#endif
