/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sources there is most of: in HAProxy's words as the stick table "sources", and as JSON, one a line.
 *
 * Happy path: all that the workers' tables have, those that the words choose. Failure paths: no such table,
 * or words that cannot be understood: said as HAProxy says it. Addresses are an operator's to see. Called
 * through the table in admin_commands.c, control thread only.
 */
#include "base/clock.h"
#include "control/admin/admin_commands.h"
#include "control/admin/admin_handlers.h"
#include "control/admin/session_filter.h"
#include "control/watch/heavy_sources.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define TABLE "sources"
#define MOST 5000 /* told as JSON */
#define RULES_MAX 4

/* ---- as a stick table --------------------------------------------------------------------------------- */

static uint64_t refused(const struct heavy_source *s)
{
    return s->top.refused;
}

static uint64_t begun(const struct heavy_source *s)
{
    return (uint64_t)s->top.begun + s->top.begun_last;
}

static uint64_t per_minute(const struct heavy_source *s)
{
    return s->per_minute;
}

static uint64_t sessions(const struct heavy_source *s)
{
    return s->sessions;
}

/* In HAProxy's order. */
static const struct {
    const char *name, *shown;
    uint64_t (*of)(const struct heavy_source *s);
} data[] = {
    {"gpc0", "gpc0", refused},
    {"conn_cnt", "conn_cnt", begun},
    {"conn_rate", "conn_rate(60000)", per_minute},
    {"conn_cur", "conn_cur", sessions},
};
#define DATA (sizeof(data) / sizeof(data[0]))

/* What HAProxy could store besides. */
static const char *const not_stored[] = {"server_id", "gpt", "gpt0", "gpc", "gpc_rate", "gpc0_rate", "gpc1",
    "gpc1_rate", "sess_cnt", "sess_rate", "http_req_cnt", "http_req_rate", "http_err_cnt", "http_err_rate",
    "bytes_in_cnt", "bytes_in_rate", "bytes_out_cnt", "bytes_out_rate", "server_key", "http_fail_cnt",
    "http_fail_rate"};

static const char *const operators[] = {"eq", "ne", "le", "ge", "lt", "gt"};
#define OPERATORS (sizeof(operators) / sizeof(operators[0]))

struct rule {
    unsigned data, operator;
    uint64_t value;
};

struct choice {
    struct rule rules[RULES_MAX];
    unsigned n_rules;
    bool one; /* only that of: */
    union addr key;
};

static bool holds(const struct rule *r, const struct heavy_source *s)
{
    uint64_t is = data[r->data].of(s);
    const bool answers[OPERATORS] = {
        is == r->value, is != r->value, is <= r->value, is >= r->value, is<r->value, is> r->value};

    return answers[r->operator];
}

static bool is_chosen(const struct choice *c, const struct heavy_source *s)
{
    bool yes = !c->one || addr_in_prefix(&c->key, &s->top.source);

    for (unsigned i = 0; i < c->n_rules; i++)
        yes = yes && holds(&c->rules[i], s);
    return yes;
}

static unsigned find_word(const char *word, const char *const *list, unsigned n)
{
    unsigned i = 0;

    while (i < n && strcmp(word, list[i]) != 0)
        i++;
    return i;
}

static bool read_key(const char *text, union addr *ret)
{
    if (addr_parse_default(text, 0, ret))
        return false;
    addr_unmap(ret);
    return true;
}

/* What is wrong with "data.TYPE OPERATOR VALUE", or NULL. */
static const char *read_rule(const struct admin_call *c, unsigned at, struct rule *ret)
{
    const char *type = admin_word(c, at) + strlen("data."), *value = admin_word(c, at + 2);
    char *end;

    for (ret->data = 0; ret->data < DATA && strcmp(type, data[ret->data].name) != 0;)
        ret->data++;
    if (ret->data == DATA)
        return find_word(type, not_stored, sizeof(not_stored) / sizeof(not_stored[0])) <
                       sizeof(not_stored) / sizeof(not_stored[0])
                   ? "Data type not stored in this table"
                   : "Unknown data type";
    ret->operator= find_word(admin_word(c, at + 1), operators, OPERATORS);
    if (ret->operator== OPERATORS)
        return "Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"";
    ret->value = strtoull(value, &end, 10);
    return value[0] && !*end ? NULL : "Require a valid integer value to compare against";
}

/* False after saying what is wrong. */
static bool read_choice(const struct admin_call *c, struct choice *ret)
{
    const char *first = admin_word(c, 1);
    unsigned at = 1;

    *ret = (struct choice){0};
    if (strcmp(first, "key") == 0) {
        ret->one = read_key(admin_word(c, 2), &ret->key);
        if (!ret->one)
            admin_say(c, LOG_ERR, "Invalid key");
        return ret->one;
    }
    for (; strncmp(admin_word(c, at), "data.", 5) == 0 && ret->n_rules < RULES_MAX; at += 3) {
        const char *wrong = read_rule(c, at, &ret->rules[ret->n_rules++]);
        if (!wrong)
            continue;
        admin_say(c, LOG_ERR, "Filter entry #%u: %s", ret->n_rules, wrong);
        return false;
    }
    if (!admin_word(c, at)[0])
        return true;
    admin_say(c, LOG_ERR,
        "Optional argument only supports \"data.<store_data_type>\" <operator> <value> and key <key>");
    return false;
}

