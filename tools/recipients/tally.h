/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tally: messages in, verdicts out; what each source has sent, its alarms, its history. It has no clock
 * of its own: whoever calls says what time it is. Thread: the loop's; nothing here waits but for the
 * database.
 */
#ifndef POSTERN_RECIPIENTS_TALLY_H
#define POSTERN_RECIPIENTS_TALLY_H

#include "base/addr.h"
#include "history.h"
#include "lines.h"
#include "policy.h"
#include "sources.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALLY_TICK_MS 10000
#define TALLY_SAVE_MS 60000

/* An alarm that begins or ends. */
struct alarm {
    enum source_class class;
    const char *name; /* the source's */
    bool begins;
    enum alarm_reason reason;
    uint64_t limit; /* what was reached */
    uint64_t recipients,
        messages;     /* it begins: of the minute or the hour, and the hour; it ends: of all its time */
    uint64_t seconds; /* it ends: after so long */
};

struct tally_settings {
    struct limits source, total;
    const struct addr_prefix *exempt; /* clients that are not judged, nor part of the total */
    size_t n_exempt;
    const char *const *exempt_users; /* the same for their messages */
    size_t n_exempt_users;
    bool defers; /* the messages of a source that has an alarm */
    void (*tell)(const struct alarm *a, void *arg);
    void *arg;
};

struct tally_stats {
    uint64_t messages, recipients; /* all of them */
    uint64_t exempt;               /* messages that were not judged */
    uint64_t elsewhere;            /* questions from before the end of a message */
    uint64_t deferred;
    uint64_t alarms[CLASSES][ALARM_REASONS];
    uint64_t alarms_now[CLASSES];
    uint64_t history_gaps; /* ended while the database did not work */
};

struct tally {
    const struct tally_settings *settings;
    struct history *history;
    struct sources tables[CLASS_TOTAL]; /* clients and users */
    struct source total;
    struct tally_stats stats;
    uint64_t hour; /* 0: before the first call */
    uint64_t saved_ms, ticked_ms;
    uint64_t begin; /* of the history */
};

/* Goes on with what the history has of this hour. 0 or -ENOMEM. Both arguments must outlive it. */
int tally_init(
    struct tally *c, const struct tally_settings *settings, struct history *history, uint64_t now_ms);

/* Ends nothing and saves nothing: see tally_save(). */
void tally_done(struct tally *c);

/* A question of Postfix's. Whether its message shall be deferred. */
bool tally_ask(struct tally *c, const struct policy_request *request, uint64_t now_ms);

/* To be called every TALLY_TICK_MS: alarms end, hours end, the history is saved once a minute. */
void tally_tick(struct tally *c, uint64_t now_ms);

/* Saves this hour so far. */
void tally_save(struct tally *c);

/* Whole days that the history goes back; growth is judged from HISTORY_WEEK on. */
unsigned tally_history_days(const struct tally *c);

#endif
