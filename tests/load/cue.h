/* SPDX-License-Identifier: Apache-2.0 */
/* Cues between mailload and who started it: words on standard error, lines on standard input. */
#ifndef MAILLOAD_CUE_H
#define MAILLOAD_CUE_H

#include <stdbool.h>

/* Says `word` on standard error, then calls `on_cue(arg)` at the next line on standard input (or at its end);
 * with `at_end` lines are ignored and only the end counts. One cue at a time. */
void cue_wait(const char *word, bool at_end, void (*on_cue)(void *arg), void *arg);

#endif
