/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema table, and looking keys up in it.
 * Happy path: config_find_key(). Failure path: the nearest key, for the message that names it.
 * A key stands here only when it is implemented. Called by config_parse.c and the tests; pure.
 */
#include "control/config/config_schema.h"

#include "base/proxy_header.h"
#include "control/roster/zones.h"
#include "snapshot.h"
#include "source_meter.h"

#include <limits.h>
#include <string.h>

const char config_fallback_hostname[] = "the host name";
const char config_fallback_cpus[] = "the number of CPUs online, at most 64";

/* In the order of the enums in snapshot.h and zones.h. */
static const char *const source_words[] = {"client", "gateway", NULL};
static const char *const proxy_words[] = {"off", "v1", "v2", NULL};
static const char *const balance_words[] = {"least-sessions", "round-robin", "source-hash", NULL};
static const char *const zones_words[] = {"prefer-local", "balanced", "off", NULL};
static const char *const then_words[] = {"pass", "retry", NULL};
static const char *const switch_words[] = {"off", "on", NULL};
static const char *const state_words[] = {"ready", "drain", "maint", NULL};
static const char *const check_words[] = {"smtp", "tcp", "off", NULL};
static const char *const discover_words[] = {"a", "srv", NULL};
static const char *const name_words[] = {"haproxy", "postern", NULL};
static const char *const action_words[] = {"421", "refuse", "drop", "observe", NULL};
static const char *const relay_test_words[] = {"off", "warn", "gate", NULL};
static const char *const tlv_words[] = {"0xE0", "0xE1", "0xE2", "0xE3", "0xE4", "0xE5", "0xE6", "0xE7",
    "0xE8", "0xE9", "0xEA", "0xEB", "0xEC", "0xED", "0xEE", "0xEF", NULL};
static const char *const starttls_words[] = {"off", "required", NULL};
_Static_assert(LIMIT_TELL == 0 && LIMIT_REFUSE == 1 && LIMIT_DROP == 2 && LIMIT_OBSERVE == 3, "action_words");
_Static_assert(POOL_CHECK_SMTP == 0 && POOL_CHECK_TCP == 1 && POOL_CHECK_OFF == 2, "check_words");
_Static_assert(ADMIN_NAME_HAPROXY == 0 && ADMIN_NAME_POSTERN == 1, "name_words");
_Static_assert(RELAY_TEST_OFF == 0 && RELAY_TEST_WARN == 1 && RELAY_TEST_GATE == 2, "relay_test_words");
_Static_assert(DISCOVER_A == 0 && DISCOVER_SRV == 1, "discover_words");
_Static_assert(SOURCE_CLIENT == 0 && SOURCE_GATEWAY == 1, "source_words");
_Static_assert(BACKEND_READY == 0 && BACKEND_DRAIN == 1 && BACKEND_MAINT == 2, "state_words");
_Static_assert(PROXY_OFF == 0 && PROXY_V1 == 1 && PROXY_V2 == 2, "proxy_words");
_Static_assert(
    BALANCE_LEAST_SESSIONS == 0 && BALANCE_ROUND_ROBIN == 1 && BALANCE_SOURCE_HASH == 2, "balance_words");
_Static_assert(ZONES_PREFER_LOCAL == 0 && ZONES_BALANCED == 1 && ZONES_OFF == 2, "zones_words");
_Static_assert(THEN_PASS == 0 && THEN_RETRY == 1, "then_words");

#define SESSIONS_MAX 1000000u
#define SECONDS 1000u
#define MINUTES (60 * SECONDS)
#define HOURS (60 * MINUTES)

#define SECTION(title_, unnamed_, type, keys_)                                                               \
    {                                                                                                        \
        .title = (title_), .unnamed = (unnamed_), .size = sizeof(type), .keys = (keys_),                     \
        .n_keys = sizeof(keys_) / sizeof((keys_)[0])                                                         \
    }

#define AT(type, member) .offset = offsetof(type, member)

