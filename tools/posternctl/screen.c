/* SPDX-License-Identifier: Apache-2.0 */
/* Happy path: text as it is. Failure path: what this terminal cannot show, or could be moved by, is '?'. */
#include "screen.h"

#include "memory.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#define NARROWEST 20 /* what is narrower is written as if it were not */

static const char *const codes[] = {[PLAIN] = "",
    [HEAD] = "\033[1m",
    [GOOD] = "\033[32m",
    [WARN] = "\033[33m",
    [BAD] = "\033[1;31m",
    [DIM] = "\033[2m"};

struct screen screen_of_stdout(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    bool terminal = isatty(STDOUT_FILENO);
    struct winsize size = {0};

    if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col == 0)
        size.ws_col = 80;
    return (struct screen){
        .out = stdout,
        .colour = terminal && !(no_color && no_color[0]) && term && strcmp(term, "dumb") != 0,
        .width = !terminal                 ? 0
                 : size.ws_col > NARROWEST ? size.ws_col
                                           : NARROWEST,
    };
}

void screen_style(const struct screen *s, enum style style, const char *text)
{
    bool coloured = s->colour && style != PLAIN;

    fprintf(s->out, "%s%s%s", coloured ? codes[style] : "", text, coloured ? "\033[0m" : "");
}

void screen_wrap(const struct screen *s, unsigned at, unsigned indent, const char *text)
{
    bool first = true; /* on its line */

    for (; *text; first = false) {
        size_t n = strcspn(text, " ");
        char *word = must(strndup(text, n));
        unsigned columns = screen_columns(word);
        if (!first && s->width && at + 1 + columns > s->width) {
            fprintf(s->out, "\n%*s", (int)indent, "");
            at = indent;
            first = true;
        }
        fprintf(s->out, "%s%s", first ? "" : " ", word);
        at += columns + !first;
        free(word);
        text += n + strspn(text + n, " ");
    }
    fputc('\n', s->out);
}

enum style screen_state_style(const char *state)
{
    static const struct {
        const char *state;
        enum style style;
    } styles[] = {
        {"up", GOOD}, {"down", BAD}, {"suspect", WARN}, {"drain", WARN}, {"maint", WARN}, {"leaving", DIM}};

    for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
        if (strcmp(styles[i].state, state) == 0)
            return styles[i].style;
    return PLAIN;
}

/* One character of UTF-8; its bytes, 0 when it is none. */
static size_t decode(const char *at, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *u = (const unsigned char *)at;
    size_t n = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;

    if (n == 0)
        return 0;
    *ret = n == 1 ? u[0] : u[0] & (0x7f >> n);
    for (size_t i = 1; i < n; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        *ret = *ret << 6 | (u[i] & 0x3f);
    }
    return *ret >= least[n] ? n : 0;
}

/* wchar_t is Unicode wherever glibc is. Marks that turn the direction of writing are not printable here. */
char *screen_printable(const char *utf8)
{
    char *all = must(malloc(strlen(utf8) * MB_LEN_MAX + 1)), *to = all;
    mbstate_t state = {0};

    while (*utf8) {
        uint32_t c = 0;
        size_t n = decode(utf8, &c);
        bool fine = n > 0 && iswprint((wint_t)c) && wcwidth((wchar_t)c) > 0;
        size_t wrote = fine ? wcrtomb(to, (wchar_t)c, &state) : (size_t)-1;
        if (wrote == (size_t)-1) {
            *to = '?';
            wrote = 1;
            state = (mbstate_t){0};
        }
        to += wrote;
        utf8 += n ? n : 1;
    }
    *to = '\0';
    return all;
}

size_t screen_fit(const char *text, unsigned columns)
{
    mbstate_t state = {0};
    size_t at = 0, left = strlen(text);

    while (left > 0) {
        wchar_t c;
        size_t n = mbrtowc(&c, text + at, left, &state);
        int wide = n == 0 || n > left ? -1 : wcwidth(c);
        if (wide < 0 || (unsigned)wide > columns)
            break;
        columns -= (unsigned)wide;
        at += n;
        left -= n;
    }
    return at;
}

unsigned screen_columns(const char *text)
{
    mbstate_t state = {0};
    size_t at = 0, left = strlen(text);
    unsigned columns = 0;

    while (left > 0) {
        wchar_t c;
        size_t n = mbrtowc(&c, text + at, left, &state);
        if (n == 0 || n > left)
            break;
        columns += wcwidth(c) > 0 ? (unsigned)wcwidth(c) : 0;
        at += n;
        left -= n;
    }
    return columns;
}

char *screen_duration(uint64_t seconds, char buf[SCREEN_SHORT])
{
    static const struct {
        uint64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;

    while (i < 3 && seconds < units[i].seconds)
        i++;
    unsigned long long large = seconds / units[i].seconds, rest = seconds % units[i].seconds;
    if (i < 3 && rest / units[i + 1].seconds > 0)
        snprintf(buf, SCREEN_SHORT, "%llu%c%llu%c", large, units[i].unit, rest / units[i + 1].seconds,
            units[i + 1].unit);
    else
        snprintf(buf, SCREEN_SHORT, "%llu%c", large, units[i].unit);
    return buf;
}

char *screen_percent(double part, char buf[SCREEN_SHORT])
{
    double percent = part * 100;
    bool small = percent > 0 && percent < 9.95;

    snprintf(buf, SCREEN_SHORT, small ? "%.1f%%" : "%.0f%%", percent);
    return buf;
}

char *screen_bytes(uint64_t n, char buf[SCREEN_SHORT])
{
    static const char units[] = "kMGTPE";
    double value = (double)n;
    int unit = -1;

    while (value >= 999.5) {
        value /= 1000;
        unit++;
    }
    if (unit < 0)
        snprintf(buf, SCREEN_SHORT, "%llu", (unsigned long long)n);
    else
        snprintf(buf, SCREEN_SHORT, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
    return buf;
}
