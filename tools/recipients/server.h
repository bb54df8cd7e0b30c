/* SPDX-License-Identifier: Apache-2.0 */
/* Postfix's connections: requests in, one answer to each. Thread: the loop's; nothing here waits for a
 * client. */
#ifndef POSTERN_RECIPIENTS_SERVER_H
#define POSTERN_RECIPIENTS_SERVER_H

#include "tally.h"
#include "settings.h"

#include <systemd/sd-event.h>

#define SERVER_CLIENTS_MAX                                                                                   \
    1024 /* one for each smtpd process; one more, and the longest silent one is left                         \
          */

struct server;

struct server_stats {
    uint64_t clients;   /* now */
    uint64_t odd;       /* connections closed for a request that is none */
    uint64_t not_taken; /* for answers that nobody took */
    uint64_t displaced; /* for another one's sake */
};

/*
 * Listens from now on. 0 or -errno. `tally` must outlive it. A Unix socket may be used by everybody who
 * reaches its directory; what an earlier run has left in its place is removed.
 */
int server_open(sd_event *loop, const struct settings *settings, struct tally *tally, struct server **ret);

/* Ends all connections. NULL is accepted. */
void server_close(struct server *s);

const struct server_stats *server_stats(const struct server *s);

#endif
