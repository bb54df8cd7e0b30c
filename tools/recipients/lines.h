/* SPDX-License-Identifier: Apache-2.0 */
/* So many lines a minute and no more, so that nobody outside can fill the log; what is left out is counted.
 */
#ifndef POSTERN_RECIPIENTS_LINES_H
#define POSTERN_RECIPIENTS_LINES_H

#include <stdbool.h>
#include <stdint.h>

#define LINES_A_MINUTE 20

struct lines {
    uint64_t minute;
    unsigned said;
    uint64_t unsaid; /* whoever says how many sets it to 0 */
};

static inline bool lines_may(struct lines *l, uint64_t now_ms)
{
    if (l->minute != now_ms / 60000) {
        l->minute = now_ms / 60000;
        l->said = 0;
    }
    if (l->said == LINES_A_MINUTE) {
        l->unsaid++;
        return false;
    }
    l->said++;
    return true;
}

#endif
