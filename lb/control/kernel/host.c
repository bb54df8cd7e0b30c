/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's rules and routes: compares what is wanted with what is there, and makes up the difference.
 *
 * Happy path: host_open() lists what the snapshot wants (items in state ADD) and reads the kernel's rules and
 * the two tables concerned; what is found turns items into KEEP, or is listed as REMOVE when it is ours and
 * wanted no more. host_apply() walks the list in order; host_undo() reads again and removes all that is ours,
 * VIPs first.
 *
 * Failure paths: nothing is ever removed that does not carry our protocol number; a foreign rule at our
 * priority or a foreign route in our table becomes a note. Removing what is gone already is no error.
 *
 * Called by gateway.c, control thread only.
 */
#include "control/kernel/host.h"

#include "bpf/abi.h"
#include "control/kernel/interface.h"
#include "control/kernel/netlink.h"
#include "log.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ITEM_TEXT_MAX 160
#define READ_TRIES 5

enum item_kind { ITEM_TABLE_ROUTE, ITEM_RULE, ITEM_VIP };
enum item_state { STATE_ADD, STATE_KEEP, STATE_OWN, STATE_REMOVE };

struct item {
    enum item_kind kind;
    enum item_state state;
    sa_family_t family;
    uint8_t type;            /* of a route: RTN_LOCAL but for odd leftovers */
    uint32_t oif;            /* of a route: lo but for odd leftovers; 0 when it has none */
    struct addr_prefix dest; /* of a route; length 0 is "default" */
};

struct host {
    const struct snapshot *s;
    struct nl_sock *sk;
    uint32_t lo;
    bool has_ipv6;
    struct item *items;
    size_t n_items, items_size;
    char *notes; /* what others have in our places: lines */
    size_t notes_size;
    FILE *notes_out; /* open while reading */
    int error;       /* of a callback, while reading */
};

static const sa_family_t families[] = {AF_INET, AF_INET6};

static int add_item(struct host *h, const struct item *item)
{
    if (h->n_items == h->items_size) {
        size_t size = h->items_size ? 2 * h->items_size : 32;
        struct item *items = realloc(h->items, size * sizeof(*items));
        if (!items)
            return -ENOMEM;
        h->items = items;
        h->items_size = size;
    }
    h->items[h->n_items++] = *item;
    return 0;
}

static bool family_is_transparent(const struct snapshot *s, sa_family_t family)
{
    for (uint32_t i = 0; i < s->n_backends; i++)
        if (s->backends[i].source == SOURCE_CLIENT && snapshot_backend_addr(&s->backends[i], family))
            return true;
    return false;
}

