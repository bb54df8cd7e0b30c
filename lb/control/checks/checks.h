/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All checks: who is checked when, by which probes, and what follows. A check of a backend is one probe of
 * each of its addresses, and passes when all pass: a server that answers in one family only would fail the
 * clients of the other. Thread: control; nothing here waits.
 */
#ifndef POSTERN_CONTROL_CHECKS_H
#define POSTERN_CONTROL_CHECKS_H

#include "control/checks/agent_reply.h"
#include "control/checks/health.h"
#include "control/roster/roster.h"
#include "loads.h"
#include "snapshot.h"

#include <systemd/sd-event.h>

#define CHECKS_PROBES_MAX 64  /* at a time */
#define CHECKS_SPREAD_MS 1000 /* over which the first round begins */

struct checks;

struct checks_given {
    sd_event *loop;
    struct load *loads; /* of all backends; a check that passes begins the bad sessions in a row anew */
    /* How often sessions were greeted by a backend, ever. */
    uint64_t (*greetings)(void *arg, uint16_t backend);
    /* What checks_said() tells has changed; from the loop, once for all that changed at a time. */
    void (*on_change)(void *arg);
    void *arg;
    uint64_t seed; /* of the jitter */
};

int checks_new(const struct checks_given *given, struct checks **ret);

/*
 * Takes over who is to be checked and how, by the indices of the snapshot, to which it refers no longer
 * afterwards. Who is checked already stays as healthy as he is; probes of those that have left end. 0 or
 * -ENOMEM.
 */
int checks_apply(struct checks *c, const struct snapshot *s);

/* Some backend may have HEALTH_BAD_SESSIONS bad sessions in a row: looks at the loads. */
void checks_look_at_sessions(struct checks *c);

/* What checks and agent say; of a backend with neither: that it is up, with all of its weight. */
struct backend_said checks_said(const struct checks *c, uint16_t backend);

/* What is known of a backend by its checks and its agent; texts last until the loop goes on. */
struct checks_view {
    bool health, agent; /* it is checked; it has an agent */
    bool paused, checked, ok, down, suspect;
    bool agent_failing; /* it cannot be asked */
    struct agent_state agent_state;
    struct health_rules rules;
    uint32_t ms; /* of the last check */
    uint64_t failed, downs;
    uint64_t since_ms, down_ms; /* when it went up or down; how long it was down before that */
    const char *reason, *agent_reason;
};

/* False: nobody asks anything of it. */
bool checks_look(const struct checks *c, uint16_t backend, struct checks_view *ret);

/* No checks from now on, or checks again; what is known holds meanwhile. 0, or -ENOENT: there is none. */
int checks_pause(struct checks *c, uint16_t backend, bool pause);
int checks_pause_agent(struct checks *c, uint16_t backend, bool pause); /* the same of its agent */

/* An operator says that it is up, or down, until checks find otherwise. 0, or -ENOENT: it is not checked. */
int checks_declare(struct checks *c, uint16_t backend, bool down);

/*
 * An earlier process has found it down, for this reason: it is, until checks find otherwise. Where nobody
 * checks it any more it is not, and on_change tells.
 */
void checks_resume(struct checks *c, uint16_t backend, const char *why);

/* What its agent has said to an earlier process, which holds until the agent says otherwise: it does not
 * repeat all of it. Where it has no agent any more, as above. */
void checks_resume_agent(
    struct checks *c, uint16_t backend, const struct agent_state *state, const char *why);

/*
 * Logs what has changed since the last call. To be called when it is in force: a line about a backend is true
 * for the next session. Does nothing while on_change is still to come.
 */
void checks_tell(struct checks *c);

/* How many probes are under way. */
uint32_t checks_probes(const struct checks *c);

/* Ends all probes. NULL is accepted. */
void checks_free(struct checks *c);

#endif
