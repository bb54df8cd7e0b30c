/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of a backend: which reply code do they begin with? Pure. */
#ifndef POSTERN_PATH_GREETING_H
#define POSTERN_PATH_GREETING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct greeting {
    uint16_t code;  /* the digits so far; a whole code once digits == 3 */
    uint8_t digits; /* digits seen; GREETING_ODD when something else came */
};

#define GREETING_DIGITS 3
#define GREETING_ODD 0xff

/* Takes the next bytes, in pieces of any size. True when this call decided: a code, or none. */
bool greeting_feed(struct greeting *g, const uint8_t *bytes, size_t n);

/* The reply code (RFC 5321, 4.2: 200 to 559), or 0 when none has been seen. */
static inline uint16_t greeting_code(const struct greeting *g)
{
    return g->digits == GREETING_DIGITS ? g->code : 0;
}

static inline bool greeting_decided(const struct greeting *g)
{
    return g->digits >= GREETING_DIGITS;
}

#endif