static bool same_prefix(const struct addr_prefix *a, const struct addr_prefix *b)
{
    return a->family == b->family && a->len == b->len && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static struct item *find_vip(struct host *h, const struct addr_prefix *p)
{
    for (size_t i = 0; i < h->n_items; i++)
        if (h->items[i].kind == ITEM_VIP && h->items[i].state != STATE_REMOVE &&
            same_prefix(&h->items[i].dest, p))
            return &h->items[i];
    return NULL;
}

/* The table's route comes before the rule that leads there, both before the VIPs that bring connections. */
static int list_wanted(struct host *h)
{
    for (size_t i = 0; i < 2; i++) {
        struct item item = {.family = families[i], .type = RTN_LOCAL, .oif = h->lo};
        item.dest.family = families[i];
        if (!family_is_transparent(h->s, families[i]))
            continue;
        for (int kind = ITEM_TABLE_ROUTE; kind <= ITEM_RULE; kind++) {
            item.kind = (enum item_kind)kind;
            int err = add_item(h, &item);
            if (err)
                return err;
        }
    }
    for (uint32_t i = 0; i < h->s->n_vips; i++) {
        const struct addr_prefix *p = &h->s->vips[i].prefix;
        struct item item = {
            .kind = ITEM_VIP, .family = p->family, .type = RTN_LOCAL, .oif = h->lo, .dest = *p};
        if (find_vip(h, p)) /* the same address with another port */
            continue;
        int err = add_item(h, &item);
        if (err)
            return err;
    }
    return 0;
}

/* A rule or route of ours was found: either it is a wanted item, or it has to go. */
static void found_ours(struct host *h, const struct item *found)
{
    struct item leftover = *found;

    for (size_t i = 0; i < h->n_items; i++) {
        struct item *item = &h->items[i];
        if (item->kind != found->kind || item->family != found->family || item->type != found->type ||
            item->oif != found->oif || !same_prefix(&item->dest, &found->dest))
            continue;
        if (item->state == STATE_ADD || item->state == STATE_OWN) {
            item->state = STATE_KEEP;
            return;
        }
    }
    leftover.state = STATE_REMOVE;
    int err = add_item(h, &leftover);
    if (err)
        h->error = err;
}

static int on_rule(struct nl_msg *msg, void *arg)
{
    struct host *h = arg;
    struct nlattr *a[FRA_MAX + 1];
    const struct fib_rule_hdr *rule = nlmsg_data(nlmsg_hdr(msg));

    if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*rule), a, FRA_MAX, NULL) < 0)
        return NL_SKIP;
    uint32_t priority = a[FRA_PRIORITY] ? nla_get_u32(a[FRA_PRIORITY]) : 0;
    uint32_t mark = a[FRA_FWMARK] ? nla_get_u32(a[FRA_FWMARK]) : 0;
    uint32_t table = a[FRA_TABLE] ? nla_get_u32(a[FRA_TABLE]) : rule->table;
    uint8_t protocol = a[FRA_PROTOCOL] ? nla_get_u8(a[FRA_PROTOCOL]) : 0;
    if (priority != HOST_RULE_PRIORITY)
        return NL_OK;
    if (protocol == HOST_PROTOCOL && mark == POSTERN_MARK && table == HOST_TABLE &&
        rule->action == FR_ACT_TO_TBL) {
        struct item item = {.kind = ITEM_RULE, .family = rule->family, .type = RTN_LOCAL, .oif = h->lo};
        item.dest.family = rule->family;
        found_ours(h, &item);
    } else {
        fprintf(h->notes_out, "another rule sits at priority %u, it is left alone: ip %srule show pref %u\n",
            priority, rule->family == AF_INET6 ? "-6 " : "", priority);
    }
    return NL_OK;
}

static int on_route(struct nl_msg *msg, void *arg)
{
    struct host *h = arg;
    struct nlattr *a[RTA_MAX + 1];
    const struct rtmsg *rt = nlmsg_data(nlmsg_hdr(msg));
    char text[ADDR_TEXT_MAX];

    if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*rt), a, RTA_MAX, NULL) < 0 || rt->rtm_flags & RTM_F_CLONED)
        return NL_SKIP;
    uint32_t table = a[RTA_TABLE] ? nla_get_u32(a[RTA_TABLE]) : rt->rtm_table;
    struct item item = {.family = rt->rtm_family, .type = rt->rtm_type};
    item.oif = a[RTA_OIF] ? nla_get_u32(a[RTA_OIF]) : 0;
    item.dest.family = rt->rtm_family;
    item.dest.len = rt->rtm_dst_len;
    if (a[RTA_DST])
        memcpy(item.dest.bytes, nla_data(a[RTA_DST]), rt->rtm_family == AF_INET6 ? 16 : 4);

    if (table == HOST_TABLE) {
        item.kind = ITEM_TABLE_ROUTE;
        if (rt->rtm_protocol == HOST_PROTOCOL)
            found_ours(h, &item);
        else
            fprintf(h->notes_out,
                "another route sits in table %u, it is left alone: ip %sroute show table %u %s\n", table,
                rt->rtm_family == AF_INET6 ? "-6 " : "", table, addr_prefix_format(&item.dest, text));
    } else if (table == RT_TABLE_LOCAL && rt->rtm_type == RTN_LOCAL) {
        struct item *vip = find_vip(h, &item.dest);
        item.kind = ITEM_VIP;
        if (rt->rtm_protocol == HOST_PROTOCOL)
            found_ours(h, &item);
        else if (vip && vip->state == STATE_ADD)
            vip->state = STATE_OWN;
    }
    return NL_OK;
}

static int read_rules(struct host *h, sa_family_t family)
{
    struct fib_rule_hdr header = {.family = family};
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETRULE, NLM_F_DUMP);

    if (msg)
        (void)nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO);
    return netlink_request(h->sk, msg, on_rule, h);
}

