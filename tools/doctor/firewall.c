/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the chains of a hook are walked rule by rule, with what is known of the packet. Failure path:
 * what is not understood may match or not, and nothing follows from it. Called by check_firewall.c.
 */
#include "tools/doctor/firewall.h"

#include "base/addr.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 16        /* of jumps, as in the kernel */
#define STEPS_MAX 20000000U /* for one packet: chains that fan out again and again are given up */

enum match { MATCH_NO, MATCH_MAYBE, MATCH_YES };
enum step { STEP_ON, STEP_RETURN, STEP_STOP };

struct walk {
    const json_t *ruleset, *chain; /* the base chain */
    const struct firewall_packet *packet;
    struct firewall_verdict verdict;
    bool may_pass; /* a rule before may have let it through */
    unsigned depth, steps;
};

static const char *text(const json_t *from, const char *key)
{
    const char *s = json_string_value(json_object_get(from, key));
    return s ? s : "";
}

static enum match either(bool yes)
{
    return yes ? MATCH_YES : MATCH_NO;
}

static enum match inverse(enum match m)
{
    return m == MATCH_MAYBE ? m : either(m == MATCH_NO);
}

static enum match least(enum match a, enum match b)
{
    return a < b ? a : b;
}

/* ---- values ------------------------------------------------------------------------------------------- */

static enum match match_number(const json_t *value, const void *arg)
{
    json_int_t n = *(const uint32_t *)arg;
    const json_t *range = json_object_get(value, "range");

    if (range)
        return either(n >= json_integer_value(json_array_get(range, 0)) &&
                      n <= json_integer_value(json_array_get(range, 1)));
    return json_is_integer(value) ? either(json_integer_value(value) == n) : MATCH_MAYBE;
}

static enum match match_word(const json_t *value, const void *arg)
{
    const char *word = json_string_value(value);

    /* "eth*" and the like. */
    return word && !strchr(word, '*') ? either(strcmp(word, arg) == 0) : MATCH_MAYBE;
}

static enum match match_address(const json_t *value, const void *arg)
{
    const json_t *prefix = json_object_get(value, "prefix");
    struct addr_prefix own, other;
    char written[64];

    if (prefix)
        snprintf(written, sizeof(written), "%s/%d", text(prefix, "addr"),
            (int)json_integer_value(json_object_get(prefix, "len")));
    else
        snprintf(written, sizeof(written), "%s", json_is_string(value) ? json_string_value(value) : "");
    if (addr_network_parse(arg, strlen(arg), &own) || addr_network_parse(written, strlen(written), &other))
        return MATCH_MAYBE;
    return either(own.family == other.family && addr_prefix_within(&own, &other));
}

typedef enum match match_fn(const json_t *value, const void *arg);

static const json_t *find_set(const struct walk *w, const char *name)
{
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(w->ruleset, "nftables"), i, item) {
        const json_t *set = json_object_get(item, "set");
        if (strcmp(text(set, "name"), name) == 0 &&
            strcmp(text(set, "table"), text(w->chain, "table")) == 0 &&
            strcmp(text(set, "family"), text(w->chain, "family")) == 0)
            return set;
    }
    return NULL;
}

/* A list holds it when one of its elements does. */
static enum match match_list(const json_t *list, match_fn *one, const void *arg)
{
    enum match most = MATCH_NO;
    const json_t *element;
    size_t i;

    json_array_foreach (list, i, element) {
        const json_t *plain = json_object_get(json_object_get(element, "elem"), "val");
        enum match m = one(plain ? plain : element, arg);
        most = m > most ? m : most;
    }
    return most;
}

static bool is_fixed(const json_t *flag)
{
    const char *word = json_string_value(flag);

    return word && (strcmp(word, "interval") == 0 || strcmp(word, "constant") == 0);
}

/* Neither rules nor time change what is in it. */
static bool stays(const json_t *set)
{
    const json_t *flags = json_object_get(set, "flags"), *flag;
    size_t i;

    json_array_foreach (flags, i, flag)
        if (!is_fixed(flag))
            return false;
    return !json_is_string(flags) || is_fixed(flags);
}

