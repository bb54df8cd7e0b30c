/* SPDX-License-Identifier: Apache-2.0 */
/* Text put together piece by piece in a buffer of the caller's: a tenth of the cost of a format string. What
 * does not fit is cut off; the text always ends with a NUL. */
#ifndef POSTERN_BASE_TEXT_H
#define POSTERN_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
    char *at;   /* the NUL */
    char *last; /* of the buffer */
};

void text_begin(struct text *t, char *buffer, size_t size);
void text_add(struct text *t, const char *string);
void text_add_number(struct text *t, uint64_t n);

/* The last `digits` (20 at most) decimal or hexadecimal digits of a number, with leading zeros. */
void text_add_decimal(struct text *t, uint64_t n, unsigned digits);
void text_add_hex(struct text *t, uint64_t n, unsigned digits);

#endif
