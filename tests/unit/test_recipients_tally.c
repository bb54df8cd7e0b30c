/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, alarms and their ends, hours and weeks, with a clock of our own and a database in memory. */
#include "tally.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define MONDAY (20000 * DAY) /* some midnight */

static struct tally_settings settings;
static struct history *history;
static struct tally tally;
static uint64_t now;
static struct alarm told[1000]; /* the first ones of a test; n_told has all */
static char names[1000][SOURCE_NAME_MAX];
static size_t n_told;

static void tell(const struct alarm *a, void *arg)
{
    if (n_told < COUNT(told)) {
        told[n_told] = *a;
        strcpy(names[n_told], a->name);
    }
    n_told++;
}

static void start(void)
{
    assert_int_equal(history_new(":memory:", &history), 0);
    assert_int_equal(tally_init(&tally, &settings, history, now), 0);
}

static int set_up(void **state)
{
    settings = (struct tally_settings){
        .source = {.minute = 100, .hour = 1000}, .total = {.minute = 500}, .tell = tell};
    now = MONDAY;
    n_told = 0;
    start();
    return 0;
}

static int tear_down(void **state)
{
    tally_done(&tally);
    history_free(history);
    return 0;
}

static void set_client(struct policy_request *r, const char *host)
{
    char text[64];

    snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:1" : "%s:1", host);
    assert_int_equal(addr_parse(text, &r->client), 0);
}

/* A message from a client and, unless "", a user. */
static bool ask_as(const char *client, const char *user, uint32_t recipients)
{
    struct policy_request r = {.recipients = recipients, .whole_message = true};

    if (*client)
        set_client(&r, client);
    strcpy(r.user, user);
    return tally_ask(&tally, &r, now);
}

static bool ask(uint32_t recipients)
{
    return ask_as("192.0.2.1", "", recipients);
}

/* Lets the time pass, with the ticks that belong to it. */
static void pass(uint64_t ms)
{
    for (uint64_t end = now + ms; now < end;) {
        now = now + TALLY_TICK_MS < end ? now + TALLY_TICK_MS : end;
        tally_tick(&tally, now);
    }
}

static const struct alarm *last(void)
{
    assert_true(n_told > 0 && n_told <= COUNT(told));
    return &told[n_told - 1];
}

static void a_limit_that_is_reached_is_told_once(void **state)
{
    ask(99);
    assert_int_equal(n_told, 0);
    ask(1);
    ask(300);
    assert_int_equal(n_told, 1);
    assert_true(last()->begins && last()->class == CLASS_CLIENT && last()->reason == ALARM_MINUTE);
    assert_int_equal(last()->recipients, 100);
    assert_int_equal(last()->limit, 100);
    assert_int_equal(last()->messages, 2);
    assert_int_equal(tally.stats.alarms_now[CLASS_CLIENT], 1);
}

static void it_ends_when_a_minute_was_calm_and_its_sum_is_told(void **state)
{
    ask(100);
    pass(30 * SECOND);
    ask(60);
    pass(30 * SECOND); /* 60 are left, and half of the limit is 50 */
    assert_int_equal(n_told, 1);
    pass(30 * SECOND);
    assert_int_equal(n_told, 2);
    assert_false(last()->begins);
    assert_int_equal(last()->recipients, 160);
    assert_int_equal(last()->messages, 2);
    assert_in_range(last()->seconds, 80, 90);
    assert_int_equal(tally.stats.alarms_now[CLASS_CLIENT], 0);
    ask(100); /* and begins again */
    assert_int_equal(n_told, 3);
}

static void a_rate_below_the_limit_is_none_however_long(void **state)
{
    for (unsigned i = 0; i < 600; i++) { /* 15 a minute, 900 an hour, four hours long */
        ask(6);
        pass(24 * SECOND);
    }
    assert_int_equal(n_told, 0);
}

