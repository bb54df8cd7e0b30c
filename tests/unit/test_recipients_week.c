/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two weeks of a mail server's life in virtual time, by the default limits: the first is learned, nothing of
 * either may raise an alarm. Then what must raise one does, in the same traffic.
 *
 * 400 hosts of the world, some of them far busier than others, with days, nights and weekends; an office of
 * 120 users behind one address and 40 at home; list servers with digests, and newsletters once a week, at no
 * fixed minute; a list server and an application far over the limits, which are exempt.
 */
#include "tally.h"
#include "tools/simulator/random.h"
#include "unit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define WEEK (7 * DAY)
#define MONDAY (4 * DAY + 2900 * WEEK) /* the first of January 1970 was a Thursday */
#define STEP (10 * SECOND)

#define HOSTS 400
#define OFFICE_USERS 120
#define USERS 160

/* Something that comes at an hour of some days: so many messages, one after the other, with a pause after
 * each. */
struct mailing {
    const char *client, *user;
    unsigned weekday, hour; /* Monday is 0, EVERY_DAY all of them */
    uint32_t recipients, messages, pause_seconds;
};

#define EVERY_DAY 7

static const struct mailing mailings[] = {
    {"192.0.2.10", "", EVERY_DAY, 6, 40, 8, 60},     /* digests of a list server */
    {"192.0.2.11", "", 1, 10, 45, 15, 60},           /* a newsletter on Tuesdays: 675 */
    {"192.0.2.12", "", 3, 3, 45, 9, 60},             /* another one, in the quiet of a night */
    {"2001:db8:1::5", "", EVERY_DAY, 17, 9, 20, 20}, /* a shop's evening mails */
    {"203.0.113.2", "user7", 0, 9, 80, 1, 60},       /* the Monday letter of the office */
    {"192.0.2.200", "", EVERY_DAY, 11, 500, 10, 10}, /* exempt: a list server */
    {"203.0.113.9", "newsletter", 2, 14, 900, 8, 0}, /* exempt: the login of an application */
};

static const struct addr_prefix list_server = {.family = AF_INET, .len = 32, .bytes = {192, 0, 2, 200}};
static const char *const application[] = {"newsletter"};

static struct tally_settings settings;
static struct history *history;
static struct tally tally;
static uint64_t now;
static struct random noise;
static struct {
    uint32_t left;
    uint64_t next_ms;
} state_of[COUNT(mailings)];
static size_t n_told;
static struct alarm first;
static char first_name[SOURCE_NAME_MAX];

static void tell(const struct alarm *a, void *arg)
{
    if (n_told++ == 0) {
        first = *a;
        strcpy(first_name, a->name);
    }
    if (a->begins)
        print_message("# day %u, %02u:%02u: %s \"%s\" %s %" PRIu64 " (limit %" PRIu64 ")\n",
            (unsigned)((now - MONDAY) / DAY), (unsigned)(now % DAY / HOUR), (unsigned)(now % HOUR / MINUTE),
            source_class_names[a->class], a->name, alarm_reason_names[a->reason], a->recipients, a->limit);
}

static void mail(const char *client, const char *user, uint32_t recipients)
{
    struct policy_request r = {.recipients = recipients, .whole_message = true};
    char text[64];

    snprintf(text, sizeof(text), strchr(client, ':') ? "[%s]:1" : "%s:1", client);
    assert_int_equal(addr_parse(text, &r.client), 0);
    strcpy(r.user, user);
    (void)tally_ask(&tally, &r, now);
}

/* Most mails have one recipient, a few some more. */
static uint32_t some_recipients(void)
{
    uint32_t n = 1;

    while (n < 20 && random_below(&noise, 5) == 0)
        n++;
    return n;
}

/* How busy people are: 1 on a working day at two in the afternoon, a tenth in the night, less at weekends. */
static double bustle(void)
{
    double day = 0.55 - 0.45 * cos(2 * M_PI * ((double)(now % DAY) / (double)DAY - 2.0 / 24));
    return (now - MONDAY) / DAY % 7 < 5 ? day : day / 3;
}

static unsigned how_many(double mean)
{
    unsigned n = 0;

    for (double t = random_exponential(&noise, 1); t < mean; t += random_exponential(&noise, 1))
        n++;
    return n;
}

static void world_sends(void)
{
    char client[64];

    for (unsigned n = how_many(bustle() * 6); n > 0; n--) { /* 36 a minute at the busiest */
        uint32_t host = random_rank(&noise, HOSTS);
        snprintf(client, sizeof(client), host % 4 ? "198.51.100.%u" : "2001:db8:100:%x::25", host % 250);
        mail(client, "", some_recipients());
    }
}

static void users_send(void)
{
    char client[64], user[32];

    for (unsigned n = how_many(bustle() * 1.2); n > 0; n--) {
        uint32_t who = random_below(&noise, USERS);
        snprintf(user, sizeof(user), "user%u", who);
        snprintf(client, sizeof(client), who < OFFICE_USERS ? "203.0.113.1" : "198.18.0.%u", who);
        mail(client, user, some_recipients());
    }
}

