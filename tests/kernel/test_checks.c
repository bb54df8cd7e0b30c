/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks over real sockets: good servers, lying ones, silent ones, at every step; PROXY headers; agents; how
 * many at a time; and nothing left over. The servers are played here, in the same loop, in a network
 * namespace of this test's own.
 */
#include "control/checks/checks.h"
#include "lab.h"
#include "scripted.h"

#include "base/clock.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKENDS 300
#define DEADLINE_MS 20000
#define TIMEOUT_MS 300
#define PORT 25
#define AGENT_PORT 9999
#define HEADER_MAX 128

static sd_event *loop;
static struct load loads[SNAPSHOT_BACKENDS_MAX];
static uint64_t greetings;
static struct checks *checks;
static unsigned n_changes, most_probes;

static struct snapshot_backend backends[BACKENDS];
static uint16_t members[BACKENDS];
static struct snapshot_pool pool;
static struct snapshot snapshot = {.host_name = "gw1", .n_pools = 1, .pools = &pool, .backends = backends};

static union addr address(const char *host, uint16_t port)
{
    char text[ADDR_TEXT_MAX + 8];
    union addr a;
    snprintf(text, sizeof(text), "%s:%u", host, port);
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static void serve(int at, const char *host, uint16_t port, const struct script *script)
{
    union addr a = address(host, port);
    scripted_serve(loop, at, &a, script);
}

static void on_change(void *arg)
{
    n_changes++;
}

static uint64_t count_greetings(void *arg, uint16_t backend)
{
    return greetings;
}

/* Runs the loop until something is so. */
static void run_until(bool (*so)(void))
{
    uint64_t end_ms = clock_now_ms() + DEADLINE_MS;
    while (!so()) {
        assert_true(clock_now_ms() < end_ms);
        assert_true(sd_event_run(loop, 50000) >= 0);
        checks_tell(checks);
        most_probes = checks_probes(checks) > most_probes ? checks_probes(checks) : most_probes;
    }
}

static bool is_down(void)
{
    return n_changes > 0 && checks_said(checks, 0).down;
}

static bool is_up_again(void)
{
    return n_changes > 0 && !checks_said(checks, 0).down;
}

static bool all_closed(void)
{
    return peers.open == 0 && checks_probes(checks) == 0 && peers.accepted > 0;
}

static int count_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* The log goes to standard error: into a file, to be read back. */
static int log_file = -1, own_stderr = -1;

static const char *logged(void)
{
    static char text[65536];
    ssize_t n = pread(log_file, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void assert_logged(const char *text)
{
    if (strstr(logged(), text))
        return;
    dup2(own_stderr, STDERR_FILENO); /* the failure is for whoever reads there */
    fail_msg("not logged: %s\nbut: %s", text, logged());
}

static int fds_before;

static int set_up(void **state)
{
    n_changes = most_probes = 0;
    memset(&peers, 0, sizeof(peers));
    memset(loads, 0, sizeof(loads));
    memset(backends, 0, sizeof(backends));
    pool = (struct snapshot_pool){
        .name = "p",
        .members = members,
        .n_members = 1,
        .check =
            {
                .type = POOL_CHECK_SMTP,
                .rcpt = "",
                .interval_ms = 60000,
                .fast_interval_ms = 100,
                .timeout_ms = TIMEOUT_MS,
                .rise = 2,
                .fall = 3,
                .agent_interval_ms = 100,
            },
    };
    for (uint16_t i = 0; i < BACKENDS; i++) {
        members[i] = i;
        backends[i] = (struct snapshot_backend){.name = "b", .zone = "", .v4 = address("10.2.0.11", PORT)};
    }
    snapshot.n_backends = 1;
    fds_before = count_fds();
    if (ftruncate(log_file, 0) < 0 || lseek(log_file, 0, SEEK_SET) < 0 || sd_event_new(&loop) < 0)
        return -1;
    const struct checks_given given = {
        .loop = loop, .loads = loads, .greetings = count_greetings, .on_change = on_change, .seed = 1};
    own_stderr = dup(STDERR_FILENO);
    dup2(log_file, STDERR_FILENO);
    return checks_new(&given, &checks);
}

static int tear_down(void **state)
{
    checks_free(checks);
    dup2(own_stderr, STDERR_FILENO);
    fd_close(&own_stderr);
    for (int i = 0; i < SCRIPTED_SERVERS; i++)
        scripted_leave(i);
    while (peers.open > 0 && sd_event_run(loop, 100000) > 0)
        ;
    sd_event_unref(loop);
    return count_fds() == fds_before ? 0 : -1;
}

static const struct script good = {
    .says = {"220-mx\r\n220 mx\r\n", "250-mx\r\n250-STARTTLS\r\n250 HELP\r\n", "221 bye\r\n"}, .step = -1};

static void apply(void)
{
    assert_int_equal(checks_apply(checks, &snapshot), 0);
}

static bool two_checks(void)
{
    return peers.accepted >= 2 && all_closed();
}

static void a_good_server_hears_a_polite_session(void **state)
{
    serve(0, "10.2.0.11", PORT, &good);
    apply();
    run_until(two_checks);
    assert_int_equal(strncmp(peers.heard, "EHLO gw1\r\nQUIT\r\nEHLO gw1\r\nQUIT\r\n", 32), 0);
    assert_int_equal(peers.resets, 0);
    assert_int_equal(n_changes, 0);
    assert_string_equal(logged(), "");
}

static void a_server_that_does_not_close_gets_fin(void **state)
{
    struct script lasting = good;
    lasting.no_end = true;
    serve(0, "10.2.0.11", PORT, &lasting);
    apply();
    run_until(two_checks);
    assert_int_equal(peers.resets, 0);
    assert_true(peers.fins >= 2);
    assert_string_equal(logged(), "");
}

static void both_families_must_pass(void **state)
{
    backends[0].v6 = address("[2001:db8:2::11]", PORT);
    serve(0, "10.2.0.11", PORT, &good);
    apply();
    run_until(is_down);
    assert_logged("reason=\"connection refused ([2001:db8:2::11]:25)\"");
    n_changes = 0;
    serve(1, "[2001:db8:2::11]", PORT, &good);
    run_until(is_up_again);
    assert_logged("event=health backend=b pool=p state=up reason=\"2 checks passed\" check_ms=");
    run_until(all_closed);
    assert_int_equal(peers.resets, 0);
}

static void a_server_that_goes_is_suspect_then_down_then_back(void **state)
{
    serve(0, "10.2.0.11", PORT, &good);
    apply();
    run_until(two_checks);
    scripted_leave(0);
    run_until(is_down);
    assert_logged("state=suspect reason=\"connection refused\"");
    assert_logged("state=down reason=\"3 checks failed: connection refused\"");
    assert_int_equal(n_changes, 1); /* a suspect backend weighs the same */
    n_changes = 0;
    serve(0, "10.2.0.11", PORT, &good);
    run_until(is_up_again);
}

static const struct lie {
    enum deed deed;
    const char *reason[3]; /* at each step */
} lies[] = {
    {SILENCE, {"greeting: no reply in 300ms", "EHLO: no reply in 300ms", "QUIT: no reply in 300ms"}},
    {CLOSE, {"greeting: connection closed", "EHLO: connection closed", "QUIT: connection closed"}},
    /* The first may come before the connection has been looked at. */
    {RESET, {"connection reset", "EHLO: connection reset", "QUIT: connection reset"}},
    {GARBAGE, {"greeting: a line is too long: xxx", "EHLO: a line is too long: xxx",
                  "QUIT: a line is too long: xxx"}},
};

static void every_lie_at_every_step_has_its_name(void **state)
{
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
        for (int step = 0; step < 3; step++) {
            struct script liar = good;
            char reason[128];
            liar.deed = lies[i].deed;
            liar.step = step;
            serve(0, "10.2.0.11", PORT, &liar);
            apply();
            run_until(is_down);
            snprintf(reason, sizeof(reason), "%s", lies[i].reason[step]);
            assert_logged("state=down");
            assert_logged(reason);
            assert_int_equal(tear_down(state), 0);
            assert_int_equal(set_up(state), 0);
        }
}

static void replies_may_come_byte_by_byte(void **state)
{
    struct script slow = good;
    slow.bytewise = true;
    serve(0, "10.2.0.11", PORT, &slow);
    apply();
    run_until(two_checks);
    assert_string_equal(logged(), "");
    assert_int_equal(peers.resets, 0);
}

static void a_busy_server_is_down(void **state)
{
    static const struct script busy = {.says = {"421 4.3.2 all \"ports\" busy\r\n"}, .step = -1};
    serve(0, "10.2.0.11", PORT, &busy);
    apply();
    run_until(is_down);
    assert_logged("reason=\"greeting 421 4.3.2 all 'ports' busy\"");
    run_until(all_closed);
    assert_int_equal(peers.resets, 0);
    assert_int_equal(peers.n_heard, 0); /* nothing more is said to it */
}

static void a_header_comes_first_and_is_local(void **state)
{
    struct script proxied = good;
    proxied.header = 16;
    backends[0].proxy = PROXY_V2;
    serve(0, "10.2.0.11", PORT, &proxied);
    apply();
    run_until(two_checks);
    assert_memory_equal(peers.heard,
        "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
        "EHLO gw1\r\n",
        26);
    assert_string_equal(logged(), "");
}

static void a_header_of_version_1_names_the_probe_itself(void **state)
{
    static const char begin[] = "PROXY TCP4 10.2.0.11 10.2.0.11 ";
    struct script proxied = good;
    char line[HEADER_MAX];
    proxied.header = 20;
    proxied.says[0] = NULL; /* the line end of the header is peers.heard like one of a command */
    proxied.says[1] = good.says[0];
    proxied.says[2] = good.says[1];
    proxied.says[3] = good.says[2];
    backends[0].proxy = PROXY_V1;
    serve(0, "10.2.0.11", PORT, &proxied);
    apply();
    run_until(two_checks);
    assert_memory_equal(peers.heard, begin, sizeof(begin) - 1);
    snprintf(line, sizeof(line), "%s%u 25\r\n", begin, atoi(peers.heard + sizeof(begin) - 1));
    assert_memory_equal(peers.heard, line, strlen(line));
    assert_string_equal(logged(), "");
}

static void tcp_is_content_with_the_connection(void **state)
{
    static const struct script mute = {.says = {NULL}, .step = -1};
    pool.check.type = POOL_CHECK_TCP;
    serve(0, "10.2.0.11", PORT, &mute);
    apply();
    run_until(two_checks);
    assert_int_equal(peers.resets, 0);
    assert_int_equal(peers.n_heard, 0);
    scripted_leave(0);
    run_until(is_down);
    assert_logged("reason=\"3 checks failed: connection refused\"");
}

static void bad_sessions_bring_the_check_forward(void **state)
{
    greetings++;
    serve(0, "10.2.0.11", PORT, &good);
    pool.check.fast_interval_ms = 60000;
    apply();
    run_until(all_closed);
    unsigned before = peers.accepted;
    loads[0].bad_in_row = 5;
    checks_look_at_sessions(checks);
    checks_tell(checks);
    assert_logged("state=suspect reason=\"5 bad sessions in a row\"");
    while (peers.accepted == before)
        assert_true(sd_event_run(loop, 2000000) > 0);
    run_until(all_closed);
    assert_logged("state=up reason=\"a check passed\"");
    assert_int_equal(loads[0].bad_in_row, 0);
    assert_int_equal(n_changes, 0);
}

static bool agent_said(void)
{
    struct backend_said said = checks_said(checks, 0);
    return n_changes > 0 && said.percent == 40 && said.down && said.max_sessions == 7;
}

static void an_agent_decides_beside_the_check(void **state)
{
    static const struct script tired = {.says = {"drain 40% maxconn:7 #tired\n"}, .step = -1};
    static const struct script rested = {.says = {"ready 100%\n"}, .step = -1};
    pool.check.agent_port = AGENT_PORT;
    serve(0, "10.2.0.11", PORT, &good);
    serve(1, "10.2.0.11", AGENT_PORT, &tired);
    apply();
    run_until(agent_said);
    assert_logged("event=agent backend=b pool=p state=drain percent=40 max_sessions=7 reason=\"tired\"");
    scripted_set(1, &rested);
    n_changes = 0;
    run_until(is_up_again);
    assert_int_equal(checks_said(checks, 0).percent, 100);
    scripted_leave(1); /* an agent that cannot be asked changes nothing */
    n_changes = 0;
    peers.accepted = 0;
    run_until(two_checks);
    assert_int_equal(n_changes, 0);
    assert_int_equal(peers.resets, 0);
}

static bool all_down(void)
{
    for (uint16_t i = 0; i < BACKENDS; i++)
        if (!checks_said(checks, i).down)
            return false;
    return true;
}

static void probes_are_few_at_a_time_and_everyone_has_his_turn(void **state)
{
    static const struct script silent = {.says = {NULL}, .step = -1};
    snapshot.n_backends = pool.n_members = BACKENDS;
    serve(0, "10.2.0.11", PORT, &silent);
    apply();
    run_until(all_down);
    assert_true(most_probes <= CHECKS_PROBES_MAX && most_probes > CHECKS_PROBES_MAX / 2);
    assert_true(n_changes < BACKENDS); /* many changes are one */
}

static bool some_probes(void)
{
    return checks_probes(checks) > 10;
}

static void who_leaves_takes_his_probes_along(void **state)
{
    static const struct script silent = {.says = {NULL}, .step = -1};
    snapshot.n_backends = pool.n_members = BACKENDS;
    serve(0, "10.2.0.11", PORT, &silent);
    apply();
    run_until(some_probes);
    pool.n_members = 0;
    apply();
    assert_int_equal(checks_probes(checks), 0);
    run_until(all_closed);
    assert_int_equal(peers.resets, 0);
    assert_false(checks_said(checks, 0).down);
}

static void a_reload_keeps_the_health_of_who_stays(void **state)
{
    apply();
    run_until(is_down);
    pool.check.interval_ms = 70000;
    apply();
    assert_true(checks_said(checks, 0).down);
    backends[0].v4 = address("10.2.0.12", PORT); /* another server: nothing is known of it */
    apply();
    assert_false(checks_said(checks, 0).down);
    n_changes = 0;
    run_until(is_down);
    pool.check.type = POOL_CHECK_OFF;
    apply();
    assert_false(checks_said(checks, 0).down);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_good_server_hears_a_polite_session),
        STORY(a_server_that_does_not_close_gets_fin),
        STORY(both_families_must_pass),
        STORY(a_server_that_goes_is_suspect_then_down_then_back),
        STORY(every_lie_at_every_step_has_its_name),
        STORY(replies_may_come_byte_by_byte),
        STORY(a_busy_server_is_down),
        STORY(a_header_comes_first_and_is_local),
        STORY(a_header_of_version_1_names_the_probe_itself),
        STORY(tcp_is_content_with_the_connection),
        STORY(bad_sessions_bring_the_check_forward),
        STORY(an_agent_decides_beside_the_check),
        STORY(probes_are_few_at_a_time_and_everyone_has_his_turn),
        STORY(who_leaves_takes_his_probes_along),
        STORY(a_reload_keeps_the_health_of_who_stays),
    };
    if (lab_impossible())
        return 0;
    FILE *log = tmpfile();
    if (!log || unshare(CLONE_NEWNET) < 0 ||
        system("ip link set lo up && ip addr add 10.2.0.11/32 dev lo && ip addr add 10.2.0.12/32 dev lo && "
               "ip -6 addr add 2001:db8:2::11/128 dev lo nodad"))
        return 1;
    log_file = fileno(log);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fclose(log);
    return failed;
}
