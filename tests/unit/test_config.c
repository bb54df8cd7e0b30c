/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration that is right: defaults, every spelling that is allowed, conf.d, limits, the snapshot
 * made of it, the time it takes. What is wrong, and what is said then, stands in test_config_errors.c.
 */
#include "config_files.h"
#include "control/config/config_values.h"

#include <sched.h>
#include <time.h>

static void what_is_not_written_has_its_default(void **state)
{
    struct snapshot *s = publish_text(LISTENER POOL);
    char host[256];
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    assert_int_equal(gethostname(host, sizeof(host)), 0);
    assert_string_equal(s->gateway_name, host);
    assert_string_equal(s->gateway_zone, "");
    assert_int_equal(s->workers, cpus > 64 ? 64 : cpus);
    assert_int_equal(s->max_sessions, 8000);
    assert_int_equal(s->pools[0].source, SOURCE_CLIENT);
    assert_int_equal(s->pools[0].proxy, PROXY_OFF);
    assert_int_equal(s->pools[0].balance, BALANCE_LEAST_SESSIONS);
    assert_true(s->pools[0].dissolve);
    assert_int_equal(s->pools[0].retries, 2);
    assert_int_equal(s->pools[0].n_verdicts, 1);
    assert_string_equal(s->pools[0].verdicts[0].reply, "421 4.3.*");
    assert_int_equal(s->pools[0].verdicts[0].then, THEN_RETRY);
    assert_int_equal(s->pools[0].queue_length, 200);
    assert_int_equal(s->pools[0].queue_timeout_ms, 30000);
    assert_int_equal(s->backends[0].max_sessions, 0);
    assert_int_equal(s->pools[0].connect_timeout_ms, 4000);
    assert_int_equal(s->pools[0].greeting_timeout_ms, 30000);
    assert_int_equal(s->pools[0].greeting_total_timeout_ms, 90000);
    assert_int_equal(s->pools[0].idle_timeout_ms, 660000);
    assert_int_equal(s->pools[0].half_closed_timeout_ms, 660000);
    assert_int_equal(s->pools[0].check.type, POOL_CHECK_SMTP);
    assert_int_equal(s->pools[0].check.interval_ms, 30000);
    assert_int_equal(s->pools[0].check.fast_interval_ms, 5000);
    assert_int_equal(s->pools[0].check.timeout_ms, 15000);
    assert_int_equal(s->pools[0].check.rise, 2);
    assert_int_equal(s->pools[0].check.fall, 3);
    assert_false(s->pools[0].check.starttls);
    assert_string_equal(s->pools[0].check.rcpt, "");
    assert_int_equal(s->pools[0].check.agent_port, 0);
    assert_int_equal(s->backends[0].weight, 100 * SNAPSHOT_WEIGHT_SCALE);
    assert_string_equal(s->backends[0].zone, "");
    snapshot_free(s);
}

static void a_map_within_a_map_at_the_top_is_read_and_filled(void **state)
{
    static const struct {
        const char *text;
        uint32_t limit_ms, silent_ms;
    } cases[] = {{LISTENER POOL, 900000, 660000},
        {"gateway: {drain: {silent: 2s, limit: 1s}, name: a}\n" LISTENER POOL, 1000, 2000},
        {"gateway: {name: a, drain: {limit: 24h}}\n" LISTENER POOL, 86400000, 660000}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct config *c;
        char *errors;
        write_text(FILE_NAME, cases[i].text);
        assert_int_equal(load(&c, &errors), 0);
        assert_int_equal(c->gateway.drain.limit_ms, cases[i].limit_ms);
        assert_int_equal(c->gateway.drain.silent_ms, cases[i].silent_ms);
        free(errors);
        config_free(c);
    }
}