static const struct config_key zones_keys[] = {
    {"name", CONFIG_NAME, .required = true, AT(struct config_zone, name), .min = 1, .max = CONFIG_NAME_MAX,
        .help = "the zone"},
    {"gateways", CONFIG_NUMBER, .required = true, AT(struct config_zone, gateways), .min = 0, .max = 1000,
        .help = "how many gateways stand in it"},
};
static const struct config_section zones_section =
    SECTION("zone", "this zone", struct config_zone, zones_keys);

static const struct config_key drain_keys[] = {
    {"limit", CONFIG_DURATION, AT(struct config_drain, limit_ms), .min = 1 * SECONDS, .max = 24 * HOURS,
        .fallback = "15m",
        .help = "of a backend's or the gateway's drain: only then silent sessions are ended"},
    {"silent", CONFIG_DURATION, AT(struct config_drain, silent_ms), .min = 1 * SECONDS, .max = 24 * HOURS,
        .fallback = "11m", .help = "how long a session must have been silent to be ended then"},
};
static const struct config_section drain_section = SECTION("drain", NULL, struct config_drain, drain_keys);

static const struct config_key gateway_keys[] = {
    {"name", CONFIG_NAME, AT(struct config_gateway, name), .min = 1, .max = CONFIG_NAME_MAX,
        .fallback = config_fallback_hostname, .help = "what this gateway is called in logs"},
    {"zone", CONFIG_NAME, AT(struct config_gateway, zone), .min = 0, .max = CONFIG_NAME_MAX, .fallback = "",
        .help = "the zone this gateway stands in"},
    {"zones", CONFIG_LIST, AT(struct config_gateway, zones), .section = &zones_section,
        .help = "how many gateways stand in each zone"},
    {"host_name", CONFIG_NAME, AT(struct config_gateway, host_name), .min = 1, .max = 255,
        .fallback = config_fallback_hostname,
        .help = "the domain that clients are told when no backend can serve them"},
    {"resolver", CONFIG_RESOLVER, AT(struct config_gateway, resolver), .fallback = "",
        .help = "the DNS server that is asked for backends, instead of those in /etc/resolv.conf"},
    {"workers", CONFIG_NUMBER, AT(struct config_gateway, workers), .min = 1, .max = 64,
        .fallback = config_fallback_cpus, .help = "threads that carry sessions"},
    {"max_sessions", CONFIG_NUMBER, AT(struct config_gateway, max_sessions), .min = 1, .max = SESSIONS_MAX,
        .fallback = "8000",
        .help = "sessions at a time, over all workers; memory for them is taken at start"},
    {"drain", CONFIG_MAP, AT(struct config_gateway, drain), .section = &drain_section,
        .help = "what becomes of sessions that do not end"},
};
static const struct config_section gateway_section =
    SECTION("gateway", NULL, struct config_gateway, gateway_keys);

static const struct config_key route_keys[] = {
    {"from", CONFIG_NAME, .required = true, AT(struct config_route, from), .min = 1, .max = CONFIG_NAME_MAX,
        .help = "the source whose clients it is about"},
    {"pool", CONFIG_NAME, .required = true, AT(struct config_route, pool), .min = 1, .max = CONFIG_NAME_MAX,
        .help = "the pool that serves them"},
};
static const struct config_section route_section =
    SECTION("route", "this route", struct config_route, route_keys);

static const struct config_key limits_keys[] = {
    {"sessions", CONFIG_LIMIT, AT(struct config_limits, sessions), .max = SESSIONS_MAX,
        .help = "sessions at a time of each client of this source"},
    {"rate", CONFIG_RATE, AT(struct config_limits, rate), .max = METER_MINUTE_MAX,
        .help = "new sessions a minute of each client of this source"},
};
static const struct config_section limits_section =
    SECTION("limits", NULL, struct config_limits, limits_keys);