/* Only the tables concerned: a gateway may hold the routes of the whole Internet in others. */
static int read_routes(struct host *h, sa_family_t family, uint32_t table)
{
    struct rtmsg header = {.rtm_family = family};
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);

    if (msg) {
        (void)nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO);
        (void)nla_put_u32(msg, RTA_TABLE, table);
    }
    int err = netlink_request(h->sk, msg, on_route, h);
    return err == -ENOENT ? 0 : err; /* a table without routes does not exist */
}

static int read_once(struct host *h)
{
    h->n_items = 0;
    h->error = 0;
    free(h->notes);
    h->notes = NULL;
    h->notes_out = open_memstream(&h->notes, &h->notes_size);
    if (!h->notes_out)
        return -ENOMEM;
    int err = list_wanted(h);
    for (size_t i = 0; i < 2 && !err; i++) {
        if (families[i] == AF_INET6 && !h->has_ipv6)
            continue;
        err = read_rules(h, families[i]);
        if (!err)
            err = read_routes(h, families[i], HOST_TABLE);
        if (!err)
            err = read_routes(h, families[i], RT_TABLE_LOCAL);
    }
    if (fclose(h->notes_out) && !err)
        err = -ENOMEM;
    return err ? err : h->error;
}

/* A change by somebody else while the kernel lists its rules spoils the list: read again. */
static int read_host(struct host *h)
{
    int err = -EINTR;

    for (int i = 0; i < READ_TRIES && err == -EINTR; i++)
        err = read_once(h);
    return err;
}

static bool host_has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool wants_ipv6(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n_vips; i++)
        if (s->vips[i].prefix.family == AF_INET6)
            return true;
    return family_is_transparent(s, AF_INET6);
}

int host_open(const struct snapshot *s, struct host **ret)
{
    struct host *h = calloc(1, sizeof(*h));
    int err = -ENOMEM;

    if (!h)
        goto fail;
    h->s = s;
    h->lo = if_nametoindex("lo");
    h->has_ipv6 = host_has_ipv6();
    if (wants_ipv6(s) && !h->has_ipv6) {
        log_event(LOG_LEVEL_ERROR, "host_failed",
            "error=\"the configuration has IPv6 addresses but this host has IPv6 switched off "
            "(ipv6.disable)\"");
        host_close(h);
        return -EAFNOSUPPORT;
    }
    err = netlink_open(NETLINK_ROUTE, &h->sk);
    if (err)
        goto fail;
    err = read_host(h);
    if (err)
        goto fail;
    *ret = h;
    return 0;

fail:
    log_event(LOG_LEVEL_ERROR, "host_failed", "error=\"cannot read the host's rules and routes: %s\"",
        strerror(-err));
    host_close(h);
    return err;
}

void host_close(struct host *h)
{
    if (!h)
        return;
    nl_socket_free(h->sk);
    free(h->items);
    free(h->notes);
    free(h);
}

/* The item in the words of ip(8); `verb` is "add" or "del". */
static void format_item(const struct item *item, const char *verb, char text[ITEM_TEXT_MAX])
{
    const char *v6 = item->family == AF_INET6 ? "-6 " : "";
    char prefix[ADDR_TEXT_MAX] = "default", device[IF_NAMESIZE] = "", type[16] = "local";

    if (item->kind == ITEM_RULE) {
        snprintf(text, ITEM_TEXT_MAX, "ip %srule %s pref %d fwmark 0x%x lookup %d protocol %d", v6, verb,
            HOST_RULE_PRIORITY, POSTERN_MARK, HOST_TABLE, HOST_PROTOCOL);
        return;
    }
    if (item->type != RTN_LOCAL) /* an odd leftover; ip(8) takes numbers too */
        snprintf(type, sizeof(type), "%u", item->type);
    if (item->dest.len)
        addr_prefix_format(&item->dest, prefix);
    if (item->oif)
        if_indextoname(item->oif, device);
    snprintf(text, ITEM_TEXT_MAX, "ip %sroute %s %s %s%s%s table %s proto %d", v6, verb, type, prefix,
        *device ? " dev " : "", device, item->kind == ITEM_VIP ? "local" : "28783", HOST_PROTOCOL);
    _Static_assert(HOST_TABLE == 28783, "written out above");
}