static enum match match_value(const struct walk *w, const json_t *right, match_fn *one, const void *arg)
{
    const char *word = json_string_value(right);

    if (word && word[0] == '@') {
        const json_t *set = find_set(w, word + 1);
        return set && stays(set) ? match_list(json_object_get(set, "elem"), one, arg) : MATCH_MAYBE;
    }
    if (json_is_array(right))
        return match_list(right, one, arg);
    const json_t *set = json_object_get(right, "set");
    return set ? match_list(set, one, arg) : one(right, arg);
}

/* ---- what a rule looks at ----------------------------------------------------------------------------- */

static enum match match_meta(const struct walk *w, const char *key, const json_t *right)
{
    const struct firewall_packet *p = w->packet;
    const char *protocol = p->v6 ? "ipv6" : "ipv4", *l3 = p->v6 ? "ip6" : "ip";

    if (strcmp(key, "l4proto") == 0)
        return match_value(w, right, match_word, "tcp");
    if (strcmp(key, "nfproto") == 0)
        return match_value(w, right, match_word, protocol);
    if (strcmp(key, "protocol") == 0)
        return match_value(w, right, match_word, l3);
    if (strcmp(key, "skuid") == 0 && p->uid != FIREWALL_NOBODY)
        return match_value(w, right, match_number, &p->uid);
    if (strcmp(key, "mark") == 0 && p->mark)
        return match_value(w, right, match_number, &p->mark);
    bool in = strcmp(key, "iif") == 0 || strcmp(key, "iifname") == 0;
    bool out = strcmp(key, "oif") == 0 || strcmp(key, "oifname") == 0;
    bool here = strcmp(text(w->chain, "hook"), "output") == 0 ? out : in;
    if (here && p->interface)
        return match_value(w, right, match_word, p->interface);
    if (here && match_value(w, right, match_word, "lo") == MATCH_YES && !json_is_object(right))
        return MATCH_NO;
    return MATCH_MAYBE;
}

static enum match match_payload(
    const struct walk *w, const char *protocol, const char *field, const json_t *right, bool *ret_names_port)
{
    const struct firewall_packet *p = w->packet;
    bool to = strcmp(field, "dport") == 0 || strcmp(field, "daddr") == 0;
    const uint32_t port = to ? p->to_port : p->from_port;
    const char *address = to ? p->to : p->from;

    if (strcmp(field, "dport") == 0 || strcmp(field, "sport") == 0) {
        if (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "th") != 0)
            return MATCH_NO;
        if (!port)
            return MATCH_MAYBE;
        enum match m = match_value(w, right, match_number, &port);
        *ret_names_port |= m == MATCH_YES;
        return m;
    }
    if (strcmp(field, "daddr") != 0 && strcmp(field, "saddr") != 0)
        return MATCH_MAYBE;
    if (strcmp(protocol, p->v6 ? "ip6" : "ip") != 0)
        return strcmp(protocol, "ip") == 0 || strcmp(protocol, "ip6") == 0 ? MATCH_NO : MATCH_MAYBE;
    return address ? match_value(w, right, match_address, address) : MATCH_MAYBE;
}

static enum match match_left(
    const struct walk *w, const json_t *left, const json_t *right, bool *ret_names_port)
{
    const json_t *payload = json_object_get(left, "payload"), *meta = json_object_get(left, "meta");
    const json_t *ct = json_object_get(left, "ct");

    if (payload)
        return match_payload(w, text(payload, "protocol"), text(payload, "field"), right, ret_names_port);
    if (meta)
        return match_meta(w, text(meta, "key"), right);
    if (strcmp(text(ct, "key"), "state") == 0)
        return match_value(w, right, match_word, w->packet->state);
    return MATCH_MAYBE;
}

/* ---- what a rule does --------------------------------------------------------------------------------- */

static enum step walk_chain(struct walk *w, const char *name, enum match certain);