static const char whole[] =
    "gateway: {name: gw1, zone: eu-west-1a, host_name: mx.example.org, workers: 3, max_sessions: 1000000}\n"
    "listeners:\n"
    "  - name: mx\n"
    "    address: [203.0.113.0/28:25, 203.0.113.5:25, \"[2001:db8:25::25]:25\", \"[2001:db8::/64]:25\"]\n"
    "    pool: inbound\n"
    "  - {name: submission, address: 203.0.113.5:587, pool: relay}\n"
    "pools:\n"
    "  - name: relay\n"
    "    source: gateway\n"
    "    proxy_protocol: v2\n"
    "    balance: round-robin\n"
    "    dissolve: off\n"
    "    timeouts: {connect: 250ms, greeting: 5s, greeting_total: 5s, idle: 24h, half_closed: 1s}\n"
    "    retries: 0\n"
    "    check: {interval: 1h, fast_interval: 100ms, timeout: 5m, rise: 1, fall: 100, starttls: required, "
    "rcpt: postmaster@example.org}\n"
    "    agent: {port: 65535, interval: 2s}\n"
    "    backends:\n"
    "      - {name: local, address: 127.0.0.1:10025, weight: 0}\n"
    "  - name: inbound\n"
    "    max_sessions: 50\n"
    "    queue_length: 0\n"
    "    queue_timeout: 100ms\n"
    "    greeting: [{reply: \"421*busy*\", then: retry}, {reply: \"*\", then: pass}]\n"
    "    proxy_protocol: \"off\"\n"
    "    dissolve: on\n"
    "    check: {type: tcp}\n"
    "    backends:\n"
    "      - {name: mta1, address: 10.2.0.11:25, zone: eu-west-1a, weight: 256}\n"
    "      - {name: mta2, address: [\"[2001:db8:2::12]:25\", 10.2.0.12:2525], zone: eu-west-1b}\n";

static void what_is_written_is_published(void **state)
{
    struct snapshot *s = publish_text(whole);
    assert_string_equal(s->gateway_name, "gw1");
    assert_string_equal(s->gateway_zone, "eu-west-1a");
    assert_int_equal(s->workers, 3);
    assert_int_equal(s->max_sessions, 1000000);
    assert_int_equal(s->n_listeners, 2);
    assert_string_equal(s->listeners[0].name, "mx");
    assert_int_equal(s->listeners[0].pool, 1);
    assert_int_equal(s->listeners[1].pool, 0);
    assert_int_equal(s->n_pools, 2);
    const struct snapshot_pool *relay = &s->pools[0], *inbound = &s->pools[1];
    assert_string_equal(relay->name, "relay");
    assert_int_equal(relay->source, SOURCE_GATEWAY);
    assert_int_equal(relay->proxy, PROXY_V2);
    assert_int_equal(relay->balance, BALANCE_ROUND_ROBIN);
    assert_int_equal(relay->retries, 0);
    assert_int_equal(relay->connect_timeout_ms, 250);
    assert_int_equal(relay->greeting_timeout_ms, 5000);
    assert_int_equal(relay->greeting_total_timeout_ms, 5000);
    assert_int_equal(relay->idle_timeout_ms, 86400000);
    assert_int_equal(relay->half_closed_timeout_ms, 1000);
    assert_string_equal(
        s->unavailable, "421 4.3.2 mx.example.org Service not available, try again later\r\n");
    assert_int_equal(inbound->n_verdicts, 2);
    assert_string_equal(inbound->verdicts[0].reply, "421*busy*");
    assert_int_equal(inbound->verdicts[0].then, THEN_RETRY);
    assert_string_equal(inbound->verdicts[1].reply, "*");
    assert_int_equal(inbound->verdicts[1].then, THEN_PASS);
    assert_int_equal(inbound->queue_length, 0);
    assert_int_equal(inbound->queue_timeout_ms, 100);
    assert_int_equal(s->backends[0].max_sessions, 0);
    assert_int_equal(s->backends[1].max_sessions, 50);
    assert_int_equal(relay->check.type, POOL_CHECK_SMTP);
    assert_int_equal(relay->check.interval_ms, 3600000);
    assert_int_equal(relay->check.fast_interval_ms, 100);
    assert_int_equal(relay->check.timeout_ms, 300000);
    assert_int_equal(relay->check.rise, 1);
    assert_int_equal(relay->check.fall, 100);
    assert_true(relay->check.starttls);
    assert_string_equal(relay->check.rcpt, "postmaster@example.org");
    assert_int_equal(relay->check.agent_port, 65535);
    assert_int_equal(relay->check.agent_interval_ms, 2000);
    assert_int_equal(inbound->check.type, POOL_CHECK_TCP);
    assert_int_equal(relay->members[0], 0);
    assert_int_equal(relay->n_members, 1);
    assert_int_equal(inbound->members[0], 1);
    assert_int_equal(inbound->n_members, 2);
    assert_int_equal(inbound->proxy, PROXY_OFF);
    assert_false(relay->dissolve);
    assert_true(inbound->dissolve);
    assert_int_equal(s->n_backends, 3);
    assert_string_equal(s->backends[2].name, "mta2");
    assert_string_equal(s->backends[2].zone, "eu-west-1b");
    assert_int_equal(s->backends[0].weight, 0);
    assert_int_equal(s->backends[1].weight, 256 * SNAPSHOT_WEIGHT_SCALE);
    assert_int_equal(s->backends[2].pool, 1);
    assert_null(snapshot_backend_addr(&s->backends[1], AF_INET6));
    assert_int_equal(addr_port(snapshot_backend_addr(&s->backends[2], AF_INET)), 2525);
    assert_int_equal(addr_port(snapshot_backend_addr(&s->backends[2], AF_INET6)), 25);
    snapshot_free(s);
}