static void an_hours_limit_holds_until_the_hour_ends(void **state)
{
    for (unsigned i = 0; i < 20; i++) {
        ask(50);
        pass(MINUTE);
    }
    assert_int_equal(n_told, 1);
    assert_int_equal(last()->reason, ALARM_HOUR);
    pass(30 * MINUTE);
    assert_int_equal(n_told, 1);
    pass(11 * MINUTE);
    assert_int_equal(n_told, 2);
    assert_false(last()->begins);
}

static void one_of_a_64_is_all_of_it_and_users_and_the_total_have_their_own(void **state)
{
    ask_as("2001:db8::1", "alice", 50);
    ask_as("2001:db8::ffff:1", "alice", 50);
    assert_int_equal(n_told, 2);
    assert_string_equal(names[0], "alice");
    assert_string_equal(names[1], "2001:db8::/64");
    ask_as("2001:db8:0:1::1", "bob", 99);
    ask_as("", "", 301);
    assert_int_equal(n_told, 3);
    assert_int_equal(last()->class, CLASS_TOTAL);
}

static void only_who_has_an_alarm_is_deferred_and_only_when_asked_for(void **state)
{
    assert_false(ask(100));
    settings.defers = true;
    assert_true(ask(1));
    assert_false(ask_as("192.0.2.2", "", 1));
    assert_true(ask_as("192.0.2.1", "alice", 1));
    for (unsigned i = 0; i < 20; i++) { /* the total's alarm is nobody's */
        char client[32];
        snprintf(client, sizeof(client), "198.51.100.%u", i);
        assert_false(ask_as(client, "", 40));
    }
    assert_int_equal(tally.stats.alarms_now[CLASS_TOTAL], 1);
    pass(2 * MINUTE);
    assert_false(ask(1));
}

static void exempt_is_exempt(void **state)
{
    static const struct addr_prefix prefix = {.family = AF_INET, .len = 24, .bytes = {192, 0, 2}};
    static const char *const users[] = {"news"};

    settings.exempt = &prefix;
    settings.n_exempt = 1;
    settings.exempt_users = users;
    settings.n_exempt_users = 1;
    ask(100000);
    ask_as("198.51.100.1", "news", 100000);
    assert_int_equal(n_told, 0);
    assert_int_equal(tally.stats.exempt, 2);
    ask_as("192.0.2.1", "alice", 100);
    assert_int_equal(n_told, 1);
    assert_string_equal(names[0], "alice");
}

static void limits_of_none_are_none(void **state)
{
    settings.source = settings.total = (struct limits){0};
    for (unsigned i = 0; i < 100; i++)
        ask(1000000);
    assert_int_equal(n_told, 0);
}

/* So many recipients at this hour of the day of each of `days` days, from the next midnight on. */
static void live(unsigned days, unsigned hour_of_day, uint32_t recipients)
{
    for (unsigned day = 0; day < days; day++) {
        pass(hour_of_day * HOUR);
        for (uint32_t i = 0; i < recipients; i += 10) {
            ask(10);
            pass(recipients > 300 ? SECOND : 7 * SECOND);
        }
        pass(DAY - now % DAY);
    }
}

static void growth_is_five_times_the_busiest_same_hour_of_a_week(void **state)
{
    settings.source = settings.total = (struct limits){0};
    live(8, 9, 200);
    assert_int_equal(n_told, 0);
    pass(9 * HOUR);
    for (unsigned i = 0; i < 19; i++)
        ask(50);
    assert_int_equal(n_told, 0);
    ask(50);
    assert_int_equal(n_told, 2); /* the client's and the total's */
    assert_int_equal(told[0].reason, ALARM_GROWTH);
    assert_int_equal(told[0].limit, 1000);
    pass(HOUR);
    assert_int_equal(tally.stats.alarms_now[CLASS_CLIENT], 0);
    for (unsigned i = 0; i < 10; i++) /* at ten o'clock it has never sent */
        ask(50);
    assert_int_equal(told[4].limit, 500);
}

