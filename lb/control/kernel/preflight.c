/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks before anything is touched: what would fail later, somewhere deep, is refused here in plain
 * words.
 *
 * Happy path: preflight_check() finds nothing, preflight_lock() is granted, preflight_warn() says which
 * sysctls hinder.
 *
 * Failure paths: each refusal is one line that says what, where and how to mend it; all are written, the
 * first one's errno is returned. A check that cannot be made (no inet_diag, no /proc) is not a refusal. The
 * soft limit of descriptors is the only thing that is ever changed.
 *
 * Called by gateway.c, control thread, at start.
 */
#include "control/kernel/preflight.h"

#include "base/fd.h"
#include "control/admin/admin_socket.h"
#include "control/watch/http.h"
#include "control/kernel/sockets.h"
#include "control/kernel/sysctl.h"
#include "log.h"

#include <cap-ng.h>
#include <liburing.h>
#include <net/if.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#define KERNEL_MAJOR 6 /* tcx came with Linux 6.6 */
#define KERNEL_MINOR 6
#define LINE_MAX_BYTES 512

/* Descriptors: each session has two; pipes come in pools; the rest is rings, listeners, maps, links, logs. */
#define SESSION_DESCRIPTORS 2
#define PIPES_PER_WORKER_MAX 64
#define WORKER_DESCRIPTORS 8
#define FIXED_DESCRIPTORS (64 + ADMIN_CLIENTS_MAX + HTTP_CLIENTS_MAX)

#ifndef CAP_PERFMON
#    define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#    define CAP_BPF 39
#endif

/* Abstract: the name belongs to the network namespace, and dies with its owner. */
static const char lock_name[] = "\0postern";

static void refuse(FILE *errors, const char *fmt, ...) __attribute__((format(printf, 2, 3), nonnull));

static void refuse(FILE *errors, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fputs("postern: ", errors);
    vfprintf(errors, fmt, args);
    fputc('\n', errors);
    va_end(args);
}

bool preflight_kernel_at_least(const char *release, unsigned major, unsigned minor)
{
    unsigned have_major = 0, have_minor = 0;

    if (sscanf(release, "%u.%u", &have_major, &have_minor) < 1)
        return false;
    return have_major != major ? have_major > major : have_minor >= minor;
}

uint64_t preflight_descriptors(uint32_t max_sessions, uint32_t workers)
{
    uint64_t flows = 2 * (uint64_t)max_sessions;
    uint64_t pipes = flows < PIPES_PER_WORKER_MAX ? flows : PIPES_PER_WORKER_MAX;

    return SESSION_DESCRIPTORS * (uint64_t)max_sessions + workers * (2 * pipes + WORKER_DESCRIPTORS) +
           FIXED_DESCRIPTORS;
}

int preflight_kernel(FILE *errors)
{
    struct utsname name;

    if (uname(&name) || preflight_kernel_at_least(name.release, KERNEL_MAJOR, KERNEL_MINOR))
        return 0;
    refuse(errors,
        "Linux %s is too old: postern needs %d.%d or later (eBPF links on tcx); on Debian 12 install "
        "linux-image-amd64 from bookworm-backports",
        name.release, KERNEL_MAJOR, KERNEL_MINOR);
    return -ENOSYS;
}

static bool dissolves(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n_pools; i++)
        if (s->pools[i].dissolve)
            return true;
    return false;
}

/* CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON in the kernel, too. */
static int check_capabilities(const struct snapshot *s, FILE *errors)
{
    const struct {
        const char *name;
        int number;
        bool needed;
    } wanted[] = {
        {"CAP_NET_ADMIN", CAP_NET_ADMIN, true},
        {"CAP_BPF", CAP_BPF, true},
        {"CAP_PERFMON (the dissolve program reads the kernel's sockets)", CAP_PERFMON, dissolves(s)},
    };
    char missing[160] = "";

    if (capng_get_caps_process())
        return 0;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        size_t at = strlen(missing);
        bool admin =
            wanted[i].number != CAP_NET_ADMIN && capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
        if (wanted[i].needed && !admin && !capng_have_capability(CAPNG_EFFECTIVE, (unsigned)wanted[i].number))
            snprintf(missing + at, sizeof(missing) - at, "%s%s", at ? " and " : "", wanted[i].name);
    }
    if (!missing[0])
        return 0;
    refuse(errors,
        "missing %s: start postern as root, or give its systemd unit AmbientCapabilities=CAP_NET_ADMIN "
        "CAP_BPF CAP_PERFMON CAP_NET_RAW CAP_NET_BIND_SERVICE",
        missing);
    return -EPERM;
}

static const char *io_uring_cause(int err)
{
    long disabled = sysctl_number("kernel/io_uring_disabled", 0);

    if (err == -EPERM && disabled == 2)
        return "it is switched off on this host: sysctl -w kernel.io_uring_disabled=0";
    if (err == -EPERM && disabled == 1)
        return "it is reserved for a group on this host: sysctl -w kernel.io_uring_disabled=0, or put the "
               "group "
               "of postern into kernel.io_uring_group";
    if (err == -EPERM || err == -EACCES)
        return "a seccomp filter or security module forbids it: allow io_uring_setup, io_uring_enter and "
               "io_uring_register (systemd: SystemCallFilter=@system-service, not ~@aio; containers: their "
               "seccomp profile)";
    if (err == -ENOSYS)
        return "the kernel lacks CONFIG_IO_URING, or a container's seccomp filter hides it";
    if (err == -ENOMEM)
        return "locked memory is short: raise LimitMEMLOCK= (ulimit -l)";
    return "see the error";
}

int preflight_io_uring(FILE *errors)
{
    struct io_uring ring;
    int err = io_uring_queue_init(4, &ring, 0);

    if (!err) {
        io_uring_queue_exit(&ring);
        return 0;
    }
    refuse(errors, "io_uring cannot be used: %s; %s", strerror(-err), io_uring_cause(err));
    return err == -EPERM ? -EPERM : -ENOSYS;
}

static int check_descriptors(const struct snapshot *s, FILE *errors)
{
    uint64_t need = preflight_descriptors(s->max_sessions, s->workers);
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < need) {
        uint64_t fixed = need - SESSION_DESCRIPTORS * (uint64_t)s->max_sessions;
        uint64_t fits = limit.rlim_max > fixed ? (limit.rlim_max - fixed) / SESSION_DESCRIPTORS : 0;
        refuse(errors,
            "too few file descriptors: %u sessions and %u workers need %llu, the hard limit is %llu (ulimit "
            "-Hn); "
            "raise LimitNOFILE= in the unit, or lower gateway.max_sessions to %llu",
            s->max_sessions, s->workers, (unsigned long long)need, (unsigned long long)limit.rlim_max,
            (unsigned long long)fits);
        return -EMFILE;
    }
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= need)
        return 0;
    limit.rlim_cur = need;
    if (!setrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    refuse(errors,
        "cannot raise the soft limit of file descriptors to %llu: %s; set LimitNOFILE= in the unit",
        (unsigned long long)need, strerror(errno));
    return -EMFILE;
}

bool preflight_in_the_way(
    const union addr *listening, bool v6_only, const struct addr_prefix *p, uint16_t port)
{
    union addr a = *listening;
    bool v6 = a.sa.sa_family == AF_INET6;

    if (addr_port(&a) != port)
        return false;
    if (v6 && IN6_IS_ADDR_UNSPECIFIED(&a.v6.sin6_addr))
        return p->family == AF_INET6 || !v6_only;
    if (!v6 && a.v4.sin_addr.s_addr == htonl(INADDR_ANY))
        return p->family == AF_INET;
    addr_unmap(&a);
    return addr_in_prefix(&a, p);
}

