/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many new sessions each class of sources has had, hour by hour, over the last week; and whether what
 * comes now is news: the very first, or far more than ever. Pure: no clock, no file. Thread: control.
 */
#ifndef POSTERN_CONTROL_SOURCE_HISTORY_H
#define POSTERN_CONTROL_SOURCE_HISTORY_H

#include "control/config/config_model.h"
#include "snapshot.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define HISTORY_HOURS 168          /* a week */
#define HISTORY_HOURS_LEAST 24     /* known, before anything is called far more than usual */
#define HISTORY_GROWTH 5           /* times the usual: the hour that 95 of 100 do not exceed */
#define HISTORY_SESSIONS_LEAST 100 /* in an hour; fewer are no alarm, however few were usual */
#define HISTORY_HOUR_S 3600

enum source_news { NEWS_NONE, NEWS_FIRST, NEWS_GROWN };

struct source_past {
    char name[CONFIG_NAME_MAX + 1];
    int64_t first_s;              /* when its first session came, seconds since 1970; 0: none has */
    int64_t hour;                 /* since 1970: the present one */
    uint32_t now;                 /* sessions in it */
    int64_t hours[HISTORY_HOURS]; /* of the week before, by hour % HISTORY_HOURS; -1: not known */
    int64_t grown_hour;           /* in which it had far more than usual, the last time; 0: never */
};

struct source_history {
    int64_t began_s; /* of this history; 0: it has none yet */
    uint32_t n;
    struct source_past classes[SNAPSHOT_CLASSES_MAX];
};

/* The past of a class, of no sessions for one that is new; NULL: there is no place for more. */
struct source_past *source_history_of(struct source_history *h, const char *name);

/*
 * So many new sessions have come by `now_s`. Tells each news once: the first session, and each hour's growth.
 * Clients in no source (CONFIG_SOURCE_OTHER) have no first one.
 */
enum source_news source_history_count(struct source_past *p, uint32_t sessions, int64_t now_s);

/* Sessions in a usual hour; -1: that is not known yet. */
int64_t source_history_usual(const struct source_past *p);

/* It has far more than usual: in the present hour, or in the one before. */
bool source_history_is_grown(const struct source_past *p, int64_t now_s);

/* Its first session came within the last hour; not on the first day, when everybody is new. */
bool source_history_is_new(const struct source_history *h, const struct source_past *p, int64_t now_s);

/* As a document, the caller's; NULL: no memory. */
json_t *source_history_write(const struct source_history *h);

/* The other way round. NULL, or why it is none: then `ret` is untouched. */
const char *source_history_read(const json_t *from, struct source_history *ret);

#endif