static const struct config_key source_limits_keys[] = {
    {"sessions", CONFIG_LIMIT, AT(struct config_source_limits, each.sessions), .max = SESSIONS_MAX,
        .fallback = "50", .help = "sessions at a time of each client"},
    {"action", CONFIG_WORD, AT(struct config_source_limits, action), .words = action_words, .fallback = "421",
        .help = "what becomes of those beyond"},
    {"rate", CONFIG_RATE, AT(struct config_source_limits, each.rate), .max = METER_MINUTE_MAX,
        .fallback = "600/min", .help = "new sessions a minute of each client"},
    {"rate_action", CONFIG_WORD, AT(struct config_source_limits, rate_action), .words = action_words,
        .fallback = "observe", .help = "what becomes of those beyond"},
    {"text", CONFIG_TEXT, AT(struct config_source_limits, text), .min = 1, .max = 200,
        .fallback = "too many sessions from your address, try again later",
        .help = "what a client is told then"},
    {"exempt", CONFIG_NAMES, AT(struct config_source_limits, exempt),
        .help = "sources whose clients have no limit"},
    {"prefix_v4", CONFIG_NUMBER, AT(struct config_source_limits, prefix_v4), .min = 8, .max = 32,
        .fallback = "32", .help = "how many bits of an IPv4 address make a client"},
    {"prefix_v6", CONFIG_NUMBER, AT(struct config_source_limits, prefix_v6), .min = 16, .max = 128,
        .fallback = "64", .help = "the same of an IPv6 address"},
};
static const struct config_section source_limits_section =
    SECTION("source_limits", NULL, struct config_source_limits, source_limits_keys);

static const struct config_key tlv_keys[] = {
    {"type", CONFIG_WORD, AT(struct config_tlv, type), .words = tlv_words, .fallback = "0xE0",
        .help = "the number that the receiver knows it by"},
    {"value", CONFIG_TEXT, AT(struct config_tlv, value), .min = 0, .max = PROXY_TLV_VALUE_MAX, .fallback = "",
        .help = "what it says"},
};
static const struct config_section tlv_section = SECTION("tlv", NULL, struct config_tlv, tlv_keys);

static const struct config_key source_keys[] = {
    {"prefixes", CONFIG_PREFIXES, AT(struct config_source, prefixes),
        .help = "addresses and prefixes of clients: one, or a list of them"},
    {"file", CONFIG_PATHS, AT(struct config_source, files),
        .help = "a file with a prefix on each line, which is watched; or a list of files"},
    {"limits", CONFIG_MAP, AT(struct config_source, limits), .section = &limits_section,
        .help = "what each client of it may have, instead of what source_limits says"},
    {"tlv", CONFIG_MAP, AT(struct config_source, tlv), .section = &tlv_section,
        .help = "an extension that PROXY headers of its clients carry"},
};
static const struct config_section source_section = {.title = "source",
    .unnamed = "this source",
    .named_by_key = true,
    .size = sizeof(struct config_source),
    .keys = source_keys,
    .n_keys = sizeof(source_keys) / sizeof(source_keys[0])};

static const struct config_key listener_keys[] = {
    {"name", CONFIG_NAME, .required = true, AT(struct config_listener, name), .min = 1,
        .max = CONFIG_NAME_MAX, .help = "what this listener is called in logs"},
    {"address", CONFIG_VIPS, .required = true, AT(struct config_listener, vips),
        .help = "where clients connect to: one ADDRESS:PORT or PREFIX:PORT, or a list of them"},
    {"pool", CONFIG_NAME, .required = true, AT(struct config_listener, pool), .min = 1,
        .max = CONFIG_NAME_MAX, .help = "the name of the pool that serves it"},
    {"route", CONFIG_LIST, AT(struct config_listener, routes), .section = &route_section,
        .help = "which clients another pool serves, by source; the first that fits"},
    {"accept_proxy_from", CONFIG_PREFIXES, AT(struct config_listener, upstreams),
        .help = "balancers that name their clients in a PROXY header: addresses and prefixes"},
    {"max_sessions", CONFIG_NUMBER, AT(struct config_listener, max_sessions), .min = 0, .max = SESSIONS_MAX,
        .fallback = "0", .help = "sessions at a time; 0 sets no limit but that of the gateway"},
    {"relay_test", CONFIG_WORD, AT(struct config_listener, relay_test), .words = relay_test_words,
        .fallback = "off", .help = "what follows for its backends from the relay test"},
};
static const struct config_section listener_section =
    SECTION("listener", "this listener", struct config_listener, listener_keys);

