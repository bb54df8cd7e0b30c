/* SPDX-License-Identifier: Apache-2.0 */
/* What rules of nftables do to a client's first packet and to a backend's answer; the rules as "nft -j" lists
 * them. */
#include "unit.h"

#include "tools/doctor/firewall.h"

#include <stdio.h>
#include <stdlib.h>

#define MARK 0x706f7374
#define DPORT(right)                                                                                         \
    "{'match':{'op':'==','left':{'payload':{'protocol':'tcp','field':'dport'}},'right':" right "}}"
#define MATCH(op, left, right) "{'match':{'op':'" op "','left':{" left "},'right':" right "}}"
#define META(key) "'meta':{'key':'" key "'}"
#define STATE "'ct':{'key':'state'}"
#define SADDR "'payload':{'protocol':'ip','field':'saddr'}"
#define DADDR "'payload':{'protocol':'ip','field':'daddr'}"
#define SET_MARK(value) "{'mangle':{'key':{'meta':{'key':'mark'}},'value':" value "}}"
#define ACCEPT "{'accept':null}"
#define DROP "{'drop':null}"
#define REDIRECT "{'redirect':{'port':2525}}"

/* A table with one base chain, another chain, and a set; single quotes stand for double ones. */
static json_t *ruleset(const char *hook, const char *policy, const char *rules, const char *others)
{
    char *text;

    assert_true(
        asprintf(&text,
            "{'nftables':[{'chain':{'family':'inet','table':'t','name':'base','type':'filter','hook':'%s','"
            "prio':0,"
            "'policy':'%s'}},{'set':{'family':'inet','table':'t','name':'mail','flags':['interval'],'elem':["
            "25,{'range':[587,590]}"
            "]}},"
            "{'set':{'family':'inet','table':'t','name':'changing','flags':['dynamic'],'elem':[25]}}%s%s]}",
            hook, policy, rules, others) > 0);
    for (char *at = text; *at; at++)
        if (*at == '\'')
            *at = '"';
    json_error_t error;
    json_t *all = json_loads(text, 0, &error);
    if (!all)
        fail_msg("%s: %s", text, error.text);
    free(text);
    return all;
}

#define RULE(parts) ",{'rule':{'family':'inet','table':'t','chain':'base','handle':7,'expr':[" parts "]}}"
#define SUB(parts) ",{'rule':{'family':'inet','table':'t','chain':'sub','handle':9,'expr':[" parts "]}}"

static const struct firewall_packet syn = {
    .to = "203.0.113.25", .from_port = 50000, .to_port = 25, .state = "new", .uid = FIREWALL_NOBODY};
static const struct firewall_packet answer = {.from = "10.2.0.11",
    .from_port = 25,
    .to_port = 50000,
    .interface = "eth1",
    .state = "established",
    .mark = MARK,
    .uid = FIREWALL_NOBODY};

struct row {
    const char *rules, *others, *policy;
    const struct firewall_packet *packet;
    enum firewall_fate fate;
};

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct row *r = &rows[i];
        json_t *all =
            ruleset("input", r->policy ? r->policy : "accept", r->rules, r->others ? r->others : "");
        print_message("# row %zu\n", i);
        const struct firewall_verdict v = firewall_judge(all, "input", r->packet);
        assert_int_equal(v.fate, r->fate);
        assert_int_equal(firewall_judge(all, "prerouting", r->packet).fate, FATE_PASSES);
        json_decref(all);
    }
}

static void what_surely_happens_is_told(void **state)
{
    static const struct row rows[] = {
        {"", NULL, NULL, &syn, FATE_PASSES},
        {"", NULL, "drop", &syn, FATE_DROPPED},
        {RULE(DROP), NULL, NULL, &syn, FATE_DROPPED},
        {RULE(DPORT("25") "," DROP), NULL, NULL, &syn, FATE_DROPPED},
        {RULE(DPORT("26") "," DROP), NULL, NULL, &syn, FATE_PASSES},
        {RULE(DPORT("{'set':[22,{'range':[20,30]}]}") "," DROP), NULL, NULL, &syn, FATE_DROPPED},
        {RULE(DPORT("'@mail'") "," DROP), NULL, NULL, &syn, FATE_DROPPED},
        {RULE(DPORT("'@mail'") "," ACCEPT), NULL, "drop", &syn, FATE_PASSES},
        {RULE(MATCH("!=", META("l4proto"), "'tcp'") "," DROP), NULL, NULL, &syn, FATE_PASSES},
        {RULE(MATCH("==", META("iif"), "'lo'") "," ACCEPT), NULL, "drop", &syn, FATE_DROPPED},
        {RULE(MATCH("in", STATE, "['established','related']") "," ACCEPT), NULL, "drop", &syn, FATE_DROPPED},
        {RULE(MATCH("in", STATE, "['established','related']") "," ACCEPT), NULL, "drop", &answer,
            FATE_PASSES},
        {RULE("{'vmap':{'key':{" STATE "},'data':{'set':[['invalid'," DROP "],['new'," DROP "]]}}}"), NULL,
            NULL, &syn, FATE_DROPPED},
        {RULE(MATCH("==", DADDR, "{'prefix':{'addr':'203.0.113.0','len':24}}") "," DROP), NULL, NULL, &syn,
            FATE_DROPPED},
        {RULE(MATCH("==", DADDR, "{'set':['203.0.113.26']}") "," DROP), NULL, NULL, &syn, FATE_PASSES},
        {RULE(DPORT("25") ",{'jump':{'target':'sub'}}"), SUB(DROP), NULL, &syn, FATE_DROPPED},
        {RULE("{'jump':{'target':'sub'}}"), SUB("{'return':null}") SUB(DROP), NULL, &syn, FATE_PASSES},
        {RULE(ACCEPT) RULE(DROP), NULL, NULL, &syn, FATE_PASSES},
        {RULE(DPORT("25") "," REDIRECT), NULL, NULL, &syn, FATE_REDIRECTED},
        {RULE(DPORT("25") ",{'xt':{'type':'target','name':'REDIRECT'}}"), NULL, NULL, &syn, FATE_REDIRECTED},
        {RULE(SET_MARK("{'ct':{'key':'mark'}}")), NULL, NULL, &answer, FATE_MARK_LOST},
        {RULE(SET_MARK("{'|':[{'meta':{'key':'mark'}},1]}")), NULL, NULL, &answer, FATE_PASSES},
        {RULE(SET_MARK("7")), NULL, NULL, &syn, FATE_PASSES},
        {RULE(MATCH("==", META("mark"), "0") "," SET_MARK("7")), NULL, NULL, &answer, FATE_PASSES},
        {RULE(MATCH("==", META("iifname"), "'eth1'") "," SET_MARK("7")), NULL, NULL, &answer, FATE_MARK_LOST},
    };

    check_rows(rows, COUNT(rows));
}

