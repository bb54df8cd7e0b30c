/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each refusal at start, provoked for real: one line, the right errno. Every check runs in a child, since it
 * may change limits, privileges and locks of its process.
 */
#include "fixture.h"

#include "control/kernel/dissolve_load.h"
#include "control/kernel/preflight.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX 4096

#ifndef CAP_PERFMON
#    define CAP_PERFMON 38
#endif

static struct fixture f;

static int setup(void **state)
{
    lab_setup(state);
    fixture_init(&f, 2);
    fixture_vip(&f, "203.0.113.25:25");
    fixture_vip(&f, "203.0.113.64/28:25");
    fixture_vip(&f, "[2001:db8:25::25]:25");
    fixture_backend(&f, "mta1", LAB_BACKEND_V4 ":25", "[" LAB_BACKEND_V6 "]:25");
    return 0;
}

/* Runs the check after `prepare` in a child; its lines go to `ret_text`. 0 or -errno of the check. */
static int check(void (*prepare)(void), char ret_text[TEXT_MAX])
{
    int file = memfd_create("lines", MFD_CLOEXEC), status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (!child) {
        FILE *errors = fdopen(file, "w");
        if (prepare)
            prepare();
        int err = preflight_check(&f.s, errors);
        fflush(errors);
        _exit(-err);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    ssize_t n = pread(file, ret_text, TEXT_MAX - 1, 0);
    assert_true(n >= 0);
    ret_text[n] = '\0';
    close(file);
    return -WEXITSTATUS(status);
}

/* Exactly one line, with this text in it. */
static void expect_refusal(void (*prepare)(void), int wanted, const char *part)
{
    char text[TEXT_MAX];
    int err = check(prepare, text);

    if (err != wanted || !strstr(text, part) || strchr(text, '\n') != text + strlen(text) - 1)
        fail_msg("%d, not %d with '%s':\n%s", err, wanted, part, text);
}

static void expect_pass(void (*prepare)(void))
{
    char text[TEXT_MAX];
    int err = check(prepare, text);

    if (err || *text)
        fail_msg("%d: %s", err, text);
}

static void pretend_an_old_kernel(void)
{
    personality(UNAME26);
}

static void an_old_kernel_is_refused(void **state)
{
    expect_refusal(pretend_an_old_kernel, -ENOSYS, "is too old: postern needs 6.6 or later");
}

/* Ended by -1. */
static void keep_only(const int capabilities[])
{
    capng_clear(CAPNG_SELECT_BOTH);
    for (size_t i = 0; capabilities[i] >= 0; i++)
        capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned)capabilities[i]);
    if (capng_apply(CAPNG_SELECT_CAPS))
        abort();
}

static void drop_all(void)
{
    keep_only((const int[]){-1});
}

static void keep_net_admin(void)
{
    keep_only((const int[]){CAP_NET_ADMIN, -1});
}

static void keep_two(void)
{
    keep_only((const int[]){CAP_NET_ADMIN, CAP_BPF, -1});
}

static void keep_three(void)
{
    keep_only((const int[]){CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON, -1});
}

static void missing_capabilities_are_named(void **state)
{
    expect_refusal(drop_all, -EPERM, "missing CAP_NET_ADMIN and CAP_BPF: start postern as root, or");
    expect_refusal(keep_net_admin, -EPERM, "missing CAP_BPF: start");
    expect_pass(keep_two);
}

static void dissolving_wants_one_capability_more(void **state)
{
    f.pool.dissolve = true;
    expect_refusal(
        drop_all, -EPERM, "missing CAP_NET_ADMIN and CAP_BPF and CAP_PERFMON (the dissolve program");
    expect_refusal(
        keep_two, -EPERM, "missing CAP_PERFMON (the dissolve program reads the kernel's sockets): ");
    expect_pass(keep_three);
}

static bool can_bind_a_clients_address(void)
{
    union addr client = lab_addr(LAB_CLIENT_V4 ":4242");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    return !setsockopt(fd, SOL_IP, IP_TRANSPARENT, &yes, sizeof(yes)) &&
           !bind(fd, &client.sa, addr_len(&client));
}