static const struct config_key timeouts_keys[] = {
    {"connect", CONFIG_DURATION, AT(struct config_timeouts, connect_ms), .min = 100, .max = 5 * MINUTES,
        .fallback = "4s", .help = "for a backend to accept the connection"},
    {"greeting", CONFIG_DURATION, AT(struct config_timeouts, greeting_ms), .min = 1 * SECONDS,
        .max = 30 * MINUTES, .fallback = "30s", .help = "for a backend to send its first byte"},
    {"greeting_total", CONFIG_DURATION, AT(struct config_timeouts, greeting_total_ms), .min = 1 * SECONDS,
        .max = 1 * HOURS, .fallback = "90s",
        .help = "for the first byte to reach the client, over all backends tried"},
    {"idle", CONFIG_DURATION, AT(struct config_timeouts, idle_ms), .min = 1 * SECONDS, .max = 24 * HOURS,
        .fallback = "11m", .help = "without a byte in either direction"},
    {"half_closed", CONFIG_DURATION, AT(struct config_timeouts, half_closed_ms), .min = 1 * SECONDS,
        .max = 24 * HOURS, .fallback = "11m", .help = "without a byte after one side has closed"},
};
static const struct config_section timeouts_section =
    SECTION("timeouts", NULL, struct config_timeouts, timeouts_keys);

static const struct config_key verdict_keys[] = {
    {"reply", CONFIG_PATTERN, .required = true, AT(struct config_verdict, reply), .min = 1, .max = 128,
        .help = "a pattern for the first line of what a backend greets with, like \"421 4.3.*\""},
    {"then", CONFIG_WORD, .required = true, AT(struct config_verdict, then), .words = then_words,
        .help = "what becomes of such a reply"},
};
static const struct config_section verdict_section =
    SECTION("greeting", "this reply", struct config_verdict, verdict_keys);
static const struct config_key check_keys[] = {
    {"type", CONFIG_WORD, AT(struct config_checking, type), .words = check_words, .fallback = "smtp",
        .help = "what a backend must do to pass"},
    {"interval", CONFIG_DURATION, AT(struct config_checking, interval_ms), .min = 100, .max = 1 * HOURS,
        .fallback = "30s", .help = "between checks of a backend that is up and has traffic"},
    {"fast_interval", CONFIG_DURATION, AT(struct config_checking, fast_interval_ms), .min = 100,
        .max = 1 * HOURS, .fallback = "5s", .help = "between checks of one that is idle, suspect or down"},
    {"timeout", CONFIG_DURATION, AT(struct config_checking, timeout_ms), .min = 100, .max = 5 * MINUTES,
        .fallback = "15s", .help = "for a whole check"},
    {"rise", CONFIG_NUMBER, AT(struct config_checking, rise), .min = 1, .max = 100, .fallback = "2",
        .help = "checks in a row that must pass until a backend that is down is up"},
    {"fall", CONFIG_NUMBER, AT(struct config_checking, fall), .min = 1, .max = 100, .fallback = "3",
        .help = "checks in a row that must fail until a backend is down"},
    {"starttls", CONFIG_WORD, AT(struct config_checking, starttls), .words = starttls_words,
        .fallback = "off", .help = "whether STARTTLS must be offered"},
    {"rcpt", CONFIG_MAILBOX, AT(struct config_checking, rcpt), .min = 0, .max = CONFIG_MAILBOX_MAX,
        .fallback = "", .help = "an address that the backend must take mail for"},
};
static const struct config_section check_section = SECTION("check", NULL, struct config_checking, check_keys);

static const struct config_key agent_keys[] = {
    {"port", CONFIG_NUMBER, AT(struct config_agent, port), .min = 0, .max = UINT16_MAX, .fallback = "0",
        .help = "where each backend's agent listens; 0: there is none"},
    {"interval", CONFIG_DURATION, AT(struct config_agent, interval_ms), .min = 100, .max = 1 * HOURS,
        .fallback = "30s", .help = "between two questions"},
};
static const struct config_section agent_section = SECTION("agent", NULL, struct config_agent, agent_keys);