static void before_a_week_has_passed_growth_is_not_judged(void **state)
{
    settings.source = settings.total = (struct limits){0};
    live(6, 9, 10);
    pass(9 * HOUR);
    for (unsigned i = 0; i < 100; i++)
        ask(50);
    assert_int_equal(n_told, 0);
    assert_int_equal(tally_history_days(&tally), 6);
}

static void an_attack_does_not_become_the_norm_but_growth_does(void **state)
{
    settings.source = settings.total = (struct limits){0};
    live(8, 9, 200);
    for (unsigned day = 0; day < 2; day++) { /* 20000 on two days: limits of 1000, and of 5 x 1000 */
        size_t before = n_told;
        live(1, 9, 20000);
        assert_true(n_told >= before + 4);
    }
    live(2, 9, 20000); /* 25000 */
    size_t before = n_told;
    live(1, 9, 20000);
    assert_int_equal(n_told, before);
}

static void a_restart_goes_on_with_the_hour(void **state)
{
    for (unsigned i = 0; i < 9; i++) {
        ask_as("192.0.2.1", "alice", 90);
        pass(MINUTE);
    }
    tally_save(&tally);
    tally_done(&tally);
    assert_int_equal(tally_init(&tally, &settings, history, now), 0);
    ask_as("192.0.2.1", "alice", 90);
    pass(MINUTE);
    assert_int_equal(n_told, 0);
    for (unsigned i = 0; i < 2; i++) {
        ask_as("192.0.2.1", "alice", 50);
        pass(MINUTE);
    }
    assert_int_equal(n_told, 2);
    assert_int_equal(told[0].recipients, 1000);
}

static void a_clock_that_goes_back_or_leaps_does_no_harm(void **state)
{
    ask(99);
    now -= 30 * SECOND; /* the hour before, too */
    tally_tick(&tally, now);
    ask(1);
    assert_int_equal(n_told, 1);
    assert_int_equal(tally.total.meter.hour_recipients, 100);
    now += 30 * DAY;
    tally_tick(&tally, now);
    assert_int_equal(n_told, 2);
    now -= 60 * DAY;
    tally_tick(&tally, now);
    ask(99);
    assert_int_equal(n_told, 2);
    ask(1);
    assert_int_equal(n_told, 3);
}

static void whoever_leaves_the_table_ends_its_alarm(void **state)
{
    char client[32];

    ask(100);
    for (unsigned i = 0; i < SOURCE_CLIENTS_MAX; i++) { /* all of them heavier than the first */
        snprintf(client, sizeof(client), "10.1.%u.%u", i / 256, i % 256);
        ask_as(client, "", 101);
    }
    assert_null(sources_find(&tally.tables[CLASS_CLIENT], "192.0.2.1"));
    assert_int_equal(tally.stats.alarms[CLASS_CLIENT][ALARM_MINUTE], SOURCE_CLIENTS_MAX + 1);
    assert_int_equal(tally.stats.alarms_now[CLASS_CLIENT], SOURCE_CLIENTS_MAX);
    pass(2 * MINUTE);
    assert_int_equal(tally.stats.alarms_now[CLASS_CLIENT], 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_limit_that_is_reached_is_told_once),
        TEST(it_ends_when_a_minute_was_calm_and_its_sum_is_told),
        TEST(a_rate_below_the_limit_is_none_however_long),
        TEST(an_hours_limit_holds_until_the_hour_ends),
        TEST(one_of_a_64_is_all_of_it_and_users_and_the_total_have_their_own),
        TEST(only_who_has_an_alarm_is_deferred_and_only_when_asked_for),
        TEST(exempt_is_exempt),
        TEST(limits_of_none_are_none),
        TEST(growth_is_five_times_the_busiest_same_hour_of_a_week),
        TEST(before_a_week_has_passed_growth_is_not_judged),
        TEST(an_attack_does_not_become_the_norm_but_growth_does),
        TEST(a_restart_goes_on_with_the_hour),
        TEST(a_clock_that_goes_back_or_leaps_does_no_harm),
        TEST(whoever_leaves_the_table_ends_its_alarm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
