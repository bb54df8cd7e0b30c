/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting: choose a backend, dial it from the client's address, send the PROXY header. Thread: its worker.
 */
#ifndef POSTERN_PATH_CONNECT_H
#define POSTERN_PATH_CONNECT_H

struct worker;
struct conn;

/* Dials the first backend that can be dialled; closes the session when none is left. */
void connect_start(struct worker *w, struct conn *c);

/* The poll of a connection to a backend has ended (poll events or -errno). */
void on_connect(struct worker *w, struct conn *c, int result);

/* The connect's time may be over. */
void connect_on_deadline(struct worker *w, struct conn *c);

#endif