static void the_two_named_capabilities_suffice_for_relaying(void **state)
{
    pid_t child = fork();

    if (!child) {
        struct fixture mine = f;
        char error[512] = "";
        keep_two();
        bool good = !preflight_check(&f.s, stderr) && !bpf_load(&f.s, 0, &mine.bpf, error, sizeof(error)) &&
                    !bpf_catch_attach(mine.bpf) && !host_open(&f.s, &mine.host) &&
                    !host_apply(mine.host, false) &&
                    !routes_open(&f.s, mine.bpf, &mine.routes, error, sizeof(error)) &&
                    !host_undo(mine.host) && can_bind_a_clients_address();
        fputs(error, stderr);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* A BPF file system of our own, which goes with the process. */
static void mount_own_bpffs(void)
{
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700"))
        abort();
}

static void with_a_third_one_sessions_can_be_dissolved(void **state)
{
    pid_t child = fork();

    if (!child) {
        char error[512] = "";
        struct dissolve *d = NULL;
        f.pool.dissolve = true;
        mount_own_bpffs();
        keep_three();
        bool good = !preflight_check(&f.s, stderr) && !dissolve_open(&f.s, &d, error, sizeof(error)) &&
                    !dissolve_take(d) && !dissolve_follow(d);
        fputs(error, stderr);
        dissolve_close(d, false);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_load_without_privileges_fails_with_one_line(void **state)
{
    char text[TEXT_MAX] = "";
    int file = memfd_create("error", MFD_CLOEXEC);

    pid_t child = fork();
    if (!child) {
        struct bpf *b;
        dup2(file, STDOUT_FILENO);
        dup2(file, STDERR_FILENO);
        drop_all();
        int err = bpf_load(&f.s, 0, &b, text, sizeof(text));
        fprintf(stderr, "%s\n", text);
        _exit(err == -EPERM ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(pread(file, text, sizeof(text) - 1, 0) > 0);
    close(file);
    if (strchr(text, '\n') != text + strlen(text) - 1 || !strstr(text, "CAP_BPF and CAP_NET_ADMIN"))
        fail_msg("not one line that names the capabilities: %s", text);
}

/* A filter as containers have it: io_uring_setup() fails with the given errno. */
static void forbid_io_uring(int err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = COUNT(code), .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        abort();
}

static void forbid_io_uring_eperm(void)
{
    forbid_io_uring(EPERM);
}

static void forbid_io_uring_enosys(void)
{
    forbid_io_uring(ENOSYS);
}

static void a_forbidden_io_uring_is_refused_with_its_cause(void **state)
{
    expect_refusal(forbid_io_uring_eperm, -EPERM, "a seccomp filter or security module forbids it");
    expect_refusal(forbid_io_uring_enosys, -ENOSYS, "the kernel lacks CONFIG_IO_URING, or a container's");
}

static void set_limits(rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};

    if (setrlimit(RLIMIT_NOFILE, &limit))
        abort();
}

static void low_hard_limit(void)
{
    set_limits(500, 1000);
}

static void low_soft_limit(void)
{
    set_limits(100, 10000);
}

static void too_few_descriptors_are_refused_with_the_numbers(void **state)
{
    uint64_t fixed = preflight_descriptors(5000, 2) - 10000;
    char part[128];

    f.s.max_sessions = 5000;
    snprintf(part, sizeof(part), "need %llu, the hard limit is 1000", (unsigned long long)(fixed + 10000));
    expect_refusal(low_hard_limit, -EMFILE, part);
    snprintf(
        part, sizeof(part), "lower gateway.max_sessions to %llu\n", (unsigned long long)(1000 - fixed) / 2);
    expect_refusal(low_hard_limit, -EMFILE, part);
}

static void the_soft_limit_is_raised(void **state)
{
    struct rlimit limit;

    pid_t child = fork();
    if (!child) {
        low_soft_limit();
        int err = preflight_check(&f.s, stderr);
        getrlimit(RLIMIT_NOFILE, &limit);
        _exit(!err && limit.rlim_cur == preflight_descriptors(100, 2) && limit.rlim_max == 10000 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_listener_of_others_in_a_vips_way_is_refused(void **state)
{
    static const struct {
        const char *listen, *part;
    } cases[] = {
        {"0.0.0.0:25",
            "listens on [0.0.0.0]:25, so it would take connections for the VIP 203.0.113.25/32 port 25"},
        {"[::]:25",
            "listens on [::]:25, so it would take connections for the VIP 2001:db8:25::25/128 port 25"},
        {"203.0.113.70:25", "for the VIP 203.0.113.64/28 port 25"},
        {"203.0.113.25:25", "Who it is: ss -ltnp 'sport = :25'"},
    };

    lab_run(LAB_GATEWAY, "ip route add local 203.0.113.0/24 dev lo");
    for (size_t i = 0; i < COUNT(cases); i++) {
        int listener = lab_listen(LAB_GATEWAY, cases[i].listen);
        expect_refusal(NULL, -EADDRINUSE, cases[i].part);
        close(listener);
        expect_pass(NULL);
    }
}

static void a_listener_for_both_families_is_in_the_way_of_ipv4_too(void **state)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(25)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    f.s.n_vips = 1; /* the IPv4 one */
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(fd, 1), 0);
    expect_refusal(NULL, -EADDRINUSE, "listens on [::]:25 (IPv4 included)");
    close(fd);
}

static void listeners_elsewhere_living_sessions_and_time_waits_are_no_obstacle(void **state)
{
    unsigned transparent = LAB_TRANSPARENT | LAB_REUSEADDR;
    int loopback[] = {lab_listen(LAB_GATEWAY, "127.0.0.1:25"), lab_listen(LAB_GATEWAY, "[::1]:25")};
    int other_port = lab_listen(LAB_GATEWAY, "0.0.0.0:2525");
    int backend = lab_listen(LAB_BACKEND, LAB_BACKEND_V4 ":25");

    fixture_up(&f);
    assert_int_equal(bpf_set_listener(f.bpf, AF_INET, 0, loopback[0]), 0);
    assert_int_equal(bpf_set_listener(f.bpf, AF_INET, 1, loopback[0]), 0);
    int client[2], accepted[2];
    for (int i = 0; i < 2; i++) {
        client[i] = lab_connect(LAB_CLIENT, NULL, "203.0.113.25:25", 0);
        accepted[i] = lab_accept(loopback[0], NULL);
    }
    int living = lab_connect(LAB_GATEWAY, LAB_CLIENT_V4 ":25", LAB_BACKEND_V4 ":25", transparent);
    /* The second one ends here first: 203.0.113.25:25 is in TIME_WAIT. */
    assert_int_equal(shutdown(accepted[1], SHUT_WR), 0);
    lab_expect_end(client[1]);
    close(client[1]);
    lab_expect_end(accepted[1]);
    close(accepted[1]);
    expect_pass(NULL);
    close(client[0]);
    close(accepted[0]);
    close(living);
    close(backend);
    close(other_port);
    close(loopback[0]);
    close(loopback[1]);
    fixture_down(&f);
}

static void a_second_postern_in_the_namespace_is_refused_until_the_first_ends(void **state)
{
    int pipes[2];
    char byte, part[64];

    assert_int_equal(pipe(pipes), 0);
    pid_t first = fork();
    if (!first) {
        byte = preflight_check(&f.s, stderr) ? 'n' : 'y';
        if (write(pipes[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    snprintf(part, sizeof(part), "another postern (process %d) runs in this network namespace", first);
    expect_refusal(NULL, -EADDRINUSE, part);
    kill(first, SIGKILL);
    assert_int_equal(waitpid(first, NULL, 0), first);
    expect_pass(NULL);
    close(pipes[0]);
    close(pipes[1]);
}

/* What preflight_warn() logs, in a child with stderr in a file. */
static void warnings(char ret_text[TEXT_MAX])
{
    int file = memfd_create("log", MFD_CLOEXEC), ifindex = (int)if_nametoindex(LAB_BACKEND_DEVICE);

    pid_t child = fork();
    if (!child) {
        dup2(file, STDERR_FILENO);
        preflight_warn(&f.s, &ifindex, 1);
        fflush(NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    ssize_t n = pread(file, ret_text, TEXT_MAX - 1, 0);
    assert_true(n >= 0);
    ret_text[n] = '\0';
    close(file);
}

static void every_sysctl_that_hinders_is_named_with_the_command_that_mends_it(void **state)
{
    static const struct {
        const char *set, *command;
    } cases[] = {
        {"ipv4/conf/all/rp_filter=1", "sysctl -w net.ipv4.conf." LAB_BACKEND_DEVICE ".rp_filter=2"},
        {"ipv4/conf/" LAB_BACKEND_DEVICE "/rp_filter=1",
            "sysctl -w net.ipv4.conf." LAB_BACKEND_DEVICE ".rp_filter=2"},
        {"ipv4/conf/all/src_valid_mark=1", "sysctl -w net.ipv4.conf.all.src_valid_mark=0"},
        {"ipv4/ip_forward=0", "sysctl -w net.ipv4.ip_forward=1"},
        {"ipv6/conf/all/forwarding=0", "sysctl -w net.ipv6.conf.all.forwarding=1"},
        {"ipv4/tcp_timestamps=0", "sysctl -w net.ipv4.tcp_timestamps=1"},
    };
    char text[TEXT_MAX], what[64];

    warnings(text);
    assert_string_equal(text, "");
    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(what, sizeof(what), "%s", cases[i].set);
        lab_run(LAB_GATEWAY, "cd /proc/sys/net; s=%s; echo ${s#*=} >${s%%=*}", what);
        warnings(text);
        if (!strstr(text, cases[i].command) || strchr(text, '\n') != text + strlen(text) - 1)
            fail_msg("%s: not one line with '%s' but: %s", what, cases[i].command, text);
        /* The very command it names makes it content (as /proc writes it: no sysctl(8) needed). */
        lab_run(LAB_GATEWAY, "cd /proc/sys; s=$(echo '%s' | cut -d' ' -f3 | tr . /); echo ${s#*=} >${s%%=*}",
            cases[i].command);
        warnings(text);
        assert_string_equal(text, "");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, lab_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_old_kernel_is_refused),
        TEST(missing_capabilities_are_named),
        TEST(dissolving_wants_one_capability_more),
        TEST(the_two_named_capabilities_suffice_for_relaying),
        TEST(with_a_third_one_sessions_can_be_dissolved),
        TEST(a_load_without_privileges_fails_with_one_line),
        TEST(a_forbidden_io_uring_is_refused_with_its_cause),
        TEST(too_few_descriptors_are_refused_with_the_numbers),
        TEST(the_soft_limit_is_raised),
        TEST(a_listener_of_others_in_a_vips_way_is_refused),
        TEST(a_listener_for_both_families_is_in_the_way_of_ipv4_too),
        TEST(listeners_elsewhere_living_sessions_and_time_waits_are_no_obstacle),
        TEST(a_second_postern_in_the_namespace_is_refused_until_the_first_ends),
        TEST(every_sysctl_that_hinders_is_named_with_the_command_that_mends_it),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests_name("preflight", tests, NULL, NULL);
}
