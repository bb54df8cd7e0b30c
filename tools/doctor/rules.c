/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the kernel lists its rules in the order in which it asks them, and says where it would lead a
 * packet. Failure path: its own errno. Called by check_ways.c.
 */
#include "tools/doctor/rules.h"

#include "control/kernel/host.h"
#include "control/kernel/netlink.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

bool rule_may_match(const struct rule *r, const struct rule_packet *p)
{
    bool from = r->from.len == 0 || addr_in_prefix(p->from, &r->from);
    bool matches = ((r->mark ^ p->mark) & r->mask) == 0 && from &&
                   (!r->interface[0] || strcmp(r->interface, p->interface) == 0);

    return matches != r->inverted;
}

struct search {
    const struct rule_packet *packet;
    uint32_t table;
    struct rule found;
    bool done; /* found, or postern's own has come */
    bool has_found;
};

static void read_rule(const struct fib_rule_hdr *header, struct nlattr **a, struct rule *r)
{
    *r = (struct rule){.family = header->family, .action = header->action, .table = header->table};
    r->priority = a[FRA_PRIORITY] ? nla_get_u32(a[FRA_PRIORITY]) : 0;
    r->mark = a[FRA_FWMARK] ? nla_get_u32(a[FRA_FWMARK]) : 0;
    r->mask = a[FRA_FWMASK] ? nla_get_u32(a[FRA_FWMASK]) : 0;
    r->table = a[FRA_TABLE] ? nla_get_u32(a[FRA_TABLE]) : header->table;
    r->protocol = a[FRA_PROTOCOL] ? nla_get_u8(a[FRA_PROTOCOL]) : 0;
    r->inverted = header->flags & FIB_RULE_INVERT;
    r->from = (struct addr_prefix){.family = header->family, .len = header->src_len};
    if (a[FRA_SRC])
        memcpy(r->from.bytes, nla_data(a[FRA_SRC]), header->family == AF_INET6 ? 16 : 4);
    if (a[FRA_IIFNAME])
        snprintf(r->interface, sizeof(r->interface), "%s", nla_get_string(a[FRA_IIFNAME]));
}

static int on_rule(struct nl_msg *msg, void *arg)
{
    struct search *s = arg;
    struct nlattr *a[FRA_MAX + 1];
    const struct fib_rule_hdr *header = nlmsg_data(nlmsg_hdr(msg));
    struct rule r;

    if (s->done || nlmsg_parse(nlmsg_hdr(msg), sizeof(*header), a, FRA_MAX, NULL) < 0)
        return NL_OK;
    read_rule(header, a, &r);
    s->done = r.protocol == HOST_PROTOCOL || r.priority > HOST_RULE_PRIORITY;
    bool leads_there = r.action != FR_ACT_TO_TBL || r.table == s->table;
    if (s->done || r.table == RT_TABLE_LOCAL || !leads_there || !rule_may_match(&r, s->packet))
        return NL_OK;
    s->found = r;
    s->done = s->has_found = true;
    return NL_OK;
}

int rules_find_before(const struct rule_packet *p, uint32_t table, struct rule *ret)
{
    struct search s = {.packet = p, .table = table};
    struct fib_rule_hdr header = {.family = p->from->sa.sa_family};
    struct nl_sock *sk = NULL;
    int error = netlink_open(NETLINK_ROUTE, &sk);

    if (!error) {
        struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETRULE, NLM_F_DUMP);
        if (msg)
            (void)nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO);
        error = netlink_request(sk, msg, on_rule, &s);
    }
    nl_socket_free(sk);
    if (error)
        return error;
    if (s.has_found)
        *ret = s.found;
    return s.has_found;
}

char *rule_format(const struct rule *r, const char *verb, uint32_t priority, char buf[RULE_TEXT_MAX])
{
    char from[ADDR_TEXT_MAX] = "all", mark[48] = "", to[32];

    if (r->from.len)
        addr_prefix_format(&r->from, from);
    if (r->mask)
        snprintf(mark, sizeof(mark), " fwmark 0x%x/0x%x", r->mark, r->mask);
    if (r->action == FR_ACT_TO_TBL)
        snprintf(to, sizeof(to), "lookup %u", r->table);
    else
        snprintf(to, sizeof(to), "%s",
            r->action == FR_ACT_BLACKHOLE     ? "blackhole"
            : r->action == FR_ACT_UNREACHABLE ? "unreachable"
            : r->action == FR_ACT_PROHIBIT    ? "prohibit"
                                              : "goto");
    snprintf(buf, RULE_TEXT_MAX, "ip %srule %s pref %u %sfrom %s%s%s%s %s",
        r->family == AF_INET6 ? "-6 " : "", verb, priority, r->inverted ? "not " : "", from,
        r->interface[0] ? " iif " : "", r->interface, mark, to);
    return buf;
}

struct route {
    int type;
    uint32_t table;
};

static int on_route(struct nl_msg *msg, void *arg)
{
    struct route *route = arg;
    struct nlattr *a[RTA_MAX + 1];
    const struct rtmsg *rt = nlmsg_data(nlmsg_hdr(msg));

    if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*rt), a, RTA_MAX, NULL) < 0)
        return NL_SKIP;
    route->type = rt->rtm_type;
    route->table = a[RTA_TABLE] ? nla_get_u32(a[RTA_TABLE]) : rt->rtm_table;
    return NL_OK;
}

int rules_ask_kernel(const struct rule_packet *p, const union addr *to, int *ret_type, uint32_t *ret_table)
{
    /* IPv6 tells the table always, and refuses to be asked for it. */
    struct rtmsg header = {
        .rtm_family = to->sa.sa_family, .rtm_flags = to->sa.sa_family == AF_INET ? RTM_F_LOOKUP_TABLE : 0};
    struct route route = {.type = RTN_UNSPEC};
    struct nl_sock *sk = NULL;
    struct nl_msg *msg = NULL;
    size_t len;

    int error = netlink_open(NETLINK_ROUTE, &sk);
    if (!error)
        msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
    if (msg) {
        const uint8_t *bytes = addr_bytes(to, &len);
        header.rtm_dst_len = header.rtm_src_len = (unsigned char)(8 * len);
        (void)nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO);
        (void)nla_put(msg, RTA_DST, (int)len, bytes);
        (void)nla_put(msg, RTA_SRC, (int)len, addr_bytes(p->from, &len));
        (void)nla_put_u32(msg, RTA_IIF, if_nametoindex(p->interface));
        (void)nla_put_u32(msg, RTA_MARK, p->mark);
    }
    if (!error)
        error = netlink_request(sk, msg, on_route, &route);
    nl_socket_free(sk);
    if (error)
        return error;
    *ret_type = route.type;
    *ret_table = route.table;
    return 0;
}