/* Each begins within the first half of its hour. */
static void mailings_come(void)
{
    for (size_t i = 0; i < COUNT(mailings); i++) {
        const struct mailing *m = &mailings[i];
        bool today = m->weekday == EVERY_DAY || (now - MONDAY) / DAY % 7 == m->weekday;
        if (today && now % DAY == m->hour * HOUR) {
            state_of[i].left = m->messages;
            state_of[i].next_ms = now + random_below(&noise, 30 * MINUTE);
        }
        if (state_of[i].left == 0 || state_of[i].next_ms > now)
            continue;
        mail(m->client, m->user, m->recipients);
        state_of[i].left--;
        state_of[i].next_ms = now + (m->pause_seconds + random_below(&noise, 20)) * SECOND;
    }
}

static void live(uint64_t ms)
{
    for (uint64_t end = now + ms; now < end; now += STEP) {
        world_sends();
        users_send();
        mailings_come();
        if (now % MINUTE == 0)
            tally_tick(&tally, now);
    }
}

static void begin(uint64_t seed)
{
    settings = (struct tally_settings){
        .source = {.minute = 100, .hour = 1000},
        .total = {.minute = 500},
        .exempt = &list_server,
        .n_exempt = 1,
        .exempt_users = application,
        .n_exempt_users = 1,
        .tell = tell,
    };
    noise = (struct random){seed};
    now = MONDAY;
    n_told = 0;
    memset(state_of, 0, sizeof(state_of));
    assert_int_equal(history_new(":memory:", &history), 0);
    assert_int_equal(tally_init(&tally, &settings, history, now), 0);
}

static void end(void)
{
    tally_done(&tally);
    history_free(history);
}

static void two_normal_weeks_raise_no_alarm(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        begin(seed);
        live(2 * WEEK);
        print_message("# seed %" PRIu64 ": %" PRIu64 " messages, %" PRIu64 " recipients\n", seed,
            tally.stats.messages, tally.stats.recipients);
        assert_int_equal(n_told, 0);
        assert_true(tally.stats.messages > 300000 && tally.stats.exempt > 100);
        assert_int_equal(tally_history_days(&tally), 8);
        end();
    }
}

/* An attack begins on some afternoon of the third week: who is told, why, and after how many seconds. */
static void attack(void (*message)(unsigned n), uint64_t every_ms, const char *who, enum alarm_reason why,
    uint64_t within_ms)
{
    begin(4);
    live(2 * WEEK + DAY + 15 * HOUR);
    assert_int_equal(n_told, 0);
    uint64_t since = now, next = now;
    for (unsigned n = 0; n_told == 0 && now < since + within_ms;) {
        for (; next < now + STEP; next += every_ms)
            message(n++);
        live(STEP);
    }
    assert_int_not_equal(n_told, 0);
    assert_string_equal(first_name, who);
    assert_int_equal(first.reason, why);
    end();
}

static void one_message(unsigned n)
{
    mail("192.0.2.66", "", 1);
}

static void one_session(unsigned n)
{
    for (unsigned i = 0; i < 10; i++)
        mail("192.0.2.66", "", 100);
}

static void one_bot(unsigned n)
{
    char client[32];

    snprintf(client, sizeof(client), "10.%u.%u.%u", n >> 16, n >> 8 & 255, n & 255);
    mail(client, "", 1);
}

static void a_bot_as_user9(unsigned n)
{
    char client[32];

    snprintf(client, sizeof(client), "10.%u.%u.%u", n >> 16, n >> 8 & 255, n & 255);
    mail(client, "user9", 2);
}

static void the_accident_raises_one_within_a_minute(void **state)
{
    attack(one_message, MINUTE / 833, "192.0.2.66", ALARM_MINUTE, MINUTE);
}

static void its_quiet_form_raises_one_with_the_first_session(void **state)
{
    attack(one_session, 90 * SECOND, "192.0.2.66", ALARM_MINUTE, STEP);
}

static void the_accident_from_everywhere_raises_one_within_a_minute(void **state)
{
    attack(one_bot, MINUTE / 833, "", ALARM_MINUTE, MINUTE);
}

/* 20 a minute, far below the limit of a minute: what gives it away is that nobody has ever done so. */
static void a_stolen_login_is_known_by_its_growth(void **state)
{
    attack(a_bot_as_user9, 6 * SECOND, "user9", ALARM_GROWTH, 30 * MINUTE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_normal_weeks_raise_no_alarm),
        cmocka_unit_test(the_accident_raises_one_within_a_minute),
        cmocka_unit_test(its_quiet_form_raises_one_with_the_first_session),
        cmocka_unit_test(the_accident_from_everywhere_raises_one_within_a_minute),
        cmocka_unit_test(a_stolen_login_is_known_by_its_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
