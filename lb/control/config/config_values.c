/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single values of the configuration.
 *
 * Happy path: the text becomes the value.
 *
 * Failure path: a sentence that says what is wrong and what would be right; for addresses the usual slips (no
 * port, no brackets, a name, bits past the prefix) are each called by their name.
 *
 * Called by config_parse.c for what is written and for the defaults of the schema; pure.
 */
#include "control/config/config_values.h"

#include "base/resolver.h"
#include "control/config/config_report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_SMTP 25
#define HOST_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

/* A VIP takes its whole prefix away from the gateway's own use; beyond this it is surely a mistake. */
#define VIP_WIDEST_V4 8
#define VIP_WIDEST_V6 16

static int refuse(char why[CONFIG_WHY_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(char why[CONFIG_WHY_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, CONFIG_WHY_MAX, fmt, args);
    va_end(args);
    return -EINVAL;
}

/* Decimal digits up to the first other character; -EINVAL when there are none, or the number is too large. */
static int parse_digits(const char *text, uint64_t max, uint64_t *ret, const char **ret_rest)
{
    uint64_t n = 0;
    const char *s = text;
    for (; *s >= '0' && *s <= '9'; s++) {
        n = n * 10 + (uint64_t)(*s - '0');
        if (n > max)
            return -EINVAL;
    }
    if (s == text)
        return -EINVAL;
    *ret = n;
    *ret_rest = s;
    return 0;
}

static const struct {
    const char *name;
    uint32_t ms;
} duration_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

int config_duration_parse(const char *text, uint32_t *ret_ms)
{
    uint64_t n;
    const char *unit;
    if (parse_digits(text, UINT32_MAX, &n, &unit) < 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
        if (strcmp(unit, duration_units[i].name) != 0)
            continue;
        if (n * duration_units[i].ms >= CONFIG_UNKNOWN)
            return -EINVAL;
        *ret_ms = (uint32_t)(n * duration_units[i].ms);
        return 0;
    }
    return -EINVAL;
}

char *config_duration_format(uint32_t ms, char buf[16])
{
    size_t i = ms == 0 ? 2 : 0; /* nothing is "0s" */
    while (ms % duration_units[i].ms != 0)
        i++;
    snprintf(buf, 16, "%u%s", ms / duration_units[i].ms, duration_units[i].name);
    return buf;
}

static int parse_duration(
    const struct config_key *key, const char *text, uint32_t *ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX], min[16], max[16];
    uint32_t ms;
    config_duration_format(key->min, min);
    config_duration_format(key->max, max);
    if (config_duration_parse(text, &ms) < 0)
        return refuse(why,
            "%s is not a duration from %s to %s; write a whole number and ms, s, m or h, like %s",
            config_quote(text, quoted), min, max, key->fallback);
    if (ms < key->min || ms > key->max)
        return refuse(why, "%s is too %s; it may be from %s to %s", config_quote(text, quoted),
            ms < key->min ? "short" : "long", min, max);
    *ret = ms;
    return 0;
}

static int parse_number(
    const struct config_key *key, const char *text, uint32_t *ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    uint64_t n;
    const char *rest;
    if (text[strspn(text, "0123456789")] != '\0' || (text[0] == '0' && text[1] != '\0') || text[0] == '\0')
        return refuse(
            why, "%s is not a whole number from %u to %u", config_quote(text, quoted), key->min, key->max);
    if (parse_digits(text, key->max, &n, &rest) < 0 || n < key->min)
        return refuse(why, "%s is out of range; it may be from %u to %u", config_quote(text, quoted),
            key->min, key->max);
    *ret = (uint32_t)n;
    return 0;
}

static int parse_limit(
    const struct config_key *key, const char *text, uint32_t *ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    bool rate = key->type == CONFIG_RATE;
    uint64_t n = 0;
    const char *rest = "";
    bool none = strcmp(text, "off") == 0 || strcmp(text, "0") == 0;
    if (!none && (parse_digits(text, UINT32_MAX, &n, &rest) < 0 || strcmp(rest, rate ? "/min" : "") != 0))
        return refuse(why, "%s is not a %s; write %s, or off", config_quote(text, quoted),
            rate ? "rate" : "limit", rate ? "how many a minute, like 30/min" : "a whole number");
    if (n > key->max)
        return refuse(why, "%s is out of range; it may be up to %u%s, or off", config_quote(text, quoted),
            key->max, rate ? "/min" : "");
    *ret = (uint32_t)n;
    return 0;
}

static int parse_word(const struct config_key *key, const char *text, uint32_t *ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX], all[128] = "";
    for (uint32_t i = 0; key->words[i]; i++) {
        if (strcmp(key->words[i], text) == 0) {
            *ret = i;
            return 0;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof(all) - used, "%s%s",
            i == 0              ? ""
            : key->words[i + 1] ? ", "
                                : " or ",
            key->words[i]);
    }
    const char *near = config_nearest_word(key->words, text);
    return refuse(why, "%s is not known here; it may be %s%s%s%s", config_quote(text, quoted), all,
        near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int parse_name(
    const struct config_key *key, const char *text, const char **ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    size_t len = strlen(text);
    *ret = text;
    if (len < key->min)
        return refuse(why, "an empty name; give it at least one letter");
    if (len > key->max)
        return refuse(
            why, "%s is too long; a name has at most %u characters", config_quote(text, quoted), key->max);
    for (const char *s = text; *s; s++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *s))
            return refuse(
                why, "%s is not a name; use letters, digits, '.', '_' and '-'", config_quote(text, quoted));
    return 0;
}

static int parse_pattern(
    const struct config_key *key, const char *text, const char **ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    size_t len = strlen(text), stars = 0;
    *ret = NULL;
    if (len < key->min || len > key->max)
        return refuse(why, "%s is too %s; a pattern has from %u to %u characters", config_quote(text, quoted),
            len < key->min ? "short" : "long", key->min, key->max);
    for (const char *s = text; *s; s++) {
        stars += *s == '*';
        if (*s < ' ' || *s > '~' || *s == '\\')
            return refuse(why, "%s is not a pattern; use printable ASCII without backslashes, *, ? and [...]",
                config_quote(text, quoted));
    }
    if (stars > CONFIG_STARS_MAX)
        return refuse(why, "%s has more than %d stars", config_quote(text, quoted), CONFIG_STARS_MAX);
    *ret = text;
    return 0;
}

/* It is sent as it stands, within a line. */
static int parse_text(
    const struct config_key *key, const char *text, const char **ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    size_t len = strlen(text);
    *ret = text;
    if (len < key->min || len > key->max)
        return refuse(why, "%s is too %s; it may have %u to %u characters", config_quote(text, quoted),
            len < key->min ? "short" : "long", key->min, key->max);
    for (const char *s = text; *s; s++)
        if (*s < ' ' || *s > '~')
            return refuse(why, "%s is not a line of printable ASCII", config_quote(text, quoted));
    return 0;
}

/* It is sent as it stands: no blanks, no brackets, nothing that could be a command of its own. */
static int parse_mailbox(
    const struct config_key *key, const char *text, const char **ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    size_t len = strlen(text);
    const char *at = strchr(text, '@');
    *ret = text;
    if (len > key->max)
        return refuse(why, "%s is too long; a mail address has at most %u characters",
            config_quote(text, quoted), key->max);
    bool printable = true;
    for (const char *s = text; *s; s++)
        printable &= *s > ' ' && *s <= '~' && !strchr("<>()[]\\,;:\"", *s);
    if ((len > 0 || key->min > 0) && (!printable || !at || at == text || !at[1] || strchr(at + 1, '@')))
        return refuse(why, "%s is not a mail address; write it like postmaster@example.org",
            config_quote(text, quoted));
    return 0;
}

/* Letters, digits, '-' and '_' in labels; a final dot is left to the resolver. */
static int parse_host(
    const struct config_key *key, const char *text, const char **ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    size_t len = strlen(text), label = 0;
    bool good = len <= key->max;
    *ret = text;
    for (const char *s = text; *s && good; s++) {
        label = *s == '.' ? 0 : label + 1;
        good = label <= 63 && (*s == '.' ? s > text && s[-1] != '.' : strchr(HOST_LETTERS, *s) != NULL);
    }
    if (!good)
        return refuse(why, "%s is not a name of the DNS; write it like backends.example.org",
            config_quote(text, quoted));
    return 0;
}

static int parse_path(
    const struct config_key *key, const char *text, const char **ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    size_t len = strlen(text);
    *ret = text;
    if (len < key->min || (len > 0 && (text[0] != '/' || text[len - 1] == '/' || len > key->max)))
        return refuse(why, "%s is not the path of a file from the root; write it like /etc/postern/mta.list",
            config_quote(text, quoted));
    for (const char *s = text; *s; s++)
        if ((unsigned char)*s < ' ' || *s == '"' || *s == '\\' || *s == 127)
            return refuse(
                why, "%s has a character that a path must not have here", config_quote(text, quoted));
    return 0;
}

int config_resolver_parse(const char *text, union addr *ret)
{
    union addr a;
    if (addr_parse_default(text, RESOLVER_PORT, &a) < 0 || addr_port(&a) == 0 || config_addr_useless(&a))
        return -EINVAL;
    *ret = a;
    return 0;
}

static int parse_resolver(const char *text, const char **ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    union addr a;
    *ret = text;
    if (text[0] && config_resolver_parse(text, &a) < 0)
        return refuse(why,
            "%s is not ADDRESS or ADDRESS:PORT of a DNS server, like 192.0.2.53 or "
            "\"[2001:db8::53]:53\"",
            config_quote(text, quoted));
    return 0;
}

/* Whoever can connect is trusted: that is nobody beyond this host. */
static int parse_loopback(const char *text, const char **ret, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    union addr a;
    *ret = text;
    if (!text[0])
        return 0;
    config_quote(text, quoted);
    if (addr_parse(text, &a) < 0 || addr_port(&a) == 0)
        return refuse(why, "%s is not ADDRESS:PORT, like 127.0.0.1:9125 or \"[::1]:9125\"", quoted);
    if (!config_addr_is_loopback(&a))
        return refuse(why,
            "%s can be reached from other hosts, and nobody is asked who he is; use 127.0.0.1 or [::1]",
            quoted);
    return 0;
}

int config_value_parse(
    const struct config_key *key, const char *text, void *ret, char ret_why[CONFIG_WHY_MAX])
{
    switch (key->type) {
    case CONFIG_NAME:
        return parse_name(key, text, ret, ret_why);
    case CONFIG_PATTERN:
        return parse_pattern(key, text, ret, ret_why);
    case CONFIG_NUMBER:
        return parse_number(key, text, ret, ret_why);
    case CONFIG_DURATION:
        return parse_duration(key, text, ret, ret_why);
    case CONFIG_LIMIT:
    case CONFIG_RATE:
        return parse_limit(key, text, ret, ret_why);
    case CONFIG_WORD:
        return parse_word(key, text, ret, ret_why);
    case CONFIG_TEXT:
        return parse_text(key, text, ret, ret_why);
    case CONFIG_MAILBOX:
        return parse_mailbox(key, text, ret, ret_why);
    case CONFIG_HOST:
        return parse_host(key, text, ret, ret_why);
    case CONFIG_PATH:
        return parse_path(key, text, ret, ret_why);
    case CONFIG_RESOLVER:
        return parse_resolver(text, ret, ret_why);
    case CONFIG_LOOPBACK:
        return parse_loopback(text, ret, ret_why);
    case CONFIG_VIPS:
    case CONFIG_PREFIXES:
    case CONFIG_PATHS:
    case CONFIG_NAMES:
    case CONFIG_BACKEND:
    case CONFIG_MAP:
    case CONFIG_LIST:
    case CONFIG_NAMED:
        break;
    }
    return refuse(ret_why, "not a single value");
}

/* Says which slip makes this text no ADDRESS:PORT (or PREFIX:PORT). */
static int refuse_address(const char *text, bool is_vip, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX], with_port[CONFIG_QUOTE_MAX + 8];
    const char *form = is_vip ? "ADDRESS:PORT or PREFIX:PORT" : "ADDRESS:PORT";
    union addr a;
    config_quote(text, quoted);
    if (strlen(text) < CONFIG_QUOTE_MAX) {
        /* Would it be right with a port, or with brackets and a port? */
        snprintf(with_port, sizeof(with_port), "%s:%d", text, PORT_SMTP);
        if (addr_parse(with_port, &a) == 0)
            return refuse(why, "%s has no port; write \"%s\"", quoted, with_port);
        snprintf(with_port, sizeof(with_port), "[%s]:%d", text, PORT_SMTP);
        if (addr_parse(with_port, &a) == 0)
            return refuse(why, "%s: an IPv6 address stands in brackets and has a port; write \"%s\"", quoted,
                with_port);
    }
    const char *port = strrchr(text, ':');
    uint64_t n;
    const char *rest;
    if (port && parse_digits(port + 1, UINT32_MAX, &n, &rest) == 0 && *rest == '\0' && n > UINT16_MAX)
        return refuse(why, "%s: a port is a number from 1 to 65535", quoted);
    if (strchr(text, '%'))
        return refuse(why, "%s: an address that belongs to one interface (%%) cannot be used", quoted);
    if (!is_vip && strchr(text, '/'))
        return refuse(why, "%s is a prefix; a backend is one address: write %s", quoted, form);
    if (text[strspn(text, "0123456789abcdefABCDEF:.[]/")] != '\0')
        return refuse(why, "%s is not an address; names are not looked up: write %s", quoted, form);
    return refuse(why, "%s is not %s, like 203.0.113.25:25 or \"[2001:db8::25]:25\"", quoted, form);
}

