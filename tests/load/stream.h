/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-random bytes that cost nothing to make: windows into one table of random bytes, which window follows
 * from the seed and the position. Lost, doubled or moved bytes show in the hash. See stream.c. */
#ifndef MAILLOAD_STREAM_H
#define MAILLOAD_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define XXH_STATIC_LINKING_ONLY /* XXH64_state_t by value */
#include <xxhash.h>

/* One direction of bulk data being made. */
struct stream {
    bool unhashed;
    uint64_t seed;
    uint64_t at;
    uint64_t end;
    XXH64_state_t hash;
};

/* One direction of bulk data being read and hashed. */
struct drain {
    uint64_t left;
    XXH64_state_t hash;
};

void stream_begin(struct stream *s, uint64_t seed, uint64_t bytes);

static inline bool stream_done(const struct stream *s)
{
    return s->at == s->end;
}

/* The next piece, contiguous in memory and never empty before the end; stream_advance() takes what was sent
 * of it. */
const char *stream_piece(const struct stream *s, size_t *ret_len);
void stream_advance(struct stream *s, size_t len);

/* A reader that takes no more than `rate` bytes a second. */
struct pace {
    uint64_t rate; /* 0: as fast as it can */
    uint64_t from_ns;
    uint64_t bytes;
};

void pace_begin(struct pace *p, uint64_t rate, uint64_t now);

/* `len` more bytes were read: until when to wait before the next. At once when that is past, or without a
 * rate. */
uint64_t pace_due_ns(struct pace *p, size_t len);

/* How much such a reader should read at once. */
uint32_t pace_read_size(const struct pace *p, uint32_t most);

void drain_begin(struct drain *d, uint64_t bytes);
void drain_feed(struct drain *d, const char *data, size_t len);

/* 16 hex digits and the NUL. */
#define HASH_TEXT_MAX 17
char *hash_format(uint64_t hash, char buf[HASH_TEXT_MAX]);

#endif
