/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of one loaded configuration.
 * Happy path: cut the next piece from the newest chunk, or start a chunk. Failure: NULL, what was taken stays
 * good. Called by config_yaml.c and config_parse.c, on the control thread.
 */
#include "control/config/config_arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64 * 1024)

struct config_arena_chunk {
    struct config_arena_chunk *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

void *config_arena_take(struct config_arena *a, size_t size)
{
    struct config_arena_chunk *c = a->chunks;
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!c || c->size - c->used < size) {
        size_t bytes = size > CHUNK_BYTES ? size : CHUNK_BYTES;
        c = calloc(1, sizeof(*c) + bytes);
        if (!c)
            return NULL;
        c->size = bytes;
        c->next = a->chunks;
        a->chunks = c;
    }
    void *piece = c->bytes + c->used;
    c->used += size;
    return piece;
}

char *config_arena_text(struct config_arena *a, const char *text, size_t len)
{
    char *copy = config_arena_take(a, len + 1);
    if (copy)
        memcpy(copy, text, len);
    return copy;
}

void config_arena_done(struct config_arena *a)
{
    while (a->chunks) {
        struct config_arena_chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
}