/* A VIP that could not be read but has a '/': is it the length, or are bits set beyond it? */
static int refuse_prefix(const char *text, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX], host[ADDR_TEXT_MAX], network[ADDR_TEXT_MAX];
    const char *slash = strchr(text, '/'), *rest;
    uint64_t len;
    union addr a;
    size_t size;
    int n = snprintf(host, sizeof(host), "%.*s%s:1", (int)(slash - text), text,
        text[0] == '[' && slash[-1] != ']' ? "]" : "");
    if (n >= (int)sizeof(host) || addr_parse(host, &a) < 0 || parse_digits(slash + 1, 999, &len, &rest) < 0)
        return refuse_address(text, true, why);
    const uint8_t *bytes = addr_bytes(&a, &size);
    config_quote(text, quoted);
    if (len > size * 8)
        return refuse(why, "%s: a prefix of this family has at most %zu bits", quoted, size * 8);
    if (strcmp(rest, "") == 0 || strcmp(rest, "]") == 0)
        return refuse(why, "%s has no port; write PREFIX:PORT", quoted);
    struct addr_prefix p = {.family = a.sa.sa_family};
    memcpy(p.bytes, bytes, size);
    addr_prefix_shorten(&p, (uint8_t)len);
    if (memcmp(p.bytes, bytes, size) == 0)
        return refuse_address(text, true, why);
    return refuse(why, "%s has bits set beyond the first %u; the prefix is %s", quoted, (unsigned)len,
        addr_prefix_format(&p, network));
}

