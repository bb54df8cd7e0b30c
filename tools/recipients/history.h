/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every busy hour was like, for eight days, in an SQLite database. Without a database that works there
 * is no history, and everything else goes on; it is tried again at the next save. A damaged database is moved
 * aside (FILE.corrupt) and a new one begun. Each trouble is said once, in the log. Thread: the loop's.
 *
 * Hours are numbered since 1970, in UTC.
 */
#ifndef POSTERN_RECIPIENTS_HISTORY_H
#define POSTERN_RECIPIENTS_HISTORY_H

#include "sources.h"

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_WEEK 7 /* days that an hour is compared with */
#define HISTORY_KEPT_HOURS (8 * 24)

struct history;

struct history_hour {
    enum source_class class;
    const char *name;
    uint64_t recipients, messages;
    uint64_t norm; /* what later weeks are compared with: recipients, less what was an attack */
};

/* Opens the database, or does so later when that fails now. 0 or -ENOMEM. `path` must outlive it. */
int history_new(const char *path, struct history **ret);
void history_free(struct history *h);

/* Whether the database could be read and written when it was last tried. */
bool history_works(const struct history *h);

/* The first hour that is known, UINT64_MAX when none is. */
uint64_t history_begin(struct history *h);

/*
 * The 95th percentile of the norm of this hour of the day in the week before, hours without traffic being 0.
 * 0 or -EIO.
 */
int history_p95(
    struct history *h, enum source_class class, const char *name, uint64_t hour, uint64_t *ret_p95);

/* All that is known of an hour, told one by one. 0 or -EIO. */
int history_load(
    struct history *h, uint64_t hour, void (*tell)(const struct history_hour *, void *arg), void *arg);

/*
 * A save is a transaction: begin, any number of entries, end. Counts of an hour only grow; what is too old
 * goes at the end. Only when history_save_end() says true is it all there.
 */
void history_save_begin(struct history *h);
void history_save(struct history *h, uint64_t hour, const struct history_hour *entry);
bool history_save_end(struct history *h, uint64_t now_hour);

#endif
