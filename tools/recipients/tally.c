/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a message's recipients are added to its client, its user and the total; each is judged by what
 * it has now. A limit that is reached begins an alarm, which ends when a tick finds it calm, or with the
 * hour.
 *
 * The history is asked about a source only once it has reached what a quiet hour may have, and that is
 * seldom; and it keeps only hours that were busy, since quiet ones make no difference. An hour enters it as
 * no more than its growth limit: an attack does not become the norm, a mailing list that grows does within
 * days.
 *
 * Failure paths: a history that does not answer switches judging growth off for that hour of that source; all
 * other limits hold. A source that has to leave the table ends its alarm. Called by server.c and main.c,
 * tests with a clock of their own.
 */
#include "tally.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define UNLIMITED UINT64_MAX

static const struct limits *limits_of(const struct tally *c, enum source_class class)
{
    return class == CLASS_TOTAL ? &c->settings->total : &c->settings->source;
}

/* ---- growth ------------------------------------------------------------------------------------------- */

static bool has_learned(const struct tally *c)
{
    return tally_history_days(c) >= HISTORY_WEEK;
}

unsigned tally_history_days(const struct tally *c)
{
    return c->begin < c->hour ? (unsigned)((c->hour - c->begin) / 24) : 0;
}

/* What this hour of a source may enter the history as, and the limit for its growth. */
static uint64_t growth_limit(struct tally *c, enum source_class class, struct source *s)
{
    uint64_t p95;

    if (s->growth_limit == 0 && s->meter.hour_recipients >= meter_growth_limit(0))
        s->growth_limit =
            history_p95(c->history, class, s->name, c->hour, &p95) == 0 ? meter_growth_limit(p95) : UNLIMITED;
    return s->growth_limit ? s->growth_limit : UNLIMITED;
}

static uint64_t judged_growth(struct tally *c, enum source_class class, struct source *s)
{
    uint64_t limit = growth_limit(c, class, s);
    return has_learned(c) && limit != UNLIMITED ? limit : 0;
}

/* ---- alarms ------------------------------------------------------------------------------------------- */

static void begin_alarm(
    struct tally *c, enum source_class class, struct source *s, enum alarm_reason reason, uint64_t now_ms)
{
    uint64_t minute = meter_minute(&s->meter, now_ms);
    const struct alarm a = {
        .class = class,
        .name = s->name,
        .begins = true,
        .reason = reason,
        .limit = meter_limit(reason, limits_of(c, class), judged_growth(c, class, s)),
        .recipients = reason == ALARM_MINUTE ? minute : s->meter.hour_recipients,
        .messages = s->meter.hour_messages,
    };

    s->alarm = reason;
    s->alarm_ms = now_ms;
    s->alarm_recipients = s->alarm_messages = 0;
    c->stats.alarms[class][reason]++;
    c->stats.alarms_now[class]++;
    c->settings->tell(&a, c->settings->arg);
}

static void end_alarm(struct tally *c, enum source_class class, struct source *s, uint64_t now_ms)
{
    const struct alarm a = {
        .class = class,
        .name = s->name,
        .reason = s->alarm,
        .recipients = s->alarm_recipients,
        .messages = s->alarm_messages,
        .seconds = now_ms > s->alarm_ms ? (now_ms - s->alarm_ms) / 1000 : 0,
    };

    s->alarm = ALARM_NONE;
    c->stats.alarms_now[class]--;
    c->settings->tell(&a, c->settings->arg);
}

/* ---- hours -------------------------------------------------------------------------------------------- */

/* Calls `each` for the total and all that are in the tables. */
static void for_all(struct tally *c,
    void (*each)(struct tally *, enum source_class, struct source *, uint64_t now_ms), uint64_t now_ms)
{
    each(c, CLASS_TOTAL, &c->total, now_ms);
    for (unsigned class = 0; class < CLASS_TOTAL; class ++)
        for (uint32_t i = 0; i < c->tables[class].n; i++)
            each(c, class, &c->tables[class].items[i], now_ms);
}

static bool is_worth_saving(enum source_class class, const struct source *s)
{
    return !s->saved && (class == CLASS_TOTAL || s->meter.hour_recipients >= METER_BUSY);
}

static void save(struct tally *c, enum source_class class, struct source *s, uint64_t now_ms)
{
    if (!is_worth_saving(class, s))
        return;
    uint64_t most = growth_limit(c, class, s), recipients = s->meter.hour_recipients;
    const struct history_hour entry = {
        .class = class,
        .name = s->name,
        .recipients = recipients,
        .messages = s->meter.hour_messages,
        .norm = recipients < most ? recipients : most,
    };
    history_save(c->history, c->hour, &entry);
}

static void mark_saved(struct tally *c, enum source_class class, struct source *s, uint64_t now_ms)
{
    s->saved = true;
}

void tally_save(struct tally *c)
{
    history_save_begin(c->history);
    for_all(c, save, 0);
    if (history_save_end(c->history, c->hour))
        for_all(c, mark_saved, 0);
}

static void load(const struct history_hour *entry, void *arg)
{
    struct tally *c = arg;
    struct source *s = &c->total;

    if (entry->class != CLASS_TOTAL) {
        struct sources *t = &c->tables[entry->class];
        if (sources_victim(t)) /* the busiest come first */
            return;
        s = sources_add(t, entry->name);
        sources_weigh(t, s, entry->recipients);
    }
    s->meter.hour_recipients = entry->recipients;
    s->meter.hour_messages = entry->messages;
    s->saved = true;
}

