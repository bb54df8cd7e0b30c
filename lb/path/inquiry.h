/* SPDX-License-Identifier: Apache-2.0 */
/* Answering what the control thread asks about sessions, in pieces between the turns of mail. Thread: its
 * worker. */
#ifndef POSTERN_PATH_INQUIRY_H
#define POSTERN_PATH_INQUIRY_H

#include "sessions.h"

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* How far each list has come among the slots. */
struct lists {
    uint32_t begun; /* so far */
    struct {
        uint32_t begun; /* it was the so many-th */
        uint32_t slots; /* passed */
    } at[SESSION_LISTS];
};

/* The lists that have passed a slot, as bits. */
static inline uint64_t lists_past(const struct lists *l, uint32_t slot)
{
    uint64_t past = 0;

    for (unsigned i = 0; i < SESSION_LISTS && l->begun > 0; i++)
        past |= (uint64_t)(slot < l->at[i].slots) << i;
    return past;
}

/* Looks at the next few sessions, if anything is asked. */
void inquiry_run(struct worker *w);

/* Something is asked: the loop must not sleep. */
bool inquiry_waits(const struct worker *w);

/* The worker ends: what is asked is answered as it stands. */
void inquiry_done(struct worker *w);

#endif
