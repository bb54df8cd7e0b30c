/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the kernel's routing side over libnl, with the kernel's own errno in the answer (libnl folds
 * many of them into one code, and "blackhole" must be told from "no route"). Thread: control.
 */
#ifndef POSTERN_CONTROL_NETLINK_H
#define POSTERN_CONTROL_NETLINK_H

#include <errno.h>
#include <linux/netlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdbool.h>
#include <sys/socket.h>

struct netlink_answer {
    int error;
    bool done;
};

static inline int netlink_on_error(struct sockaddr_nl *who, struct nlmsgerr *e, void *arg)
{
    struct netlink_answer *answer = arg;

    answer->error = e->error;
    answer->done = true;
    return NL_STOP;
}

static inline int netlink_on_ack(struct nl_msg *msg, void *arg)
{
    ((struct netlink_answer *)arg)->done = true;
    return NL_STOP;
}

/* The end of a dump carries an error number of its own. */
static inline int netlink_on_finish(struct nl_msg *msg, void *arg)
{
    struct netlink_answer *answer = arg;
    struct nlmsghdr *header = nlmsg_hdr(msg);

    if (nlmsg_datalen(header) >= (int)sizeof(int))
        answer->error = *(const int *)nlmsg_data(header);
    answer->done = true;
    return NL_STOP;
}

/* A blocking socket for requests of a netlink protocol. Dumps honour the filters in their header (strict
 * checking). */
static inline int netlink_open(int protocol, struct nl_sock **ret)
{
    struct nl_sock *sk = nl_socket_alloc();
    int yes = 1;

    if (!sk)
        return -ENOMEM;
    if (nl_connect(sk, protocol) < 0) {
        int err = errno ? -errno : -EIO;
        nl_socket_free(sk);
        return err;
    }
    (void)setsockopt(nl_socket_get_fd(sk), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &yes, sizeof(yes));
    *ret = sk;
    return 0;
}

/*
 * Sends `msg` (taken, NULL means out of memory) and waits for the end of the answer; each message of it goes
 * to `each`. 0 or -errno; -EINTR when a dump was overtaken by a change: ask again.
 */
static inline int netlink_request(struct nl_sock *sk, struct nl_msg *msg, nl_recvmsg_msg_cb_t each, void *arg)
{
    struct netlink_answer answer = {0};
    struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
    int sent = msg && cb ? nl_send_auto(sk, msg) : -NLE_NOMEM;

    nlmsg_free(msg);
    if (sent < 0) {
        if (cb)
            nl_cb_put(cb);
        return sent == -NLE_NOMEM ? -ENOMEM : -EIO;
    }
    if (each)
        nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, each, arg);
    nl_cb_err(cb, NL_CB_CUSTOM, netlink_on_error, &answer);
    nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, netlink_on_ack, &answer);
    nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, netlink_on_finish, &answer);
    while (!answer.done) {
        int err = nl_recvmsgs(sk, cb);
        if (err < 0 && !answer.done) {
            answer.error = err == -NLE_DUMP_INTR ? -EINTR : -EIO;
            answer.done = true;
        }
    }
    nl_cb_put(cb);
    return answer.error;
}

#endif