static const struct config_key backend_keys[] = {
    {"name", CONFIG_NAME, .required = true, AT(struct config_backend, name), .min = 1, .max = CONFIG_NAME_MAX,
        .help = "what this backend is called in logs"},
    {"address", CONFIG_BACKEND, .required = true, AT(struct config_backend, address),
        .help = "where it listens: one ADDRESS:PORT, or a list with one IPv4 and one IPv6 address"},
    {"zone", CONFIG_NAME, AT(struct config_backend, zone), .min = 0, .max = CONFIG_NAME_MAX, .fallback = "",
        .help = "the zone it stands in"},
    {"weight", CONFIG_NUMBER, AT(struct config_backend, weight), .min = 0, .max = SNAPSHOT_WEIGHT_MAX,
        .fallback = "100", .help = "its share of new sessions; 0 gives it none"},
    {"state", CONFIG_WORD, AT(struct config_backend, state), .words = state_words, .fallback = "ready",
        .help = "ready takes sessions; drain and maint take no new ones, and keep those they have"},
};
static const struct config_section backend_section =
    SECTION("backend", "this backend", struct config_backend, backend_keys);

static const struct config_key discover_keys[] = {
    {"dns", CONFIG_HOST, AT(struct config_discover, dns), .max = CONFIG_HOST_MAX, .fallback = "",
        .help = "the name whose records are the backends"},
    {"type", CONFIG_WORD, AT(struct config_discover, type), .words = discover_words, .fallback = "a",
        .help = "which records: a for addresses (A and AAAA), srv for servers"},
    {"port", CONFIG_NUMBER, AT(struct config_discover, port), .min = 0, .max = UINT16_MAX, .fallback = "0",
        .help = "where the addresses listen"},
    {"file", CONFIG_PATH, AT(struct config_discover, file), .max = PATH_MAX - 1, .fallback = "",
        .help = "a file with a list of backends, which is watched"},
};
static const struct config_section discover_section =
    SECTION("discover", NULL, struct config_discover, discover_keys);

static const struct config_key pool_keys[] = {
    {"name", CONFIG_NAME, .required = true, AT(struct config_pool, name), .min = 1, .max = CONFIG_NAME_MAX,
        .help = "what listeners call it by"},
    {"source", CONFIG_WORD, AT(struct config_pool, source), .words = source_words, .fallback = "client",
        .help = "whose address the backends see a connection come from"},
    {"proxy_protocol", CONFIG_WORD, AT(struct config_pool, proxy_protocol), .words = proxy_words,
        .fallback = "off", .help = "the PROXY header sent ahead of each session"},
    {"balance", CONFIG_WORD, AT(struct config_pool, balance), .words = balance_words,
        .fallback = "least-sessions", .help = "how a backend is chosen"},
    {"zones", CONFIG_WORD, AT(struct config_pool, zones), .words = zones_words, .fallback = "prefer-local",
        .help = "whether backends of the gateway's own zone come first"},
    {"slow_start", CONFIG_DURATION, AT(struct config_pool, slow_start_ms), .min = 0, .max = 1 * HOURS,
        .fallback = "60s", .help = "how long a backend that comes back is spared"},
    {"overload_brake", CONFIG_WORD, AT(struct config_pool, overload_brake), .words = switch_words,
        .fallback = "off",
        .help = "whether a backend that answers 421 4.3.2 again and again gets fewer sessions"},
    {"outlier", CONFIG_WORD, AT(struct config_pool, outlier), .words = switch_words, .fallback = "off",
        .help = "whether a backend that greets far later than the others loses weight"},
    {"dissolve", CONFIG_WORD, AT(struct config_pool, dissolve), .words = switch_words, .fallback = "on",
        .help = "whether sessions become one entry in the kernel after the greeting"},
    {"check", CONFIG_MAP, AT(struct config_pool, check), .section = &check_section,
        .help = "how it is found out which backends work"},
    {"agent", CONFIG_MAP, AT(struct config_pool, agent), .section = &agent_section,
        .help = "who is asked for each backend's weight and state"},
    {"timeouts", CONFIG_MAP, AT(struct config_pool, timeouts), .section = &timeouts_section,
        .help = "how long each step may take"},
    {"retries", CONFIG_NUMBER, AT(struct config_pool, retries), .min = 0, .max = 10, .fallback = "2",
        .help = "further backends tried when the first fails before its greeting"},
    {"greeting", CONFIG_LIST, AT(struct config_pool, greeting), .section = &verdict_section,
        .help = "which replies of a backend make it be replaced by another"},
    {"max_sessions", CONFIG_NUMBER, AT(struct config_pool, max_sessions), .min = 0, .max = SESSIONS_MAX,
        .fallback = "0", .help = "sessions that each backend carries at a time; 0 sets no limit"},
    {"queue_length", CONFIG_NUMBER, AT(struct config_pool, queue_length), .min = 0, .max = 100000,
        .fallback = "200", .help = "sessions that wait while all backends are at max_sessions"},
    {"queue_timeout", CONFIG_DURATION, AT(struct config_pool, queue_timeout_ms), .min = 100,
        .max = 4 * MINUTES, .fallback = "30s", .help = "how long a session waits for a backend"},
    {"discover", CONFIG_MAP, AT(struct config_pool, discover), .section = &discover_section,
        .help = "where further backends come from"},
    {"backends", CONFIG_LIST, AT(struct config_pool, backends), .section = &backend_section,
        .help = "the servers of this pool"},
};
static const struct config_section pool_section = SECTION("pool", "this pool", struct config_pool, pool_keys);

