/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a line is cut at its comment and trimmed; what is left is a prefix. Failure path: it is none:
 * counted, and the first of them told. Called by sources.c; the fuzzer calls it with anything.
 */
#include "control/discovery/source_list.h"

#include "control/config/config_values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAD_SHARE 10 /* one in so many */
#define WORD_BYTES 64

int prefix_members_add(struct prefix_members *m, const struct addr_prefix *prefix, uint8_t list)
{
    if (m->n == m->max) {
        size_t wanted = m->max ? m->max * 2 : 256;
        struct prefix_member *grown = realloc(m->items, wanted * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        m->items = grown;
        m->max = wanted;
    }
    m->items[m->n++] = (struct prefix_member){.prefix = *prefix, .list = list};
    return 0;
}

void prefix_members_done(struct prefix_members *m)
{
    free(m->items);
    *m = (struct prefix_members){0};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* One line without its comment and blanks, as far as it is text. */
static void take_word(const char *from, size_t len, char word[WORD_BYTES])
{
    size_t n = 0;

    for (; n < len && n < WORD_BYTES - 1; n++)
        word[n] = from[n] >= ' ' && from[n] <= '~' ? from[n] : '?'; /* it may end in the log */
    word[n] = '\0';
}

static int read_line(const char *from, size_t len, uint8_t list, size_t number, struct prefix_members *to,
    struct source_reading *reading)
{
    char word[WORD_BYTES], why[CONFIG_WHY_MAX];
    struct addr_prefix prefix;

    while (len > 0 && is_blank(from[0]))
        from++, len--;
    while (len > 0 && is_blank(from[len - 1]))
        len--;
    if (len == 0)
        return 0;
    take_word(from, len, word);
    if (config_network_parse(word, &prefix, why) == 0) {
        reading->good++;
        return prefix_members_add(to, &prefix, list);
    }
    if (reading->bad < SOURCE_BAD_SHOWN) {
        struct source_bad_line *shown = &reading->shown[reading->bad];
        shown->line = number;
        snprintf(shown->why, sizeof(shown->why), "%s", why);
    }
    reading->bad++;
    return 0;
}

int source_list_read(
    const char *text, size_t len, uint8_t list, struct prefix_members *to, struct source_reading *reading)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, as some editors write */
    size_t number = 0;
    int error = 0;

    if (len >= 3 && memcmp(text, mark, 3) == 0)
        text += 3, len -= 3;
    while (len > 0 && !error) {
        const char *newline = memchr(text, '\n', len);
        size_t line = newline ? (size_t)(newline - text) : len;
        size_t said = 0;
        while (said < line && text[said] != '#' && text[said] != ';')
            said++;
        error = read_line(text, said, list, ++number, to, reading);
        line += newline != NULL;
        text += line;
        len -= line;
    }
    return error;
}

const char *source_list_doubt(const struct source_reading *reading, size_t good_before)
{
    if (reading->bad > 0 && reading->bad * BAD_SHARE > reading->good + reading->bad)
        return "more than a tenth of its lines are no prefixes";
    if (reading->good == 0 && good_before > 0)
        return "it holds no prefix any more";
    return NULL;
}
