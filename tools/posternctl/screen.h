/* SPDX-License-Identifier: Apache-2.0 */
/* What is written for people: how wide, in which colours, and nothing but what can be printed. */
#ifndef POSTERNCTL_SCREEN_H
#define POSTERNCTL_SCREEN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum style { PLAIN, HEAD, GOOD, WARN, BAD, DIM };

struct screen {
    FILE *out;
    bool colour;
    unsigned width; /* in columns; 0: without a bound, nobody looks at it now */
};

/* Standard output as it is: a terminal or not, NO_COLOR, TERM. */
struct screen screen_of_stdout(void);

void screen_style(const struct screen *s, enum style style, const char *text);

/* Words, broken at the width, further lines indented; the first word stands where the cursor is, in column
 * `at`. */
void screen_wrap(const struct screen *s, unsigned at, unsigned indent, const char *text);

/* The style in which a backend's state is shown; the word says it too. */
enum style screen_state_style(const char *state);

/* UTF-8 as this locale can print it; '?' stands for what cannot be. To be freed; ends the program without
 * memory. */
char *screen_printable(const char *utf8);

/* How many columns printable text takes; how many bytes of it fit into so many columns. */
unsigned screen_columns(const char *text);
size_t screen_fit(const char *text, unsigned columns);

/* "3d4h", "5m12s", "0s"; "1.2M"; "50%", "0.5%" of a part from 0 to 1. Return buf. */
#define SCREEN_SHORT 24
char *screen_duration(uint64_t seconds, char buf[SCREEN_SHORT]);
char *screen_percent(double part, char buf[SCREEN_SHORT]);
char *screen_bytes(uint64_t n, char buf[SCREEN_SHORT]);

#endif