struct listeners {
    const struct snapshot *s;
    FILE *errors;
    bool found;
};

static void say_in_the_way(
    const struct listeners *l, const union addr *listening, const struct snapshot_vip *vip)
{
    char who[ADDR_TEXT_MAX], what[ADDR_TEXT_MAX];
    bool dual = listening->sa.sa_family == AF_INET6 && vip->prefix.family == AF_INET;

    refuse(l->errors,
        "another program listens on %s%s, so it would take connections for the VIP %s port %u: let it listen "
        "on "
        "addresses of its own, or stop it. Who it is: ss -ltnp 'sport = :%u'",
        addr_format(listening, who), dual ? " (IPv4 included)" : "", addr_prefix_format(&vip->prefix, what),
        vip->port, vip->port);
}

static void on_listener(const struct socket_found *found, void *arg)
{
    struct listeners *l = arg;

    if (found->device) /* it shares no address with us */
        return;
    for (uint32_t i = 0; i < l->s->n_vips; i++) {
        const struct snapshot_vip *vip = &l->s->vips[i];
        if (!preflight_in_the_way(&found->local, found->v6_only, &vip->prefix, vip->port))
            continue;
        say_in_the_way(l, &found->local, vip);
        l->found = true;
        break;
    }
}

/* Listening sockets only, as ss(8) sees them: a trial bind() would stumble over living sessions and
 * TIME_WAITs. */
static int check_listeners(const struct snapshot *s, FILE *errors)
{
    struct listeners l = {.s = s, .errors = errors};
    int err = sockets_each(SOCKETS_LISTEN, on_listener, &l);

    if (err)
        log_event(LOG_LEVEL_WARNING, "listeners_unknown", "error=\"cannot list listening sockets: %s\"",
            strerror(-err));
    return l.found ? -EADDRINUSE : 0;
}

/* The descriptor is kept on purpose for as long as the process lives: it is the lock. */
static int lock = -1;

static int take_lock(const struct sockaddr_un *name, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && !bind(fd, (const struct sockaddr *)name, len) && !listen(fd, SOMAXCONN)) {
        lock = fd;
        return 0;
    }
    int err = -errno;
    fd_close(&fd);
    return err;
}

static socklen_t fill_lock_name(struct sockaddr_un *name)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(name->sun_path, lock_name, sizeof(lock_name) - 1);
    return offsetof(struct sockaddr_un, sun_path) + sizeof(lock_name) - 1;
}

