/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lab behind lab.h. Namespaces are held by descriptors only: they have no name that could be left behind.
 * A failed step fails the test that runs.
 */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 5000

static int home = -1;
static int hosts[LAB_HOSTS] = {-1, -1, -1, -1};

static int open_netns(void)
{
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

bool lab_impossible(void)
{
    if (geteuid() == 0)
        return false;
    printf("1..0 # SKIP network namespaces need root\n");
    return true;
}

void lab_enter(enum lab_host host)
{
    assert_int_equal(setns(hosts[host], CLONE_NEWNET), 0);
}

void lab_run(enum lab_host host, const char *fmt, ...)
{
    char command[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    lab_enter(host);
    int status = system(command);
    lab_enter(LAB_GATEWAY);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("this command failed: %s", command);
}

void lab_move(enum lab_host from, const char *device, enum lab_host to)
{
    lab_run(from, "ip link set %s netns /proc/%d/fd/%d", device, getpid(), hosts[to]);
}

char *lab_output(enum lab_host host, const char *command)
{
    char *text = NULL;
    size_t size = 0;
    char part[4096];

    lab_enter(host);
    FILE *in = popen(command, "re");
    lab_enter(LAB_GATEWAY);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(in);
    assert_non_null(out);
    for (size_t n; (n = fread(part, 1, sizeof(part), in)) > 0;)
        fwrite(part, 1, n, out);
    fclose(out);
    assert_int_equal(pclose(in), 0);
    return text;
}

/* One cable between the gateway and another host. */
static void join(const char *device, enum lab_host host, const char *v4_net, const char *v6_net,
    const char *v4, const char *v6)
{
    lab_run(LAB_GATEWAY, "ip link add %s type veth peer name eth0 netns /proc/%d/fd/%d", device, getpid(),
        hosts[host]);
    lab_run(LAB_GATEWAY, "ip link set %s up; ip addr add %s1/24 dev %s; ip addr add %s1/64 dev %s nodad",
        device, v4_net, device, v6_net, device);
    lab_run(
        host, "ip link set eth0 up; ip addr add %s/24 dev eth0; ip addr add %s/64 dev eth0 nodad", v4, v6);
    lab_run(host, "ip route add default via %s1; ip -6 route add default via %s1", v4_net, v6_net);
}

/* Link-local addresses that are ready for use in the namespace we are in: scope 0x20, not tentative (0x40).
 */
static int link_local_ready(void)
{
    FILE *in = fopen("/proc/net/if_inet6", "r");
    unsigned scope, flags;
    int n = 0;

    assert_non_null(in);
    while (fscanf(in, "%*s %*x %*x %x %x %*s", &scope, &flags) == 2)
        n += scope == 0x20 && !(flags & 0x40);
    fclose(in);
    return n;
}

/* The kernel gives a link its own address some time after it is up: what a test finds must not depend on
 * when. */
static void await_link_local(enum lab_host host, int devices)
{
    lab_enter(host);
    for (int ms = 0; link_local_ready() < devices; ms += 10) {
        assert_true(ms < 10000);
        usleep(10000);
    }
}

int lab_setup(void **state)
{
    home = open_netns();
    for (int host = 0; host < LAB_HOSTS; host++) {
        assert_int_equal(unshare(CLONE_NEWNET), 0);
        hosts[host] = open_netns();
    }
    for (int host = 0; host < LAB_HOSTS; host++) {
        /* A new namespace starts with some of the machine's settings: say what they are here. */
        lab_run((enum lab_host)host,
            "ip link set lo up; cd /proc/sys/net; for f in ipv4/conf/all ipv4/conf/default; do "
            "echo 0 >$f/rp_filter; done; echo 1 >ipv4/tcp_timestamps; echo 0 >ipv6/conf/default/accept_dad");
    }
    lab_run(LAB_GATEWAY, "cd /proc/sys/net; echo 1 >ipv4/ip_forward; echo 1 >ipv6/conf/all/forwarding");
    join(LAB_CLIENT_DEVICE, LAB_CLIENT, "198.51.100.", "2001:db8:c::", LAB_CLIENT_V4, LAB_CLIENT_V6);
    join(LAB_BACKEND_DEVICE, LAB_BACKEND, "10.2.0.", "2001:db8:2::", LAB_BACKEND_V4, LAB_BACKEND_V6);
    await_link_local(LAB_CLIENT, 1);
    await_link_local(LAB_BACKEND, 1);
    await_link_local(LAB_GATEWAY, 2);
    return 0;
}

void lab_insert_router(unsigned mtu)
{
    lab_move(LAB_BACKEND, "eth0", LAB_ROUTER); /* loses its addresses */
    lab_run(LAB_ROUTER,
        "ip link set eth0 up; ip addr add 10.2.0.2/24 dev eth0; ip addr add 2001:db8:2::2/64 dev eth0 nodad; "
        "ip route add default via 10.2.0.1; ip -6 route add default via 2001:db8:2::1; "
        "cd /proc/sys/net; echo 1 >ipv4/ip_forward; echo 1 >ipv6/conf/all/forwarding; "
        "ip link add eth1 type veth peer name eth0 netns /proc/%d/fd/%d; ip link set eth1 up mtu %u; "
        "ip addr add 10.3.0.1/24 dev eth1; ip addr add 2001:db8:3::1/64 dev eth1 nodad",
        getpid(), hosts[LAB_BACKEND], mtu);
    lab_run(LAB_BACKEND,
        "ip link set eth0 up; ip addr add 10.3.0.11/24 dev eth0; ip addr add 2001:db8:3::11/64 dev eth0 "
        "nodad; "
        "ip addr add " LAB_BACKEND_V4 "/32 dev eth0; ip addr add " LAB_BACKEND_V6 "/128 dev eth0 nodad; "
        "ip route add default via 10.3.0.1; ip -6 route add default via 2001:db8:3::1");
    lab_run(LAB_ROUTER, "ip route add " LAB_BACKEND_V4 " via 10.3.0.11; "
                        "ip -6 route add " LAB_BACKEND_V6 " via 2001:db8:3::11");
    lab_run(LAB_GATEWAY, "ip route add " LAB_BACKEND_V4 " via 10.2.0.2; "
                         "ip -6 route add " LAB_BACKEND_V6 " via 2001:db8:2::2");
}

int lab_teardown(void **state)
{
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    close(home);
    for (int host = 0; host < LAB_HOSTS; host++) {
        close(hosts[host]);
        hosts[host] = -1;
    }
    return 0;
}

union addr lab_addr(const char *text)
{
    union addr a = {0};

    if (addr_parse(text, &a))
        fail_msg("not an address: %s", text);
    return a;
}

static int open_socket(enum lab_host host, sa_family_t family)
{
    lab_enter(host);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    lab_enter(LAB_GATEWAY);
    assert_true(fd >= 0);
    return fd;
}

static void set_option(int fd, int level, int name)
{
    int yes = 1;

    assert_int_equal(setsockopt(fd, level, name, &yes, sizeof(yes)), 0);
}

/* addr_parse() wants a port; 0 is one for a listener. */
static union addr listen_addr(const char *text)
{
    size_t len = strlen(text);
    char with_port[ADDR_TEXT_MAX];
    union addr a;

    if (len < 2 || strcmp(text + len - 2, ":0") != 0)
        return lab_addr(text);
    snprintf(with_port, sizeof(with_port), "%.*s1", (int)len - 1, text);
    a = lab_addr(with_port);
    addr_set_port(&a, 0);
    return a;
}

int lab_listen(enum lab_host host, const char *address)
{
    union addr a = listen_addr(address);
    int fd = open_socket(host, a.sa.sa_family);

    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (a.sa.sa_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    assert_int_equal(bind(fd, &a.sa, addr_len(&a)), 0);
    assert_int_equal(listen(fd, 1024), 0);
    return fd;
}

static int wait_for(int fd, short events, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;

    do
        n = poll(&p, 1, wait_ms);
    while (n < 0 && errno == EINTR);
    return n;
}

static int bind_source(int fd, const char *source, unsigned options)
{
    union addr a = listen_addr(source);
    bool v6 = a.sa.sa_family == AF_INET6;

    if (options & LAB_TRANSPARENT)
        set_option(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT);
    if (options & LAB_REUSEADDR)
        set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (options & LAB_BIND_NO_PORT)
        set_option(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT);
    return bind(fd, &a.sa, addr_len(&a)) ? -errno : 0;
}

static int finish_connect(int fd, int wait_ms)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (wait_for(fd, POLLOUT, wait_ms) != 1)
        return -ETIMEDOUT;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    return -err;
}

int lab_try(enum lab_host host, const char *source, const char *dest, unsigned options, int wait_ms)
{
    union addr to = lab_addr(dest);
    int fd = open_socket(host, to.sa.sa_family);
    int err = source ? bind_source(fd, source, options) : 0;

    if (!err && connect(fd, &to.sa, addr_len(&to)))
        err = errno == EINPROGRESS ? finish_connect(fd, wait_ms) : -errno;
    if (!err)
        return fd;
    close(fd);
    return err;
}

int lab_connect(enum lab_host host, const char *source, const char *dest, unsigned options)
{
    int fd = lab_try(host, source, dest, options, DEADLINE_MS);

    if (fd < 0)
        fail_msg("cannot connect from %s to %s: %s", source ? source : "anywhere", dest, strerror(-fd));
    return fd;
}

int lab_accept(int listener, union addr *ret_peer)
{
    union addr peer = {0};
    socklen_t len = sizeof(peer);

    assert_int_equal(wait_for(listener, POLLIN, DEADLINE_MS), 1);
    int fd = accept4(listener, &peer.sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fd >= 0);
    if (ret_peer)
        *ret_peer = peer;
    return fd;
}

void lab_expect_nobody(int listener)
{
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
}

static void expect_byte(int from, int to, char byte)
{
    char got = 0;

    assert_int_equal(send(from, &byte, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(wait_for(to, POLLIN, DEADLINE_MS), 1);
    assert_int_equal(recv(to, &got, 1, 0), 1);
    assert_int_equal(got, byte);
}

void lab_expect_talk(int a, int b)
{
    expect_byte(a, b, 'a');
    expect_byte(b, a, 'b');
}

void lab_expect_end(int fd)
{
    char byte;

    assert_int_equal(wait_for(fd, POLLIN, DEADLINE_MS), 1);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

char *lab_local(int fd, char text[ADDR_TEXT_MAX])
{
    union addr a = {0};
    socklen_t len = sizeof(a);

    assert_int_equal(getsockname(fd, &a.sa, &len), 0);
    return addr_format(&a, text);
}
