/* SPDX-License-Identifier: Apache-2.0 */
/* The log as its reader sees it: standard error is a pipe here, and everything that comes out is checked. */
#include "base/fd.h"
#include "log.h"
#include "log_journal.h"
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS 20000
#define WORKERS 2

/* Sanitizers slow everything down, and other tests run beside this one. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define SANITIZED 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#        define SANITIZED 1
#    endif
#endif
#ifdef SANITIZED
#    define LINES_A_SECOND 1000
#else
#    define LINES_A_SECOND 20000
#endif

struct capture {
    int read_end;
    int saved_stderr;
    char *text;
    size_t length;
    pthread_t reader;
};

static void *read_all(void *arg)
{
    struct capture *c = arg;
    ssize_t n;
    char buf[65536];

    while ((n = read(c->read_end, buf, sizeof(buf))) > 0) {
        c->text = realloc(c->text, c->length + (size_t)n + 1);
        memcpy(c->text + c->length, buf, (size_t)n);
        c->length += (size_t)n;
        c->text[c->length] = '\0';
    }
    return NULL;
}

static void redirect(struct capture *c)
{
    int ends[2];

    *c = (struct capture){0};
    assert_int_equal(pipe(ends), 0);
    c->saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    c->read_end = ends[0];
}

static void capture_begin(struct capture *c)
{
    redirect(c);
    pthread_create(&c->reader, NULL, read_all, c);
}

static void capture_end(struct capture *c)
{
    dup2(c->saved_stderr, STDERR_FILENO);
    close(c->saved_stderr);
    pthread_join(c->reader, NULL);
    close(c->read_end);
}

static struct session_record record(void)
{
    struct session_record r = {
        .id = 0x0102030405060708,
        .listener = "mx",
        .pool = "inbound",
        .backend_name = "mta1",
        .zone = "a",
        .source_class = "partners",
        .bytes_in = 1234,
        .bytes_out = 56,
        .duration_ms = 1005,
        .connect_ms = 1,
        .banner_ms = 2,
        .smtp_code = 220,
        .retries = 1,
        .port_changed = true,
        .dissolved = true,
        .reason = REASON_client_fin,
    };
    addr_parse("198.51.100.7:4242", &r.client);
    addr_parse("203.0.113.25:25", &r.vip);
    addr_parse("[2001:db8::1]:4243", &r.source);
    addr_parse("[2001:db8::2]:25", &r.backend);
    return r;
}

static void a_session_line_has_every_field(void **state)
{
    struct session_record r = record();
    struct capture c;

    capture_begin(&c);
    assert_int_equal(log_start(1), 0);
    assert_true(log_session(0, &r));
    log_stop();
    capture_end(&c);
    assert_non_null(strstr(c.text,
        " level=info event=session client=[198.51.100.7]:4242 vip=[203.0.113.25]:25 "
        "source=[2001:db8::1]:4243 "
        "listener=mx pool=inbound backend=mta1 address=[2001:db8::2]:25 zone=a class=partners "
        "session=0102030405060708 "
        "bytes_in=1234 bytes_out=56 duration=1.005 connect_ms=1 banner_ms=2 smtp_code=220 retries=1 "
        "port_changed=yes dissolved=yes end=client reason=client_fin\n"));
    free(c.text);
}

static void what_is_unknown_is_a_dash(void **state)
{
    struct session_record r = {.listener = "",
        .pool = "",
        .backend_name = "",
        .zone = "",
        .source_class = "",
        .connect_ms = -1,
        .banner_ms = -1,
        .relayed = RELAYED_early_end,
        .reason = REASON_no_listener,
        .error = 104};
    struct capture c;

    capture_begin(&c);
    assert_int_equal(log_start(1), 0);
    assert_true(log_session(0, &r));
    log_stop();
    capture_end(&c);
    assert_non_null(
        strstr(c.text, "client=- vip=- source=- listener=- pool=- backend=- address=- zone=- class=- "));
    assert_non_null(strstr(c.text,
        "connect_ms=- banner_ms=- smtp_code=- retries=0 port_changed=no "
        "dissolved=no relayed=early_end end=error reason=no_listener error=\"Connection reset by peer\"\n"));
    free(c.text);
}

static void *produce(void *arg)
{
    uint16_t worker = *(uint16_t *)arg;
    struct session_record r = record();

    for (uint64_t i = 0; i < SESSIONS;) {
        r.id = i;
        r.bytes_in = worker;
        if (log_session(worker, &r))
            i++; /* a full queue is tried again here; a worker would count it as dropped */
    }
    return NULL;
}

static void busy_workers_lose_and_mix_no_line(void **state)
{
    uint16_t index[WORKERS] = {0, 1};
    uint64_t next[WORKERS] = {0};
    pthread_t threads[WORKERS];
    struct capture c;

    capture_begin(&c);
    assert_int_equal(log_start(WORKERS), 0);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, produce, &index[i]);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    log_event(LOG_LEVEL_INFO, "test_end", "ok=%d", 1);
    log_stop();
    capture_end(&c);

    char *save = NULL;
    for (char *line = strtok_r(c.text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned long long id, worker;
        const char *at = strstr(line, "session=0");
        if (!at)
            continue;
        assert_int_equal(sscanf(at, "session=%llx bytes_in=%llu", &id, &worker), 2);
        assert_true(worker < WORKERS);
        assert_int_equal(id, next[worker]++); /* each worker's lines stay in order */
    }
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(next[i], SESSIONS);
    free(c.text);
}

