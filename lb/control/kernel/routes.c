/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows the routes to the backends, so that the return program is wherever their answers come in.
 *
 * Happy path: routes_open() asks for the route to each backend (all next hops) and attaches to their
 * interfaces. Any report on the event socket leads to one new round of questions, however many reports had
 * piled up; what a report says is not looked at, so losing some (ENOBUFS) costs nothing.
 *
 * Failure paths: at start a backend without a route is an error for the caller; later it is a log line, and
 * so is its return. An interface that disappears takes the kernel's link with it: bpf_return_attached()
 * tells, and its successor, even one with the same number, gets a new one.
 *
 * Called by gateway.c, control thread only.
 */
#include "control/kernel/routes.h"

#include "control/kernel/netlink.h"
#include "log.h"

#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTERFACES_MAX 256
#define BACKENDS_TEXT_MAX 256
#define REPORTS_PER_ROUND 4096
#define GROUP_MAX 128

/* One backend address and what is known of its route. */
struct target {
    const struct snapshot_backend *backend;
    const union addr *address;
    const char *trouble; /* NULL: reachable */
};

struct interface {
    int ifindex;
    char name[IF_NAMESIZE];
    char backends[BACKENDS_TEXT_MAX];
    char before[BACKENDS_TEXT_MAX]; /* `backends` of the round before */
};

struct routes {
    struct bpf *b;
    struct nl_sock *requests, *events;
    struct target targets[2 * SNAPSHOT_BACKENDS_MAX];
    uint32_t n_targets;
    struct interface interfaces[INTERFACES_MAX];
    uint32_t n_interfaces;
};

/* What one question is answered with. */
struct answer {
    struct routes *r;
    const struct target *target;
    int type; /* of the route */
    uint32_t next_hops, dead_hops;
    uint32_t object;             /* a next hop object that was named instead of interfaces; 0: none */
    uint32_t members[GROUP_MAX]; /* the object is a group of these */
    uint32_t n_members;
    bool no_room;
};

static const char no_room[] = "it is behind more interfaces than postern can follow";
static const char no_carrier[] = "the link towards it has no carrier";
static const char own_host[] = "it is an address of this very host";

static void list_targets(struct routes *r, const struct snapshot *s)
{
    static const sa_family_t families[] = {AF_INET, AF_INET6};

    for (uint32_t i = 0; i < s->n_backends; i++) {
        const struct snapshot_backend *backend = &s->backends[i];
        if (backend->source != SOURCE_CLIENT)
            continue;
        for (uint32_t f = 0; f < 2; f++) {
            const union addr *address = snapshot_backend_addr(backend, families[f]);
            if (address)
                r->targets[r->n_targets++] = (struct target){.backend = backend, .address = address};
        }
    }
}

/* Adds a name to a list with commas, unless it is there already; a full list ends in "...". */
static void add_name(char list[BACKENDS_TEXT_MAX], const char *name)
{
    size_t len = strlen(list), name_len = strlen(name);

    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == name_len && !memcmp(at, name, name_len))
            return;
    if (len + name_len + sizeof(",,...") <= BACKENDS_TEXT_MAX)
        snprintf(list + len, BACKENDS_TEXT_MAX - len, "%s%s", len ? "," : "", name);
    else if (len < 4 || strcmp(list + len - 4, ",...") != 0)
        snprintf(list + len, BACKENDS_TEXT_MAX - len, ",...");
}

static void add_next_hop(struct answer *answer, int ifindex, unsigned flags)
{
    struct routes *r = answer->r;
    struct interface *found = NULL;

    answer->next_hops++;
    answer->dead_hops += !!(flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN));
    for (uint32_t i = 0; i < r->n_interfaces && !found; i++)
        if (r->interfaces[i].ifindex == ifindex)
            found = &r->interfaces[i];
    if (!found && r->n_interfaces == INTERFACES_MAX) {
        answer->no_room = true;
        return;
    }
    if (!found) {
        found = &r->interfaces[r->n_interfaces++];
        *found = (struct interface){.ifindex = ifindex};
    }
    add_name(found->backends, answer->target->backend->name);
}

