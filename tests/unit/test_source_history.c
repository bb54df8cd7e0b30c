/* SPDX-License-Identifier: Apache-2.0 */
/* What is news of a class of sources: over weeks of a clock that is turned by hand. */
#include "control/watch/source_history.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define START_S (500000 * (int64_t)HISTORY_HOUR_S)

static struct source_history *h;

static int set_up(void **state)
{
    h = calloc(1, sizeof(*h));
    return h ? 0 : -1;
}

static int tear_down(void **state)
{
    free(h);
    return 0;
}

/* So many hours of so many sessions each, in pieces, as they come; how many news there were of a kind. */
static unsigned pass(
    struct source_past *p, int64_t *now_s, unsigned hours, uint32_t sessions, enum source_news kind)
{
    enum { PIECES = 60 };
    unsigned news = 0;

    for (unsigned i = 0; i < hours; i++)
        for (uint32_t k = 0; k < PIECES; k++) {
            uint32_t piece = sessions * (k + 1) / PIECES - sessions * k / PIECES;
            news += source_history_count(p, piece, *now_s) == kind;
            *now_s += HISTORY_HOUR_S / PIECES;
        }
    return news;
}

static void the_first_session_is_told_once(void **state)
{
    struct source_past *p = source_history_of(h, "google");
    int64_t now_s = START_S;

    assert_int_equal(pass(p, &now_s, 3, 0, NEWS_FIRST), 0);
    assert_int_equal(pass(p, &now_s, 1, 7, NEWS_FIRST), 1);
    assert_in_range(p->first_s, START_S + 3 * HISTORY_HOUR_S, START_S + 4 * HISTORY_HOUR_S);
    assert_int_equal(pass(p, &now_s, 300, 7, NEWS_FIRST), 0);
    assert_ptr_equal(source_history_of(h, "google"), p);
}

static void who_comes_first_is_new_for_an_hour_but_not_on_the_first_day(void **state)
{
    struct source_past *early = source_history_of(h, "early"), *late = source_history_of(h, "late");
    int64_t now_s = START_S, first_s = START_S + 24 * HISTORY_HOUR_S;

    h->began_s = START_S;
    assert_false(source_history_is_new(h, late, now_s));
    (void)pass(early, &now_s, 1, 7, NEWS_FIRST);
    assert_false(source_history_is_new(h, early, now_s));
    assert_int_equal(source_history_count(late, 1, first_s), NEWS_FIRST);
    assert_true(source_history_is_new(h, late, first_s));
    assert_true(source_history_is_new(h, late, first_s + HISTORY_HOUR_S - 1));
    assert_false(source_history_is_new(h, late, first_s + HISTORY_HOUR_S));
}

static void who_is_in_no_source_has_no_first_session(void **state)
{
    struct source_past *p = source_history_of(h, CONFIG_SOURCE_OTHER);
    int64_t now_s = START_S;

    assert_int_equal(pass(p, &now_s, 1, 7, NEWS_FIRST), 0);
}

static void more_than_five_times_the_usual_is_told_once_an_hour(void **state)
{
    struct source_past *p = source_history_of(h, "google");
    int64_t now_s = START_S;

    assert_int_equal(pass(p, &now_s, 2 * HISTORY_HOURS, 200, NEWS_GROWN), 0);
    assert_int_equal(source_history_usual(p), 200);
    assert_int_equal(pass(p, &now_s, 1, 1000, NEWS_GROWN), 0);
    assert_int_equal(pass(p, &now_s, 1, 1001, NEWS_GROWN), 1);
    assert_true(source_history_is_grown(p, now_s - 1));
    assert_true(source_history_is_grown(p, now_s));
    assert_int_equal(pass(p, &now_s, 1, 200, NEWS_GROWN), 0);
    assert_false(source_history_is_grown(p, now_s));
    assert_int_equal(pass(p, &now_s, 2, 5000, NEWS_GROWN), 2);
}

static void what_goes_on_becomes_usual(void **state)
{
    struct source_past *p = source_history_of(h, "google");
    int64_t now_s = START_S;

    (void)pass(p, &now_s, HISTORY_HOURS, 200, NEWS_GROWN);
    unsigned news = pass(p, &now_s, 24, 3000, NEWS_GROWN);
    assert_in_range(news, 8, 12); /* those above the 95th percentile of a week, and one */
    assert_int_equal(pass(p, &now_s, HISTORY_HOURS, 3000, NEWS_GROWN), 0);
}

static void a_usual_week_is_no_news(void **state)
{
    struct source_past *p = source_history_of(h, "google");
    int64_t now_s = START_S;
    unsigned news = 0;

    srandom(1);
    for (int hour = 0; hour < 10 * HISTORY_HOURS; hour++) {
        unsigned of_day = (unsigned)hour % 24, of_week = (unsigned)hour / 24 % 7;
        uint32_t sessions = of_day > 7 && of_day < 18 && of_week < 5 ? 900 : 60;
        news += pass(p, &now_s, 1, sessions / 2 + (uint32_t)random() % sessions, NEWS_GROWN);
    }
    assert_int_equal(news, 0);
}