/* A network that could not be read: the address, the length, or bits beyond it? */
static int refuse_network(const char *text, char why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX], network[ADDR_TEXT_MAX];
    struct addr_prefix p;
    uint64_t len;
    const char *slash = strchr(text, '/'), *rest;

    config_quote(text, quoted);
    if (!slash || addr_network_parse(text, (size_t)(slash - text), &p) < 0)
        return refuse(
            why, "%s is not an address or a prefix, like 192.0.2.0/24 or \"2001:db8::/32\"", quoted);
    if (parse_digits(slash + 1, UINT32_MAX, &len, &rest) < 0 || *rest || len > p.len)
        return refuse(why, "%s: a length from 0 to %u follows the slash", quoted, p.len);
    addr_prefix_shorten(&p, (uint8_t)len);
    return refuse(why, "%s has bits set beyond the first %u; the prefix is %s", quoted, (unsigned)len,
        addr_prefix_format(&p, network));
}

bool config_addr_is_loopback(const union addr *a)
{
    return a->sa.sa_family == AF_INET6
               ? IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr)
               : a->sa.sa_family == AF_INET && ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
}

const char *config_addr_useless(const union addr *a)
{
    if (a->sa.sa_family == AF_INET6) {
        const struct in6_addr *v6 = &a->v6.sin6_addr;
        return IN6_IS_ADDR_UNSPECIFIED(v6) ? "is the wildcard address, not one host"
               : IN6_IS_ADDR_MULTICAST(v6) ? "is a multicast address"
               : IN6_IS_ADDR_V4MAPPED(v6)  ? "is an IPv4 address in IPv6 clothes; write it as IPv4"
               : IN6_IS_ADDR_LINKLOCAL(v6) ? "is link-local: it is valid on one interface only"
                                           : NULL;
    }
    uint32_t v4 = ntohl(a->v4.sin_addr.s_addr);
    return v4 >> 24 == 0        ? "is a wildcard address, not one host"
           : v4 >> 28 == 0xe    ? "is a multicast address"
           : v4 == UINT32_MAX   ? "is the broadcast address"
           : v4 >> 16 == 0xa9fe ? "is link-local: it is valid on one interface only"
                                : NULL;
}

