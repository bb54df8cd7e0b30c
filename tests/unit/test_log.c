/* SPDX-License-Identifier: Apache-2.0 */
/* The log as its reader sees it: standard error is a pipe here, and everything that comes out is checked. */
#include "base/fd.h"
#include "log.h"
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSIONS 20000
#define WORKERS 2

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_line_has_every_field),
        cmocka_unit_test(what_is_unknown_is_a_dash),
        cmocka_unit_test(busy_workers_lose_and_mix_no_line),
        cmocka_unit_test(a_reader_that_stopped_costs_lines_not_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
