/* SPDX-License-Identifier: Apache-2.0 */
/* Which policy rules may take a marked answer of a backend, and how they are written. */
#include "unit.h"

#include "tools/doctor/rules.h"

#include <linux/fib_rules.h>
#include <string.h>

#define MARK 0x706f7374u

static union addr backend;

static struct rule_packet packet(void)
{
    assert_int_equal(addr_parse("10.2.0.11:25", &backend), 0);
    return (struct rule_packet){.from = &backend, .interface = "eth1", .mark = MARK};
}

static struct addr_prefix prefix(const char *text)
{
    struct addr_prefix p;

    assert_int_equal(addr_network_parse(text, strlen(text), &p), 0);
    return p;
}

static void a_rule_matches_by_all_that_it_names(void **state)
{
    const struct rule_packet p = packet();
    const struct {
        struct rule rule;
        bool matches;
    } rows[] = {
        {{0}, true},
        {{.from = prefix("10.2.0.0/24")}, true},
        {{.from = prefix("10.3.0.0/24")}, false},
        {{.from = prefix("10.3.0.0/24"), .inverted = true}, true},
        {{.interface = "eth1"}, true},
        {{.interface = "eth0"}, false},
        {{.mark = MARK, .mask = UINT32_MAX}, true},
        {{.mark = 0x70000000, .mask = 0xf0000000}, true},
        {{.mark = 1, .mask = UINT32_MAX}, false},
        {{.mark = 0, .mask = 0xff}, false},
        {{.mark = MARK, .mask = UINT32_MAX, .interface = "eth0"}, false},
        {{.mark = MARK, .mask = UINT32_MAX, .inverted = true}, false},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        print_message("# row %zu\n", i);
        assert_int_equal(rule_may_match(&rows[i].rule, &p), rows[i].matches);
    }
}

static void a_rule_is_written_so_that_ip_takes_it(void **state)
{
    const struct rule lookup = {.family = AF_INET,
        .action = FR_ACT_TO_TBL,
        .table = 100,
        .from = prefix("10.2.0.0/24"),
        .interface = "eth1",
        .mark = 5,
        .mask = 0xff};
    const struct rule forbids = {
        .family = AF_INET6, .action = FR_ACT_PROHIBIT, .inverted = true, .mark = 1, .mask = 1};
    char text[RULE_TEXT_MAX];

    assert_string_equal(rule_format(&lookup, "del", 50, text),
        "ip rule del pref 50 from 10.2.0.0/24 iif eth1 fwmark 0x5/0xff lookup 100");
    assert_string_equal(rule_format(&forbids, "add", 1060, text),
        "ip -6 rule add pref 1060 not from all fwmark 0x1/0x1 prohibit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_matches_by_all_that_it_names),
        cmocka_unit_test(a_rule_is_written_so_that_ip_takes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
