/* SPDX-License-Identifier: Apache-2.0 */
/* No policy, no allocation. */
#include "base/text.h"

#include <assert.h>
#include <string.h>

#define DIGITS_MAX 20 /* of UINT64_MAX */

void text_begin(struct text *t, char *buffer, size_t size)
{
    assert(size > 0);
    t->at = buffer;
    t->last = buffer + size - 1;
    *t->at = '\0';
}

static void add_bytes(struct text *t, const char *bytes, size_t n)
{
    size_t room = (size_t)(t->last - t->at);

    n = n < room ? n : room;
    memcpy(t->at, bytes, n);
    t->at += n;
    *t->at = '\0';
}

void text_add(struct text *t, const char *string)
{
    add_bytes(t, string, strlen(string));
}

static void add_digits(struct text *t, uint64_t n, unsigned digits, unsigned base)
{
    char written[DIGITS_MAX];
    char *at = written + DIGITS_MAX;

    assert(digits <= DIGITS_MAX);
    for (unsigned i = 0; i < digits; i++, n /= base)
        *--at = "0123456789abcdef"[n % base];
    add_bytes(t, at, digits);
}

void text_add_number(struct text *t, uint64_t n)
{
    unsigned digits = 1;

    for (uint64_t rest = n / 10; rest > 0; rest /= 10)
        digits++;
    add_digits(t, n, digits, 10);
}

void text_add_decimal(struct text *t, uint64_t n, unsigned digits)
{
    add_digits(t, n, digits, 10);
}

void text_add_hex(struct text *t, uint64_t n, unsigned digits)
{
    add_digits(t, n, digits, 16);
}