int config_vip_parse(
    const char *text, struct addr_prefix *ret_prefix, uint16_t *ret_port, char ret_why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    struct addr_prefix p;
    uint16_t port;
    if (addr_prefix_parse(text, &p, &port) < 0)
        return strchr(text, '/') ? refuse_prefix(text, ret_why) : refuse_address(text, true, ret_why);
    config_quote(text, quoted);
    if (port == 0)
        return refuse(ret_why, "%s: no connection can come to port 0", quoted);
    unsigned widest = p.family == AF_INET6 ? VIP_WIDEST_V6 : VIP_WIDEST_V4;
    if (p.len < widest)
        return refuse(ret_why,
            "%s is too wide: the gateway takes every address of it as its own and would lose the network; "
            "use /%u or longer",
            quoted, widest);
    union addr a = {.sa.sa_family = p.family};
    memcpy(p.family == AF_INET6 ? (void *)&a.v6.sin6_addr : (void *)&a.v4.sin_addr, p.bytes,
        p.family == AF_INET6 ? 16 : 4);
    const char *useless = config_addr_useless(&a);
    if (useless)
        return refuse(ret_why, "%s %s", quoted, useless);
    if (config_addr_is_loopback(&a))
        return refuse(ret_why, "%s is the loopback address; no other host can connect to it", quoted);
    *ret_prefix = p;
    *ret_port = port;
    return 0;
}

int config_network_parse(const char *text, struct addr_prefix *ret, char ret_why[CONFIG_WHY_MAX])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char quoted[CONFIG_QUOTE_MAX];
    struct addr_prefix p;

    if (addr_network_parse(text, strlen(text), &p) < 0)
        return refuse_network(text, ret_why);
    if (p.family == AF_INET6 && p.len >= 96 && memcmp(p.bytes, mapped, sizeof(mapped)) == 0)
        return refuse(
            ret_why, "%s is an IPv4 prefix in IPv6 clothes; write it as IPv4", config_quote(text, quoted));
    *ret = p;
    return 0;
}

int config_backend_parse(const char *text, union addr *ret, char ret_why[CONFIG_WHY_MAX])
{
    char quoted[CONFIG_QUOTE_MAX];
    union addr a;
    if (addr_parse(text, &a) < 0)
        return refuse_address(text, false, ret_why);
    config_quote(text, quoted);
    if (addr_port(&a) == 0)
        return refuse(ret_why, "%s: no server listens on port 0", quoted);
    const char *useless = config_addr_useless(&a);
    if (useless)
        return refuse(ret_why, "%s %s", quoted, useless);
    *ret = a;
    return 0;
}