static void what_depends_on_more_than_is_known_is_not_told(void **state)
{
    static const struct row rows[] = {
        {RULE(MATCH("==", SADDR, "'192.0.2.1'") "," DROP), NULL, NULL, &syn, FATE_PASSES},
        {RULE(MATCH("==", META("iifname"), "'eth0'") "," ACCEPT), NULL, "drop", &syn, FATE_PASSES},
        {RULE("{'limit':{'rate':5}}," ACCEPT) RULE(DROP), NULL, NULL, &syn, FATE_PASSES},
        {RULE("{'limit':{'rate':5}}," DROP), NULL, NULL, &syn, FATE_PASSES},
        {RULE(DPORT("'@changing'") "," DROP), NULL, NULL, &syn, FATE_PASSES},
        {RULE("{'xt':{'type':'match','name':'multiport'}}," DROP), NULL, NULL, &syn, FATE_PASSES},
        {RULE(MATCH("==", "'fib':{'result':'type'}", "'local'") "," DPORT("25") "," REDIRECT), NULL, NULL,
            &syn, FATE_REDIRECTED}, /* but who names our port means it */
        {RULE(MATCH("==", "'fib':{'result':'type'}", "'local'") "," REDIRECT), NULL, NULL, &syn, FATE_PASSES},
        {RULE(MATCH("!=", "'ct':{'key':'mark'}", "0") "," SET_MARK("{'ct':{'key':'mark'}}")), NULL, NULL,
            &answer, FATE_PASSES},
        {RULE(MATCH("<", "'payload':{'protocol':'tcp','field':'dport'}", "1024") "," DROP), NULL, NULL, &syn,
            FATE_PASSES},
    };

    check_rows(rows, COUNT(rows));
}

static void chains_that_lead_to_each_other_come_to_an_end(void **state)
{
    json_t *all =
        ruleset("input", "drop", RULE("{'jump':{'target':'sub'}}"), SUB("{'jump':{'target':'sub'}}"));

    assert_int_equal(firewall_judge(all, "input", &syn).fate, FATE_PASSES);
    json_decref(all);
}

static void who_sends_counts_on_the_way_out(void **state)
{
    json_t *all =
        ruleset("output", "accept", RULE(MATCH("!=", META("skuid"), "105") "," DPORT("25") "," DROP), "");
    struct firewall_packet p = syn;

    assert_int_equal(firewall_judge(all, "output", &p).fate, FATE_PASSES);
    p.uid = 105;
    assert_int_equal(firewall_judge(all, "output", &p).fate, FATE_PASSES);
    p.uid = 0;
    assert_int_equal(firewall_judge(all, "output", &p).fate, FATE_DROPPED);
    json_decref(all);
}

static void tracking_is_seen_and_so_is_what_is_not_tracked(void **state)
{
    json_t *none = ruleset("input", "accept", RULE(DROP), "");
    json_t *some = ruleset("input", "accept",
        RULE(DPORT("25") ",{'notrack':null}") RULE(MATCH("in", STATE, "'new'") "," DROP), "");
    json_t *old = ruleset("input", "accept", RULE("{'xt':{'type':'match','name':'conntrack'}}," DROP), "");

    assert_false(firewall_tracks(none));
    assert_true(firewall_tracks(some));
    assert_true(firewall_tracks(old));
    assert_true(firewall_judge(some, "input", &syn).untracked);
    assert_false(firewall_judge(some, "input", &answer).untracked);
    json_decref(none);
    json_decref(some);
    json_decref(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_surely_happens_is_told),
        cmocka_unit_test(what_depends_on_more_than_is_known_is_not_told),
        cmocka_unit_test(chains_that_lead_to_each_other_come_to_an_end),
        cmocka_unit_test(who_sends_counts_on_the_way_out),
        cmocka_unit_test(tracking_is_seen_and_so_is_what_is_not_tracked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