static void few_sessions_and_a_short_past_are_no_news(void **state)
{
    struct source_past *few = source_history_of(h, "few"), *young = source_history_of(h, "young");
    int64_t now_s = START_S;

    assert_int_equal(pass(young, &now_s, HISTORY_HOURS_LEAST - 1, 10, NEWS_GROWN), 0);
    assert_int_equal(source_history_usual(young), -1);
    assert_int_equal(pass(young, &now_s, 1, 100000, NEWS_GROWN), 0);
    now_s = START_S;
    (void)pass(few, &now_s, HISTORY_HOURS, 1, NEWS_GROWN);
    assert_int_equal(pass(few, &now_s, 1, HISTORY_SESSIONS_LEAST - 1, NEWS_GROWN), 0);
    assert_int_equal(pass(few, &now_s, 1, HISTORY_SESSIONS_LEAST, NEWS_GROWN), 1);
}

static void hours_that_nobody_counted_are_not_known(void **state)
{
    struct source_past *p = source_history_of(h, "google");
    int64_t now_s = START_S;

    (void)pass(p, &now_s, 50, 200, NEWS_GROWN);
    now_s += 60 * HISTORY_HOUR_S;
    (void)pass(p, &now_s, 1, 200, NEWS_GROWN);
    assert_int_equal(source_history_usual(p), 200); /* no zeroes in between */
    now_s += 2 * (int64_t)HISTORY_HOURS * HISTORY_HOUR_S;
    (void)pass(p, &now_s, 1, 200, NEWS_GROWN);
    assert_int_equal(source_history_usual(p), -1);
    (void)pass(p, &now_s, 50, 200, NEWS_GROWN);
    now_s -= 20 * HISTORY_HOUR_S; /* the clock was wrong */
    assert_int_equal(pass(p, &now_s, 1, 100000, NEWS_GROWN), 0);
    assert_int_equal(source_history_usual(p), -1);
}

static void a_document_brings_all_of_it_back(void **state)
{
    static struct source_history again;
    int64_t now_s = START_S;

    h->began_s = START_S;
    (void)pass(source_history_of(h, "google"), &now_s, 30, 200, NEWS_GROWN);
    (void)source_history_of(h, "other");
    json_t *document = source_history_write(h);
    assert_null(source_history_read(document, &again));
    assert_memory_equal(&again, h, sizeof(again));
    json_decref(document);
}

static void what_is_damaged_is_refused_as_a_whole(void **state)
{
    static const char *const texts[] = {"[]", "{}", "{\"format\": 1, \"began\": 1}",
        "{\"format\": 2, \"began\": 1, \"classes\": []}", "{\"format\": 1, \"began\": -1, \"classes\": []}",
        "{\"format\": 1, \"began\": 1, \"classes\": [1]}",
        "{\"format\": 1, \"began\": 1, \"classes\": [{\"name\": \"a\", \"first\": 0, \"hour\": 0, \"now\": "
        "0, "
        "\"grown\": 0, \"hours\": [1]}]}"};

    (void)source_history_of(h, "google");
    for (size_t i = 0; i < COUNT(texts); i++) {
        json_t *document = json_loads(texts[i], 0, NULL);
        assert_non_null(document);
        assert_non_null(source_history_read(document, h));
        assert_int_equal(h->n, 1);
        json_decref(document);
    }
    json_t *document = source_history_write(h), *classes = json_object_get(document, "classes");
    json_array_append(classes, json_array_get(classes, 0)); /* twice the same */
    assert_non_null(source_history_read(document, h));
    json_decref(document);
}

static void there_is_place_for_so_many_classes(void **state)
{
    char name[16];

    for (int i = 0; i < SNAPSHOT_CLASSES_MAX; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        assert_non_null(source_history_of(h, name));
    }
    assert_null(source_history_of(h, "more"));
    assert_non_null(source_history_of(h, "s7"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_session_is_told_once),
        TEST(who_comes_first_is_new_for_an_hour_but_not_on_the_first_day),
        TEST(who_is_in_no_source_has_no_first_session),
        TEST(more_than_five_times_the_usual_is_told_once_an_hour),
        TEST(what_goes_on_becomes_usual),
        TEST(a_usual_week_is_no_news),
        TEST(few_sessions_and_a_short_past_are_no_news),
        TEST(hours_that_nobody_counted_are_not_known),
        TEST(a_document_brings_all_of_it_back),
        TEST(what_is_damaged_is_refused_as_a_whole),
        TEST(there_is_place_for_so_many_classes),
    };

    return cmocka_run_group_tests_name("source history", tests, NULL, NULL);
}