static void tell_entry(const struct admin_call *c, const struct heavy_source *s, size_t i, uint64_t now_ms)
{
    char host[ADDR_TEXT_MAX];
    const union addr first = addr_of_prefix(&s->top.source);
    uint64_t left_ms = TOPS_MINUTE_MS - now_ms % TOPS_MINUTE_MS;

    admin_reply_print(c->reply, "0x%012zx: key=%s%s use=%u exp=%llu", i + 1,
        first.sa.sa_family == AF_INET ? "::ffff:" : "", addr_format_host(&first, host), s->sessions,
        (unsigned long long)(left_ms + (s->top.begun || s->sessions ? TOPS_MINUTE_MS : 0)));
    for (size_t k = 0; k < DATA; k++)
        admin_reply_print(c->reply, " %s=%llu", data[k].shown, (unsigned long long)data[k].of(s));
    admin_reply_text(c->reply, "\n");
}

/* False after saying so. */
static bool is_table(const struct admin_call *c, const char *name)
{
    if (strcmp(name, TABLE) == 0)
        return true;
    admin_say(c, LOG_ERR, "No such table");
    return false;
}

void admin_show_table(const struct admin_call *c)
{
    struct heavy_source *list = NULL;
    struct choice choice;

    if (c->n_words > 0 && !is_table(c, admin_word(c, 0)))
        return;
    if (c->n_words > 0 && c->session->level < ADMIN_OPERATOR) {
        admin_say(c, LOG_ERR, "Permission denied");
        return;
    }
    if (!read_choice(c, &choice))
        return;
    size_t n = heavy_sources_read(c->world, &list);
    admin_reply_print(
        c->reply, "# table: " TABLE ", type: ipv6, size:%u, used:%zu\n", c->world->workers * TOPS_PLACES, n);
    for (size_t i = 0; i < n && c->n_words > 0; i++)
        if (is_chosen(&choice, &list[i]))
            tell_entry(c, &list[i], i, clock_now_ms());
    free(list);
}

void admin_clear_table(const struct admin_call *c)
{
    if (!c->n_words)
        admin_say(c, LOG_ERR,
            "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key>");
    else if (is_table(c, admin_word(c, 0)))
        admin_say(c, LOG_ERR,
            "'" TABLE
            "' is not cleared: an entry goes by itself two minutes after its source was last heard of.");
}

/* ---- as JSON ------------------------------------------------------------------------------------------ */

struct wish {
    struct addr_prefix source; /* AF_UNSPEC: any */
    const char *class;         /* NULL: any; "other": of none */
    bool over;                 /* only those that are */
};

static bool read_prefix(const char *text, struct addr_prefix *ret)
{
    return addr_network_parse(text, strlen(text), ret) == 0;
}

/* False after saying what is wrong. */
static bool read_wish(const struct admin_call *c, struct wish *ret)
{
    *ret = (struct wish){.source.family = AF_UNSPEC};
    for (unsigned i = 0; i < c->n_words; i++) {
        const char *word = c->words[i];
        bool good = strcmp(word, "over") == 0;
        ret->over |= good;
        if (strncmp(word, "class=", 6) == 0) {
            ret->class = word + 6;
            good = word[6] != '\0';
        }
        if (strncmp(word, "source=", 7) == 0)
            good = read_prefix(word + 7, &ret->source);
        if (good)
            continue;
        admin_say(c, LOG_ERR,
            "'%s' is not understood: use source=PREFIX, like source=192.0.2.0/24; class=NAME, or "
            "class=other; "
            "over.",
            word);
        return false;
    }
    return true;
}

static bool is_wished(const struct wish *w, const struct heavy_source *s, const char *class)
{
    if (w->over && !s->over)
        return false;
    if (w->class && strcmp(w->class, class) != 0)
        return false;
    return w->source.family == AF_UNSPEC || addr_prefix_within(&s->top.source, &w->source);
}

void admin_show_sources(const struct admin_call *c)
{
    const struct config *config = admin_roster(c)->config;
    struct heavy_source *list = NULL;
    char source[ADDR_TEXT_MAX];
    struct wish wish;
    size_t told = 0;

    if (!read_wish(c, &wish))
        return;
    size_t n = heavy_sources_read(c->world, &list);
    for (size_t i = 0; i < n && told < MOST; i++) {
        const struct heavy_source *s = &list[i];
        const char *class = heavy_sources_class(config, s->class);
        if (!is_wished(&wish, s, class))
            continue;
        told++;
        admin_reply_print(c->reply,
            "{\"source\": \"%s\", \"class\": \"%s\", \"sessions\": %u, \"sessions_limit\": %u, "
            "\"per_minute\": %u, \"per_minute_limit\": %u, \"begun\": %llu, \"error\": %u, \"refused\": %u, "
            "\"over\": %s}\n",
            addr_prefix_format(&s->top.source, source), class, s->sessions, s->limit.sessions, s->per_minute,
            s->limit.rate, (unsigned long long)begun(s), s->top.error, s->top.refused,
            s->over ? "true" : "false");
    }
    free(list);
}