static void a_reader_that_stopped_costs_lines_not_time(void **state)
{
    struct session_record r = record();
    struct capture c;
    uint64_t dropped = 0;

    redirect(&c); /* nobody reads yet: the pipe fills, then the queue */
    assert_int_equal(log_start(1), 0);
    for (int i = 0; i < SESSIONS; i++)
        dropped += !log_session(0, &r);
    assert_true(dropped > 0);
    pthread_create(&c.reader, NULL, read_all, &c);
    log_stop();
    capture_end(&c);
    const char *told = strstr(c.text, "event=log_dropped lines=");
    assert_non_null(told);
    uint64_t sum = 0;
    for (; told; told = strstr(told + 1, "event=log_dropped lines="))
        sum += strtoull(told + strlen("event=log_dropped lines="), NULL, 10);
    assert_int_equal(sum, dropped);
    free(c.text);
}

/* /dev/full refuses as a full disk does; the pipe in its place then is the space that came back. */
static void what_a_full_disk_has_cost_is_counted_and_told_when_there_is_space(void **state)
{
    struct session_record r = record();
    struct capture c;
    char told[128];
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    uint64_t before = log_lost();

    capture_begin(&c);
    int space = dup(STDERR_FILENO);
    dup2(full, STDERR_FILENO);
    assert_int_equal(log_start(1), 0);
    for (int i = 0; i < 10; i++)
        assert_true(log_session(0, &r));
    while (log_lost() < before + 10) /* the writer gets there: nothing else can be waited for */
        sched_yield();
    dup2(space, STDERR_FILENO);
    close(space);
    close(full);
    assert_true(log_session(0, &r));
    log_stop();
    capture_end(&c);
    assert_int_equal(log_lost(), before + 10);
    snprintf(told, sizeof(told),
        "level=warning event=log_dropped lines=10 total=%llu error=\"No space left on device\"\ntime=",
        (unsigned long long)before + 10);
    assert_non_null(strstr(c.text, told));
    assert_non_null(strstr(c.text, "event=session "));
    free(c.text);
}

/* Twenty thousand sessions a second must not be too many for one writer; most machines write far more. */
static void the_writer_keeps_up_with_a_very_busy_gateway(void **state)
{
    uint16_t index[WORKERS] = {0, 1};
    pthread_t threads[WORKERS];
    struct timespec began, ended;
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC), saved = dup(STDERR_FILENO);

    dup2(nowhere, STDERR_FILENO);
    clock_gettime(CLOCK_MONOTONIC, &began);
    assert_int_equal(log_start(WORKERS), 0);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, produce, &index[i]);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    log_stop();
    clock_gettime(CLOCK_MONOTONIC, &ended);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(nowhere);
    double seconds = (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
    print_message("# %.0f lines a second\n", WORKERS * SESSIONS / seconds);
    assert_true(WORKERS * SESSIONS / seconds > LINES_A_SECOND);
}

static void assert_field(const struct iovec *field, const char *wanted)
{
    assert_int_equal(field->iov_len, strlen(wanted));
    assert_memory_equal(field->iov_base, wanted, field->iov_len);
}

static void an_event_becomes_fields_of_the_journal(void **state)
{
    char buffer[LOG_JOURNAL_BYTES];
    struct iovec fields[LOG_JOURNAL_FIELDS];

    assert_int_equal(
        log_journal_fields("event=vip address=203.0.113.25 text=\"is up\" empty= no_2=\"\"", buffer, fields),
        5);
    assert_field(&fields[0], "POSTERN_EVENT=vip");
    assert_field(&fields[1], "POSTERN_ADDRESS=203.0.113.25");
    assert_field(&fields[2], "POSTERN_TEXT=is up");
    assert_field(&fields[3], "POSTERN_EMPTY=");
    assert_field(&fields[4], "POSTERN_NO_2=");
    assert_int_equal(log_journal_fields("event=x free text", buffer, fields), 1);
    assert_int_equal(log_journal_fields("text=\"not closed", buffer, fields), 1);
    assert_field(&fields[0], "POSTERN_TEXT=not closed");
    assert_int_equal(log_journal_fields("", buffer, fields), 0);
}

static void more_pairs_than_fields_stay_in_the_message(void **state)
{
    char buffer[LOG_JOURNAL_BYTES], line[LOG_EVENT_BYTES] = "";
    struct iovec fields[LOG_JOURNAL_FIELDS];

    for (int i = 0; i < LOG_JOURNAL_FIELDS + 10; i++)
        sprintf(line + strlen(line), "a=%d ", i);
    assert_int_equal(log_journal_fields(line, buffer, fields), LOG_JOURNAL_FIELDS);
    /* One value as long as lines may be. */
    memset(line, 'x', sizeof(line) - 1);
    line[1] = '=';
    line[sizeof(line) - 1] = '\0';
    assert_int_equal(log_journal_fields(line, buffer, fields), 1);
    assert_int_equal(fields[0].iov_len, strlen("POSTERN_") + sizeof(line) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_line_has_every_field),
        cmocka_unit_test(what_is_unknown_is_a_dash),
        cmocka_unit_test(busy_workers_lose_and_mix_no_line),
        cmocka_unit_test(a_reader_that_stopped_costs_lines_not_time),
        cmocka_unit_test(what_a_full_disk_has_cost_is_counted_and_told_when_there_is_space),
        cmocka_unit_test(the_writer_keeps_up_with_a_very_busy_gateway),
        cmocka_unit_test(an_event_becomes_fields_of_the_journal),
        cmocka_unit_test(more_pairs_than_fields_stay_in_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
