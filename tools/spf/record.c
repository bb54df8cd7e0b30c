/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of RFC 7208, section 12, with names as hosts have them.
 *
 * Happy path: a word up to the next space is a modifier when a = follows its name, else a mechanism; one
 * table says what may follow each.
 *
 * Failure paths: whatever breaks the grammar is told in words, with the term. Terms that are right but of no
 * use for a list (ptr, exists, macros) are read like all others: expand.c refuses them.
 *
 * Called by expand.c, by the tests and the fuzzer; one thread.
 */
#include "record.h"

#include <arpa/nameser.h>
#include <ctype.h>
#include <errno.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STRING_OF(x) #x
#define TEXT_OF(x) STRING_OF(x)
#define VERSION "v=spf1"
#define LABEL_MAX 63
#define TERM_MAX 512 /* longer than any name with its mechanism and its lengths */
#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define MX_FIXED 2 /* the preference */

enum argument { NOTHING, NAME, NAME_IF_ANY, NAME_AND_LENGTHS, NETWORK4, NETWORK6, TEXT };

static const struct {
    const char *name;
    enum spf_kind kind;
    bool modifier;
    enum argument argument;
} kinds[] = {
    {"all", SPF_ALL, false, NOTHING},
    {"include", SPF_INCLUDE, false, NAME},
    {"a", SPF_A, false, NAME_AND_LENGTHS},
    {"mx", SPF_MX, false, NAME_AND_LENGTHS},
    {"ptr", SPF_PTR, false, NAME_IF_ANY},
    {"ip4", SPF_IP4, false, NETWORK4},
    {"ip6", SPF_IP6, false, NETWORK6},
    {"exists", SPF_EXISTS, false, NAME},
    {"redirect", SPF_REDIRECT, true, NAME},
    {"exp", SPF_EXP, true, NAME},
};

/* ---- the data of records ------------------------------------------------------------------------------ */

char *spf_record_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    size_t n = 0, version = strlen(VERSION);

    for (size_t at = 0; text && at < size; at += 1u + data[at]) {
        if (data[at] > size - at - 1) {
            free(text);
            return NULL;
        }
        memcpy(text + n, data + at + 1, data[at]);
        n += data[at];
    }
    if (!text || n < version || strncasecmp(text, VERSION, version) != 0 ||
        (n > version && text[version] != ' ')) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    /* What stands after a NUL must not be overlooked. */
    for (char *nul = memchr(text, '\0', n); nul; nul = memchr(nul, '\0', n - (size_t)(nul - text)))
        *nul = '\x7f';
    return text;
}

static bool is_label(const char *label, size_t len)
{
    return len > 0 && len <= LABEL_MAX && strspn(label, ALNUM "-_") >= len;
}

/* Labels of hosts; the last one of at least two is no number, and has no hyphen at its ends. */
int spf_name_parse(const char *text, char ret[SPF_NAME_MAX + 1])
{
    size_t len = strlen(text);
    const char *top = text;

    len -= len > 0 && text[len - 1] == '.' ? 1 : 0;
    if (len > SPF_NAME_MAX)
        return -EINVAL;
    for (const char *label = text, *end = text + len; label <= end;) {
        const char *dot = memchr(label, '.', (size_t)(end - label));
        size_t n = (size_t)((dot ? dot : end) - label);
        if (!is_label(label, n))
            return -EINVAL;
        top = label;
        label += n + 1;
    }
    size_t top_len = (size_t)(text + len - top);
    if (top == text || strspn(top, "0123456789") == top_len || top[0] == '-' || top[top_len - 1] == '-' ||
        memchr(top, '_', top_len))
        return -EINVAL;
    for (size_t i = 0; i < len; i++)
        ret[i] = (char)tolower((unsigned char)text[i]);
    ret[len] = '\0';
    return 0;
}

int spf_mx_host(const uint8_t *data, size_t size, char ret[SPF_NAME_MAX + 1])
{
    char host[NS_MAXDNAME];

    if (size <= MX_FIXED ||
        dn_expand(data, data + size, data + MX_FIXED, host, sizeof(host)) != (int)(size - MX_FIXED))
        return -EINVAL;
    if (!host[0]) {
        ret[0] = '\0';
        return 0;
    }
    return spf_name_parse(host, ret);
}

/* ---- what follows the name of a term ------------------------------------------------------------------ */

/* The end of a macro that begins at a %, or NULL. */
static const char *macro_end(const char *at)
{
    if (at[1] == '%' || at[1] == '_' || at[1] == '-')
        return at + 2;
    if (at[1] != '{' || !at[2] || !strchr("slodiphcrtvSLODIPHCRTV", at[2]))
        return NULL;
    at += 3;
    at += strspn(at, "0123456789");
    at += *at == 'r' || *at == 'R' ? 1 : 0;
    at += strspn(at, ".-+,/_=");
    return *at == '}' ? at + 1 : NULL;
}

/* 0: no macros, 1: right ones, -EINVAL. */
static int find_macros(const char *text)
{
    int found = 0;

    while ((text = strchr(text, '%'))) {
        text = macro_end(text);
        if (!text)
            return -EINVAL;
        found = 1;
    }
    return found;
}

static const char *parse_name(const char *text, struct spf_term *term)
{
    int macros = find_macros(text);

    term->macro = macros == 1;
    if (macros < 0)
        return "a % that begins no macro";
    if (macros == 0 && spf_name_parse(text, term->name) < 0)
        return "not the name of a domain";
    return NULL;
}

