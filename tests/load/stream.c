/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream: position p of a seed lies in chunk p / 64 KiB; each chunk is a window of 64 KiB into a table of
 * 1 MiB, at a place that a hash of seed and chunk number picks. Sending needs no copy and no generator; both
 * ends hash every byte. Nothing here fails. Called by both sides of a bulk transfer.
 */
#include "stream.h"

#include <stdio.h>

#define CHUNK (64u << 10)
#define TABLE (1u << 20)

static const char *table(void)
{
    static char bytes[TABLE + CHUNK];
    static bool made;
    uint64_t x = 0x2545f4914f6cdd1dull;

    if (made)
        return bytes;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (char)(x >> 32);
    }
    made = true;
    return bytes;
}

void stream_begin(struct stream *s, uint64_t seed, uint64_t bytes)
{
    s->unhashed = false;
    s->seed = seed;
    s->at = 0;
    s->end = bytes;
    XXH64_reset(&s->hash, 0);
}

const char *stream_piece(const struct stream *s, size_t *ret_len)
{
    uint64_t chunk[2] = {s->seed, s->at / CHUNK};
    uint64_t inside = s->at % CHUNK;
    uint64_t left = s->end - s->at;
    size_t place = XXH64(chunk, sizeof(chunk), 0) % TABLE;

    *ret_len = (size_t)(left < CHUNK - inside ? left : CHUNK - inside);
    return table() + place + inside;
}

void stream_advance(struct stream *s, size_t len)
{
    size_t piece_len;
    const char *piece = stream_piece(s, &piece_len);

    if (!s->unhashed)
        XXH64_update(&s->hash, piece, len);
    s->at += len;
}

void drain_begin(struct drain *d, uint64_t bytes)
{
    d->left = bytes;
    XXH64_reset(&d->hash, 0);
}

void drain_feed(struct drain *d, const char *data, size_t len)
{
    XXH64_update(&d->hash, data, len);
    d->left -= len;
}

void pace_begin(struct pace *p, uint64_t rate, uint64_t now)
{
    p->rate = rate;
    p->from_ns = now;
    p->bytes = 0;
}

uint64_t pace_due_ns(struct pace *p, size_t len)
{
    p->bytes += len;
    return p->rate ? p->from_ns + (uint64_t)((double)p->bytes * 1e9 / (double)p->rate) : 0;
}

uint32_t pace_read_size(const struct pace *p, uint32_t most)
{
    return p->rate && p->rate / 20 < most ? (uint32_t)(p->rate / 20 + 1) : most;
}

char *hash_format(uint64_t hash, char buf[HASH_TEXT_MAX])
{
    snprintf(buf, HASH_TEXT_MAX, "%016llx", (unsigned long long)hash);
    return buf;
}
