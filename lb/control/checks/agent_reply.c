/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an agent's line.
 * Happy path: word for word into a copy of the state, which then replaces it. Failure path: a word that means
 * nothing here makes the whole line void, for half of an order may be the opposite of it.
 * Called by check_agent.c and the tests.
 */
#include "control/checks/agent_reply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *word;
    enum { SAYS_UP, SAYS_DOWN, SAYS_ADMIN } says;
    enum agent_admin admin;
} words[] = {
    {"up", SAYS_UP, 0},
    {"down", SAYS_DOWN, 0},
    {"stopped", SAYS_DOWN, 0},
    {"fail", SAYS_DOWN, 0},
    {"failed", SAYS_DOWN, 0},
    {"ready", SAYS_ADMIN, AGENT_READY},
    {"drain", SAYS_ADMIN, AGENT_DRAIN},
    {"maint", SAYS_ADMIN, AGENT_MAINT},
};

/* All of `text` as a number of at most `max`. */
static bool number(const char *text, size_t n, uint32_t max, uint32_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9' || value > max)
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *ret = (uint32_t)value;
    return n > 0 && value <= max;
}

static bool take_word(struct agent_state *s, const char *word, size_t n)
{
    static const char maxconn[] = "maxconn:";
    size_t prefix = sizeof(maxconn) - 1;
    if (word[n - 1] == '%')
        return number(word, n - 1, AGENT_PERCENT_MAX, &s->percent);
    if (n > prefix && strncasecmp(word, maxconn, prefix) == 0)
        return number(word + prefix, n - prefix, INT32_MAX, &s->max_sessions);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].word) != n || strncasecmp(word, words[i].word, n) != 0)
            continue;
        if (words[i].says == SAYS_ADMIN)
            s->admin = words[i].admin;
        else
            s->down = words[i].says == SAYS_DOWN;
        return true;
    }
    return false;
}

/* Printable, without what would end a quoted value of a log line. */
static void show(const char *text, size_t n, char out[AGENT_REASON_MAX])
{
    size_t used = strlen(out);
    for (size_t i = 0; i < n && used < AGENT_REASON_MAX - 1; i++)
        out[used++] = (char)(text[i] < ' ' || text[i] > '~' || text[i] == '\\' ? '?'
                             : text[i] == '"'                                  ? '\''
                                                                               : text[i]);
    out[used] = '\0';
}

int agent_reply_parse(
    const char *line, size_t n, struct agent_state *state, char ret_reason[AGENT_REASON_MAX])
{
    static const char separators[] = " \t,\r";
    struct agent_state s = *state;
    size_t at = 0, n_words = 0;
    ret_reason[0] = '\0';
    while (at < n && line[at] != '#') {
        size_t from = at;
        while (at < n && line[at] != '#' && !memchr(separators, line[at], sizeof(separators) - 1))
            at++;
        if (at == from) {
            at++;
            continue;
        }
        if (!take_word(&s, line + from, at - from)) {
            snprintf(ret_reason, AGENT_REASON_MAX, "not understood: ");
            show(line + from, at - from, ret_reason);
            return -EINVAL;
        }
        n_words++;
    }
    if (n_words == 0) {
        snprintf(ret_reason, AGENT_REASON_MAX, "not a word");
        return -EINVAL;
    }
    while (at < n && (line[at] == '#' || line[at] == ' '))
        at++;
    while (n > at && memchr(separators, line[n - 1], sizeof(separators) - 1))
        n--;
    show(line + at, n - at, ret_reason);
    *state = s;
    return 0;
}

const char *agent_state_name(const struct agent_state *s)
{
    static const char *const names[] = {
        [AGENT_READY] = "up", [AGENT_DRAIN] = "drain", [AGENT_MAINT] = "maint"};
    return s->down ? "down" : names[s->admin];
}