static int on_route(struct nl_msg *msg, void *arg)
{
    struct answer *answer = arg;
    struct nlattr *a[RTA_MAX + 1];
    const struct rtmsg *rt = nlmsg_data(nlmsg_hdr(msg));

    if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*rt), a, RTA_MAX, NULL) < 0)
        return NL_SKIP;
    answer->type = rt->rtm_type;
    if (rt->rtm_type != RTN_UNICAST)
        return NL_OK;
    if (a[RTA_MULTIPATH]) {
        const struct rtnexthop *hop = nla_data(a[RTA_MULTIPATH]);
        int left = nla_len(a[RTA_MULTIPATH]);
        for (; left >= (int)sizeof(*hop) && RTNH_OK(hop, left);
             left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
            add_next_hop(answer, hop->rtnh_ifindex, hop->rtnh_flags);
    } else if (!a[RTA_OIF] && a[RTA_NH_ID]) {
        answer->object = nla_get_u32(a[RTA_NH_ID]);
    } else if (a[RTA_OIF]) {
        add_next_hop(answer, (int)nla_get_u32(a[RTA_OIF]), rt->rtm_flags);
    }
    return NL_OK;
}

/* RTM_F_FIB_MATCH answers with the routing table's entry: all its next hops, not the one chosen now. */
static int ask_kernel(struct answer *answer)
{
    const union addr *to = answer->target->address;
    struct rtmsg header = {.rtm_family = to->sa.sa_family, .rtm_flags = RTM_F_FIB_MATCH};
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
    size_t len;
    const uint8_t *bytes = addr_bytes(to, &len);

    header.rtm_dst_len = (unsigned char)(8 * len);
    if (msg) {
        (void)nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO);
        (void)nla_put(msg, RTA_DST, (int)len, bytes);
    }
    return netlink_request(answer->r->requests, msg, on_route, answer);
}

static int on_next_hop_object(struct nl_msg *msg, void *arg)
{
    struct answer *answer = arg;
    struct nlattr *a[NHA_MAX + 1];
    const struct nhmsg *nh = nlmsg_data(nlmsg_hdr(msg));

    if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*nh), a, NHA_MAX, NULL) < 0)
        return NL_SKIP;
    if (a[NHA_OIF])
        add_next_hop(answer, (int)nla_get_u32(a[NHA_OIF]), nh->nh_flags);
    if (!a[NHA_GROUP])
        return NL_OK;
    const struct nexthop_grp *members = nla_data(a[NHA_GROUP]);
    uint32_t n = (uint32_t)nla_len(a[NHA_GROUP]) / sizeof(*members);
    answer->no_room |= n > GROUP_MAX;
    for (uint32_t i = 0; i < n && i < GROUP_MAX; i++)
        answer->members[answer->n_members++] = members[i].id;
    return NL_OK;
}

static int ask_next_hop_object(struct answer *answer, uint32_t id)
{
    struct nhmsg header = {.nh_family = AF_UNSPEC};
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETNEXTHOP, 0);

    if (msg) {
        (void)nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO);
        (void)nla_put_u32(msg, NHA_ID, id);
    }
    return netlink_request(answer->r->requests, msg, on_next_hop_object, answer);
}

/* With net.ipv4.nexthop_compat_mode=0 a route names its next hop object only. Groups hold no groups. */
static int resolve_next_hop_object(struct answer *answer)
{
    int err = ask_next_hop_object(answer, answer->object);
    uint32_t n = answer->n_members;

    answer->n_members = 0;
    for (uint32_t i = 0; i < n && !err; i++)
        err = ask_next_hop_object(answer, answer->members[i]);
    return err == -ENOENT ? 0 : err; /* gone meanwhile: a report is on its way */
}

/* What is wrong with a route, by the kernel's error or the route's type. NULL: nothing. */
static const char *trouble_of(int err, int type)
{
    if (err == -ENETUNREACH)
        return "there is no route to it";
    if (err == -EHOSTUNREACH || type == RTN_UNREACHABLE)
        return "its route is of type unreachable";
    if (err == -EINVAL || type == RTN_BLACKHOLE)
        return "its route is of type blackhole";
    if (err == -EACCES || type == RTN_PROHIBIT)
        return "its route is of type prohibit";
    if (type == RTN_LOCAL)
        return own_host;
    return type == RTN_UNICAST ? NULL : "its route leads to no single host";
}

/* Asks for one target. 0, also when it is unreachable (then *ret_trouble says why); -errno when asking
 * failed. */
static int ask(struct routes *r, const struct target *target, const char **ret_trouble)
{
    struct answer answer = {.r = r, .target = target, .type = RTN_UNSPEC};
    int err = ask_kernel(&answer);

    if (!err && answer.object)
        err = resolve_next_hop_object(&answer);
    switch (-err) {
    case 0:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EINVAL:
    case EACCES:
        *ret_trouble = trouble_of(err, answer.type);
        if (answer.no_room)
            *ret_trouble = no_room;
        else if (answer.next_hops && answer.dead_hops == answer.next_hops)
            *ret_trouble = no_carrier;
        return 0;
    default:
        return err;
    }
}

