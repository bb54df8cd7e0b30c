/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 5321, 4.2: a reply begins with three digits, the first 2 to 5, the second 0 to 5. Thread: its worker.
 */
#include "path/greeting.h"

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