static void the_longest_prefix_finds_its_listener(void **state)
{
    static const struct {
        const char *addr, *listener;
    } cases[] = {
        {"203.0.113.5:25", "exact"},
        {"203.0.113.6:25", "narrow"},
        {"203.0.113.16:25", "wide"},
        {"203.0.113.5:587", "submission"},
        {"203.0.113.6:587", NULL},
        {"203.0.114.1:25", NULL},
        {"[2001:db8::1]:25", "wide"},
        {"[2001:db8::2]:25", "narrow"},
        {"[2001:db8:0:1::1]:25", NULL},
    };
    struct snapshot *s = publish_text(
        "listeners:\n"
        "  - {name: wide, address: [203.0.113.0/24:25, \"[2001:db8::/64]:25\"], pool: p}\n"
        "  - {name: submission, address: 203.0.113.5:587, pool: p}\n"
        "  - {name: exact, address: 203.0.113.5:25, pool: p}\n"
        "  - {name: narrow, address: [203.0.113.0/28:25, \"[2001:db8::2]:25\"], pool: p}\n" POOL);
    for (uint16_t i = 1; i < s->n_vips; i++)
        assert_true(s->vips[i - 1].prefix.len >= s->vips[i].prefix.len);
    for (size_t i = 0; i < COUNT(cases); i++) {
        union addr a;
        assert_int_equal(addr_parse(cases[i].addr, &a), 0);
        const struct snapshot_listener *l = snapshot_find_listener(s, &a);
        if (cases[i].listener)
            assert_string_equal(l->name, cases[i].listener);
        else
            assert_null(l);
    }
    snapshot_free(s);
    snapshot_free(NULL);
}

/* The listener by looking at every VIP. */
static const struct snapshot_listener *look_at_all(const struct snapshot *s, const union addr *vip)
{
    const struct snapshot_vip *best = NULL;
    for (uint16_t i = 0; i < s->n_vips; i++) {
        const struct snapshot_vip *v = &s->vips[i];
        if (v->port == addr_port(vip) && addr_in_prefix(vip, &v->prefix) &&
            (!best || v->prefix.len > best->prefix.len))
            best = v;
    }
    return best ? &s->listeners[best->listener] : NULL;
}

static int length_of(const struct snapshot *s, const struct snapshot_listener *l)
{
    for (uint16_t i = 0; i < s->n_vips; i++)
        if (s->vips[i].listener == l - s->listeners)
            return s->vips[i].prefix.len;
    return -1;
}

