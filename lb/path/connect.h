/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting: choose a backend, dial it from the client's address, send the PROXY header. Thread: its worker.
 */
#ifndef POSTERN_PATH_CONNECT_H
#define POSTERN_PATH_CONNECT_H

struct worker;
struct conn;

/*
 * Reserves the backend that connect_start() will dial first: it is chosen, and the session counts there. 0;
 * or why there is none: choose_backend()'s reasons, -EAGAIN also when nothing may be tried any more.
 */
int connect_reserve(struct worker *w, struct conn *c);

/* Dials the reserved backend, or the first that can be dialled; a session for which none is left ends. */
void connect_start(struct worker *w, struct conn *c);

/* The poll of a connection to a backend has ended (poll events or -errno). */
void on_connect(struct worker *w, struct conn *c, int result);

/* The connect's time may be over. */
void connect_on_deadline(struct worker *w, struct conn *c);

#endif
