/* SPDX-License-Identifier: Apache-2.0 */
/* Happy path: one dump of the kernel's table. What is not told there is not known, so false. Called by
 * network.c. */
#include "tools/doctor/neighbour_cache.h"

#include "control/kernel/netlink.h"

#include <linux/neighbour.h>
#include <string.h>

struct search {
    const uint8_t *bytes;
    size_t len;
    bool silent;
};

static int on_neighbour(struct nl_msg *msg, void *arg)
{
    struct search *s = arg;
    struct nlattr *a[NDA_MAX + 1];
    const struct ndmsg *n = nlmsg_data(nlmsg_hdr(msg));

    if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*n), a, NDA_MAX, NULL) < 0 || !a[NDA_DST])
        return NL_SKIP;
    if (nla_len(a[NDA_DST]) == (int)s->len && memcmp(nla_data(a[NDA_DST]), s->bytes, s->len) == 0)
        s->silent |= (n->ndm_state & (NUD_FAILED | NUD_INCOMPLETE | NUD_PROBE)) != 0;
    return NL_OK;
}

bool neighbour_is_silent(const union addr *a)
{
    struct ndmsg header = {.ndm_family = (uint8_t)a->sa.sa_family};
    struct search s = {0};
    struct nl_sock *sk;

    s.bytes = addr_bytes(a, &s.len);
    if (netlink_open(NETLINK_ROUTE, &sk))
        return false;
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETNEIGH, NLM_F_DUMP);
    if (msg)
        (void)nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO);
    int error = netlink_request(sk, msg, on_neighbour, &s);
    nl_socket_free(sk);
    return !error && s.silent;
}