static void finding_a_listener_by_halving_agrees_with_looking_at_all(void **state)
{
    enum { VIPS = 300, LOOKUPS = 20000 };
    struct snapshot_vip vips[VIPS];
    struct snapshot_listener listeners[VIPS] = {0};
    struct snapshot s = {.vips = vips, .listeners = listeners, .n_vips = VIPS, .n_listeners = VIPS};
    unsigned seed = 1, found = 0;
    char text[64];
    for (uint16_t i = 0; i < VIPS; i++) {
        /* A small space, so that prefixes lie in one another. */
        unsigned r = (unsigned)rand_r(&seed), len = 25 + r % 8, bits = r >> 8 & 0xfff;
        bits &= ~0u << (32 - len);
        if (r & 0x10000)
            snprintf(
                text, sizeof(text), "10.0.%u.%u/%u:%u", bits >> 8 & 255, bits & 255, len, 25 + (r >> 20 & 1));
        else
            snprintf(text, sizeof(text), "[2001:db8::%x/%u]:%u", bits & 0xffff, len + 96, 25 + (r >> 20 & 1));
        assert_int_equal(addr_prefix_parse(text, &vips[i].prefix, &vips[i].port), 0);
        vips[i].listener = i;
    }
    snapshot_sort_vips(&s);
    for (int i = 0; i < LOOKUPS; i++) {
        union addr a;
        unsigned r = (unsigned)rand_r(&seed);
        if (r & 0x10000)
            snprintf(text, sizeof(text), "10.0.%u.%u:%u", r >> 8 & 15, r & 255, 25 + (r >> 20 & 1));
        else
            snprintf(text, sizeof(text), "[2001:db8::%x]:%u", r & 0xfff, 25 + (r >> 20 & 1));
        assert_int_equal(addr_parse(text, &a), 0);
        const struct snapshot_listener *l = snapshot_find_listener(&s, &a), *expected = look_at_all(&s, &a);
        if (l != expected) { /* the same prefix may be there twice here: then either is right */
            assert_true(l && expected);
            assert_int_equal(length_of(&s, l), length_of(&s, expected));
        }
        found += l != NULL;
    }
    assert_true(found > LOOKUPS / 10 && found < LOOKUPS);
}

