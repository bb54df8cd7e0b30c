/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting: a client's connection becomes a session, or is refused with a reason. Thread: its worker. */
#ifndef POSTERN_PATH_ACCEPT_H
#define POSTERN_PATH_ACCEPT_H

#include <linux/io_uring.h>
#include <sys/socket.h>

struct worker;

/* Starts the accepts that are not running, unless they pause. */
void accept_start(struct worker *w);

/* One completion of the multishot accept of a family. */
void on_accept(struct worker *w, sa_family_t family, const struct io_uring_cqe *cqe);

#endif
