/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sockets_each() -> one dump of inet_diag for each family -> each socket to the caller. Failure: the kernel's
 * own errno; a host without IPv6 has no such sockets, which is none.
 *
 * Called by preflight.c and gateway.c, control thread only.
 */
#include "control/kernel/sockets.h"

#include "control/kernel/netlink.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <string.h>

struct dump {
    socket_fn *each;
    void *arg;
};

static int on_socket(struct nl_msg *msg, void *arg)
{
    const struct dump *dump = arg;
    struct nlattr *a[INET_DIAG_MAX + 1];
    const struct inet_diag_msg *diag = nlmsg_data(nlmsg_hdr(msg));

    if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*diag), a, INET_DIAG_MAX, NULL) < 0)
        return NL_SKIP;
    struct socket_found found = {.device = diag->id.idiag_if};
    found.v6_only = a[INET_DIAG_SKV6ONLY] && nla_get_u8(a[INET_DIAG_SKV6ONLY]);
    found.local.sa.sa_family = diag->idiag_family;
    if (diag->idiag_family == AF_INET6)
        memcpy(&found.local.v6.sin6_addr, diag->id.idiag_src, 16);
    else
        memcpy(&found.local.v4.sin_addr, diag->id.idiag_src, 4);
    addr_set_port(&found.local, ntohs(diag->id.idiag_sport));
    dump->each(&found, dump->arg);
    return NL_OK;
}

static int dump_family(struct nl_sock *sk, sa_family_t family, enum socket_states states, struct dump *dump)
{
    struct inet_diag_req_v2 request = {
        .sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = states};
    struct nl_msg *msg = nlmsg_alloc_simple(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);

    if (msg)
        (void)nlmsg_append(msg, &request, sizeof(request), NLMSG_ALIGNTO);
    return netlink_request(sk, msg, on_socket, dump);
}

int sockets_each(enum socket_states states, socket_fn *each, void *arg)
{
    struct dump dump = {.each = each, .arg = arg};
    struct nl_sock *sk = NULL;
    int err = netlink_open(NETLINK_SOCK_DIAG, &sk);

    if (!err)
        err = dump_family(sk, AF_INET, states, &dump);
    if (!err) {
        err = dump_family(sk, AF_INET6, states, &dump);
        if (err == -ENOENT)
            err = 0;
    }
    nl_socket_free(sk);
    return err;
}

struct handshakes {
    const struct snapshot *s;
    bool found;
};

static void on_handshake(const struct socket_found *found, void *arg)
{
    struct handshakes *h = arg;
    h->found |= snapshot_find_listener(h->s, &found->local) != NULL;
}

bool sockets_handshaking(const struct snapshot *s)
{
    struct handshakes h = {.s = s};

    /* Where inet_diag is missing preflight has said so. */
    (void)sockets_each(SOCKETS_SYN_RECV, on_handshake, &h);
    return h.found;
}
