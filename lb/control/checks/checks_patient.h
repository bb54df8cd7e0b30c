/* SPDX-License-Identifier: Apache-2.0 */
/* One backend that is checked: how, its probes under way, its health, and what its agent has said. */
#ifndef POSTERN_CONTROL_CHECKS_PATIENT_H
#define POSTERN_CONTROL_CHECKS_PATIENT_H

#include "control/checks/check_probe.h"
#include "control/checks/health.h"
#include "snapshot.h"

#define PATIENT_NAME_MAX 65 /* CONFIG_NAME_MAX and a NUL */

struct checks;
struct patient;

struct patient_probe {
    struct patient *patient;
    union addr address;
    struct check_probe *running; /* or NULL */
};

/* What has come of its checks so far. */
struct patient_past {
    bool checked, ok; /* a check has ended; the last one passed */
    uint32_t ms;      /* of the last one, as is: */
    char reason[CHECK_REASON_MAX + ADDR_TEXT_MAX];
    uint64_t failed, downs;
    uint64_t since_ms; /* up, or down */
    uint64_t down_ms;  /* in all, before that */
};

struct patient {
    struct checks *checks;
    uint16_t backend; /* index */
    char name[PATIENT_NAME_MAX], pool[PATIENT_NAME_MAX];
    struct check_task task; /* without an address */
    struct health_rules rules;
    struct health health;
    uint64_t greetings_seen; /* at the check before */
    /* The check under way, or the last one. */
    struct patient_probe probes[2];
    unsigned n_addresses; /* 0: only the agent is asked */
    uint32_t ms;
    char reason[CHECK_REASON_MAX + ADDR_TEXT_MAX]; /* why it failed; "" */
    struct patient_past past;
    bool paused; /* an operator wants no checks */
    /* The agent; an interval of 0: there is none. */
    struct agent_state agent;
    struct patient_probe agent_probe;
    uint32_t agent_interval_ms;
    uint64_t agent_next_ms;
    bool agent_paused;  /* an operator wants it asked no more */
    bool agent_failing; /* was said already */
    /* What the log has not said yet. */
    bool untold, agent_untold;
    struct health_change news;
    uint32_t news_ms;
    char agent_reason[CHECK_REASON_MAX];
};

/* True when this place of the snapshot has a backend of a pool, with a check or an agent. */
bool patient_is_wanted(const struct snapshot *s, uint16_t backend);

/* The same server, asked the same kind of question. */
bool patient_is_same(const struct patient *p, const struct snapshot *s, uint16_t backend);

struct patient *patient_new(struct checks *c, const struct snapshot *s, uint16_t backend, uint64_t seed,
    uint64_t now_ms, uint32_t spread_ms);

/* Takes the pool's intervals, thresholds and questions; for probes to come. */
void patient_set_rules(struct patient *p, const struct snapshot *s);

/* When the next is to begin; UINT64_MAX while one is under way, or when there is none. */
uint64_t patient_check_due_ms(const struct patient *p);
uint64_t patient_agent_due_ms(const struct patient *p);

bool patient_is_probed(const struct patient *p);

/* One address has a result; the first failure is the check's reason. */
void patient_note(
    struct patient *p, const struct patient_probe *probe, bool ok, const char *reason, uint32_t ms);

/* Takes over what the agent said; logs that it cannot be asked. True when the backend's part changes. */
bool patient_heed_agent(struct patient *p, const struct check_result *result);

/* Takes note of a check that has ended, for those who ask; and that it is down now, or no longer. */
void patient_remember(struct patient *p, bool ok);
void patient_turned(struct patient *p, bool down, uint64_t now_ms);

/* The same of a failed check of an earlier process: nothing is counted. */
void patient_resume(struct patient *p, const char *why);
void patient_resume_agent(struct patient *p, const struct agent_state *state, const char *why);

/* Logs what has changed. */
void patient_tell(struct patient *p);

/* Ends its probes, which are taken off *n_probes. */
void patient_cancel_check(struct patient *p, uint32_t *n_probes);
void patient_free(struct patient *p, uint32_t *n_probes);

#endif
