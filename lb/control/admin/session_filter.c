/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: each word is key=value, each key has a reader in the table. Failure path: the first word that
 * cannot be read, or says something twice, is named, and nothing is meant. Called by admin_sessions.c.
 */
#include "control/admin/session_filter.h"

#include "control/config/config_values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64 /* of what is said again */

struct reading {
    struct session_filter filter;
    const char *backend;
};

static int read_client(const char *value, struct reading *r)
{
    bool v6 = strchr(value, ':') != NULL;
    char text[ADDR_TEXT_MAX];
    uint16_t port;

    int n = snprintf(text, sizeof(text), v6 ? "[%s]:0" : "%s:0", value);
    return n < (int)sizeof(text) ? addr_prefix_parse(text, &r->filter.client, &port) : -EINVAL;
}

static int read_backend(const char *value, struct reading *r)
{
    const char *slash = strchr(value, '/');

    r->backend = value;
    return slash && slash > value && slash[1] ? 0 : -EINVAL;
}

static int read_state(const char *value, struct reading *r)
{
    for (enum session_state s = 0; s < SESSION_STATES; s++)
        if (strcmp(value, session_state_name(s)) == 0) {
            r->filter.states = 1u << s;
            return 0;
        }
    return -EINVAL;
}

static int read_duration(const char *value, uint64_t *ret_ms)
{
    uint32_t ms;

    if (config_duration_parse(value, &ms) < 0)
        return -EINVAL;
    *ret_ms = ms;
    return 0;
}

static int read_older(const char *value, struct reading *r)
{
    return read_duration(value, &r->filter.older_ms);
}

static int read_idle(const char *value, struct reading *r)
{
    return read_duration(value, &r->filter.idle_ms);
}

static const struct {
    const char *name;
    int (*read)(const char *value, struct reading *r);
    const char *form;
} keys[] = {
    {"client", read_client, "an address or a prefix, like client=192.0.2.0/24 or client=2001:db8::/32"},
    {"backend", read_backend, "a pool and a backend of it, like backend=inbound/mta1"},
    {"state", read_state, "one of introducing, queued, connecting, greeting, relayed, dissolved, closing"},
    {"older", read_older, "a duration, like older=10m"},
    {"idle", read_idle, "a duration, like idle=30s"},
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

/* The key that a word begins with, or KEYS. */
static size_t find_key(const char *word, size_t len)
{
    size_t i = 0;

    while (i < KEYS && (strlen(keys[i].name) != len || memcmp(keys[i].name, word, len) != 0))
        i++;
    return i;
}

/* The word without what cannot be said again. */
static int refuse(const char *word, const char *how, char ret_why[SESSION_FILTER_WHY_MAX])
{
    char plain[WORD_MAX + 1];
    size_t n = 0;

    for (; word[n] && n < WORD_MAX; n++)
        plain[n] = (char)(word[n] >= ' ' && word[n] <= '~' ? word[n] : '?');
    plain[n] = '\0';
    snprintf(ret_why, SESSION_FILTER_WHY_MAX, "'%s' is not understood: use %s.", plain, how);
    return -EINVAL;
}

int session_filter_read(const char *const *words, struct session_filter *ret, const char **ret_backend,
    char ret_why[SESSION_FILTER_WHY_MAX])
{
    struct reading r = {.filter = SESSION_FILTER_ANY};
    unsigned seen = 0;

    for (; *words; words++) {
        size_t len = strcspn(*words, "="), key = find_key(*words, len);
        const char *wrong = NULL;
        if (key == KEYS || !(*words)[len])
            wrong = "client=PREFIX, backend=POOL/BACKEND, state=STATE, older=DURATION, idle=DURATION";
        else if (seen & 1u << key)
            wrong = "it once";
        else if (keys[key].read(*words + len + 1, &r) < 0)
            wrong = keys[key].form;
        if (wrong)
            return refuse(*words, wrong, ret_why);
        seen |= 1u << key;
    }
    *ret = r.filter;
    *ret_backend = r.backend;
    return 0;
}

uint64_t session_id_read(const char *text)
{
    text += strncmp(text, "0x", 2) == 0 ? 2 : 0;
    size_t len = strlen(text);

    return len <= 16 && strspn(text, "0123456789abcdefABCDEF") == len ? strtoull(text, NULL, 16) : 0;
}
