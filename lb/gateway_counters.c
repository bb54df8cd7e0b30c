/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of workers and programs as one log line: everything that is not zero. Read without locks, a
 * moment's view. Called by gateway.c, control thread only.
 */
#include "gateway_counters.h"

#include "bpf/abi.h"
#include "bpf/dissolve_reasons.h"
#include "control/kernel/admit_load.h"
#include "control/kernel/bpf_load.h"
#include "control/kernel/dissolve_load.h"
#include "control/kernel/kernel.h"
#include "counters.h"
#include "log.h"

#include <stdio.h>
#include <unistd.h>

static size_t append(char *text, size_t size, size_t at, const char *name, uint64_t value)
{
    int n = at < size ? snprintf(text + at, size - at, " %s=%llu", name, (unsigned long long)value) : 0;
    return n > 0 ? at + (size_t)n : at;
}

/* Those of the programs. */
static size_t append_kernel(char *text, size_t size, size_t at, const struct kernel *k)
{
    uint64_t catch[CATCH_COUNTERS], back[RETURN_COUNTERS], admit[ADMIT_COUNTERS], dissolve[DISSOLVE_REASONS];

    if (dissolve_counters(k->dissolve, dissolve) == 0)
        for (int i = 0; i < DISSOLVE_REASONS; i++) {
            char name[64];
            snprintf(name, sizeof(name), "program_%s", relay_reason_name((enum relay_reason)i));
            at = dissolve[i] ? append(text, size, at, name, dissolve[i]) : at;
        }
    if (bpf_counters(k->bpf, catch, back) == 0) {
        for (int i = 0; i < CATCH_COUNTERS; i++)
            at = catch[i] ? append(text, size, at, bpf_catch_names[i], catch[i]) : at;
        for (int i = 0; i < RETURN_COUNTERS; i++)
            at = back[i] ? append(text, size, at, bpf_return_names[i], back[i]) : at;
    }
    if (admit_counters(k->admit, admit) == 0 && admit[ADMIT_DROPPED])
        at = append(text, size, at, "admit_dropped", admit[ADMIT_DROPPED]);
    return at;
}

void gateway_log_counters(const struct counters *all, uint32_t workers, const struct kernel *kernel)
{
    char text[LOG_EVENT_BYTES - 100] = "";
    size_t at = 0;

    at = append(text, sizeof(text), at, "sessions", counters_sessions(all, workers));
    at = append(text, sizeof(text), at, "sessions_dissolved", counters_dissolved(all, workers));
    for (enum counter i = 0; i < COUNTERS; i++) {
        uint64_t v = counters_sum(all, workers, i);
        at = v ? append(text, sizeof(text), at, counter_name(i), v) : at;
    }
    if (log_lost())
        at = append(text, sizeof(text), at, "log_lost", log_lost());
    for (enum close_reason r = REASON_none + 1; r < REASONS; r++) {
        uint64_t v = counters_sum_closed(all, workers, r);
        char name[64];
        snprintf(name, sizeof(name), "closed_%s", close_reasons[r].name);
        at = v ? append(text, sizeof(text), at, name, v) : at;
    }
    for (enum relay_reason why = 0; why < RELAY_REASONS; why++) {
        uint64_t v = counters_sum_relayed(all, workers, why);
        char name[64];
        snprintf(name, sizeof(name), "relayed_%s", relay_reason_name(why));
        at = v ? append(text, sizeof(text), at, name, v) : at;
    }
    (void)append_kernel(text, sizeof(text), at, kernel);
    log_event(LOG_LEVEL_INFO, "counters", "pid=%d %s", getpid(), text + 1);
}
