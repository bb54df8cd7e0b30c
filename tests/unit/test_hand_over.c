/* SPDX-License-Identifier: Apache-2.0 */
/* What one process gives another arrives under its name, and nothing else does. */
#include "control/process/hand_over.h"

#include "base/fd.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct pair {
    int ours, theirs;
};

static struct pair make_pair(void)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    return (struct pair){ends[0], ends[1]};
}

static void close_pair(struct pair *p)
{
    fd_close(&p->ours);
    fd_close(&p->theirs);
}

/* As the new process finds it. */
static int inherit(struct pair *p, struct inheritance *h)
{
    char number[16];

    snprintf(number, sizeof(number), "%d", p->theirs);
    setenv(HAND_VARIABLE, number, 1);
    int error = inheritance_open(h);
    assert_null(getenv(HAND_VARIABLE));
    return error;
}

static void give(const struct pair *p, const char *name, int index, int fd)
{
    struct hand_message m = {.kind = HAND_FD};

    hand_name(m.name, name, index);
    assert_int_equal(hand_send(p->ours, &m, fd), 0);
}

static void offer(const struct pair *p)
{
    const struct hand_message m = {.kind = HAND_OFFER, .workers = 3, .seed = 7, .name = "v1-100"};
    assert_int_equal(hand_send(p->ours, &m, -1), 0);
}

static bool same_file(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void each_descriptor_is_taken_once_by_its_name(void **state)
{
    struct pair p = make_pair();
    struct inheritance h;
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC), b = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    give(&p, HAND_FD_LISTENER_V4, 0, a);
    give(&p, HAND_FD_LISTENER_V4, 1, b);
    offer(&p);
    assert_int_equal(inherit(&p, &h), 0);
    assert_int_equal(h.offer.workers, 3);
    assert_int_equal(h.offer.seed, 7);
    assert_string_equal(h.offer.name, "v1-100");
    assert_int_equal(h.offer.pid, getpid());
    assert_int_equal(inheritance_take(&h, HAND_FD_LISTENER_V4, 2), -1);
    assert_int_equal(inheritance_take(&h, HAND_FD_LISTENER_V4, -1), -1);
    int got = inheritance_take(&h, HAND_FD_LISTENER_V4, 1);
    assert_true(same_file(got, b));
    assert_int_equal(fcntl(got, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(inheritance_take(&h, HAND_FD_LISTENER_V4, 1), -1);
    int left = h.items[0].fd;
    inheritance_close(&h, true);
    assert_int_equal(fcntl(left, F_GETFD), -1);
    fd_close(&got);
    fd_close(&a);
    fd_close(&b);
    close_pair(&p);
}

static void without_the_variable_nobody_hands_over(void **state)
{
    struct inheritance h;

    unsetenv(HAND_VARIABLE);
    assert_int_equal(inheritance_open(&h), 0);
    assert_int_equal(h.socket, -1);
    setenv(HAND_VARIABLE, "987654", 1);
    assert_int_equal(inheritance_open(&h), -EBADF);
    assert_int_equal(h.socket, -1);
}

static void an_offer_that_is_cut_off_or_odd_is_refused(void **state)
{
    struct inheritance h;
    struct pair p = make_pair();

    fd_close(&p.ours);
    assert_int_equal(inherit(&p, &h), -ECONNRESET);
    inheritance_close(&h, false);
    close_pair(&p);

    p = make_pair();
    give(&p, HAND_FD_LOCK, -1, -1); /* a name, and nothing with it */
    assert_int_equal(inherit(&p, &h), -EPROTO);
    inheritance_close(&h, false);
    close_pair(&p);

    p = make_pair();
    assert_int_equal(send(p.ours, "hello", 5, 0), 5);
    assert_int_equal(inherit(&p, &h), -EPROTO);
    inheritance_close(&h, false);
    close_pair(&p);
}

static void another_version_is_refused(void **state)
{
    struct pair p = make_pair();
    struct hand_message m = {.version = HAND_VERSION + 1, .kind = HAND_OFFER}, got;
    int fd;

    assert_int_equal(send(p.ours, &m, sizeof(m), 0), sizeof(m));
    assert_int_equal(hand_receive(p.theirs, &got, &fd), -EPROTO);
    assert_int_equal(hand_receive(p.theirs, &got, &fd), -EAGAIN);
    assert_int_equal(hand_await(p.theirs, 0, &got, &fd), -ETIMEDOUT);
    close_pair(&p);
}

static int listen_at(const struct sockaddr *name, socklen_t len)
{
    int fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, name, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void a_listening_socket_is_taken_only_where_it_is(void **state)
{
    char directory[] = P_tmpdir "/postern-test-XXXXXX", at[32];
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(tcp);
    struct pair p = make_pair();
    struct inheritance h;

    assert_non_null(mkdtemp(directory));
    snprintf(path.sun_path, sizeof(path.sun_path), "%s/admin.sock", directory);
    int a = listen_at((struct sockaddr *)&path, sizeof(path)), b = listen_at((struct sockaddr *)&tcp, len);
    assert_int_equal(getsockname(b, (struct sockaddr *)&tcp, &len), 0);
    snprintf(at, sizeof(at), "127.0.0.1:%u", ntohs(tcp.sin_port));
    give(&p, HAND_FD_ADMIN, -1, a);
    give(&p, HAND_FD_HTTP, -1, b);
    offer(&p);
    assert_int_equal(inherit(&p, &h), 0);
    assert_int_equal(inheritance_take_at(&h, HAND_FD_HTTP, "127.0.0.1:1"), -1);
    assert_int_equal(inheritance_take_at(&h, HAND_FD_HTTP, ""), -1);
    int got = inheritance_take_at(&h, HAND_FD_HTTP, at);
    assert_true(got >= 0);
    assert_int_equal(inheritance_take_at(&h, HAND_FD_ADMIN, "/elsewhere"), -1);
    inheritance_close(&h, false);
    assert_int_equal(access(path.sun_path, F_OK), 0);
    fd_close(&got);

    give(&p, HAND_FD_ADMIN, -1, a);
    offer(&p);
    assert_int_equal(inherit(&p, &h), 0);
    inheritance_close(&h, true); /* nobody listens there any more */
    assert_int_equal(access(path.sun_path, F_OK), -1);
    rmdir(directory);
    fd_close(&a);
    fd_close(&b);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_descriptor_is_taken_once_by_its_name),
        cmocka_unit_test(without_the_variable_nobody_hands_over),
        cmocka_unit_test(an_offer_that_is_cut_off_or_odd_is_refused),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(a_listening_socket_is_taken_only_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
