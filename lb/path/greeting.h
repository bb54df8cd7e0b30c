/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of a backend: which reply code do they begin with, and may the client see them? Pure. */
#ifndef POSTERN_PATH_GREETING_H
#define POSTERN_PATH_GREETING_H

#include "snapshot.h"

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

#define GREETING_LINE_MAX 1000 /* bytes; a line that is longer is judged by its beginning */

enum greeting_verdict {
    GREETING_HOLD,  /* a 4xx reply whose first line is not whole */
    GREETING_PASS,  /* the client may have it */
    GREETING_RETRY, /* another backend, if there is one */
};

/*
 * What becomes of the first `n` bytes (one at least) of a backend, by the pool's table. `last`: no more will
 * come.
 */
enum greeting_verdict greeting_judge(
    const struct snapshot_pool *pool, const uint8_t *bytes, size_t n, bool last);

/* True for 421 4.3.x: the server is busy, whatever the table makes of that. */
bool greeting_is_busy(const uint8_t *bytes, size_t n);

#endif
