/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: sessions are added to the present hour; when another begins, it becomes one of the week's.
 * Failure paths: hours in which nobody counted are not known, and count for nothing; a clock that was set
 * back makes all of them so. A document of another form is refused as a whole. Called by gateway_sources.c
 * and what shows the status, control thread only.
 */
#include "control/watch/source_history.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define DAY_S (24 * HISTORY_HOUR_S)

static void forget_hours(struct source_past *p)
{
    for (int i = 0; i < HISTORY_HOURS; i++)
        p->hours[i] = -1;
}

struct source_past *source_history_of(struct source_history *h, const char *name)
{
    for (uint32_t i = 0; i < h->n; i++)
        if (strcmp(h->classes[i].name, name) == 0)
            return &h->classes[i];
    if (h->n == SNAPSHOT_CLASSES_MAX)
        return NULL;
    struct source_past *p = &h->classes[h->n++];
    *p = (struct source_past){0};
    strncpy(p->name, name, CONFIG_NAME_MAX);
    forget_hours(p);
    return p;
}

/* ---- counting ----------------------------------------------------------------------------------------- */

static void begin_hour(struct source_past *p, int64_t hour)
{
    if (hour == p->hour)
        return;
    if (hour < p->hour || hour - p->hour > HISTORY_HOURS)
        forget_hours(p);
    else {
        p->hours[p->hour % HISTORY_HOURS] = p->now;
        for (int64_t between = p->hour + 1; between < hour; between++)
            p->hours[between % HISTORY_HOURS] = -1;
    }
    p->hours[hour % HISTORY_HOURS] = -1; /* a week ago */
    p->hour = hour;
    p->now = 0;
}

static int by_number(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

int64_t source_history_usual(const struct source_past *p)
{
    int64_t known[HISTORY_HOURS];
    size_t n = 0;

    for (int i = 0; i < HISTORY_HOURS; i++)
        if (p->hours[i] >= 0)
            known[n++] = p->hours[i];
    if (n < HISTORY_HOURS_LEAST)
        return -1;
    qsort(known, n, sizeof(*known), by_number);
    return known[(n * 95 + 99) / 100 - 1];
}

static bool is_growth(const struct source_past *p)
{
    int64_t usual = source_history_usual(p);

    return p->grown_hour != p->hour && usual >= 0 && p->now >= HISTORY_SESSIONS_LEAST &&
           p->now > HISTORY_GROWTH * usual;
}

enum source_news source_history_count(struct source_past *p, uint32_t sessions, int64_t now_s)
{
    begin_hour(p, now_s / HISTORY_HOUR_S);
    p->now += sessions;
    if (sessions > 0 && p->first_s == 0 && strcmp(p->name, CONFIG_SOURCE_OTHER) != 0) {
        p->first_s = now_s;
        return NEWS_FIRST;
    }
    if (!is_growth(p))
        return NEWS_NONE;
    p->grown_hour = p->hour;
    return NEWS_GROWN;
}

bool source_history_is_grown(const struct source_past *p, int64_t now_s)
{
    int64_t hour = now_s / HISTORY_HOUR_S;

    return p->grown_hour > 0 && (p->grown_hour == hour || p->grown_hour == hour - 1);
}

bool source_history_is_new(const struct source_history *h, const struct source_past *p, int64_t now_s)
{
    return p->first_s > 0 && p->first_s - h->began_s >= DAY_S && now_s - p->first_s < HISTORY_HOUR_S;
}

/* ---- as a document ------------------------------------------------------------------------------------ */

static json_t *write_past(const struct source_past *p)
{
    json_t *hours = json_array();

    for (int i = 0; i < HISTORY_HOURS; i++)
        (void)json_array_append_new(hours, json_integer(p->hours[i]));
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "name", p->name, "first", (json_int_t)p->first_s,
        "hour", (json_int_t)p->hour, "now", (json_int_t)p->now, "grown", (json_int_t)p->grown_hour, "hours",
        hours);
}

json_t *source_history_write(const struct source_history *h)
{
    json_t *classes = json_array();

    for (uint32_t i = 0; i < h->n; i++)
        if (json_array_append_new(classes, write_past(&h->classes[i]))) {
            json_decref(classes);
            return NULL;
        }
    return json_pack(
        "{s:i, s:I, s:o}", "format", FORMAT, "began", (json_int_t)h->began_s, "classes", classes);
}

static bool read_past(const json_t *from, struct source_history *to)
{
    const char *name;
    json_t *hours, *one;
    json_int_t first, hour, now, grown;
    size_t i;

    if (json_unpack((json_t *)from, "{s:s, s:I, s:I, s:I, s:I, s:o}", "name", &name, "first", &first, "hour",
            &hour, "now", &now, "grown", &grown, "hours", &hours) ||
        strlen(name) > CONFIG_NAME_MAX || !json_is_array(hours) || json_array_size(hours) != HISTORY_HOURS ||
        first < 0 || hour < 0 || hour > INT32_MAX || grown < 0 || now < 0 || now > UINT32_MAX)
        return false;
    uint32_t before = to->n;
    struct source_past *p = source_history_of(to, name);
    if (!p || to->n == before) /* too many, or twice */
        return false;
    p->first_s = first;
    p->hour = hour;
    p->now = (uint32_t)now;
    p->grown_hour = grown;
    json_array_foreach (hours, i, one) {
        if (!json_is_integer(one) || json_integer_value(one) < -1 || json_integer_value(one) > UINT32_MAX)
            return false;
        p->hours[i] = json_integer_value(one);
    }
    return true;
}

const char *source_history_read(const json_t *from, struct source_history *ret)
{
    const json_t *classes = json_object_get(from, "classes"), *one;
    const json_t *format = json_object_get(from, "format"), *began = json_object_get(from, "began");
    size_t i;

    if (!json_is_integer(format) || !json_is_integer(began) || !json_is_array(classes))
        return "it is no history of sources";
    if (json_integer_value(format) != FORMAT)
        return "it is of another version of postern";
    struct source_history *h = calloc(1, sizeof(*h));
    if (!h)
        return "no memory";
    h->began_s = json_integer_value(began);
    bool good = h->began_s >= 0;
    json_array_foreach (classes, i, one)
        good = good && read_past(one, h);
    if (good)
        *ret = *h;
    free(h);
    return good ? NULL : "an entry of it is damaged";
}
