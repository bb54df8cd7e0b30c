/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's pipes for bulky flows, opened at start and taken by those who need one. */
#ifndef POSTERN_PATH_PIPES_H
#define POSTERN_PATH_PIPES_H

#include <stdbool.h>
#include <stdint.h>

#define PIPES_MAX 64
#define PIPE_BYTES (256 * 1024)

struct pipes {
    int read_fd[PIPES_MAX];
    int write_fd[PIPES_MAX];
    uint16_t stock[PIPES_MAX];
    uint16_t n_stock;
    uint16_t n_pipes;
};

/* Opens as many as there may be flows to use them, PIPES_MAX at most. 0 or -errno. */
int pipes_init(struct pipes *p, uint32_t flows);
void pipes_done(struct pipes *p);

/* A pipe's index, or RELAY_NO_PIPE when all are in use. */
uint16_t pipes_take(struct pipes *p);

/* Gives a pipe back; one that still holds bytes is replaced, or lost when no descriptor is left for a new
 * one. */
void pipes_return(struct pipes *p, uint16_t pipe, bool empty);

#endif