static const char *why(const struct item *item)
{
    switch (item->state) {
    case STATE_REMOVE:
        return "left by an earlier run, wanted no more";
    case STATE_OWN:
        return "an address of this host already: left as it is, at the end too";
    case STATE_ADD:
    case STATE_KEEP:
        break;
    }
    switch (item->kind) {
    case ITEM_TABLE_ROUTE:
        return "in that table everything is delivered to this host";
    case ITEM_RULE:
        return "packets of our connections to backends go to a table of their own";
    case ITEM_VIP:
        break;
    }
    return "packets for this address end at this host";
}

static void item_line(const struct item *item, const char **ret_word, char text[ITEM_TEXT_MAX])
{
    char prefix[ADDR_TEXT_MAX];

    switch (item->state) {
    case STATE_ADD:
        *ret_word = "add";
        break;
    case STATE_REMOVE:
        *ret_word = "remove";
        format_item(item, "del", text);
        return;
    case STATE_KEEP:
        *ret_word = "keep";
        break;
    case STATE_OWN:
        *ret_word = "keep";
        snprintf(text, ITEM_TEXT_MAX, "%s", addr_prefix_format(&item->dest, prefix));
        return;
    }
    format_item(item, "add", text);
}

void host_each(const struct host *h,
    void (*each)(const char *word, const char *text, const char *why, void *arg), void *arg)
{
    char text[ITEM_TEXT_MAX];
    const char *word = "";

    for (size_t i = 0; i < h->n_items; i++) {
        item_line(&h->items[i], &word, text);
        each(word, text, why(&h->items[i]), arg);
    }
    for (const char *line = h->notes; line && *line;) {
        size_t len = strcspn(line, "\n");
        snprintf(text, sizeof(text), "%.*s", (int)len, line);
        each("note", text, "", arg);
        line += len + (line[len] == '\n');
    }
}

struct plan {
    FILE *out;
    int width;
};

static void measure_line(const char *word, const char *text, const char *why, void *arg)
{
    struct plan *plan = arg;
    int width = (int)strlen(text);

    if (*why && width > plan->width)
        plan->width = width;
}

static void print_line(const char *word, const char *text, const char *why, void *arg)
{
    const struct plan *plan = arg;
    const char *found = !strcmp(word, "keep") && !strncmp(text, "ip ", 3) ? " (there already)" : "";

    if (*why)
        fprintf(plan->out, "%-6s  %-*s  # %s%s\n", word, plan->width, text, why, found);
    else
        fprintf(plan->out, "%-6s  %s\n", word, text);
}

int host_print_plan(const struct host *h, FILE *out)
{
    struct plan plan = {.out = out};

    host_each(h, measure_line, &plan);
    host_each(h, print_line, &plan);
    if (!interface_is_up("lo"))
        fprintf(out, "%-6s  lo is down, nothing can be delivered: ip link set lo up\n", "note");
    return ferror(out) ? -EIO : 0;
}

static struct nl_msg *rule_message(const struct item *item, int type, int flags)
{
    struct fib_rule_hdr header = {.family = item->family, .action = FR_ACT_TO_TBL};
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    if (!msg)
        return NULL;
    (void)nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO);
    (void)nla_put_u32(msg, FRA_PRIORITY, HOST_RULE_PRIORITY);
    (void)nla_put_u32(msg, FRA_FWMARK, POSTERN_MARK);
    (void)nla_put_u32(msg, FRA_FWMASK, UINT32_MAX);
    (void)nla_put_u32(msg, FRA_TABLE, HOST_TABLE);
    (void)nla_put_u8(msg, FRA_PROTOCOL, HOST_PROTOCOL);
    return msg;
}

static struct nl_msg *route_message(const struct item *item, int type, int flags)
{
    struct rtmsg header = {
        .rtm_family = item->family,
        .rtm_dst_len = item->dest.len,
        .rtm_protocol = HOST_PROTOCOL,
        .rtm_type = item->type,
        /* "Nowhere" means any scope, for the removal of an odd leftover. */
        .rtm_scope = item->type == RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_NOWHERE,
    };
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    if (!msg)
        return NULL;
    (void)nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO);
    if (item->dest.len)
        (void)nla_put(msg, RTA_DST, item->family == AF_INET6 ? 16 : 4, item->dest.bytes);
    if (item->oif)
        (void)nla_put_u32(msg, RTA_OIF, item->oif);
    (void)nla_put_u32(msg, RTA_TABLE, item->kind == ITEM_VIP ? RT_TABLE_LOCAL : HOST_TABLE);
    return msg;
}