static const struct config_key admin_keys[] = {
    {"socket", CONFIG_PATH, AT(struct config_admin, socket), .max = CONFIG_SOCKET_MAX, .fallback = "",
        .help = "where operators' tools connect to, in HAProxy's words; without it there is no such place"},
    {"group", CONFIG_NAME, AT(struct config_admin, group), .min = 0, .max = CONFIG_NAME_MAX, .fallback = "",
        .help = "the group whose members may connect to the socket; without it the one that postern runs as"},
    {"tcp", CONFIG_LOOPBACK, AT(struct config_admin, tcp), .fallback = "",
        .help = "where tools of this host connect to that know no unix sockets; they may only look"},
    {"name", CONFIG_WORD, AT(struct config_admin, name), .words = name_words, .fallback = "haproxy",
        .help = "what it calls itself there: many tools go on with HAProxy only"},
    {"state_file", CONFIG_PATH, AT(struct config_admin, state_file), .max = PATH_MAX - 1, .fallback = "",
        .help = "where changes made at run time are kept over restarts; without it they end with postern"},
};
static const struct config_section admin_section = SECTION("admin", NULL, struct config_admin, admin_keys);

static const struct config_key http_keys[] = {
    {"listen", CONFIG_LOOPBACK, AT(struct config_http, listen), .fallback = "",
        .help = "where metrics, health and the status page are served; without it they are not"},
};
static const struct config_section http_section = SECTION("http", NULL, struct config_http, http_keys);

static const struct config_key log_keys[] = {
    {"sample", CONFIG_NUMBER, AT(struct config_log, sample), .min = 1, .max = 1000000, .fallback = "1",
        .help = "of so many sessions that end in order, one has its line"},
};
static const struct config_section log_section = SECTION("log", NULL, struct config_log, log_keys);

static const struct config_key relay_test_keys[] = {
    {"trusted", CONFIG_PREFIXES, AT(struct config_relay_test, trusted),
        .help = "an address that the backends relay for: one, or one of each family"},
    {"untrusted", CONFIG_PREFIXES, AT(struct config_relay_test, untrusted),
        .help = "the address that the test asks from as a stranger: one, or one of each family"},
    {"sender", CONFIG_MAILBOX, AT(struct config_relay_test, sender), .max = CONFIG_MAILBOX_MAX,
        .fallback = "", .help = "what it says in MAIL FROM"},
    {"recipient", CONFIG_MAILBOX, AT(struct config_relay_test, recipient), .min = 1,
        .max = CONFIG_MAILBOX_MAX, .fallback = "relay-test@example.org",
        .help = "what it says in RCPT TO: nobody of the backends' own"},
    {"interval", CONFIG_DURATION, AT(struct config_relay_test, interval_ms), .min = 1 * SECONDS,
        .max = 24 * HOURS, .fallback = "1h", .help = "between two tests of a backend"},
};
static const struct config_section relay_test_section =
    SECTION("relay_test", NULL, struct config_relay_test, relay_test_keys);