bool preflight_running(pid_t *ret_pid)
{
    struct sockaddr_un name;
    struct ucred who = {0};
    socklen_t len = fill_lock_name(&name), size = sizeof(who);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* EAGAIN: many ask at once. */
    bool running = fd >= 0 && (!connect(fd, (const struct sockaddr *)&name, len) || errno == EAGAIN);

    if (!running || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
        who.pid = 0;
    fd_close(&fd);
    *ret_pid = who.pid;
    return running;
}

bool preflight_try_lock(void)
{
    struct sockaddr_un name;
    socklen_t len = fill_lock_name(&name);

    return lock >= 0 || take_lock(&name, len) == 0;
}

int preflight_lock_fd(void)
{
    return lock;
}

void preflight_lock_adopt(int fd)
{
    fd_close(&lock);
    lock = fd;
}

/* Whoever connects is told who has called listen() last. */
void preflight_lock_sign(void)
{
    (void)listen(lock, SOMAXCONN);
}

void preflight_unlock(void)
{
    fd_close(&lock);
}

int preflight_lock(FILE *errors)
{
    struct sockaddr_un name;
    socklen_t len = fill_lock_name(&name);

    if (lock >= 0)
        return 0;
    int err = take_lock(&name, len);
    if (!err)
        return 0;
    pid_t holder = 0;
    if (err == -EADDRINUSE && preflight_running(&holder))
        refuse(errors,
            "another postern (process %d) runs in this network namespace, or still drains: stop it first",
            (int)holder);
    else
        refuse(errors, "cannot take the lock of this network namespace: %s", strerror(-err));
    return err;
}

int preflight_check(const struct snapshot *s, FILE *errors)
{
    int first = preflight_kernel(errors);
    int err = check_capabilities(s, errors);

    first = first ? first : err;
    err = preflight_io_uring(errors);
    first = first ? first : err;
    err = check_descriptors(s, errors);
    first = first ? first : err;
    err = check_listeners(s, errors);
    first = first ? first : err;
    err = preflight_lock(errors);
    return first ? first : err;
}

static void warn(const char *sysctl, const char *value, const char *text)
{
    log_event(LOG_LEVEL_WARNING, "sysctl", "name=%s text=\"%s\" command=\"sysctl -w %s=%s\"", sysctl, text,
        sysctl, value);
}

/* What each does to the return path was measured: tests/kernel/test_return_path.c. */
static void warn_of_interface(const char *name)
{
    char sysctl[96], quoted[IF_NAMESIZE];
    bool all;

    snprintf(quoted, sizeof(quoted), "%s", name);
    for (char *dot = quoted; (dot = strchr(dot, '.'));)
        *dot = '/'; /* sysctl(8) wants eth0.10 so */
    if (sysctl_of_interface(name, "rp_filter", &all) == 1) {
        snprintf(sysctl, sizeof(sysctl), "net.ipv4.conf.%s.rp_filter", quoted);
        warn(sysctl, "2",
            "strict: answers of a backend that come in on another interface than its route are dropped");
    }
    if (sysctl_of_interface(name, "src_valid_mark", &all) &&
        !sysctl_of_interface(name, "accept_local", &(bool){0})) {
        snprintf(sysctl, sizeof(sysctl), "net.ipv4.conf.%s.src_valid_mark", all ? "all" : quoted);
        warn(sysctl, "0",
            "on (wg-quick sets it): every answer of IPv4 backends is dropped, no session with source: client "
            "works");
    }
}

static bool has_ipv6_vip(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n_vips; i++)
        if (s->vips[i].prefix.family == AF_INET6)
            return true;
    return false;
}

void preflight_warn(const struct snapshot *s, const int *backend_ifindexes, int n)
{
    static const char forwarding[] =
        "off: sessions work but do not dissolve, and backends whose default route "
        "is this gateway cannot reach others (outbound mail)";
    char name[IF_NAMESIZE];

    if (!capng_get_caps_process() && !capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_BIND_SERVICE))
        log_event(LOG_LEVEL_WARNING, "capability",
            "name=CAP_NET_BIND_SERVICE text=\"missing: clients with a source port below 1024 are shown to "
            "backends "
            "with another port\" hint=\"add it to AmbientCapabilities= of the unit\"");
    if (dissolves(s) && !capng_get_caps_process() && !capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_RAW))
        log_event(LOG_LEVEL_WARNING, "capability",
            "name=CAP_NET_RAW text=\"missing: dissolved sessions that were silent for too long end without a "
            "reset\" "
            "hint=\"add it to AmbientCapabilities= of the unit\"");
    for (int i = 0; i < n; i++)
        if (if_indextoname((unsigned)backend_ifindexes[i], name))
            warn_of_interface(name);
    if (!sysctl_number("net/ipv4/ip_forward", 1))
        warn("net.ipv4.ip_forward", "1", forwarding);
    if (has_ipv6_vip(s) && !sysctl_number("net/ipv6/conf/all/forwarding", 1))
        warn("net.ipv6.conf.all.forwarding", "1", forwarding);
    if (!sysctl_number("net/ipv4/tcp_timestamps", 1))
        warn("net.ipv4.tcp_timestamps", "1",
            "off: a client that connects again from the same port is shown to backends with another port");
}
