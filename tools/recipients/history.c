/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: open, look whether it is sound, prepare a few statements; the counter asks and saves.
 *
 * Failure paths: every statement's end goes through check(). A full disk or an unreadable file fails the save
 * or the question, is logged when it begins and when it is over, and the counter goes on from memory. Damage,
 * found at the start or later, closes the database, moves it aside and begins a new one. Called by tally.c.
 */
#include "history.h"

#include "log.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAYOUT 1
#define BUSY_MS 100 /* somebody else reads or writes it: not for long, mail waits */
#define PATH_BYTES 4096
/* By nearest rank the 95th percentile of seven numbers is the largest: that makes it max() below. */
static_assert((95 * HISTORY_WEEK + 99) / 100 == HISTORY_WEEK, "the percentile is the largest");

enum statement { P95, BEGINNING, LOAD, SAVE, FORGET, STATEMENTS };

static const char *const texts[STATEMENTS] = {
    [P95] = "SELECT max(norm) FROM hours WHERE class = ?1 AND name = ?2 AND hour IN "
            "(?3 - 24, ?3 - 48, ?3 - 72, ?3 - 96, ?3 - 120, ?3 - 144, ?3 - 168)",
    [BEGINNING] = "SELECT min(hour) FROM hours",
    [LOAD] = "SELECT class, name, recipients, messages FROM hours WHERE hour = ?1 ORDER BY recipients DESC",
    [SAVE] =
        "INSERT INTO hours VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET "
        "recipients = max(recipients, excluded.recipients), messages = max(messages, excluded.messages), "
        "norm = max(norm, excluded.norm)",
    [FORGET] = "DELETE FROM hours WHERE hour < ?1",
};

static const char schema[] =
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = NORMAL;" /* after a power cut the last minutes may be missing */
    "CREATE TABLE IF NOT EXISTS hours (hour INTEGER, class INTEGER, name TEXT, recipients INTEGER, "
    "messages INTEGER, norm INTEGER, PRIMARY KEY (hour, class, name)) STRICT, WITHOUT ROWID;"
    "PRAGMA user_version = 1;";
static_assert(LAYOUT == 1, "the schema says so, too");

struct history {
    const char *path;
    sqlite3 *db; /* NULL: none is open */
    sqlite3_stmt *statements[STATEMENTS];
    bool works; /* as it was last said */
    bool saving;
};

static void close_database(struct history *h)
{
    for (unsigned i = 0; i < STATEMENTS; i++) {
        (void)sqlite3_finalize(h->statements[i]);
        h->statements[i] = NULL;
    }
    (void)sqlite3_close(h->db);
    h->db = NULL;
    h->saving = false;
}

/* Says a change for the worse or the better, once. */
static void say(struct history *h, bool works, const char *doing, const char *why)
{
    if (works && !h->works)
        log_event(LOG_LEVEL_INFO, "history_back", "file=\"%s\"", h->path);
    if (!works && h->works)
        log_event(LOG_LEVEL_ERROR, "history_failed",
            "doing=%s error=\"%s\" file=\"%s\" hint=\"counting goes on, its past is not kept; is the disk "
            "full, or "
            "the directory not ours?\"",
            doing, why, h->path);
    h->works = works;
}

static void move_aside(struct history *h, const char *why)
{
    char from[PATH_BYTES], to[PATH_BYTES];

    close_database(h);
    snprintf(to, sizeof(to), "%s.corrupt", h->path);
    bool moved = rename(h->path, to) == 0;
    log_event(LOG_LEVEL_ERROR, "history_corrupt", "file=\"%s\" error=\"%s\" moved_to=\"%s\"", h->path, why,
        moved ? to : "");
    /* They belong to the damaged one, and would damage the next. */
    for (unsigned i = 0; moved && i < 2; i++) {
        snprintf(from, sizeof(from), "%s%s", h->path, i ? "-shm" : "-wal");
        (void)unlink(from);
    }
}

/* 0, -EUCLEAN when the database is damaged, -EIO when something else is wrong. Logs nothing. */
static int check(int result)
{
    switch (result & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    default:
        return -EIO;
    }
}

/* Whatever has failed is said here, and damage is moved aside. */
static int failed(struct history *h, int error, const char *doing)
{
    char why[200];

    snprintf(why, sizeof(why), "%s", h->db ? sqlite3_errmsg(h->db) : "no memory");
    if (error == -EUCLEAN)
        move_aside(h, why);
    else
        say(h, false, doing, why);
    return -EIO;
}

/* A layout that is not ours is as good as damage: another version's, or another program's. */
static int look_for_damage(sqlite3 *db)
{
    sqlite3_stmt *s = NULL;
    int version = -1;

    int error = check(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &s, NULL));
    if (!error && sqlite3_step(s) == SQLITE_ROW)
        version = sqlite3_column_int(s, 0);
    (void)sqlite3_finalize(s);
    s = NULL;
    if (!error && version != 0 && version != LAYOUT)
        error = -EUCLEAN;
    if (!error)
        error = check(sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &s, NULL));
    if (!error) {
        int result = sqlite3_step(s);
        error = check(result);
        if (result == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
            error = -EUCLEAN;
    }
    (void)sqlite3_finalize(s);
    return error;
}

