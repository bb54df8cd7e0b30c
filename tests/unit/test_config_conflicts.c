/* SPDX-License-Identifier: Apache-2.0 */
/* What is right by itself and wrong together: names, addresses, zones, times, and above all the open relay.
 */
#include "config_error_cases.h"

#define ZONED "pools:\n  - name: p\n    backends: [{name: b, address: 10.0.0.1:25, zone: eu-west-1a}]\n"

static const struct error_case cases[] = {
    {"open_relay",
        LISTENER POOL "    source: gateway\n"
                      "    proxy_protocol: off\n",
        "postern.yaml:5:13: error: source: gateway with proxy_protocol: off would hide every sender behind "
        "the gateway's own address; to the backends they would all look like a trusted inside host, an open "
        "relay in waiting. Use source: client, or proxy_protocol: v1 or v2\n"
        "    5 |     source: gateway\n"
        "      |             ^~~~~~~\n"},
    {"open_relay_quoted",
        LISTENER POOL "    source: \"gateway\"\n"
                      "    proxy_protocol: \"off\"\n",
        "postern.yaml:5:14: error: source: gateway with proxy_protocol: off would hide every sender behind "
        "the gateway's own address; to the backends they would all look like a trusted inside host, an open "
        "relay in waiting. Use source: client, or proxy_protocol: v1 or v2\n"
        "    5 |     source: \"gateway\"\n"
        "      |              ^~~~~~~\n"},
    {"open_relay_by_default", LISTENER POOL "    source: gateway\n",
        "postern.yaml:5:13: error: source: gateway with proxy_protocol: off would hide every sender behind "
        "the gateway's own address; to the backends they would all look like a trusted inside host, an open "
        "relay in waiting. Use source: client, or proxy_protocol: v1 or v2\n"
        "    5 |     source: gateway\n"
        "      |             ^~~~~~~\n"},
    {"unknown_pool",
        "listeners: [{name: l, address: 192.0.2.1:25, pool: inbuond}]\n"
        "pools:\n"
        "  - name: inbound\n"
        "    backends: [{name: b, address: 10.0.0.1:25}]\n",
        "postern.yaml:1:52: error: there is no pool \"inbuond\"; the nearest is \"inbound\"\n"
        "    1 | listeners: [{name: l, address: 192.0.2.1:25, pool: inbuond}]\n"
        "      |                                                    ^~~~~~~\n"},
    {"unknown_pool_far", "listeners: [{name: l, address: 192.0.2.1:25, pool: relay}]\n" POOL,
        "postern.yaml:1:52: error: there is no pool \"relay\"; add it under \"pools\"\n"
        "    1 | listeners: [{name: l, address: 192.0.2.1:25, pool: relay}]\n"
        "      |                                                    ^~~~~\n"},
    {"unknown_source",
        "sources: {partners: {prefixes: 192.0.2.0/24}}\n"
        "listeners: [{name: l, address: 192.0.2.1:25, pool: p, route: [{from: partner, pool: p}]}]\n" POOL,
        "postern.yaml:2:70: error: there is no source \"partner\"; the nearest is \"partners\"\n"
        "    2 | ...: [{name: l, address: 192.0.2.1:25, pool: p, route: [{from: partner, pool: p}]}]\n"
        "      |                                                                ^~~~~~~\n"},
    {"unknown_pool_of_a_route",
        "sources: {partners: {prefixes: 192.0.2.0/24}}\n"
        "listeners: [{name: l, address: 192.0.2.1:25, pool: p, route: [{from: partners, pool: q}]}]\n" POOL,
        "postern.yaml:2:86: error: there is no pool \"q\"; the nearest is \"p\"\n"
        "    2 | ...ress: 192.0.2.1:25, pool: p, route: [{from: partners, pool: q}]}]\n"
        "      |                                                                ^\n"},
    {"route_twice",
        "sources: {a: {file: /a}}\n"
        "listeners:\n"
        "  - name: l\n"
        "    address: 192.0.2.1:25\n"
        "    pool: p\n"
        "    route:\n"
        "      - {from: a, pool: p}\n"
        "      - {from: a, pool: p}\n" POOL,
        "postern.yaml:8:9: error: a second route from \"a\", which is never reached; the first is at "
        "postern.yaml:7:9\n"
        "    8 |       - {from: a, pool: p}\n"
        "      |         ^\n"},
    {"source_called_other", "sources: {other: {file: /a}}\n" LISTENER POOL,
        "postern.yaml:1:11: error: no source can be called \"other\": that stands for clients that are in "
        "none\n"
        "    1 | sources: {other: {file: /a}}\n"
        "      |           ^~~~~\n"},
    {"source_of_nobody", "sources: {a: {}}\n" LISTENER POOL,
        "postern.yaml:1:14: error: a source without \"prefixes\" and without \"file\" has nobody in it; give "
        "at "
        "least one of them\n"
        "    1 | sources: {a: {}}\n"
        "      |              ^\n"},
    {"tlv_that_says_nothing", "sources: {a: {file: /a, tlv: {type: 0xE1}}}\n" LISTENER POOL,
        "postern.yaml:1:30: error: a tlv without \"value\" says nothing; add it, or leave tlv out\n"
        "    1 | sources: {a: {file: /a, tlv: {type: 0xE1}}}\n"
        "      |                              ^\n"},
    {"tlv_of_others", "sources: {a: {file: /a, tlv: {type: 0xD0, value: x}}}\n" LISTENER POOL,
        "postern.yaml:1:37: error: type: \"0xD0\" is not known here; it may be 0xE0, 0xE1, 0xE2, 0xE3, "
        "0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xEB, 0xEC, 0xED, 0xEE or 0xEF; did you mean 0xE0?\n"
        "    1 | sources: {a: {file: /a, tlv: {type: 0xD0, value: x}}}\n"
        "      |                                     ^~~~\n"},
    {"source_with_a_bad_prefix", "sources: {a: {prefixes: [192.0.2.0/24, 192.0.2.1/24]}}\n" LISTENER POOL,
        "postern.yaml:1:40: error: prefixes: \"192.0.2.1/24\" has bits set beyond the first 24; the prefix "
        "is "
        "192.0.2.0/24\n"
        "    1 | sources: {a: {prefixes: [192.0.2.0/24, 192.0.2.1/24]}}\n"
        "      |                                        ^~~~~~~~~~~~\n"},
    {"relay_gate_without_a_trusted_address",
        "relay_test: {trusted: 192.0.2.10}\n"
        "listeners: [{name: l, address: 192.0.2.1:25, pool: p, relay_test: gate}]\n"
        "pools: [{name: p, backends: [{name: b, address: \"[2001:db8::7]:25\"}]}]\n",
        "postern.yaml:2:67: error: relay_test: gate, but relay_test.trusted has no IPv6 address, and "
        "backends of "
        "pool \"p\" have one: no test of them could come out right, and no client would be served. Add to "
        "relay_test.trusted an address that they relay for, or use warn\n"
        "    2 | ...ers: [{name: l, address: 192.0.2.1:25, pool: p, relay_test: gate}]\n"
        "      |                                                                ^~~~\n"},
    {"relay_test_from_nowhere", "relay_test: {trusted: mx.example.org}\n" LISTENER POOL,
        "postern.yaml:1:23: error: trusted: \"mx.example.org\" is not an address or a prefix, like "
        "192.0.2.0/24 "
        "or \"2001:db8::/32\"\n"
        "    1 | relay_test: {trusted: mx.example.org}\n"
        "      |                       ^~~~~~~~~~~~~~\n"},
    {"relay_test_from_a_network", "relay_test: {trusted: 192.0.2.0/24}\n" LISTENER POOL,
        "postern.yaml:1:23: error: trusted: 192.0.2.0/24 is a whole network; give the one address that the "
        "test "
        "asks from\n"
        "    1 | relay_test: {trusted: 192.0.2.0/24}\n"
        "      |                       ^~~~~~~~~~~~\n"},
    {"relay_test_from_two_addresses", "relay_test: {untrusted: [192.0.2.1, 192.0.2.2]}\n" LISTENER POOL,
        "postern.yaml:1:37: error: untrusted: a second IPv4 address; one of each family is asked from\n"
        "    1 | relay_test: {untrusted: [192.0.2.1, 192.0.2.2]}\n"
        "      |                                     ^~~~~~~~~\n"},
    {"relay_test_from_loopback", "relay_test: {trusted: 127.0.0.1}\n" LISTENER POOL,
        "postern.yaml:1:23: error: trusted: 127.0.0.1 is a loopback address: no backend could answer it\n"
        "    1 | relay_test: {trusted: 127.0.0.1}\n"
        "      |                       ^~~~~~~~~\n"},
    {"relay_test_from_one_who_is_both", "relay_test: {trusted: 198.51.100.25}\n" LISTENER POOL,
        "postern.yaml:1:23: error: trusted: 198.51.100.25 is the address from which the test asks as a "
        "stranger; "
        "the two must differ\n"
        "    1 | relay_test: {trusted: 198.51.100.25}\n"
        "      |                       ^~~~~~~~~~~~~\n"},
    {"relay_test_for_nobody", "relay_test: {recipient: \"\"}\n" LISTENER POOL,
        "postern.yaml:1:26: error: recipient: \"\" is not a mail address; write it like "
        "postmaster@example.org\n"
        "    1 | relay_test: {recipient: \"\"}\n"
        "      |                          ^\n"},
    {"source_with_a_relative_file", "sources: {a: {file: list}}\n" LISTENER POOL,
        "postern.yaml:1:21: error: file: \"list\" is not the path of a file from the root; write it like "
        "/etc/postern/mta.list\n"
        "    1 | sources: {a: {file: list}}\n"
        "      |                     ^~~~\n"},
    {"source_with_a_bad_name", "sources: {\"a b\": {file: /a}}\n" LISTENER POOL,
        "postern.yaml:1:12: error: \"a b\" is not a name; use letters, digits, '.', '_' and '-'\n"
        "    1 | sources: {\"a b\": {file: /a}}\n"
        "      |            ^~~\n"},
    {"anybody_as_an_upstream",
        "listeners:\n"
        "  - name: l\n"
        "    address: 192.0.2.1:25\n"
        "    pool: p\n"
        "    accept_proxy_from: [10.0.0.5, 0.0.0.0/0]\n" POOL,
        "postern.yaml:5:35: error: accept_proxy_from with 0.0.0.0/0 would let strangers claim any address: "
        "whoever connects from there is believed, and an MTA would take a spammer for a neighbour. Name the "
        "balancers themselves, like 10.0.0.5; /8 is the largest prefix\n"
        "    5 |     accept_proxy_from: [10.0.0.5, 0.0.0.0/0]\n"
        "      |                                   ^~~~~~~~~\n"},
    {"half_of_ipv6_as_an_upstream",
        "listeners:\n"
        "  - name: l\n"
        "    address: 192.0.2.1:25\n"
        "    pool: p\n"
        "    accept_proxy_from: \"2000::/15\"\n" POOL,
        "postern.yaml:5:25: error: accept_proxy_from with 2000::/15 would let strangers claim any address: "
        "whoever connects from there is believed, and an MTA would take a spammer for a neighbour. Name the "
        "balancers themselves, like 10.0.0.5; /16 is the largest prefix\n"
        "    5 |     accept_proxy_from: \"2000::/15\"\n"
        "      |                         ^~~~~~~~~\n"},
    {"listener_twice",
        "listeners:\n"
        "  - {name: l, address: 192.0.2.1:25, pool: p}\n"
        "  - {name: l, address: 192.0.2.2:25, pool: p}\n" POOL,
        "postern.yaml:3:12: error: a listener is called \"l\" a second time; the first is at "
        "postern.yaml:2:12\n"
        "    3 |   - {name: l, address: 192.0.2.2:25, pool: p}\n"
        "      |            ^\n"},
    {"pool_twice",
        LISTENER POOL "  - name: p\n"
                      "    backends: [{name: b, address: 10.0.0.1:25}]\n",
        "postern.yaml:5:11: error: a pool is called \"p\" a second time; the first is at postern.yaml:3:11\n"
        "    5 |   - name: p\n"
        "      |           ^\n"},
    {"backend_twice",
        LISTENER "pools:\n"
                 "  - name: p\n"
                 "    backends:\n"
                 "      - {name: b, address: 10.0.0.1:25}\n"
                 "      - {name: b, address: 10.0.0.2:25}\n",
        "postern.yaml:6:16: error: a backend of this pool is called \"b\" a second time; the first is at "
        "postern.yaml:5:16\n"
        "    6 |       - {name: b, address: 10.0.0.2:25}\n"
        "      |                ^\n"},
    {"backend_address_twice",
        LISTENER "pools:\n  - name: p\n    backends:\n"
                 "      - {name: b, address: 10.0.0.1:25}\n"
                 "      - {name: c, address: [10.0.0.1:25, \"[2001:db8::1]:25\"]}\n",
        "postern.yaml:6:29: error: a backend of this pool has the address \"[10.0.0.1]:25\" a second time; "
        "the "
        "first is at postern.yaml:5:28\n"
        "    6 |       - {name: c, address: [10.0.0.1:25, \"[2001:db8::1]:25\"]}\n"
        "      |                             ^~~~~~~~~~~\n"},
    {"vip_twice", "listeners: [{name: l, address: [192.0.2.1:25, 192.0.2.1/32:25], pool: p}]\n" POOL,
        "postern.yaml:1:47: error: a listener has the address \"192.0.2.1/32:25\" a second time; the first "
        "is at postern.yaml:1:33\n"
        "    1 | listeners: [{name: l, address: [192.0.2.1:25, 192.0.2.1/32:25], pool: p}]\n"
        "      |                                               ^~~~~~~~~~~~~~~\n"},
    {"loop",
        LISTENER "pools:\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: 192.0.2.1:25}]\n",
        "postern.yaml:4:35: error: \"192.0.2.1:25\" is caught by a listener of this gateway "
        "(postern.yaml:1:32): sessions would go round in a loop; give the backend's own address\n"
        "    4 |     backends: [{name: b, address: 192.0.2.1:25}]\n"
        "      |                                   ^~~~~~~~~~~~\n"},
    {"loop_in_prefix", "listeners: [{name: l, address: 10.0.0.0/24:25, pool: p}]\n" POOL,
        "postern.yaml:4:35: error: \"10.0.0.1:25\" is caught by a listener of this gateway "
        "(postern.yaml:1:32): sessions would go round in a loop; give the backend's own address\n"
        "    4 |     backends: [{name: b, address: 10.0.0.1:25}]\n"
        "      |                                   ^~~~~~~~~~~\n"},
    {"own_address",
        LISTENER "pools:\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: 192.0.2.1:2525}]\n",
        "postern.yaml:4:35: error: \"192.0.2.1:2525\" has an address that this gateway takes as its own "
        "(postern.yaml:1:32), so it cannot be another host; give the backend's own address\n"
        "    4 |     backends: [{name: b, address: 192.0.2.1:2525}]\n"
        "      |                                   ^~~~~~~~~~~~~~\n"},
    {"loopback_with_client_source",
        LISTENER "pools:\n"
                 "  - name: p\n"
                 "    backends: [{name: b, address: 127.0.0.1:25}]\n",
        "postern.yaml:4:35: error: 127.0.0.1 is this host's loopback address, which cannot answer a client's "
        "address; use an address of another host, or source: gateway with a PROXY header\n"
        "    4 |     backends: [{name: b, address: 127.0.0.1:25}]\n"
        "      |                                   ^~~~~~~~~~~~\n"},
    {"zone_that_nobody_is_in", "gateway: {zone: eu-west-1}\n" LISTENER ZONED,
        "postern.yaml:1:17: error: no backend stands in the zone \"eu-west-1\"; the nearest is "
        "\"eu-west-1a\". If that is so, list it under gateway.zones\n"
        "    1 | gateway: {zone: eu-west-1}\n"
        "      |                 ^~~~~~~~~\n"},
    {"gateway_without_zone", LISTENER ZONED,
        "postern.yaml:3:5: error: this pool goes by zones (zones: prefer-local by default) and its backends "
        "name them (postern.yaml:4:54), but nobody has said where this gateway stands; set gateway.zone, or "
        "zones: off\n"
        "    3 |   - name: p\n"
        "      |     ^\n"},
    {"balanced_without_gateways", "gateway: {zone: eu-west-1a}\n" LISTENER ZONED "    zones: balanced\n",
        "postern.yaml:6:12: error: zones: balanced must know how many gateways stand in each zone; list them "
        "under gateway.zones, like {name: a, gateways: 2}\n"
        "    6 |     zones: balanced\n"
        "      |            ^~~~~~~~\n"},
    {"zones_not_listed",
        "gateway:\n"
        "  zone: b\n"
        "  zones:\n"
        "    - {name: eu-west-1b, gateways: 1}\n"
        "    - {name: eu-west-1b, gateways: 1}\n" LISTENER ZONED,
        "postern.yaml:2:9: error: the zone \"b\" is not listed under gateway.zones\n"
        "    2 |   zone: b\n"
        "      |         ^\n"
        "postern.yaml:5:14: error: the zone \"eu-west-1b\" a second time; the first is at postern.yaml:4:14\n"
        "    5 |     - {name: eu-west-1b, gateways: 1}\n"
        "      |              ^~~~~~~~~~\n"
        "postern.yaml:9:54: error: the zone \"eu-west-1a\" is not listed under gateway.zones; the nearest is "
        "\"eu-west-1b\"\n"
        "    9 |     backends: [{name: b, address: 10.0.0.1:25, zone: eu-west-1a}]\n"
        "      |                                                      ^~~~~~~~~~\n"},
    {"no_gateway_in_own_zone",
        "gateway:\n"
        "  zone: eu-west-1a\n"
        "  zones: [{name: eu-west-1a, gateways: 0}]\n" LISTENER ZONED,
        "postern.yaml:3:40: error: this gateway stands in the zone \"eu-west-1a\", so there is at least 1\n"
        "    3 |   zones: [{name: eu-west-1a, gateways: 0}]\n"
        "      |                                        ^\n"},
    {"greeting_total_short", LISTENER POOL "    timeouts: {greeting: 30s, greeting_total: 20s}\n",
        "postern.yaml:5:47: error: greeting is 30s but greeting_total, which covers all backends tried, is "
        "20s; make it at least as long\n"
        "    5 |     timeouts: {greeting: 30s, greeting_total: 20s}\n"
        "      |                                               ^~~\n"},
    {"check_timeout_long", LISTENER POOL "    check: {interval: 10s, timeout: 11s}\n",
        "postern.yaml:5:37: error: timeout is 11s but interval is 10s: a check would still run when the next "
        "is "
        "due; make timeout at most as long\n"
        "    5 |     check: {interval: 10s, timeout: 11s}\n"
        "      |                                     ^~~\n"},
    {"check_interval_short_for_default", LISTENER POOL "    check: {interval: 10s}\n",
        "postern.yaml:5:23: error: timeout is 15s by default but interval is 10s: a check would still run "
        "when "
        "the next is due; make timeout at most as long\n"
        "    5 |     check: {interval: 10s}\n"
        "      |                       ^~~\n"},
    {"check_fast_interval_long", LISTENER POOL "    check: {fast_interval: 31s}\n",
        "postern.yaml:5:28: error: fast_interval is 31s but interval is 30s by default: checks in trouble "
        "would "
        "be rarer than others; make fast_interval at most as long\n"
        "    5 |     check: {fast_interval: 31s}\n"
        "      |                            ^~~\n"},
    {"check_rcpt_without_smtp", LISTENER POOL "    check: {type: tcp, rcpt: a@example.org}\n",
        "postern.yaml:5:30: error: rcpt is asked for in SMTP, which a check of type tcp does not speak; use "
        "type: smtp, or leave rcpt out\n"
        "    5 |     check: {type: tcp, rcpt: a@example.org}\n"
        "      |                              ^~~~~~~~~~~~~\n"},
    {"check_starttls_without_check", LISTENER POOL "    check: {type: off, starttls: required}\n",
        "postern.yaml:5:34: error: starttls is asked for in SMTP, which a check of type off does not speak; "
        "use "
        "type: smtp, or leave starttls out\n"
        "    5 |     check: {type: off, starttls: required}\n"
        "      |                                  ^~~~~~~~\n"},
    {"mailbox_without_domain", LISTENER POOL "    check: {rcpt: postmaster}\n",
        "postern.yaml:5:19: error: rcpt: \"postmaster\" is not a mail address; write it like "
        "postmaster@example.org\n"
        "    5 |     check: {rcpt: postmaster}\n"
        "      |                   ^~~~~~~~~~\n"},
    {"mailbox_with_a_command", LISTENER POOL "    check: {rcpt: \"a@b> DATA\"}\n",
        "postern.yaml:5:20: error: rcpt: \"a@b> DATA\" is not a mail address; write it like "
        "postmaster@example.org\n"
        "    5 |     check: {rcpt: \"a@b> DATA\"}\n"
        "      |                    ^~~~~~~~~\n"},
    {"agent_without_port", LISTENER POOL "    agent: {interval: 5s}\n",
        "postern.yaml:5:12: error: the agent has no port, so nobody is asked; add \"port\", or leave agent "
        "out\n"
        "    5 |     agent: {interval: 5s}\n"
        "      |            ^\n"},
    {"greeting_long_for_default", LISTENER POOL "    timeouts: {greeting: 2m}\n",
        "postern.yaml:5:26: error: greeting is 2m but greeting_total, which covers all backends tried, is "
        "90s by default; make it at least as long\n"
        "    5 |     timeouts: {greeting: 2m}\n"
        "      |                          ^~\n"},
    {"greeting_would_retry_5xx", LISTENER POOL "    greeting: [{reply: \"5*\", then: retry}]\n",
        "postern.yaml:5:25: error: then: retry with the pattern \"5*\", which is not one of 4xx replies "
        "alone: a "
        "5xx reply is a verdict about the client, who must not be passed on until some backend takes him. "
        "Begin the "
        "pattern with 4\n"
        "    5 |     greeting: [{reply: \"5*\", then: retry}]\n"
        "      |                         ^~\n"},
    {"greeting_would_retry_everything", LISTENER POOL "    greeting: [{reply: \"*\", then: retry}]\n",
        "postern.yaml:5:25: error: then: retry with the pattern \"*\", which is not one of 4xx replies "
        "alone: a "
        "5xx reply is a verdict about the client, who must not be passed on until some backend takes him. "
        "Begin the "
        "pattern with 4\n"
        "    5 |     greeting: [{reply: \"*\", then: retry}]\n"
        "      |                         ^\n"},
    {"greeting_stars", LISTENER POOL "    greeting: [{reply: \"4*a*b*c*d*\", then: retry}]\n",
        "postern.yaml:5:25: error: reply: \"4*a*b*c*d*\" has more than 4 stars\n"
        "    5 |     greeting: [{reply: \"4*a*b*c*d*\", then: retry}]\n"
        "      |                         ^~~~~~~~~~\n"},
    {"greeting_empty", LISTENER POOL "    greeting: [{reply: \"\", then: retry}]\n",
        "postern.yaml:5:25: error: reply: \"\" is too short; a pattern has from 1 to 128 characters\n"
        "    5 |     greeting: [{reply: \"\", then: retry}]\n"
        "      |                         ^\n"},
    {"greeting_incomplete", LISTENER POOL "    greeting: [{reply: \"421 4.3.*\"}]\n",
        "postern.yaml:5:16: error: this reply has no \"then\": what becomes of such a reply\n"
        "    5 |     greeting: [{reply: \"421 4.3.*\"}]\n"
        "      |                ^\n"},
    {"queue_without_limit", LISTENER POOL "    queue_timeout: 5s\n",
        "postern.yaml:5:20: error: queue_timeout without max_sessions: no backend is ever full where there "
        "is "
        "no limit. "
        "Set max_sessions as well, or remove it\n"
        "    5 |     queue_timeout: 5s\n"
        "      |                    ^~\n"},
};

RUN_CASES("config_conflicts")
