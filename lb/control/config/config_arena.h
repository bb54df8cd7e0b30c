/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of one loaded configuration: taken piece by piece, given back as a whole. Thread: control. */
#ifndef POSTERN_CONTROL_CONFIG_ARENA_H
#define POSTERN_CONTROL_CONFIG_ARENA_H

#include <stddef.h>

struct config_arena_chunk;

/* All zero is an empty arena. */
struct config_arena {
    struct config_arena_chunk *chunks;
};

/* Zeroed memory, aligned for every type; NULL when there is none left. */
void *config_arena_take(struct config_arena *a, size_t size);

/* Copies `len` bytes and adds a final NUL; NULL when there is no memory left. */
char *config_arena_text(struct config_arena *a, const char *text, size_t len);

void config_arena_done(struct config_arena *a);

#endif
