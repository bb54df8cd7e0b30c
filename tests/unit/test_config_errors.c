/* SPDX-License-Identifier: Apache-2.0 */
/* Single keys and values that are wrong: place, what is wrong, what would be right, line, caret. */
#include "config_error_cases.h"

static const struct error_case cases[] = {
    {"unknown_key_close", "gateway: {worker: 2}\n" LISTENER POOL,
        "postern.yaml:1:11: error: unknown key \"worker\" in gateway; the nearest known key is \"workers\"\n"
        "    1 | gateway: {worker: 2}\n"
        "      |           ^~~~~~\n"},
    {"unknown_key_far", LISTENER POOL "    affinity: source\n",
        "postern.yaml:5:5: error: unknown key \"affinity\" in pool \"p\"; the nearest known key is \"agent\" "
        "(known are: name, source, proxy_protocol, balance, zones, slow_start, overload_brake, outlier, "
        "dissolve, check, agent, timeouts, retries, greeting, max_sessions, queue_length, queue_timeout, "
        "discover, backends)\n"
        "    5 |     affinity: source\n"
        "      |     ^~~~~~~~\n"},
    {"unknown_key_of_another_section", LISTENER POOL "    idle: 5m\n",
        "postern.yaml:5:5: error: unknown key \"idle\" in pool \"p\"; it is a key of timeouts\n"
        "    5 |     idle: 5m\n"
        "      |     ^~~~\n"},
    {"unknown_top_level_key", "snmp: {listen: 127.0.0.1:161}\n" LISTENER POOL,
        "postern.yaml:1:1: error: unknown key \"snmp\" in the top level; the nearest known key is \"http\" "
        "(known are: gateway, admin, http, log, relay_test, listeners, sources, "
        "source_limits, pools)\n"
        "    1 | snmp: {listen: 127.0.0.1:161}\n"
        "      | ^~~~\n"},
    {"http_for_all", "http: {listen: 0.0.0.0:9125}\n" LISTENER POOL,
        "postern.yaml:1:16: error: listen: \"0.0.0.0:9125\" can be reached from other hosts, and nobody is "
        "asked who he is; use 127.0.0.1 or [::1]\n"
        "    1 | http: {listen: 0.0.0.0:9125}\n"
        "      |                ^~~~~~~~~~~~\n"},
    {"admin_for_all", "admin: {tcp: 192.0.2.1:9999}\n" LISTENER POOL,
        "postern.yaml:1:14: error: tcp: \"192.0.2.1:9999\" can be reached from other hosts, and nobody is "
        "asked who he is; use 127.0.0.1 or [::1]\n"
        "    1 | admin: {tcp: 192.0.2.1:9999}\n"
        "      |              ^~~~~~~~~~~~~~\n"},
    {"http_without_port", "http: {listen: \"::1\"}\n" LISTENER POOL,
        "postern.yaml:1:17: error: listen: \"::1\" is not ADDRESS:PORT, like 127.0.0.1:9125 or "
        "\"[::1]:9125\"\n"
        "    1 | http: {listen: \"::1\"}\n"
        "      |                 ^~~\n"},
    {"key_twice",
        LISTENER POOL "    retries: 1\n"
                      "    retries: 2\n",
        "postern.yaml:6:5: error: \"retries\" a second time; the first is at postern.yaml:5:5\n"
        "    6 |     retries: 2\n"
        "      |     ^~~~~~~\n"},
    {"key_is_no_word", LISTENER POOL "    [a]: b\n",
        "postern.yaml:5:5: error: a key must be a word; an IPv6 address must be quoted, like "
        "\"[2001:db8::25]:25\"\n"
        "    5 |     [a]: b\n"
        "      |     ^\n"},
    {"key_with_question_mark",
        LISTENER POOL "    ? retries\n"
                      "    : 1\n",
        "postern.yaml:5:5: error: a key marked with '?' is not supported; write \"key: value\"\n"
        "    5 |     ? retries\n"
        "      |     ^\n"},
    {"list_expected", "listeners: {name: l}\n" POOL,
        "postern.yaml:1:12: error: \"listeners\" takes a list, not a map of keys; begin each entry with \"- "
        "\"\n"
        "    1 | listeners: {name: l}\n"
        "      |            ^\n"},
    {"map_expected", "gateway: 5\n" LISTENER POOL,
        "postern.yaml:1:10: error: \"gateway\" takes a map of keys, not a single value\n"
        "    1 | gateway: 5\n"
        "      |          ^\n"},
    {"single_value_expected", LISTENER POOL "    source: [client]\n",
        "postern.yaml:5:13: error: \"source\" takes a single value, not a list\n"
        "    5 |     source: [client]\n"
        "      |             ^\n"},
    {"map_expected_in_list", LISTENER POOL "  - q\n",
        "postern.yaml:5:5: error: an entry of \"pools\" takes a map of keys, not a single value\n"
        "    5 |   - q\n"
        "      |     ^\n"},
    {"empty_value", LISTENER POOL "    retries:\n",
        "postern.yaml:5:12: error: \"retries\" has no value; expected a single value (further backends tried "
        "when the first fails before its greeting)\n"
        "    5 |     retries:\n"
        "      |            ^\n"},
    {"empty_entry",
        LISTENER "pools:\n"
                 "  -\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: 10.0.0.1:25}]\n",
        "postern.yaml:3:3: error: an entry of \"pools\" has no value; expected a map of keys (groups of "
        "backends)\n"
        "    3 |   -\n"
        "      |   ^\n"},
    {"empty_entry_after_comment",
        LISTENER "pools:\n"
                 "  - # none yet\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: 10.0.0.1:25}]\n",
        "postern.yaml:3:3: error: an entry of \"pools\" has no value; expected a map of keys (groups of "
        "backends)\n"
        "    3 |   - # none yet\n"
        "      |   ^\n"},
    {"crlf", "gateway: {nom: a}\r\n" LISTENER POOL,
        "postern.yaml:1:11: error: unknown key \"nom\" in gateway; the nearest known key is \"name\" (known "
        "are: name, zone, zones, host_name, resolver, workers, max_sessions, drain)\n"
        "    1 | gateway: {nom: a}\n"
        "      |           ^~~\n"},
    {"empty_list", LISTENER "pools: []\n",
        "postern.yaml:2:8: error: \"pools\" is an empty list; give at least one (groups of backends)\n"
        "    2 | pools: []\n"
        "      |        ^\n"},
    {"empty_address_list", "listeners: [{name: l, address: [], pool: p}]\n" POOL,
        "postern.yaml:1:32: error: \"address\" is an empty list; give at least one (where clients connect "
        "to: one ADDRESS:PORT or PREFIX:PORT, or a list of them)\n"
        "    1 | listeners: [{name: l, address: [], pool: p}]\n"
        "      |                                ^\n"},
    {"missing_key_in_named_entry", "listeners: [{name: l, address: 192.0.2.1:25}]\n" POOL,
        "postern.yaml:1:13: error: listener \"l\" has no \"pool\": the name of the pool that serves it\n"
        "    1 | listeners: [{name: l, address: 192.0.2.1:25}]\n"
        "      |             ^\n"},
    {"missing_key_in_unnamed_entry", "listeners: [{address: 192.0.2.1:25, pool: p}]\n" POOL,
        "postern.yaml:1:13: error: this listener has no \"name\": what this listener is called in logs\n"
        "    1 | listeners: [{address: 192.0.2.1:25, pool: p}]\n"
        "      |             ^\n"},
    {"missing_sections", "gateway: {name: gw1}\n",
        "postern.yaml: error: has no \"listeners\": the addresses that clients connect to\n"
        "postern.yaml: error: has no \"pools\": groups of backends\n"},
    {"top_level_is_no_map", "- listeners\n",
        "postern.yaml:1:1: error: expected keys like \"listeners:\" and \"pools:\" here, not a list\n"
        "    1 | - listeners\n"
        "      | ^\n"},
    {"alias", "listeners: [{name: l, address: *x, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: aliases (*name) are not supported; write the value out\n"
        "    1 | listeners: [{name: l, address: *x, pool: p}]\n"
        "      |                                ^\n"},
    {"tag", "listeners: [{name: l, address: !!str 192.0.2.1:25, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: tags (!name) are not supported; write the value alone\n"
        "    1 | listeners: [{name: l, address: !!str 192.0.2.1:25, pool: p}]\n"
        "      |                                ^\n"},
    {"anchor", LISTENER POOL "    retries: &r 1\n",
        "postern.yaml:5:14: error: anchors (&name) are not supported\n"
        "    5 |     retries: &r 1\n"
        "      |              ^\n"},
    {"text_block",
        LISTENER POOL "    balance: >\n"
                      "      round-robin\n",
        "postern.yaml:5:14: error: text over several lines is not supported; write the value beside its key\n"
        "    5 |     balance: >\n"
        "      |              ^\n"},
    {"quote_in_quotes", "gateway: {name: 'a''b'}\n" LISTENER POOL,
        "postern.yaml:1:17: error: a quote in quotes ('') is not supported; no value needs one\n"
        "    1 | gateway: {name: 'a''b'}\n"
        "      |                 ^\n"},
    {"quote_not_closed", "gateway: {name: \"a}\n" LISTENER POOL,
        "postern.yaml:1:17: error: a quote that is not closed in its line\n"
        "    1 | gateway: {name: \"a}\n"
        "      |                 ^\n"},
    {"several_unwanted",
        "gateway: {name: *a}\n"
        "listeners: !x []\n",
        "postern.yaml:1:17: error: aliases (*name) are not supported; write the value out\n"
        "    1 | gateway: {name: *a}\n"
        "      |                 ^\n"
        "postern.yaml:2:12: error: tags (!name) are not supported; write the value alone\n"
        "    2 | listeners: !x []\n"
        "      |            ^\n"},
    {"second_document", LISTENER POOL "---\n" LISTENER,
        "postern.yaml:5:1: error: a second document begins here; a file holds one\n"
        "    5 | ---\n"
        "      | ^~~\n"},
    {"too_deep",
        "a:\n"
        " -\n"
        "  -\n"
        "   -\n"
        "    -\n"
        "     -\n"
        "      -\n"
        "       -\n"
        "        -\n"
        "         -\n"
        "          -\n"
        "           -\n"
        "            -\n"
        "             -\n"
        "              -\n"
        "               -\n"
        "                -\n"
        "                 -\n",
        "postern.yaml:17:17: error: lists and maps stand more than 16 deep in one another\n"
        "   17 |                 -\n"
        "      |                 ^\n"},
    {"tab_indent",
        "listeners:\n"
        "	- name: l\n",
        "postern.yaml:2:1: error: a tab cannot indent a line in YAML; use spaces\n"
        "    2 |  - name: l\n"
        "      | ^\n"},
    {"not_utf8", "listeners: \xff\n",
        "postern.yaml:1:12: error: a byte that is no UTF-8 text (0xff)\n"
        "    1 | listeners: ?\n"
        "      |            ^\n"},
    {"control_character", "listeners: \001\n",
        "postern.yaml:1:12: error: a control character (U+0001) cannot stand in this file\n"
        "    1 | listeners: ?\n"
        "      |            ^\n"},
    {"nul_in_value", "gateway: {name: \"a\\0b\"}\n" LISTENER POOL,
        "postern.yaml:1:18: error: a NUL character (\"\\0\") cannot stand in a value\n"
        "    1 | gateway: {name: \"a\\0b\"}\n"
        "      |                  ^~~~\n"},
    {"bare_brackets_in_list",
        "listeners: [{name: l, address: [[2001:db8::25]:25, 192.0.2.1:25], pool: p}]\n" POOL,
        "postern.yaml:1:33: error: an entry of \"address\" takes a single value, not a map of keys; an IPv6 "
        "address must be quoted, like \"[2001:db8::25]:25\"\n"
        "    1 | listeners: [{name: l, address: [[2001:db8::25]:25, 192.0.2.1:25], pool: p}]\n"
        "      |                                 ^\n"},
    {"name_characters", "gateway: {name: my gateway}\n" LISTENER POOL,
        "postern.yaml:1:17: error: name: \"my gateway\" is not a name; use letters, digits, '.', '_' and "
        "'-'\n"
        "    1 | gateway: {name: my gateway}\n"
        "      |                 ^~~~~~~~~~\n"},
    {"name_empty", "listeners: [{name: \"\", address: 192.0.2.1:25, pool: p}]\n" POOL,
        "postern.yaml:1:21: error: name: an empty name; give it at least one letter\n"
        "    1 | listeners: [{name: \"\", address: 192.0.2.1:25, pool: p}]\n"
        "      |                     ^\n"},
    {"name_too_long",
        "gateway: {zone: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz}\n" LISTENER POOL,
        "postern.yaml:1:17: error: zone: \"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz...\" is too "
        "long; a name has at most 64 characters\n"
        "    1 | gateway: {zone: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz}\n"
        "      |                 ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"},
    {"name_with_escape", "gateway: {name: \"\\e[31mred\"}\n" LISTENER POOL,
        "postern.yaml:1:18: error: name: \"?[31mred\" is not a name; use letters, digits, '.', '_' and '-'\n"
        "    1 | gateway: {name: \"\\e[31mred\"}\n"
        "      |                  ^~~~~~~~~\n"},
    {"number_none", "gateway: {workers: many}\n" LISTENER POOL,
        "postern.yaml:1:20: error: workers: \"many\" is not a whole number from 1 to 64\n"
        "    1 | gateway: {workers: many}\n"
        "      |                    ^~~~\n"},
    {"number_range", "gateway: {workers: 65}\n" LISTENER POOL,
        "postern.yaml:1:20: error: workers: \"65\" is out of range; it may be from 1 to 64\n"
        "    1 | gateway: {workers: 65}\n"
        "      |                    ^~\n"},
    {"number_negative",
        LISTENER "pools:\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: 10.0.0.1:25, weight: -1}]\n",
        "postern.yaml:4:56: error: weight: \"-1\" is not a whole number from 0 to 256\n"
        "    4 |     backends: [{name: b, address: 10.0.0.1:25, weight: -1}]\n"
        "      |                                                        ^~\n"},
    {"number_octal", LISTENER POOL "    retries: 07\n",
        "postern.yaml:5:14: error: retries: \"07\" is not a whole number from 0 to 10\n"
        "    5 |     retries: 07\n"
        "      |              ^~\n"},
    {"duration_unit", LISTENER POOL "    timeouts: {idle: 660}\n",
        "postern.yaml:5:22: error: idle: \"660\" is not a duration from 1s to 24h; write a whole number and "
        "ms, s, m or h, like 11m\n"
        "    5 |     timeouts: {idle: 660}\n"
        "      |                      ^~~\n"},
    {"duration_short", LISTENER POOL "    timeouts: {idle: 500ms}\n",
        "postern.yaml:5:22: error: idle: \"500ms\" is too short; it may be from 1s to 24h\n"
        "    5 |     timeouts: {idle: 500ms}\n"
        "      |                      ^~~~~\n"},
    {"duration_long", LISTENER POOL "    timeouts: {connect: 99999999h}\n",
        "postern.yaml:5:25: error: connect: \"99999999h\" is not a duration from 100ms to 5m; write a whole "
        "number and ms, s, m or h, like 4s\n"
        "    5 |     timeouts: {connect: 99999999h}\n"
        "      |                         ^~~~~~~~~\n"},
    {"word", LISTENER POOL "    balance: least-session\n",
        "postern.yaml:5:14: error: balance: \"least-session\" is not known here; it may be least-sessions, "
        "round-robin or source-hash; did you mean least-sessions?\n"
        "    5 |     balance: least-session\n"
        "      |              ^~~~~~~~~~~~~\n"},
    {"word_far", LISTENER POOL "    proxy_protocol: yes\n",
        "postern.yaml:5:21: error: proxy_protocol: \"yes\" is not known here; it may be off, v1 or v2\n"
        "    5 |     proxy_protocol: yes\n"
        "      |                     ^~~\n"},
    {"vip_no_port", "listeners: [{name: l, address: 192.0.2.1, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"192.0.2.1\" has no port; write \"192.0.2.1:25\"\n"
        "    1 | listeners: [{name: l, address: 192.0.2.1, pool: p}]\n"
        "      |                                ^~~~~~~~~\n"},
    {"vip_no_brackets", "listeners: [{name: l, address: \"2001:db8::25\", pool: p}]\n" POOL,
        "postern.yaml:1:33: error: address: \"2001:db8::25\": an IPv6 address stands in brackets and has a "
        "port; write \"[2001:db8::25]:25\"\n"
        "    1 | listeners: [{name: l, address: \"2001:db8::25\", pool: p}]\n"
        "      |                                 ^~~~~~~~~~~~\n"},
    {"vip_name", "listeners: [{name: l, address: mx.example.com:25, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"mx.example.com:25\" is not an address; names are not looked "
        "up: write ADDRESS:PORT or PREFIX:PORT\n"
        "    1 | listeners: [{name: l, address: mx.example.com:25, pool: p}]\n"
        "      |                                ^~~~~~~~~~~~~~~~~\n"},
    {"vip_port_zero", "listeners: [{name: l, address: 192.0.2.1:0, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"192.0.2.1:0\": no connection can come to port 0\n"
        "    1 | listeners: [{name: l, address: 192.0.2.1:0, pool: p}]\n"
        "      |                                ^~~~~~~~~~~\n"},
    {"vip_port_large", "listeners: [{name: l, address: 192.0.2.1:65536, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"192.0.2.1:65536\": a port is a number from 1 to 65535\n"
        "    1 | listeners: [{name: l, address: 192.0.2.1:65536, pool: p}]\n"
        "      |                                ^~~~~~~~~~~~~~~\n"},
    {"vip_wildcard_prefix", "listeners: [{name: l, address: 0.0.0.0/0:25, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"0.0.0.0/0:25\" is too wide: the gateway takes every address of "
        "it as its own and would lose the network; use /8 or longer\n"
        "    1 | listeners: [{name: l, address: 0.0.0.0/0:25, pool: p}]\n"
        "      |                                ^~~~~~~~~~~~\n"},
    {"vip_wildcard_prefix_v6", "listeners: [{name: l, address: \"[::/0]:25\", pool: p}]\n" POOL,
        "postern.yaml:1:33: error: address: \"[::/0]:25\" is too wide: the gateway takes every address of it "
        "as its own and would lose the network; use /16 or longer\n"
        "    1 | listeners: [{name: l, address: \"[::/0]:25\", pool: p}]\n"
        "      |                                 ^~~~~~~~~\n"},
    {"vip_wildcard_address", "listeners: [{name: l, address: \"[::]:25\", pool: p}]\n" POOL,
        "postern.yaml:1:33: error: address: \"[::]:25\" is the wildcard address, not one host\n"
        "    1 | listeners: [{name: l, address: \"[::]:25\", pool: p}]\n"
        "      |                                 ^~~~~~~\n"},
    {"vip_multicast", "listeners: [{name: l, address: 224.0.0.1:25, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"224.0.0.1:25\" is a multicast address\n"
        "    1 | listeners: [{name: l, address: 224.0.0.1:25, pool: p}]\n"
        "      |                                ^~~~~~~~~~~~\n"},
    {"vip_loopback", "listeners: [{name: l, address: 127.0.0.2:25, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"127.0.0.2:25\" is the loopback address; no other host can "
        "connect to it\n"
        "    1 | listeners: [{name: l, address: 127.0.0.2:25, pool: p}]\n"
        "      |                                ^~~~~~~~~~~~\n"},
    {"vip_link_local", "listeners: [{name: l, address: \"[fe80::1]:25\", pool: p}]\n" POOL,
        "postern.yaml:1:33: error: address: \"[fe80::1]:25\" is link-local: it is valid on one interface "
        "only\n"
        "    1 | listeners: [{name: l, address: \"[fe80::1]:25\", pool: p}]\n"
        "      |                                 ^~~~~~~~~~~~\n"},
    {"vip_mapped", "listeners: [{name: l, address: \"[::ffff:192.0.2.1]:25\", pool: p}]\n" POOL,
        "postern.yaml:1:33: error: address: \"[::ffff:192.0.2.1]:25\" is an IPv4 address in IPv6 clothes; "
        "write it as IPv4\n"
        "    1 | listeners: [{name: l, address: \"[::ffff:192.0.2.1]:25\", pool: p}]\n"
        "      |                                 ^~~~~~~~~~~~~~~~~~~~~\n"},
    {"vip_broadcast", "listeners: [{name: l, address: 255.255.255.255:25, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"255.255.255.255:25\" is the broadcast address\n"
        "    1 | listeners: [{name: l, address: 255.255.255.255:25, pool: p}]\n"
        "      |                                ^~~~~~~~~~~~~~~~~~\n"},
    {"vip_bits_beyond", "listeners: [{name: l, address: 203.0.113.17/28:25, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"203.0.113.17/28:25\" has bits set beyond the first 28; the "
        "prefix is 203.0.113.16/28\n"
        "    1 | listeners: [{name: l, address: 203.0.113.17/28:25, pool: p}]\n"
        "      |                                ^~~~~~~~~~~~~~~~~~\n"},
    {"vip_bits_beyond_v6", "listeners: [{name: l, address: \"[2001:db8::1/64]:25\", pool: p}]\n" POOL,
        "postern.yaml:1:33: error: address: \"[2001:db8::1/64]:25\" has bits set beyond the first 64; the "
        "prefix is 2001:db8::/64\n"
        "    1 | listeners: [{name: l, address: \"[2001:db8::1/64]:25\", pool: p}]\n"
        "      |                                 ^~~~~~~~~~~~~~~~~~~\n"},
    {"vip_length", "listeners: [{name: l, address: 203.0.113.0/33:25, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"203.0.113.0/33:25\": a prefix of this family has at most 32 "
        "bits\n"
        "    1 | listeners: [{name: l, address: 203.0.113.0/33:25, pool: p}]\n"
        "      |                                ^~~~~~~~~~~~~~~~~\n"},
    {"vip_prefix_no_port", "listeners: [{name: l, address: 203.0.113.0/28, pool: p}]\n" POOL,
        "postern.yaml:1:32: error: address: \"203.0.113.0/28\" has no port; write PREFIX:PORT\n"
        "    1 | listeners: [{name: l, address: 203.0.113.0/28, pool: p}]\n"
        "      |                                ^~~~~~~~~~~~~~\n"},
    {"vip_interface", "listeners: [{name: l, address: \"[fe80::1%eth0]:25\", pool: p}]\n" POOL,
        "postern.yaml:1:33: error: address: \"[fe80::1%eth0]:25\": an address that belongs to one interface "
        "(%) cannot be used\n"
        "    1 | listeners: [{name: l, address: \"[fe80::1%eth0]:25\", pool: p}]\n"
        "      |                                 ^~~~~~~~~~~~~~~~~\n"},
    {"vip_garbage", "listeners: [{name: l, address: \"1:2:3\", pool: p}]\n" POOL,
        "postern.yaml:1:33: error: address: \"1:2:3\" is not ADDRESS:PORT or PREFIX:PORT, like "
        "203.0.113.25:25 or \"[2001:db8::25]:25\"\n"
        "    1 | listeners: [{name: l, address: \"1:2:3\", pool: p}]\n"
        "      |                                 ^~~~~\n"},
    {"vip_prefix_garbage", "listeners: [{name: l, address: \"1.2.3/28:25\", pool: p}]\n" POOL,
        "postern.yaml:1:33: error: address: \"1.2.3/28:25\" is not ADDRESS:PORT or PREFIX:PORT, like "
        "203.0.113.25:25 or \"[2001:db8::25]:25\"\n"
        "    1 | listeners: [{name: l, address: \"1.2.3/28:25\", pool: p}]\n"
        "      |                                 ^~~~~~~~~~~\n"},
    {"backend_prefix",
        LISTENER "pools:\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: 10.0.0.0/28:25}]\n",
        "postern.yaml:4:35: error: address: \"10.0.0.0/28:25\" is a prefix; a backend is one address: write "
        "ADDRESS:PORT\n"
        "    4 |     backends: [{name: b, address: 10.0.0.0/28:25}]\n"
        "      |                                   ^~~~~~~~~~~~~~\n"},
    {"backend_wildcard",
        LISTENER "pools:\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: 0.0.0.0:25}]\n",
        "postern.yaml:4:35: error: address: \"0.0.0.0:25\" is a wildcard address, not one host\n"
        "    4 |     backends: [{name: b, address: 0.0.0.0:25}]\n"
        "      |                                   ^~~~~~~~~~\n"},
    {"backend_multicast",
        LISTENER "pools:\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: \"[ff02::1]:25\"}]\n",
        "postern.yaml:4:36: error: address: \"[ff02::1]:25\" is a multicast address\n"
        "    4 |     backends: [{name: b, address: \"[ff02::1]:25\"}]\n"
        "      |                                    ^~~~~~~~~~~~\n"},
    {"backend_port_zero",
        LISTENER "pools:\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: 10.0.0.1:0}]\n",
        "postern.yaml:4:35: error: address: \"10.0.0.1:0\": no server listens on port 0\n"
        "    4 |     backends: [{name: b, address: 10.0.0.1:0}]\n"
        "      |                                   ^~~~~~~~~~\n"},
    {"backend_twice_the_family",
        LISTENER "pools:\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: [10.0.0.1:25, 10.0.0.2:25]}]\n",
        "postern.yaml:4:49: error: a backend has at most one IPv4 address; the first is at "
        "postern.yaml:4:36. For another server add another backend\n"
        "    4 |     backends: [{name: b, address: [10.0.0.1:25, 10.0.0.2:25]}]\n"
        "      |                                                 ^~~~~~~~~~~\n"},
};

RUN_CASES("config_errors")
