/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sessions meet at their backends, noted for the control thread: per worker and backend in the counters,
 * over all workers the bad ones in a row. Each session that is tried ends in one of the four. Thread: its
 * worker.
 */
#ifndef POSTERN_PATH_REPUTE_H
#define POSTERN_PATH_REPUTE_H

#include <stdint.h>

struct worker;
struct conn;
struct session_record;

/* The session's present backend is tried. */
void repute_tried(struct worker *w, const struct conn *c);

/* It has taken the connection. */
void repute_connected(struct worker *w, const struct conn *c);

/* Bad: the fifth in a row, over all workers, wakes the control thread. */
void repute_connect_failed(struct worker *w, const struct conn *c);
void repute_no_greeting(struct worker *w, const struct conn *c);
void repute_busy(struct worker *w, const struct conn *c);

/* Good: it has replied, whatever it thinks of the client. */
void repute_greeting(struct worker *w, const struct conn *c);

/* A session has ended here, as its line says. */
void repute_ended(struct worker *w, uint16_t backend, const struct session_record *r);

/* A session of this pool has ended, whether it had a backend or not. */
void repute_lasted(struct worker *w, uint16_t pool, uint32_t duration_ms);

#endif
