/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 5321, 4.2: a reply begins with three digits, the first 2 to 5, the second 0 to 5.
 *
 * Only 4xx is ever held: a server that takes the client says 2 and is passed at the first byte ("220-" may be
 * followed by a wait that early talkers must meet); 5xx is a verdict about the client, who must not shop
 * around for another. Thread: its worker.
 */
#include "path/greeting.h"

#include <fnmatch.h>
#include <string.h>

/* The digits allowed at each place of a reply code. */
static const struct {
    char first, last;
} places[GREETING_DIGITS] = {{'2', '5'}, {'0', '5'}, {'0', '9'}};

bool greeting_feed(struct greeting *g, const uint8_t *bytes, size_t n)
{
    if (greeting_decided(g))
        return false;
    for (size_t i = 0; i < n && !greeting_decided(g); i++) {
        if (bytes[i] < places[g->digits].first || bytes[i] > places[g->digits].last) {
            g->digits = GREETING_ODD;
            g->code = 0;
            break;
        }
        g->code = (uint16_t)(g->code * 10 + (bytes[i] - '0'));
        g->digits++;
    }
    return greeting_decided(g);
}

/* The first line without its end, as a text for fnmatch(3): in the C locale, which allocates nothing. */
static void copy_line(const uint8_t *bytes, size_t n, char line[GREETING_LINE_MAX + 1])
{
    if (n > 0 && bytes[n - 1] == '\r')
        n--;
    for (size_t i = 0; i < n; i++)
        line[i] = bytes[i] ? (char)bytes[i] : '\1'; /* a NUL must not end it */
    line[n] = '\0';
    if (n > GREETING_DIGITS && line[GREETING_DIGITS] == '-')
        line[GREETING_DIGITS] = ' ';
}

enum greeting_verdict greeting_judge(
    const struct snapshot_pool *pool, const uint8_t *bytes, size_t n, bool last)
{
    char line[GREETING_LINE_MAX + 1];

    if (bytes[0] != '4')
        return GREETING_PASS;
    size_t limit = n < GREETING_LINE_MAX ? n : GREETING_LINE_MAX;
    const uint8_t *end = memchr(bytes, '\n', limit);
    if (!end && n < GREETING_LINE_MAX && !last)
        return GREETING_HOLD;
    copy_line(bytes, end ? (size_t)(end - bytes) : limit, line);
    for (uint16_t i = 0; i < pool->n_verdicts; i++)
        if (fnmatch(pool->verdicts[i].reply, line, FNM_NOESCAPE | FNM_CASEFOLD) == 0)
            return pool->verdicts[i].then == THEN_RETRY ? GREETING_RETRY : GREETING_PASS;
    return GREETING_PASS;
}

bool greeting_is_busy(const uint8_t *bytes, size_t n)
{
    return n >= 8 && memcmp(bytes, "421", 3) == 0 && (bytes[3] == ' ' || bytes[3] == '-') &&
           memcmp(bytes + 4, "4.3.", 4) == 0;
}
