/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An upgrade in place, on the side of the process that replaces another one: it takes what clients come to,
 * and the dissolved sessions. The other side is gateway_upgrade.h. Thread: control, at start.
 */
#ifndef POSTERN_GATEWAY_TAKEOVER_H
#define POSTERN_GATEWAY_TAKEOVER_H

#include "control/process/hand_over.h"

struct gateway_upgrade;
struct serving;

/* Somebody hands over to us. */
static inline bool gateway_is_heir(const struct inheritance *h)
{
    return h->socket >= 0;
}

/* Receives what there is, and the lock with it. 0, also when nobody hands over; or -errno, after telling why.
 */
int gateway_takeover_begin(struct inheritance *h, struct serving *v);

/*
 * All is prepared: waits until the other process has let go, and takes the table of dissolved sessions. 0 or
 * -errno, after telling why.
 */
int gateway_takeover_take(struct inheritance *h, struct serving *v);

/* Attaches catch, in the place of the other process's if there is one. 0 or -errno. */
int gateway_takeover_catch(struct inheritance *h, struct serving *v);

/* We serve: the other process is told, and those that drain are followed until they end. */
void gateway_takeover_end(struct inheritance *h, struct gateway_upgrade *u);

#endif
