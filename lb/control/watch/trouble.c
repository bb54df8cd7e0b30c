/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: each rule looks at its part of the document and tells what it finds; nothing found is an empty
 * array. Failure path: what is missing in the document is taken for zero or "", and tells nothing. Called by
 * status.c; pure.
 */
#include "control/watch/trouble.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 768
#define NEAR_PERCENT 90    /* of a limit: time to look at it */
#define SHORT_RECENT_S 600 /* what was short before that is history */
#define SPILL_LEAST 0.01   /* of a pool's sessions that leave the zone */

struct findings {
    json_t *errors, *warnings;
};

/* What stands in the document. */
static const char *text(const json_t *from, const char *key)
{
    const char *s = json_string_value(json_object_get(from, key));
    return s ? s : "";
}

static json_int_t number(const json_t *from, const char *key)
{
    return json_integer_value(json_object_get(from, key));
}

static bool is(const json_t *from, const char *key, const char *value)
{
    return strcmp(text(from, key), value) == 0;
}

static bool is_near(json_int_t now, json_int_t max)
{
    return max > 0 && now >= max - max * (100 - NEAR_PERCENT) / 100;
}

enum severity { WARNING, ERROR };

/* `about` is put together from two names; `why` may be "". */
static void tell(struct findings *f, enum severity severity, const char *about, const char *what,
    const char *why, const char *act)
{
    json_t *one = json_pack("{s:s, s:s, s:s, s:s, s:s}", "severity", severity == ERROR ? "error" : "warning",
        "about", about, "what", what, "why", why, "do", act);
    (void)json_array_append_new(severity == ERROR ? f->errors : f->warnings, one);
}