/* The digits after a slash, as lb/base reads them in a prefix without any other bits. */
static int parse_length(const char *digits, sa_family_t family, uint8_t *ret)
{
    char network[ADDR_TEXT_MAX];
    struct addr_prefix p;
    int n = snprintf(network, sizeof(network), "%s/%s", family == AF_INET6 ? "::" : "0.0.0.0", digits);

    if (n >= (int)sizeof(network) || addr_network_parse(network, (size_t)n, &p) < 0)
        return -EINVAL;
    *ret = p.len;
    return 0;
}

/* "192.0.2.1/24": bits past the length mean nothing. */
static const char *parse_network(const char *text, sa_family_t family, struct addr_prefix *ret)
{
    const char *slash = strchr(text, '/');
    struct addr_prefix p;
    size_t host = slash ? (size_t)(slash - text) : strlen(text);

    if (addr_network_parse(text, host, &p) < 0 || p.family != family ||
        (slash && parse_length(slash + 1, family, &p.len) < 0))
        return family == AF_INET6 ? "not an IPv6 network" : "not an IPv4 network";
    addr_prefix_shorten(&p, p.len);
    *ret = p;
    return NULL;
}

/* "/24", "//64", "/24//64". */
static const char *parse_lengths(char *text, struct spf_term *term)
{
    char *six = strstr(text, "//");
    bool right = !six || parse_length(six + 2, AF_INET6, &term->len6) == 0;

    if (six)
        *six = '\0';
    if (text[0])
        right &= parse_length(text + 1, AF_INET, &term->len4) == 0;
    return right ? NULL : "not /LENGTH, //LENGTH or /LENGTH//LENGTH, of at most 32 and 128 bits";
}

static const char *parse_name_and_lengths(char *text, struct spf_term *term)
{
    char *slash = strchr(text, '/');
    const char *why = NULL;

    if (strchr(text, '%'))
        return parse_name(text, term);
    if (slash) {
        char lengths[TERM_MAX + 1];
        strcpy(lengths, slash);
        why = parse_lengths(lengths, term);
        *slash = '\0';
    }
    if (!why && text[0] == ':')
        why = parse_name(text + 1, term);
    return why;
}

/* `text` is what follows the name: "", ":...", "/..." or, for a modifier, "=...". */
static const char *parse_argument(enum argument argument, char *text, struct spf_term *term)
{
    bool given = text[0] == ':' || text[0] == '=';

    switch (argument) {
    case NOTHING:
        return text[0] ? "nothing may follow it" : NULL;
    case NAME:
        return given ? parse_name(text + 1, term) : "it needs the name of a domain";
    case NAME_IF_ANY:
        return text[0] == '/' ? "it has no length" : given ? parse_name(text + 1, term) : NULL;
    case NAME_AND_LENGTHS:
        return parse_name_and_lengths(text, term);
    case NETWORK4:
        return parse_network(given ? text + 1 : "", AF_INET, &term->prefix);
    case NETWORK6:
        return parse_network(given ? text + 1 : "", AF_INET6, &term->prefix);
    case TEXT:
        return find_macros(text) < 0 ? "a % that begins no macro" : NULL;
    }
    return NULL;
}

/* ---- terms -------------------------------------------------------------------------------------------- */

static const char *parse_term(char *word, struct spf_term *term)
{
    bool qualified = strchr("+-~?", word[0]);
    size_t len;

    if (qualified)
        term->qualifier = *word++;
    len = strcspn(word, ":/=");
    bool modifier = word[len] == '=';
    if (modifier && (qualified || !isalpha((unsigned char)word[0]) || strspn(word, ALNUM "-_.") < len))
        return "not a modifier";
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].modifier == modifier && strlen(kinds[i].name) == len &&
            strncasecmp(kinds[i].name, word, len) == 0) {
            term->kind = kinds[i].kind;
            return parse_argument(kinds[i].argument, word + len, term);
        }
    return modifier ? parse_argument(TEXT, word + len, term) : "there is no such mechanism";
}

const char *spf_terms_of(const char *record)
{
    return record + strlen(VERSION);
}

static void show(const char *word, size_t len, char shown[SPF_SHOWN_MAX + 1])
{
    size_t n = len < SPF_SHOWN_MAX ? len : SPF_SHOWN_MAX;

    for (size_t i = 0; i < n; i++)
        shown[i] = word[i];
    shown[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (shown[i] <= ' ' || shown[i] > '~')
            shown[i] = '?';
}

int spf_term_next(const char **at, struct spf_term *ret, const char **ret_why)
{
    char word[TERM_MAX + 1];
    const char *begin = *at + strspn(*at, " ");
    size_t len = strcspn(begin, " ");

    *ret = (struct spf_term){.kind = SPF_OTHER, .qualifier = '+', .len4 = 32, .len6 = 128};
    *at = begin + len;
    if (len == 0)
        return 0;
    show(begin, len, ret->shown);
    for (size_t i = 0; i < len; i++)
        if (begin[i] <= ' ' || begin[i] > '~') {
            *ret_why = "it has bytes that are not printable ASCII";
            return -EINVAL;
        }
    if (len > TERM_MAX) {
        *ret_why = "it is longer than " TEXT_OF(TERM_MAX) " characters";
        return -EINVAL;
    }
    memcpy(word, begin, len);
    word[len] = '\0';
    const char *why = parse_term(word, ret);
    if (why)
        *ret_why = why;
    return why ? -EINVAL : 1;
}