static void decide(struct walk *w, enum firewall_fate fate, const json_t *rule, bool names_port)
{
    w->verdict.fate = fate;
    w->verdict.rule = rule;
    w->verdict.chain = w->chain;
    w->verdict.names_port = names_port;
}

/* A mark stays that is only added to. */
static bool keeps_mark(const struct walk *w, const json_t *value)
{
    const json_t *of = json_array_get(json_object_get(value, "|"), 0);

    return (json_is_integer(value) && json_integer_value(value) == (json_int_t)w->packet->mark) ||
           strcmp(text(json_object_get(of, "meta"), "key"), "mark") == 0;
}

static enum step on_jump(struct walk *w, const char *target, bool go_to, enum match certain)
{
    if (w->depth == DEPTH_MAX)
        return STEP_STOP;
    w->depth++;
    enum step step = walk_chain(w, target, certain);
    w->depth--;
    if (step == STEP_STOP)
        return step;
    return go_to && certain == MATCH_YES ? STEP_RETURN : STEP_ON;
}

static bool sends_elsewhere(const json_t *statement)
{
    const char *target = text(json_object_get(statement, "xt"), "name");

    return json_object_get(statement, "redirect") || json_object_get(statement, "dnat") ||
           json_object_get(statement, "tproxy") || strcmp(target, "REDIRECT") == 0 ||
           strcmp(target, "DNAT") == 0 || strcmp(target, "TPROXY") == 0;
}

static enum step on_statement(
    struct walk *w, const json_t *statement, const json_t *rule, enum match certain, bool names_port)
{
    const json_t *jump = json_object_get(statement, "jump"), *go_to = json_object_get(statement, "goto");
    const json_t *mangle = json_object_get(statement, "mangle");
    bool mark = strcmp(text(json_object_get(json_object_get(mangle, "key"), "meta"), "key"), "mark") == 0;

    if (jump || go_to)
        return on_jump(w, text(jump ? jump : go_to, "target"), go_to != NULL, certain);
    if (json_object_get(statement, "notrack"))
        w->verdict.untracked |= certain == MATCH_YES;
    if (mark && certain == MATCH_YES && w->packet->mark && !keeps_mark(w, json_object_get(mangle, "value")))
        decide(w, FATE_MARK_LOST, rule, names_port);
    if (sends_elsewhere(statement) && (certain == MATCH_YES || (certain == MATCH_MAYBE && names_port))) {
        decide(w, FATE_REDIRECTED, rule, names_port);
        return STEP_STOP;
    }
    if (json_object_get(statement, "return"))
        return certain == MATCH_YES ? STEP_RETURN : STEP_ON;
    if (json_object_get(statement, "accept")) {
        w->may_pass |= certain != MATCH_NO;
        return certain == MATCH_YES ? STEP_STOP : STEP_ON;
    }
    bool reject = strcmp(text(json_object_get(statement, "xt"), "name"), "REJECT") == 0;
    if (!json_object_get(statement, "drop") && !json_object_get(statement, "reject") && !reject)
        return STEP_ON;
    if (certain != MATCH_YES)
        return STEP_ON;
    if (!w->may_pass)
        decide(w, FATE_DROPPED, rule, names_port);
    return STEP_STOP;
}

/* Each row of a map is a rule of its own; the first that matches counts. */
static enum step on_map(
    struct walk *w, const json_t *map, const json_t *rule, enum match certain, bool names_port)
{
    const json_t *rows = json_object_get(json_object_get(map, "data"), "set"), *row;
    size_t i;

    json_array_foreach (rows, i, row) {
        bool names = names_port;
        enum match m =
            least(certain, match_left(w, json_object_get(map, "key"), json_array_get(row, 0), &names));
        enum step step = m == MATCH_NO ? STEP_ON : on_statement(w, json_array_get(row, 1), rule, m, names);
        if (step != STEP_ON)
            return step;
    }
    return STEP_ON;
}