static const struct config_key root_keys[] = {
    {"gateway", CONFIG_MAP, AT(struct config, gateway), .section = &gateway_section, .help = "this gateway"},
    {"admin", CONFIG_MAP, AT(struct config, admin), .section = &admin_section,
        .help = "how the running daemon is asked and told"},
    {"http", CONFIG_MAP, AT(struct config, http), .section = &http_section,
        .help = "what monitoring and browsers are told"},
    {"log", CONFIG_MAP, AT(struct config, log), .section = &log_section, .help = "what is written down"},
    {"relay_test", CONFIG_MAP, AT(struct config, relay_test), .section = &relay_test_section,
        .help = "how backends are asked whether they relay for strangers"},
    {"listeners", CONFIG_LIST, .required = true, AT(struct config, listeners), .section = &listener_section,
        .help = "the addresses that clients connect to"},
    {"sources", CONFIG_NAMED, AT(struct config, sources), .section = &source_section,
        .help = "lists of prefixes that clients come from, each under its name"},
    {"source_limits", CONFIG_MAP, AT(struct config, source_limits), .section = &source_limits_section,
        .help = "what one client may have"},
    {"pools", CONFIG_LIST, .required = true, AT(struct config, pools), .section = &pool_section,
        .help = "groups of backends"},
};
const struct config_section config_root = SECTION("the top level", NULL, struct config, root_keys);

const struct config_key *config_find_key(const struct config_section *s, const char *name)
{
    for (size_t i = 0; i < s->n_keys; i++)
        if (strcmp(s->keys[i].name, name) == 0)
            return &s->keys[i];
    return NULL;
}

const struct config_section *config_section_with(const struct config_section *s, const char *name)
{
    if (config_find_key(s, name))
        return s;
    for (size_t i = 0; i < s->n_keys; i++) {
        const struct config_section *below =
            s->keys[i].section ? config_section_with(s->keys[i].section, name) : NULL;
        if (below)
            return below;
    }
    return NULL;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters must be changed, added, dropped or swapped to make one of the other. Long texts count as
 * far away. */
static unsigned edit_distance(const char *a, const char *b)
{
    enum { LETTERS = 32 };
    unsigned d[LETTERS + 1][LETTERS + 1];
    size_t a_len = strnlen(a, LETTERS + 1), b_len = strnlen(b, LETTERS + 1);
    if (a_len > LETTERS || b_len > LETTERS)
        return UINT32_MAX;
    for (size_t i = 0; i <= a_len; i++)
        d[i][0] = (unsigned)i;
    for (size_t j = 0; j <= b_len; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        for (size_t j = 1; j <= b_len; j++) {
            unsigned changed = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = least(changed, least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a_len][b_len];
}

/* A third of the letters may be wrong, and one always. */
static bool is_close(unsigned distance, const char *word)
{
    size_t letters = strlen(word);
    return distance <= (letters < 6 ? 1 : letters / 3);
}

const struct config_key *config_nearest_key(const struct config_section *s, const char *name, bool *ret_close)
{
    const struct config_key *nearest = &s->keys[0];
    unsigned nearest_distance = UINT32_MAX;
    for (size_t i = 0; i < s->n_keys; i++) {
        unsigned distance = edit_distance(s->keys[i].name, name);
        if (distance < nearest_distance) {
            nearest = &s->keys[i];
            nearest_distance = distance;
        }
    }
    *ret_close = is_close(nearest_distance, nearest->name);
    return nearest;
}

const char *config_nearest_word(const char *const *words, const char *text)
{
    const char *nearest = NULL;
    unsigned nearest_distance = UINT32_MAX;
    for (; *words; words++) {
        unsigned distance = edit_distance(*words, text);
        if (distance < nearest_distance && is_close(distance, *words)) {
            nearest = *words;
            nearest_distance = distance;
        }
    }
    return nearest;
}
