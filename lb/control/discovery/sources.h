/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sources: prefixes that are written, and files of them, which are read again when they change. What they
 * hold becomes one trie; a file that cannot be read or believed leaves its last good list. Thread: control.
 */
#ifndef POSTERN_CONTROL_SOURCES_H
#define POSTERN_CONTROL_SOURCES_H

#include "base/prefix_trie.h"
#include "control/config/config_schema.h"

#include <systemd/sd-event.h>

struct sources;

/* NULL: no memory. */
struct sources *sources_new(void);
void sources_free(struct sources *s); /* NULL is accepted */

/*
 * A trie of what the sources of `c` hold now, its reference the caller's; NULL where none are configured.
 * Files that are new or have changed are read, and what is wrong with them is logged. 0 or -errno.
 */
int sources_make(struct sources *s, const struct config *c, struct prefix_trie **ret);

/*
 * Files that `c` does not name are forgotten, and `changed` is called, from the loop, when one of the others
 * has become another. 0 or -errno.
 */
int sources_watch(
    struct sources *s, const struct config *c, sd_event *loop, void (*changed)(void *arg), void *arg);

#endif
