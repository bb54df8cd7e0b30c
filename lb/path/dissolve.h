/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dissolving: the way of a session from two sockets to one entry in the kernel's table. What comes after is
 * dissolved.h's. Thread: its worker.
 */
#ifndef POSTERN_PATH_DISSOLVE_H
#define POSTERN_PATH_DISSOLVE_H

#include "path/conn.h"

struct worker;

/* A client has been accepted: what has to be known of its connection before a backend is dialled. */
void dissolve_accepted(struct worker *w, struct conn *c);

/* Before connect(): makes the backend's connection one that can be joined to the client's. */
void dissolve_prepare(const struct worker *w, const struct conn *c, int backend_fd);

/*
 * From now on the program watches the session's packets; c->source is known. 0, also when the session will
 * not be watched; -EADDRINUSE when its tuple towards the backend is that of a dissolved session: it must not
 * be used.
 */
int dissolve_watch(struct worker *w, struct conn *c);

/* Ends the watch: the session is relayed to its end, or dials another backend. */
void dissolve_forget(struct worker *w, struct conn *c);

/* Another process takes the table over: a session that has not dissolved by now never will. */
void dissolve_leave(struct worker *w, struct conn *c);

/* Nothing is under way in the daemon: if nothing else hinders, the next packet may dissolve the session. */
void dissolve_arm(struct worker *w, struct conn *c);

/*
 * Something has happened to a session that may be armed. True: it is the relay's (again). False: it has
 * dissolved, and has been dealt with; the caller must leave it alone.
 */
bool dissolve_take_back(struct worker *w, struct conn *c);

/* The program says that the session of this entry has dissolved. */
void dissolve_on_switched(struct worker *w, uint32_t entry);

/* Closes the sockets of a dissolved session that linger still: it is over, and its tuple may come again. */
void dissolve_on_ended(struct worker *w, uint32_t entry);

/* An operation of a dissolved session has come back. */
void dissolve_on_joined(struct conn *c);

/* Frees the slot of the session that has lingered longest, if there is one. */
bool dissolve_release_early(struct worker *w);

/* Some milliseconds after that: closes the sockets, in silence, and frees the slots. */
void dissolve_run(struct worker *w);

/* When dissolve_run() has something to do, ms of the clock; DEADLINE_NEVER when it has not. */
uint64_t dissolve_next_ms(const struct worker *w);

#endif