/* The hour that is over is saved, the next one begins. A clock that goes back by an hour is waited for. */
static void turn_hour(struct tally *c, uint64_t now_ms)
{
    uint64_t hour = now_ms / METER_HOUR_MS;

    if (hour == c->hour || hour + 1 == c->hour)
        return;
    tally_save(c);
    if (!c->total.saved)
        c->stats.history_gaps++;
    c->hour = hour;
    c->begin = history_begin(c->history);
    c->total.growth_limit = 0;
    c->total.saved = false;
    meter_next_hour(&c->total.meter);
    for (unsigned class = 0; class < CLASS_TOTAL; class ++)
        sources_next_hour(&c->tables[class]);
}

static void end_if_calm(struct tally *c, enum source_class class, struct source *s, uint64_t now_ms)
{
    if (s->alarm && meter_is_calm(&s->meter, meter_minute(&s->meter, now_ms), limits_of(c, class),
                        judged_growth(c, class, s)))
        end_alarm(c, class, s, now_ms);
}

void tally_tick(struct tally *c, uint64_t now_ms)
{
    turn_hour(c, now_ms);
    for_all(c, end_if_calm, now_ms);
    if (now_ms - c->saved_ms < TALLY_SAVE_MS)
        return;
    c->saved_ms = now_ms;
    tally_save(c);
}

/* ---- messages ----------------------------------------------------------------------------------------- */

static void count(
    struct tally *c, enum source_class class, struct source *s, uint32_t recipients, uint64_t now_ms)
{
    meter_add(&s->meter, now_ms, recipients);
    s->saved = false;
    enum alarm_reason reason = meter_judge(
        &s->meter, meter_minute(&s->meter, now_ms), limits_of(c, class), judged_growth(c, class, s));
    if (reason && !s->alarm)
        begin_alarm(c, class, s, reason, now_ms);
    if (s->alarm) {
        s->alarm_recipients += recipients;
        s->alarm_messages++;
    }
}

/* Counts it for one name. Whether that has an alarm now. */
static bool count_source(
    struct tally *c, enum source_class class, const char *name, uint32_t recipients, uint64_t now_ms)
{
    struct sources *t = &c->tables[class];
    struct source *s = sources_find(t, name);

    if (!s) {
        struct source *victim = sources_victim(t);
        if (victim && victim->alarm)
            end_alarm(c, class, victim, now_ms);
        s = sources_add(t, name);
    }
    sources_weigh(t, s, recipients);
    count(c, class, s, recipients, now_ms);
    return s->alarm != ALARM_NONE;
}

/* An IPv4 address, or the /64 of an IPv6 one: whoever has one address of it has them all. */
static const char *name_client(const union addr *client, char ret[SOURCE_NAME_MAX])
{
    struct addr_prefix p = {.family = client->sa.sa_family, .len = 64};
    size_t n;
    const uint8_t *bytes = addr_bytes(client, &n);

    if (p.family == AF_INET)
        return inet_ntop(AF_INET, bytes, ret, SOURCE_NAME_MAX);
    memcpy(p.bytes, bytes, 8);
    return addr_prefix_format(&p, ret);
}

static bool is_exempt_client(const struct tally_settings *s, const union addr *client)
{
    for (size_t i = 0; i < s->n_exempt; i++)
        if (client->sa.sa_family != AF_UNSPEC && addr_in_prefix(client, &s->exempt[i]))
            return true;
    return false;
}

static bool is_exempt_user(const struct tally_settings *s, const char *user)
{
    for (size_t i = 0; i < s->n_exempt_users; i++)
        if (strcmp(user, s->exempt_users[i]) == 0)
            return true;
    return false;
}

bool tally_ask(struct tally *c, const struct policy_request *r, uint64_t now_ms)
{
    bool alarmed = false, exempt_user = is_exempt_user(c->settings, r->user);
    bool exempt = exempt_user || is_exempt_client(c->settings, &r->client);
    char name[SOURCE_NAME_MAX];

    if (!r->whole_message) {
        c->stats.elsewhere++;
        return false;
    }
    turn_hour(c, now_ms);
    c->stats.messages++;
    c->stats.recipients += r->recipients;
    c->stats.exempt += exempt;
    if (r->user[0] && !exempt_user)
        alarmed |= count_source(c, CLASS_USER, r->user, r->recipients, now_ms);
    if (r->client.sa.sa_family != AF_UNSPEC && !exempt)
        alarmed |= count_source(c, CLASS_CLIENT, name_client(&r->client, name), r->recipients, now_ms);
    if (!exempt)
        count(c, CLASS_TOTAL, &c->total, r->recipients, now_ms);
    bool defer = alarmed && c->settings->defers;
    c->stats.deferred += defer;
    return defer;
}

int tally_init(
    struct tally *c, const struct tally_settings *settings, struct history *history, uint64_t now_ms)
{
    uint64_t seed = 0;

    (void)getrandom(&seed, sizeof(seed), 0);
    *c = (struct tally){.settings = settings, .history = history, .hour = now_ms / METER_HOUR_MS};
    c->saved_ms = now_ms;
    int error = sources_init(&c->tables[CLASS_CLIENT], SOURCE_CLIENTS_MAX, seed);
    if (!error)
        error = sources_init(&c->tables[CLASS_USER], SOURCE_USERS_MAX, seed);
    if (error) {
        tally_done(c);
        return error;
    }
    (void)history_load(history, c->hour, load, c);
    c->begin = history_begin(history);
    return 0;
}

void tally_done(struct tally *c)
{
    for (unsigned class = 0; class < CLASS_TOTAL; class ++)
        sources_done(&c->tables[class]);
}
