/* SPDX-License-Identifier: Apache-2.0 */
/* A second connection to the server that tells how sessions ended there. See control.c. */
#ifndef MAILLOAD_CONTROL_H
#define MAILLOAD_CONTROL_H

#include "client.h"

struct watched {
    enum { WATCHED_RESET, WATCHED_FIN, WATCHED_NONE } end;
    uint64_t ms_ago;
    uint64_t bytes_after_fin;
    char hash[HASH_TEXT_MAX];
};

/* Opens it to --control (or the first --to); `on_end_seen` is called for each peer that control_watch()
 * named. */
void control_open(struct crowd *c, void (*on_end_seen)(struct peer *, const struct watched *));
void control_watch(const struct peer *p);

#endif