static const char *put(char buf[TEXT_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static const char *put(char buf[TEXT_MAX], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(buf, TEXT_MAX, fmt, args);
    va_end(args);
    return buf;
}

/* ---- the gateway -------------------------------------------------------------------------------------- */

static void look_at_gateway(struct findings *f, const json_t *status)
{
    const json_t *sessions = json_object_get(status, "sessions");
    const json_t *fds = json_object_get(json_object_get(status, "limits"), "descriptors");
    const json_t *reload = json_object_get(json_object_get(status, "config"), "last_reload");
    const json_t *upgrade = json_object_get(json_object_get(status, "config"), "last_upgrade");
    char why[TEXT_MAX], act[TEXT_MAX];

    if (reload && json_is_false(json_object_get(reload, "ok")))
        tell(f, ERROR, "configuration",
            "the last reload was refused: the configuration of before is in force", text(reload, "error"),
            put(act, "correct it (postern -c -f %s tells every error), then posternctl reload",
                text(json_object_get(status, "config"), "file")));
    if (upgrade && json_is_false(json_object_get(upgrade, "ok")))
        tell(f, ERROR, "gateway", "the last upgrade failed: the process of before serves",
            text(upgrade, "error"),
            "see what the new process has written to the log, then posternctl upgrade");
    if (number(sessions, "max") > 0 && number(sessions, "now") >= number(sessions, "max"))
        tell(f, ERROR, "gateway", "gateway.max_sessions is reached: further clients are refused",
            put(why, "%lld sessions", (long long)number(sessions, "now")),
            "raise gateway.max_sessions, or add a gateway; posternctl sessions shows who they are");
    else if (is_near(number(sessions, "now"), number(sessions, "max")))
        tell(f, WARNING, "gateway", "gateway.max_sessions is near",
            put(why, "%lld of %lld sessions", (long long)number(sessions, "now"),
                (long long)number(sessions, "max")),
            "raise gateway.max_sessions, or add a gateway; posternctl sessions shows who they are");
    if (is_near(number(fds, "now"), number(fds, "max")))
        tell(f, WARNING, "gateway", "file descriptors are short",
            put(why, "%lld of %lld are open", (long long)number(fds, "now"), (long long)number(fds, "max")),
            "raise LimitNOFILE= in the unit");
    if (!is(status, "phase", "serving") && text(status, "phase")[0])
        tell(f, WARNING, "gateway", "postern is about to end: new connections are refused", "it was told to",
            "nothing, if that is meant; it ends with its last relayed session");
}

/* What has been short of late, by the counter that says so. */
static const struct {
    const char *counter, *what, *why, *act;
} shortages[] = {
    {"log_dropped", "session lines were dropped: mail was not, but the log has gaps",
        "who reads the log was slower than sessions ended",
        "see what reads standard error: the journal, a disk"},
    {"descriptors_short", "accepting paused: clients had to wait", "no file descriptor was left",
        "raise LimitNOFILE= in the unit"},
    {"accept_errors", "accepting failed: clients had to wait, or left", "the kernel refused it",
        "look into the kernel's log; memory for sockets may be short"},
    {"pipes_short", "bulky sessions were copied instead of spliced: they cost more",
        "no pipe was left for them", "nothing, if it is rare; else raise fs.pipe-user-pages-soft"},
};

static void look_at_shortages(struct findings *f, const json_t *short_s)
{
    char why[TEXT_MAX];

    for (size_t i = 0; i < sizeof(shortages) / sizeof(shortages[0]); i++) {
        const json_t *s = json_object_get(short_s, shortages[i].counter);
        if (json_is_integer(s) && json_integer_value(s) < SHORT_RECENT_S)
            tell(f, WARNING, "gateway", shortages[i].what,
                put(why, "%s, %lld s ago", shortages[i].why, (long long)json_integer_value(s)),
                shortages[i].act);
    }
}

/* ---- listeners and zones ------------------------------------------------------------------------------ */

static void look_at_listener(struct findings *f, const json_t *listener)
{
    json_t *vip;
    size_t i, refused = 0;
    char about[TEXT_MAX], what[TEXT_MAX], why[TEXT_MAX], act[TEXT_MAX];

    json_array_foreach (json_object_get(listener, "addresses"), i, vip)
        refused += is(vip, "state", "refused");
    if (refused > 0)
        tell(f, ERROR, put(about, "listener %s", text(listener, "name")),
            put(what, "%zu of its addresses refuse connections", refused),
            put(why, "pool %s has had no backend for the clients of them for 30 s", text(listener, "pool")),
            put(act, "bring a backend of pool %s back, of the addresses' family", text(listener, "pool")));
}

static void look_at_zone(struct findings *f, const json_t *zone)
{
    char about[TEXT_MAX], why[TEXT_MAX];

    if (number(zone, "backends") > 0 && number(zone, "usable") == 0)
        tell(f, WARNING, put(about, "zone %s", text(zone, "name")),
            "the zone is lost: nobody there takes sessions",
            put(why, "none of its backends (%lld) is usable", (long long)number(zone, "backends")),
            json_is_true(json_object_get(zone, "local"))
                ? "all sessions go to other zones; look at what its backends have in common"
                : "look at what its backends have in common: network, power, a rollout");
}

/* ---- sources ------------------------------------------------------------------------------------------ */

static void look_at_source(struct findings *f, const json_t *status, const json_t *source)
{
    const json_t *list = json_object_get(source, "list"), *past = json_object_get(source, "past");
    const char *name = text(source, "name");
    char about[TEXT_MAX], why[TEXT_MAX], act[TEXT_MAX];

    put(about, "source %s", name);
    put(act, "posternctl sources --class %s shows who they are", name);
    if (text(list, "kept")[0])
        tell(f, WARNING, about, "a file of it cannot be read or believed: the last good list stays",
            put(why, "%s: %s", text(list, "kept"), text(list, "why")),
            "mend the file, or whatever writes it; it is read again by itself");
    if (json_is_true(json_object_get(past, "grown")))
        tell(f, WARNING, about, "far more new sessions than usual, this hour or the last",
            put(why, "%lld this hour; of the last week's hours 95 of 100 had at most %lld",
                (long long)number(past, "hour"), (long long)number(past, "usual_hour")),
            act);
    if (json_is_true(json_object_get(past, "new")))
        tell(f, WARNING, about, "its first session has come: nobody of it had been seen before",
            put(why, "%lld s ago", (long long)(number(status, "now") - number(past, "first_at"))), act);
}

/* ---- pools -------------------------------------------------------------------------------------------- */

/* The part of its sessions that a pool with prefer-local gives to other zones although there is a local one.
 */
static double spilled(const json_t *pool, const char *own)
{
    json_t *backend;
    size_t i, local = 0;
    double there = 0;

    json_array_foreach (json_object_get(pool, "backends"), i, backend) {
        bool here = is(backend, "zone", own);
        local += here && !is(backend, "state", "leaving");
        there += here ? 0 : json_real_value(json_object_get(backend, "share"));
    }
    return own[0] && local > 0 && is(pool, "zones", "prefer-local") ? there : 0;
}

static void look_at_pool(struct findings *f, const json_t *pool, const char *own_zone)
{
    char about[TEXT_MAX], what[TEXT_MAX], why[TEXT_MAX];
    json_int_t waiting = number(pool, "waiting");
    double there = spilled(pool, own_zone);

    if (json_is_true(json_object_get(pool, "leaving")))
        return;
    put(about, "pool %s", text(pool, "name"));
    if (number(pool, "usable") == 0)
        tell(f, ERROR, about, "nobody can take a session: clients are told 421, and after 30 s refused",
            put(why, "none of its backends (%zu) is usable",
                json_array_size(json_object_get(pool, "backends"))),
            "bring a backend back: what is wrong with each is told below; posternctl ready undoes a drain");
    if (waiting > 0)
        tell(f, is_near(waiting, number(pool, "waiting_max")) ? ERROR : WARNING, about,
            put(what, "%lld sessions wait for a backend", (long long)waiting),
            put(why, "all usable backends are at their limit; %lld may wait",
                (long long)number(pool, "waiting_max")),
            "raise max_sessions, if the backends can carry more, or add a backend");
    if (there >= SPILL_LEAST)
        tell(f, WARNING, about, put(what, "%.0f%% of new sessions leave zone %s", there * 100, own_zone),
            "less than 5/7 of the zone's weight is usable",
            "bring the backends of this zone back; nothing is lost meanwhile");
}

static void look_at_discovery(struct findings *f, const json_t *pool)
{
    const json_t *d = json_object_get(pool, "discovery");
    char about[TEXT_MAX], what[TEXT_MAX], why[TEXT_MAX];

    put(about, "pool %s", text(pool, "name"));
    if (text(d, "kept")[0])
        tell(f, WARNING, about,
            put(what, "discovery fails: the %lld backends that are known are kept",
                (long long)number(d, "known")),
            put(why, "%s: %s", text(d, "from"), text(d, "kept")),
            "see that the name servers answer, or that the file is right");
    else if (number(d, "held") > 0)
        tell(f, WARNING, about,
            put(what, "discovery has found %lld backends instead of %lld: that is held back",
                (long long)number(d, "held"), (long long)number(d, "known")),
            put(why, "%s: half or more of them would go at once", text(d, "from")),
            "if it is meant, posternctl reload takes it at once; else it is taken after 10 minutes");
}

/* ---- backends ----------------------------------------------------------------------------------------- */

/* What the reason of a failed check hints at; the first that fits. */
static const struct {
    const char *reason, *act;
} hints[] = {
    {"declared by an operator",
        "say \"set server %s health up\" at the admin socket, when that is no longer meant"},
    {"more must follow", "nothing: it comes back by itself"},
    {"connection refused", "see that the mail server of %s runs, and listens at its address"},
    {"no connection in", "see that %s can be reached from this gateway: host, route, firewall"},
    {"timed out", "see that %s can be reached from this gateway: host, route, firewall"},
    {"unreachable", "see that %s can be reached from this gateway: host, route, firewall"},
    {"no route", "see that %s can be reached from this gateway: host, route, firewall"},
    {"no reply in", "%s takes connections but is silent: overloaded, waiting for the DNS, or for a PROXY "
                    "header that the pool does not send"},
    {"STARTTLS", "see to the certificate and the TLS settings of %s"},
    {"RCPT", "see that %s accepts the address of check.rcpt"},
    {"connection closed", "%s hangs up on this gateway: see its log, its limits for each client, and whether "
                          "it expects a PROXY header"},
    {"connection reset", "%s hangs up on this gateway: see its log, its limits for each client, and whether "
                         "it expects a PROXY header"},
    {"Server local error",
        "if %s is a Postfix, it waits for a PROXY header: compare proxy_protocol of the pool "
        "with its smtpd_upstream_proxy_protocol"},
    {"421", "%s says that it cannot serve now: see its log and its load"},
    {"", "look into the log of %s"},
};

static const char *hint(const char *why, const char *name, char act[TEXT_MAX])
{
    size_t i = 0;

    while (!strstr(why, hints[i].reason))
        i++;
    const char *at = strstr(hints[i].act, "%s"); /* not as a format: only this stands for something */
    if (!at)
        return hints[i].act;
    return put(act, "%.*s%s%s", (int)(at - hints[i].act), hints[i].act, name, at + 2);
}

/* What the reason of an inconclusive relay test hints at; the first that fits. */
static const char *relay_hint(const json_t *family)
{
    static const struct {
        const char *reason, *act;
    } acts[] = {
        {"no trusted address", "add to relay_test.trusted an address of this family that it relays for"},
        {"the trusted address as well",
            "see that it relays for the address of relay_test.trusted, and that it "
            "would take mail for relay_test.recipient from there"},
        {"no connection in", "see that its answers to the addresses of relay_test come back to this gateway"},
        {"RCPT 4",
            "it puts the question off: spare the addresses of relay_test its greylisting and its greet "
            "tests"},
        {"TLS", "it talks about mail in TLS only, which the test does not speak: relay_test: off for that "
                "listener"},
        {"", "look into its log, for the addresses of relay_test"},
    };
    size_t i = 0;

    while (!strstr(text(family, "why"), acts[i].reason) &&
           !strstr(text(family, "stranger"), acts[i].reason) &&
           !strstr(text(family, "trusted"), acts[i].reason))
        i++;
    return acts[i].act;
}

static void look_at_relay(struct findings *f, const json_t *b, const char *about, bool alone)
{
    const json_t *relay = json_object_get(b, "relay");
    bool gated = json_is_true(json_object_get(relay, "gated"));
    const char *none =
        gated ? "it gets no session: its relay test proves nothing" : "its relay test proves nothing";
    char why[TEXT_MAX];
    json_t *family;
    size_t i;

    if (is(relay, "verdict", "untested") && gated)
        tell(f, alone ? ERROR : WARNING, about, "it gets no session before its relay test has ended",
            "a listener of its pool has relay_test: gate", "nothing: the test is under way");
    json_array_foreach (json_object_get(relay, "families"), i, family) {
        const char *said = text(family, "trusted")[0] ? text(family, "trusted") : text(family, "stranger");
        if (is(family, "holds", "open"))
            tell(f, ERROR, about,
                gated ? "it is an open relay, and gets no session"
                      : "it is an open relay: strangers can send mail to anywhere through it",
                put(why, "%s: asked as a stranger it said: %s", text(family, "clients"), said),
                "correct whom it relays for (Postfix: mynetworks, smtpd_relay_restrictions); then say "
                "\"relay "
                "test\" at the admin socket");
        else if (is(family, "verdict", "inconclusive") && !is(relay, "mode", "off"))
            tell(f, gated && alone ? ERROR : WARNING, about, none,
                put(why, "%s: %s (%s)", text(family, "clients"), text(family, "why"), said),
                relay_hint(family));
    }
}

static void look_at_backend(struct findings *f, const json_t *pool, const json_t *b)
{
    const json_t *agent = json_object_get(b, "agent");
    json_int_t busy = number(b, "busy_limit"), limit = number(b, "max_sessions"), n = number(b, "sessions");
    double late = json_real_value(json_object_get(b, "late_factor"));
    char name[TEXT_MAX], about[TEXT_MAX], why[TEXT_MAX], act[TEXT_MAX];

    put(name, "%s/%s", text(pool, "name"), text(b, "name"));
    put(about, "backend %s", name);
    look_at_relay(f, b, about, number(pool, "usable") == 0);
    if (is(b, "state", "down") && !json_is_true(json_object_get(json_object_get(b, "relay"), "gated")))
        tell(f, number(pool, "usable") == 0 ? ERROR : WARNING, about, "it is down: it gets no session",
            text(b, "why"), hint(text(b, "why"), name, act));
    if (is(b, "state", "suspect"))
        tell(f, WARNING, about, "it is suspect: one more failure or a few, and it is down", text(b, "why"),
            hint(text(b, "why"), name, act));
    if (json_is_true(json_object_get(agent, "failing")))
        tell(f, WARNING, about, "its agent does not answer: what it said last holds", text(agent, "reason"),
            "see that the agent runs, and that its port is open to this gateway");
    if (json_is_true(json_object_get(json_object_get(b, "check"), "paused")))
        tell(f, WARNING, about, "its checks are stopped: it stays as it is, whatever happens to it",
            "an operator has stopped them", put(act, "say \"enable health %s\" at the admin socket", name));
    if (busy > 0)
        tell(f, WARNING, about, put(why, "it gets at most %lld sessions for now", (long long)busy),
            "it greets with 421, or what else its pool's table retries",
            "look at its load; the limit rises by itself");
    if (late > 0 && late < 1)
        tell(f, WARNING, about, put(why, "it gets %.0f%% of its weight for now", late * 100),
            "it greets far later than the others of its pool",
            "look at its load and at what its name server does");
    if (busy == 0 && limit > 0 && n >= limit)
        tell(f, WARNING, about, "it is at its limit of sessions",
            put(why, "%lld of %lld", (long long)n, (long long)limit),
            "raise max_sessions, if it can carry more, or add a backend");
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

/* The server speaks first: who waits for the client waits for ever. */
static void look_at_upstream(struct findings *f, const json_t *upstream)
{
    char about[TEXT_MAX], why[TEXT_MAX];

    tell(f, WARNING, put(about, "listener %s", text(upstream, "listener")),
        "a balancer holds its PROXY header back until the client speaks: its sessions never begin",
        put(why, "%s said nothing for 5 s on %lld connections, the last %lld s ago",
            text(upstream, "address"), (long long)number(upstream, "silent"),
            (long long)number(upstream, "last_s")),
        "have it send the header when it connects. Amazon's NLB: proxy_protocol_v2.client_to_server."
        "header_placement = on_first_ack; HAProxy: nothing that waits for content, like inspect-delay");
}

json_t *trouble_find(const json_t *status)
{
    struct findings f = {.errors = json_array(), .warnings = json_array()};
    const char *own = text(status, "zone");
    json_t *one, *backend;
    size_t i, k;

    look_at_gateway(&f, status);
    look_at_shortages(&f, json_object_get(status, "short_s"));
    json_array_foreach (json_object_get(status, "listeners"), i, one)
        look_at_listener(&f, one);
    json_array_foreach (json_object_get(status, "upstreams"), i, one)
        look_at_upstream(&f, one);
    json_array_foreach (json_object_get(status, "pools"), i, one) {
        look_at_pool(&f, one, own);
        look_at_discovery(&f, one);
    }
    json_array_foreach (json_object_get(status, "sources"), i, one)
        look_at_source(&f, status, one);
    json_array_foreach (json_object_get(status, "zones"), i, one)
        look_at_zone(&f, one);
    json_array_foreach (json_object_get(status, "pools"), i, one)
        json_array_foreach (json_object_get(one, "backends"), k, backend)
            look_at_backend(&f, one, backend);
    bool whole = f.errors && f.warnings && json_array_extend(f.errors, f.warnings) == 0;
    json_decref(f.warnings);
    if (whole)
        return f.errors;
    json_decref(f.errors);
    return NULL;
}