static const char *mend(int err)
{
    switch (-err) {
    case EPERM:
        return "; CAP_NET_ADMIN is missing";
    case EACCES:
        return "; IPv6 is off on lo: sysctl -w net.ipv6.conf.lo.disable_ipv6=0";
    default:
        return "";
    }
}

static int change(struct host *h, const struct item *item, bool add)
{
    int flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0;
    struct nl_msg *msg = item->kind == ITEM_RULE
                             ? rule_message(item, add ? RTM_NEWRULE : RTM_DELRULE, flags)
                             : route_message(item, add ? RTM_NEWROUTE : RTM_DELROUTE, flags);
    char text[ITEM_TEXT_MAX];

    int err = netlink_request(h->sk, msg, NULL, NULL);
    if (add ? err == -EEXIST : err == -ESRCH || err == -ENOENT || err == -ENODEV)
        return 0; /* somebody was quicker; the outcome is the same */
    if (err) {
        format_item(item, add ? "add" : "del", text);
        log_event(
            LOG_LEVEL_ERROR, "host_failed", "command=\"%s\" error=\"%s%s\"", text, strerror(-err), mend(err));
    }
    return err;
}

static int change_all(struct host *h, enum item_state state, size_t *ret_done)
{
    for (size_t i = 0; i < h->n_items; i++) {
        if (h->items[i].state != state)
            continue;
        int err = change(h, &h->items[i], state == STATE_ADD);
        if (err)
            return err;
        *ret_done += 1;
    }
    return 0;
}

int host_apply(struct host *h, bool shared)
{
    size_t added = 0, found = 0, removed = 0, own = 0;

    for (const char *line = h->notes; line && *line;) {
        size_t len = strcspn(line, "\n");
        log_event(LOG_LEVEL_WARNING, "host_foreign", "text=\"%.*s\"", (int)len, line);
        line += len + (line[len] == '\n');
    }
    if (!interface_is_up("lo")) {
        log_event(LOG_LEVEL_ERROR, "host_failed",
            "error=\"lo is down, nothing can be delivered: ip link set lo up\"");
        return -ENETDOWN;
    }
    for (size_t i = 0; i < h->n_items; i++) {
        found += h->items[i].state == STATE_KEEP;
        own += h->items[i].state == STATE_OWN;
    }
    /* Removals first: a leftover may sit where something is to be added. */
    int err = shared ? 0 : change_all(h, STATE_REMOVE, &removed);
    if (!err)
        err = change_all(h, STATE_ADD, &added);
    if (err)
        return err;
    log_event(LOG_LEVEL_INFO, "host_set_up", "added=%zu found=%zu removed=%zu own_addresses=%zu", added,
        found, removed, own);
    err = read_host(h);
    if (err)
        log_event(
            LOG_LEVEL_ERROR, "host_failed", "error=\"cannot read the rules and routes: %s\"", strerror(-err));
    return err;
}

bool host_is_settled(const struct host *h, bool shared)
{
    for (size_t i = 0; i < h->n_items; i++)
        if (h->items[i].state == STATE_ADD || (h->items[i].state == STATE_REMOVE && !shared))
            return false;
    return true;
}

bool host_has_ours(const struct host *h)
{
    for (size_t i = 0; i < h->n_items; i++)
        if (h->items[i].state == STATE_KEEP || h->items[i].state == STATE_REMOVE)
            return true;
    return false;
}

int host_undo(struct host *h)
{
    size_t removed = 0;
    int first = read_host(h);

    if (first) {
        log_event(LOG_LEVEL_ERROR, "host_failed", "error=\"cannot read the rules and routes: %s\"",
            strerror(-first));
        return first;
    }
    for (size_t i = h->n_items; i-- > 0;) {
        const struct item *item = &h->items[i];
        if (item->state != STATE_KEEP && item->state != STATE_REMOVE)
            continue;
        int err = change(h, item, false);
        if (err && !first)
            first = err;
        removed += !err;
    }
    log_event(LOG_LEVEL_INFO, "host_undone", "removed=%zu", removed);
    return first;
}