static int open_once(struct history *h)
{
    int error = check(sqlite3_open(h->path, &h->db));

    if (!error)
        error = check(sqlite3_busy_timeout(h->db, BUSY_MS));
    if (!error)
        error = look_for_damage(h->db);
    if (!error)
        error = check(sqlite3_exec(h->db, schema, NULL, NULL, NULL));
    for (unsigned i = 0; i < STATEMENTS && !error; i++)
        error = check(
            sqlite3_prepare_v3(h->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &h->statements[i], NULL));
    return error;
}

/* Opens it when it is not. 0 or -EIO. */
static int open_database(struct history *h)
{
    if (h->db)
        return 0;
    int error = open_once(h);
    if (error == -EUCLEAN) {
        (void)failed(h, error, "open");
        error = open_once(h);
    }
    if (error) {
        (void)failed(h, -EIO, "open");
        close_database(h);
        return -EIO;
    }
    return 0;
}

int history_new(const char *path, struct history **ret)
{
    struct history *h = calloc(1, sizeof(*h));

    if (!h)
        return -ENOMEM;
    h->path = path;
    h->works = true;
    (void)open_database(h);
    *ret = h;
    return 0;
}

void history_free(struct history *h)
{
    if (h)
        close_database(h);
    free(h);
}

bool history_works(const struct history *h)
{
    return h->works;
}

/* ---- questions ---------------------------------------------------------------------------------------- */

/* One number; `*ret_known` is false when it is NULL. 0 or -EIO. */
static int ask(struct history *h, enum statement which, uint64_t *ret, bool *ret_known)
{
    sqlite3_stmt *s = h->statements[which];
    int result = sqlite3_step(s), error = check(result);

    *ret_known = result == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL;
    if (*ret_known)
        *ret = (uint64_t)sqlite3_column_int64(s, 0);
    (void)sqlite3_reset(s);
    return error ? failed(h, error, "read") : 0;
}

uint64_t history_begin(struct history *h)
{
    uint64_t hour = UINT64_MAX;
    bool known = false;

    if (open_database(h) == 0)
        (void)ask(h, BEGINNING, &hour, &known);
    return hour;
}

int history_p95(
    struct history *h, enum source_class class, const char *name, uint64_t hour, uint64_t *ret_p95)
{
    uint64_t p95 = 0;
    bool known;

    if (open_database(h) != 0)
        return -EIO;
    sqlite3_stmt *s = h->statements[P95];
    (void)sqlite3_bind_int(s, 1, class);
    (void)sqlite3_bind_text(s, 2, name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)hour);
    int error = ask(h, P95, &p95, &known);
    if (!error)
        *ret_p95 = p95;
    return error;
}

int history_load(
    struct history *h, uint64_t hour, void (*tell)(const struct history_hour *, void *arg), void *arg)
{
    int result;

    if (open_database(h) != 0)
        return -EIO;
    sqlite3_stmt *s = h->statements[LOAD];
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)hour);
    while ((result = sqlite3_step(s)) == SQLITE_ROW) {
        int class = sqlite3_column_int(s, 0);
        const char *name = (const char *)sqlite3_column_text(s, 1);
        struct history_hour entry = {
            .class = (enum source_class) class,
            .name = name,
            .recipients = (uint64_t)sqlite3_column_int64(s, 2),
            .messages = (uint64_t)sqlite3_column_int64(s, 3),
        };
        if (class >= 0 && class < CLASSES && name && strlen(name) < SOURCE_NAME_MAX)
            tell(&entry, arg);
    }
    (void)sqlite3_reset(s);
    int error = check(result);
    return error ? failed(h, error, "read") : 0;
}

/* ---- saving ------------------------------------------------------------------------------------------- */

static void run(struct history *h, const char *text, const char *doing)
{
    int error = h->saving ? check(sqlite3_exec(h->db, text, NULL, NULL, NULL)) : 0;

    if (error) {
        h->saving = false;
        (void)failed(h, error, doing);
    }
}

static void step(struct history *h, enum statement which)
{
    int error = check(sqlite3_step(h->statements[which]));

    if (error) { /* said before the reset, which clears the message */
        h->saving = false;
        (void)failed(h, error, "save");
    }
    if (h->db)
        (void)sqlite3_reset(h->statements[which]);
}

void history_save_begin(struct history *h)
{
    h->saving = open_database(h) == 0;
    run(h, "BEGIN IMMEDIATE", "save");
}

void history_save(struct history *h, uint64_t hour, const struct history_hour *entry)
{
    if (!h->saving)
        return;
    sqlite3_stmt *s = h->statements[SAVE];
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)hour);
    (void)sqlite3_bind_int(s, 2, entry->class);
    (void)sqlite3_bind_text(s, 3, entry->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 4, (sqlite3_int64)entry->recipients);
    (void)sqlite3_bind_int64(s, 5, (sqlite3_int64)entry->messages);
    (void)sqlite3_bind_int64(s, 6, (sqlite3_int64)entry->norm);
    step(h, SAVE);
}

bool history_save_end(struct history *h, uint64_t now_hour)
{
    if (h->saving && now_hour > HISTORY_KEPT_HOURS) {
        (void)sqlite3_bind_int64(h->statements[FORGET], 1, (sqlite3_int64)(now_hour - HISTORY_KEPT_HOURS));
        step(h, FORGET);
    }
    run(h, "COMMIT", "save");
    if (h->db && !sqlite3_get_autocommit(h->db)) /* something has failed since the beginning */
        (void)sqlite3_exec(h->db, "ROLLBACK", NULL, NULL, NULL);
    if (h->saving)
        say(h, true, NULL, NULL);
    bool saved = h->saving;
    h->saving = false;
    return saved;
}