static void yaml_may_be_written_in_its_ways(void **state)
{
    static const char *const texts[] = {
        "\xef\xbb\xbf" LISTENER POOL,                                      /* byte order mark */
        "%YAML 1.1\n---\n" LISTENER POOL "    proxy_protocol: off\n...\n", /* where off is a boolean */
        LISTENER POOL "    proxy_protocol: 'off'\n",
        LISTENER POOL "    timeouts:\n      idle: \"11m\"\n",
        "# first\r\n" LISTENER "\r\n" POOL "    retries: 1 # last\r\n",
        "{\"listeners\": [{\"name\": \"l\", \"address\": [\"192.0.2.1:25\"], \"pool\": \"p\"}],\n"
        " \"pools\": [{\"name\": \"p\", \"backends\": [{\"name\": \"b\", \"address\": \"10.0.0.1:25\"}]}]}\n",
        "\t\n" LISTENER " \t # a tab before a comment or nothing\n" POOL,
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        snapshot_free(publish_text(texts[i]));
}

#define ZONED(zone) "pools:\n  - name: p\n    backends: [{name: b, address: 10.0.0.1:25, zone: " zone "}]\n"

static void zones_may_be_named_in_these_ways(void **state)
{
    static const char *const texts[] = {
        "gateway: {zone: z}\n" LISTENER POOL, /* no backend names one */
        "gateway: {zone: z}\n" LISTENER ZONED("z"),
        "gateway: {zone: y, zones: [{name: y, gateways: 2}, {name: z, gateways: 0}]}\n" LISTENER ZONED("z"),
        "gateway: {zone: z, zones: [{name: z, gateways: 2}]}\n" LISTENER ZONED("z") "    zones: balanced\n",
        LISTENER ZONED("z") "    zones: off\n    slow_start: 0s\n    overload_brake: on\n    outlier: on\n",
        LISTENER POOL "    zones: balanced\n",
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        snapshot_free(publish_text(texts[i]));
}

static void a_listener_of_a_family_without_backends_is_allowed(void **state)
{
    struct snapshot *s =
        publish_text("listeners: [{name: l, address: \"[2001:db8::25]:25\", pool: p}]\n" POOL);
    assert_null(snapshot_backend_addr(&s->backends[0], AF_INET6));
    snapshot_free(s);
}

static void loopback_backends_are_allowed_behind_a_header(void **state)
{
    static const char text[] = LISTENER "pools:\n  - name: p\n    source: gateway\n    proxy_protocol: v1\n"
                                        "    backends: [{name: b, address: [127.0.0.1:25, \"[::1]:25\"]}]\n";
    snapshot_free(publish_text(text));
}

static void conf_d_is_merged_in_the_order_of_names(void **state)
{
    assert_int_equal(mkdir("conf.d", 0755), 0);
    write_text(FILE_NAME, "gateway: {name: gw1}\n" LISTENER);
    write_text("conf.d/20-more.yaml",
        "gateway: {zone: z}\nlisteners: [{name: m, address: 192.0.2.2:25, pool: q}]\n"
        "pools: [{name: q, backends: [{name: b, address: 10.0.0.2:25}]}]\n");
    write_text("conf.d/10-pool.yaml", POOL);
    write_text("conf.d/30-empty.yaml", "# nothing yet\n");
    write_text("conf.d/not-read.yml", "bad: [\n");
    write_text("conf.d/.hidden.yaml", "bad: [\n");
    struct snapshot *s = publish();
    assert_string_equal(s->gateway_name, "gw1");
    assert_string_equal(s->gateway_zone, "z");
    assert_int_equal(s->n_pools, 2);
    assert_string_equal(s->pools[0].name, "p");
    assert_string_equal(s->pools[1].name, "q");
    assert_int_equal(s->n_listeners, 2);
    assert_int_equal(s->listeners[1].pool, 1);
    snapshot_free(s);
}

static void errors_of_all_files_come_together_and_name_both_places(void **state)
{
    write_text("conf.d/20-more.yaml",
        "gateway: {name: other}\nlisteners: [{name: l, address: 192.0.2.1:25, pool: p}]\n"
        "pools: [{name: q, bakends: []}]\n");
    char *errors = errors_of("gateway: {name: gw1, worker: 1}\n" LISTENER);
    assert_string_equal(errors,
        "postern.yaml:1:22: error: unknown key \"worker\" in gateway \"gw1\"; the nearest known key is "
        "\"workers\"\n"
        "    1 | gateway: {name: gw1, worker: 1}\n"
        "      |                      ^~~~~~\n"
        "conf.d/20-more.yaml:1:11: error: \"name\" a second time; the first is at postern.yaml:1:11\n"
        "    1 | gateway: {name: other}\n"
        "      |           ^~~~\n"
        "conf.d/20-more.yaml:2:20: error: a listener is called \"l\" a second time; the first is at"
        " postern.yaml:2:20\n"
        "    2 | listeners: [{name: l, address: 192.0.2.1:25, pool: p}]\n"
        "      |                    ^\n"
        "conf.d/20-more.yaml:2:32: error: a listener has the address \"192.0.2.1/32:25\" a second time; the"
        " first is at postern.yaml:2:32\n"
        "    2 | listeners: [{name: l, address: 192.0.2.1:25, pool: p}]\n"
        "      |                                ^~~~~~~~~~~~\n"
        "conf.d/20-more.yaml:3:9: error: pool \"q\" has neither \"backends\" nor \"discover\": its servers\n"
        "    3 | pools: [{name: q, bakends: []}]\n"
        "      |         ^\n"
        "conf.d/20-more.yaml:3:19: error: unknown key \"bakends\" in pool \"q\"; the nearest known key is"
        " \"backends\"\n"
        "    3 | pools: [{name: q, bakends: []}]\n"
        "      |                   ^~~~~~~\n");
    free(errors);
}

/* libfyaml's words may change with its version; the form, the file and the place are ours. */
static void a_syntax_error_names_its_file_and_place(void **state)
{
    static const struct {
        const char *text, *begins, *holds;
    } cases[] = {
        {"listeners: [\n", "conf.d/20-more.yaml:2:1: error: not YAML: ", "    2 | \n      | ^\n"},
        {"listeners:\n  - name: l\n    address: [2001:db8::1]:25\n",
            "conf.d/20-more.yaml:3:27: error: not YAML: ",
            "; an IPv6 address must be quoted, like \"[2001:db8::25]:25\"\n"
            "    3 |     address: [2001:db8::1]:25\n"
            "      |                           ^"},
        {"a: {b: c\n", "conf.d/20-more.yaml:", ": error: not YAML: "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        write_text("conf.d/20-more.yaml", cases[i].text);
        char *errors = errors_of(LISTENER);
        assert_ptr_equal(strstr(errors, cases[i].begins), errors);
        assert_non_null(strstr(errors, cases[i].holds));
        free(errors);
    }
}

static void a_file_that_cannot_be_read_is_one_line(void **state)
{
    struct config *c = NULL;
    char *errors;
    unlink(FILE_NAME);
    assert_int_equal(system("rm -r conf.d"), 0);
    assert_int_equal(load(&c, &errors), -EINVAL);
    assert_string_equal(errors, "postern.yaml: error: cannot be opened: No such file or directory\n");
    free(errors);
    assert_int_equal(mkdir(FILE_NAME, 0755), 0);
    assert_int_equal(load(&c, &errors), -EINVAL);
    assert_string_equal(errors, "postern.yaml: error: cannot be read: Is a directory\n");
    free(errors);
    assert_int_equal(rmdir(FILE_NAME), 0);
    write_text("conf.d", "");
    errors = errors_of(LISTENER POOL);
    assert_string_equal(
        errors, "postern.yaml: error: the directory conf.d beside it cannot be read: Not a directory\n");
    free(errors);
    assert_int_equal(unlink("conf.d"), 0);
    assert_null(c);
}

static void a_file_has_at_most_one_mebibyte(void **state)
{
    static char text[1024 * 1024 + 1];
    struct config *c;
    char *errors;
    memset(text, '#', sizeof(text));
    memcpy(text, LISTENER POOL, strlen(LISTENER POOL));
    write_file(FILE_NAME, text, sizeof(text) - 1);
    snapshot_free(publish());
    write_file(FILE_NAME, text, sizeof(text));
    assert_int_equal(load(&c, &errors), -EINVAL);
    assert_string_equal(errors, "postern.yaml: error: is larger than 1 MiB; split it into files in conf.d\n");
    free(errors);
}

static void only_the_first_hundred_errors_are_shown(void **state)
{
    char *text, *line, *errors;
    size_t size, lines = 0;
    for (int n = 100; n <= 2000; n += 950) {
        FILE *f = open_memstream(&text, &size);
        fputs(LISTENER POOL, f);
        for (int i = 0; i < n; i++)
            fprintf(f, "    bad%d: 1\n", i);
        fclose(f);
        errors = errors_of(text);
        assert_non_null(strstr(errors, "unknown key \"bad99\""));
        assert_null(strstr(errors, "unknown key \"bad100\""));
        line = strstr(errors, "more errors");
        assert_int_equal(line ? atoi(line - 5) : 0, n - 100);
        for (lines = 0, line = errors; (line = strstr(line, ": error: ")); line++)
            lines++;
        assert_int_equal(lines, 100);
        free(errors);
        free(text);
    }
}

static void long_lines_are_shown_around_the_caret(void **state)
{
    char *errors =
        errors_of("gateway: {name: \"\xc3\xa4\xc3\xa4\xc3\xa4\", zone: a, workers: 1, workers: 2, zone: b, "
                  "max_sessions: 1, max_sessions: 2, max_sessions: 3, name: zzzzz}\n" LISTENER POOL);
    assert_non_null(strstr(errors,
        "postern.yaml:1:45: error: \"workers\" a second time; the first is at postern.yaml:1:33\n"
        "    1 | gateway: {name: \"\xc3\xa4\xc3\xa4\xc3\xa4\", zone: a, workers: 1, workers: 2, zone: b, "
        "max_sessions: 1, max_sessions: 2, m...\n"
        "      |                                             ^~~~~~~\n"));
    assert_non_null(strstr(errors,
        "postern.yaml:1:117: error: \"name\" a second time; the first is at postern.yaml:1:11\n"
        "    1 | ...zone: b, max_sessions: 1, max_sessions: 2, max_sessions: 3, name: zzzzz}\n"
        "      |                                                                ^~~~\n"));
    free(errors);
}

static void colours_are_for_terminals_only(void **state)
{
    struct config *c;
    char text[2048] = "";
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    FILE *errors = fopen(ptsname(terminal), "we");
    assert_non_null(errors);
    write_text(FILE_NAME, "pols: 1\n" LISTENER POOL);
    assert_int_equal(config_load(FILE_NAME, errors, &c), -EINVAL);
    assert_int_equal(fflush(errors), 0);
    assert_true(read(terminal, text, sizeof(text) - 1) > 0);
    assert_ptr_equal(
        strstr(text, "\033[1mpostern.yaml:1:1:\033[0m \033[1;31merror:\033[0m unknown key"), text);
    fclose(errors);
    close(terminal);
    char *plain = errors_of("pols: 1\n" LISTENER POOL);
    assert_null(strchr(plain, '\033'));
    free(plain);
}

static void durations_have_units(void **state)
{
    static const struct {
        const char *text;
        uint32_t ms;
    } good[] = {{"0s", 0}, {"250ms", 250}, {"5s", 5000}, {"11m", 660000}, {"1h", 3600000},
        {"4294967294ms", 4294967294u}};
    static const char *const bad[] = {"", "5", "s", "5 s", "5S", "1.5s", "-5s", "+5s", "5sec", "4294967295ms",
        "4294968s", "99999999999999999999h", "1193047h"};
    uint32_t ms = 1;
    char text[16];
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(config_duration_parse(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        ms = 1;
        assert_int_equal(config_duration_parse(bad[i], &ms), -EINVAL);
        assert_int_equal(ms, 1);
    }
    assert_string_equal(config_duration_format(660000, text), "11m");
    assert_string_equal(config_duration_format(90000, text), "90s");
    assert_string_equal(config_duration_format(3600000, text), "1h");
    assert_string_equal(config_duration_format(1001, text), "1001ms");
}

static void near_keys_are_found(void **state)
{
    static const struct {
        const char *wrong, *nearest;
        bool close;
    } cases[] = {{"gatway", "gateway", true}, {"Gateway", "gateway", true}, {"gaetway", "gateway", true},
        {"listener", "listeners", true}, {"polls", "pools", true}, {"pool", "pools", true},
        {"", "log", false}, {"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", "gateway", false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        bool close;
        assert_string_equal(config_nearest_key(&config_root, cases[i].wrong, &close)->name, cases[i].nearest);
        assert_int_equal(close, cases[i].close);
    }
}

static void a_host_name_that_is_no_name_is_refused(void **state)
{
    if (unshare(CLONE_NEWUTS) < 0)
        skip(); /* not root */
    assert_int_equal(sethostname("not a name", 10), 0);
    char *errors = errors_of(LISTENER POOL);
    assert_string_equal(errors, "postern.yaml: error: the host name, not a name, cannot be used: \"not a "
                                "name\" is not a name; use letters,"
                                " digits, '.', '_' and '-'; set gateway.name\n"
                                "postern.yaml: error: the host name, not a name, cannot be used: \"not a "
                                "name\" is not a name; use letters,"
                                " digits, '.', '_' and '-'; set gateway.host_name\n");
    free(errors);
    snapshot_free(publish_text("gateway: {name: gw1, host_name: gw1}\n" LISTENER POOL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_written_has_its_default),
        cmocka_unit_test(a_map_within_a_map_at_the_top_is_read_and_filled),
        cmocka_unit_test(what_is_written_is_published),
        cmocka_unit_test(the_longest_prefix_finds_its_listener),
        cmocka_unit_test(finding_a_listener_by_halving_agrees_with_looking_at_all),
        cmocka_unit_test(yaml_may_be_written_in_its_ways), cmocka_unit_test(zones_may_be_named_in_these_ways),
        cmocka_unit_test(a_listener_of_a_family_without_backends_is_allowed),
        cmocka_unit_test(loopback_backends_are_allowed_behind_a_header),
        cmocka_unit_test(conf_d_is_merged_in_the_order_of_names),
        cmocka_unit_test(errors_of_all_files_come_together_and_name_both_places),
        cmocka_unit_test(a_syntax_error_names_its_file_and_place),
        cmocka_unit_test(a_file_that_cannot_be_read_is_one_line),
        cmocka_unit_test(a_file_has_at_most_one_mebibyte),
        cmocka_unit_test(only_the_first_hundred_errors_are_shown),
        cmocka_unit_test(long_lines_are_shown_around_the_caret), cmocka_unit_test(durations_have_units),
        cmocka_unit_test(near_keys_are_found), cmocka_unit_test(colours_are_for_terminals_only),
        cmocka_unit_test(a_host_name_that_is_no_name_is_refused), /* last: it changes the process */
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