static void say_target(const struct target *t, const char *trouble)
{
    char text[ADDR_TEXT_MAX];

    addr_format(t->address, text);
    if (trouble)
        log_event(LOG_LEVEL_WARNING, "backend_unreachable", "backend=%s address=%s error=\"%s\"",
            t->backend->name, text, trouble);
    else
        log_event(LOG_LEVEL_INFO, "backend_reachable", "backend=%s address=%s", t->backend->name, text);
}

static void say_interface(const struct interface *i, const char *change)
{
    log_event(LOG_LEVEL_INFO, "return_path", "interface=%s backends=%s change=%s", i->name,
        *i->backends ? i->backends : "-", change);
}

/* Makes one interface carry the program. 0 or -errno. */
static int attach(struct routes *r, struct interface *i)
{
    if (!r->b || bpf_return_attached(r->b, i->ifindex)) {
        if (r->b && strcmp(i->backends, i->before) != 0)
            say_interface(i, *i->before ? "backends" : "in_use");
        return 0;
    }
    int err = bpf_return_attach(r->b, i->ifindex);
    if (!err)
        say_interface(i, "attached");
    return err;
}

/* An interface that no backend is behind now: false when it is gone and is to be forgotten. */
static bool keep_idle(struct routes *r, const struct interface *i)
{
    if (r->b && bpf_return_attached(r->b, i->ifindex)) {
        if (*i->before)
            say_interface(i, "idle");
        return true;
    }
    if (r->b) {
        bpf_return_detach(r->b, i->ifindex);
        say_interface(i, "gone");
    }
    return false;
}

/* Brings the links in line with the interfaces found. Goes on after a failure; the first one is returned. */
static int settle_interfaces(struct routes *r, const char **ret_name)
{
    int first = 0;

    for (uint32_t n = 0; n < r->n_interfaces;) {
        struct interface *i = &r->interfaces[n];
        if (!*i->backends && !keep_idle(r, i)) {
            *i = r->interfaces[--r->n_interfaces];
            continue;
        }
        n++;
        if (!*i->backends)
            continue;
        (void)if_indextoname((unsigned)i->ifindex, i->name); /* it may have been renamed */
        int err = attach(r, i);
        if (err && !first) {
            first = err;
            *ret_name = i->name;
        }
    }
    return first;
}

static void begin_round(struct routes *r)
{
    for (uint32_t n = 0; n < r->n_interfaces; n++) {
        memcpy(r->interfaces[n].before, r->interfaces[n].backends, BACKENDS_TEXT_MAX);
        r->interfaces[n].backends[0] = '\0';
    }
}

static int open_events(struct routes *r)
{
    r->events = nl_socket_alloc();
    if (!r->events)
        return -ENOMEM;
    nl_socket_disable_seq_check(r->events);
    if (nl_connect(r->events, NETLINK_ROUTE) < 0 || nl_socket_set_nonblocking(r->events) < 0 ||
        nl_socket_add_memberships(r->events, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
            RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP,
            0) < 0)
        return errno ? -errno : -EIO;
    return 0;
}

/* The first round: a configured backend that cannot be reached is an error. */
static int first_round(struct routes *r, char *ret_error, size_t error_size)
{
    char text[ADDR_TEXT_MAX], host[ADDR_TEXT_MAX];
    const char *name = "?";

    for (uint32_t i = 0; i < r->n_targets; i++) {
        struct target *t = &r->targets[i];
        int err = ask(r, t, &t->trouble);
        addr_format(t->address, text);
        addr_format_host(t->address, host);
        if (err) {
            snprintf(ret_error, error_size, "cannot ask for the route to backend %s (%s): %s",
                t->backend->name, text, strerror(-err));
            return err;
        }
        if (t->trouble == own_host && !t->backend->by_operator) {
            snprintf(ret_error, error_size,
                "backend %s (%s) cannot be served with source: client: %s. Give it a host of its own, or use "
                "source: gateway with proxy_protocol: v2",
                t->backend->name, text, own_host);
            return -EINVAL;
        }
        /* Nothing to configure: it may come up any time, or an operator has chosen it. */
        if (t->trouble == no_carrier || (t->trouble && t->backend->by_operator)) {
            say_target(t, t->trouble);
        } else if (t->trouble) {
            snprintf(ret_error, error_size, "backend %s (%s) cannot be reached: %s. See: ip route get %s",
                t->backend->name, text, t->trouble, host);
            return -ENETUNREACH;
        }
    }
    int err = settle_interfaces(r, &name);
    if (err)
        snprintf(ret_error, error_size, "cannot attach the return program to interface %s: %s", name,
            strerror(-err));
    return err;
}

