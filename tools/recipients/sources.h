/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heaviest sources of one class, in a table of fixed size: "space-saving" (Metwally and others, 2005)
 * over recipients, with ranks that are halved every hour.
 *
 * With W recipients counted (this hour's, half of last hour's, a quarter of those before, ...) and a table of
 * K places: whoever has sent more than W/K of them is in the table, and what the meter of a source in the
 * table lacks is less than 2 W/K. No meter ever has too much. Thread: the loop's.
 */
#ifndef POSTERN_RECIPIENTS_SOURCES_H
#define POSTERN_RECIPIENTS_SOURCES_H

#include "meter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_NAME_MAX 128 /* with its NUL */
#define SOURCE_CLIENTS_MAX 8192
#define SOURCE_USERS_MAX 8192

enum source_class { CLASS_CLIENT, CLASS_USER, CLASS_TOTAL, CLASSES };

extern const char *const source_class_names[CLASSES];

struct source {
    char name[SOURCE_NAME_MAX]; /* "192.0.2.1", "2001:db8::/64", a login; "" of the total */
    struct meter meter;
    uint64_t growth_limit; /* of this hour; 0: not looked up yet */
    bool saved;            /* the history has this hour as it is */
    enum alarm_reason alarm;
    uint64_t alarm_ms; /* since when */
    uint64_t alarm_recipients, alarm_messages;
    uint32_t next; /* of the same hash */
};

struct sources {
    struct source *items;
    double *ranks;
    uint32_t *heads; /* of the chains of one hash */
    uint32_t n, capacity;
    uint64_t seed;
    double weight;    /* W */
    uint64_t evicted; /* who had to leave for another, ever */
};

/* 0 or -ENOMEM. */
int sources_init(struct sources *t, uint32_t capacity, uint64_t seed);
void sources_done(struct sources *t);

/* NULL when it is not there. */
struct source *sources_find(const struct sources *t, const char *name);

/* Who has to leave before another can come, NULL while there is room. */
struct source *sources_victim(const struct sources *t);

/* The place of a source that is not there: a free one, or the victim's. Its name is set, all else is empty.
 */
struct source *sources_add(struct sources *t, const char *name);

/* So many more recipients of a source in the table. */
void sources_weigh(struct sources *t, const struct source *s, uint64_t recipients);

/* A new hour: all ranks are halved. */
void sources_next_hour(struct sources *t);

/* W/K. */
double sources_unseen_at_most(const struct sources *t);

#endif
