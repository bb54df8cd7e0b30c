/* SPDX-License-Identifier: Apache-2.0 */
/* Answering what the control thread asks about sessions, in pieces between the turns of mail. Thread: its
 * worker. */
#ifndef POSTERN_PATH_INQUIRY_H
#define POSTERN_PATH_INQUIRY_H

#include <stdbool.h>

struct worker;

/* Looks at the next few sessions, if anything is asked. */
void inquiry_run(struct worker *w);

/* Something is asked: the loop must not sleep. */
bool inquiry_waits(const struct worker *w);

/* The worker ends: what is asked is answered as it stands. */
void inquiry_done(struct worker *w);

#endif