static enum step walk_rule(struct walk *w, const json_t *rule, enum match certain)
{
    const json_t *part;
    bool names_port = false;
    size_t i;

    json_array_foreach (json_object_get(rule, "expr"), i, part) {
        const json_t *match = json_object_get(part, "match"), *map = json_object_get(part, "vmap");
        enum step step = STEP_ON;
        if (match) {
            enum match m =
                match_left(w, json_object_get(match, "left"), json_object_get(match, "right"), &names_port);
            bool not = strcmp(text(match, "op"), "!=") == 0;
            bool order = text(match, "op")[0] == '<' || text(match, "op")[0] == '>';
            certain = least(certain, order ? MATCH_MAYBE : not ? inverse(m) : m);
        } else if (json_object_get(part, "limit") ||
                   strcmp(text(json_object_get(part, "xt"), "type"), "match") == 0) {
            certain = least(certain, MATCH_MAYBE);
        } else if (map) {
            step = on_map(w, map, rule, certain, names_port);
        } else {
            step = on_statement(w, part, rule, certain, names_port);
        }
        if (certain == MATCH_NO)
            return STEP_ON;
        if (step != STEP_ON)
            return step;
    }
    return STEP_ON;
}

static enum step walk_chain(struct walk *w, const char *name, enum match certain)
{
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(w->ruleset, "nftables"), i, item) {
        const json_t *rule = json_object_get(item, "rule");
        if (++w->steps > STEPS_MAX) {
            w->may_pass = true;
            return STEP_STOP;
        }
        if (strcmp(text(rule, "chain"), name) != 0 ||
            strcmp(text(rule, "table"), text(w->chain, "table")) != 0 ||
            strcmp(text(rule, "family"), text(w->chain, "family")) != 0)
            continue;
        enum step step = walk_rule(w, rule, certain);
        if (step == STEP_RETURN)
            return STEP_ON;
        if (step == STEP_STOP)
            return step;
    }
    return STEP_ON;
}

struct firewall_verdict firewall_judge(
    const json_t *ruleset, const char *hook, const struct firewall_packet *p)
{
    struct firewall_verdict last = {.fate = FATE_PASSES};
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(ruleset, "nftables"), i, item) {
        const json_t *chain = json_object_get(item, "chain");
        const char *family = text(chain, "family");
        bool ours = strcmp(family, "inet") == 0 || strcmp(family, p->v6 ? "ip6" : "ip") == 0;
        if (!ours || strcmp(text(chain, "hook"), hook) != 0)
            continue;
        struct walk w = {.ruleset = ruleset, .chain = chain, .packet = p};
        enum step step = walk_chain(&w, text(chain, "name"), MATCH_YES);
        if (step != STEP_STOP && strcmp(text(chain, "policy"), "drop") == 0 && !w.may_pass)
            decide(&w, FATE_DROPPED, NULL, false);
        w.verdict.untracked |= last.untracked;
        if (last.fate == FATE_PASSES)
            last = w.verdict;
        else
            last.untracked = w.verdict.untracked;
    }
    return last;
}

static bool mentions(const json_t *value, const char *key)
{
    const json_t *one;
    const char *name;
    size_t i;

    json_array_foreach (value, i, one)
        if (mentions(one, key))
            return true;
    json_object_foreach ((json_t *)value, name, one)
        if (strcmp(name, key) == 0 || mentions(one, key))
            return true;
    return false;
}

bool firewall_tracks(const json_t *ruleset)
{
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(ruleset, "nftables"), i, item) {
        if (strcmp(text(json_object_get(item, "chain"), "type"), "nat") == 0)
            return true;
        const json_t *rule = json_object_get(item, "rule");
        const json_t *parts = json_object_get(rule, "expr"), *part;
        size_t k;
        if (mentions(parts, "ct"))
            return true;
        json_array_foreach (parts, k, part) {
            const char *name = text(json_object_get(part, "xt"), "name");
            if (strcmp(name, "conntrack") == 0 || strcmp(name, "state") == 0)
                return true;
        }
    }
    return false;
}