int routes_open(
    const struct snapshot *s, struct bpf *b, struct routes **ret, char *ret_error, size_t error_size)
{
    struct routes *r = calloc(1, sizeof(*r));
    int err = -ENOMEM;

    if (!r)
        goto fail;
    r->b = b;
    list_targets(r, s);
    err = open_events(r); /* before asking: no change goes unnoticed */
    if (!err)
        err = netlink_open(NETLINK_ROUTE, &r->requests);
    if (err)
        goto fail;
    err = first_round(r, ret_error, error_size);
    if (err)
        goto out;
    *ret = r;
    return 0;

fail:
    snprintf(ret_error, error_size, "cannot ask the kernel for routes: %s", strerror(-err));
out:
    routes_close(r);
    return err;
}

int routes_look(const struct snapshot *s, routes_look_fn *each, void *arg)
{
    struct routes *r = calloc(1, sizeof(*r));
    char name[IF_NAMESIZE];
    int err = r ? netlink_open(NETLINK_ROUTE, &r->requests) : -ENOMEM;

    if (!err)
        list_targets(r, s);
    for (uint32_t i = 0; !err && i < r->n_targets; i++) {
        struct target *t = &r->targets[i];
        r->n_interfaces = 0;
        err = ask(r, t, &t->trouble);
        if (!err && t->trouble)
            each(t->backend, t->address, "", t->trouble, arg);
        for (uint32_t k = 0; !err && !t->trouble && k < r->n_interfaces; k++)
            if (if_indextoname((unsigned)r->interfaces[k].ifindex, name))
                each(t->backend, t->address, name, NULL, arg);
    }
    if (r)
        nl_socket_free(r->requests);
    free(r);
    return err;
}

void routes_close(struct routes *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->n_interfaces && r->b; i++)
        bpf_return_detach(r->b, r->interfaces[i].ifindex);
    nl_socket_free(r->requests);
    nl_socket_free(r->events);
    free(r);
}

int routes_fd(const struct routes *r)
{
    return nl_socket_get_fd(r->events);
}

/* Takes what is pending, unread: any report is a reason to ask. Bounded; the rest keeps the descriptor
 * readable. */
static bool something_changed(struct routes *r)
{
    char scratch[64];
    bool changed = false;

    for (uint32_t n = 0; n < REPORTS_PER_ROUND; n++) {
        ssize_t got = recv(routes_fd(r), scratch, sizeof(scratch), MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0 && errno != ENOBUFS && errno != EINTR)
            break;
        changed = true;
    }
    return changed;
}

/* Asks for every target, and brings the links in line with the answers. */
static int next_round(struct routes *r)
{
    const char *name = "?";

    begin_round(r);
    for (uint32_t i = 0; i < r->n_targets; i++) {
        struct target *t = &r->targets[i];
        const char *trouble = NULL;
        int err = ask(r, t, &trouble);
        if (err) {
            log_event(LOG_LEVEL_ERROR, "return_path_failed", "backend=%s error=\"%s\"", t->backend->name,
                strerror(-err));
            return err;
        }
        if (trouble != t->trouble)
            say_target(t, trouble);
        t->trouble = trouble;
    }
    int err = settle_interfaces(r, &name);
    if (err == -ENODEV)
        return 0; /* it went away meanwhile: the next report is on its way */
    if (err)
        log_event(LOG_LEVEL_ERROR, "return_path_failed", "interface=%s error=\"%s\"", name, strerror(-err));
    return err;
}

int routes_on_event(struct routes *r)
{
    return something_changed(r) ? next_round(r) : 0;
}

int routes_change(struct routes *r, const struct snapshot *s)
{
    struct target *before = malloc(sizeof(r->targets));
    uint32_t n = r->n_targets;

    if (!before)
        return -ENOMEM;
    memcpy(before, r->targets, sizeof(r->targets));
    r->n_targets = 0;
    list_targets(r, s);
    for (uint32_t i = 0; i < r->n_targets; i++)
        for (uint32_t k = 0; k < n; k++)
            if (addr_same_host(r->targets[i].address, before[k].address))
                r->targets[i].trouble = before[k].trouble;
    free(before);
    return next_round(r);
}

void routes_each_interface(const struct routes *r,
    void (*each)(int ifindex, const char *name, const char *backends, void *arg), void *arg)
{
    for (uint32_t i = 0; i < r->n_interfaces; i++)
        each(r->interfaces[i].ifindex, r->interfaces[i].name, r->interfaces[i].backends, arg);
}
