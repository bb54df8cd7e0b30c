/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sources: prefixes that are written, and files of them, which are read again when they change. What they
 * hold becomes one trie; a file that cannot be read or believed leaves its last good list. Thread: control.
 */
#ifndef POSTERN_CONTROL_SOURCES_H
#define POSTERN_CONTROL_SOURCES_H

#include "base/prefix_trie.h"
#include "control/config/config_schema.h"

#include <stdint.h>
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

/* How it stands with the lists of one source. */
struct sources_view {
    uint64_t prefixes; /* of all its lists together */
    uint64_t files;    /* that have been read */
    int64_t changed_s; /* when the oldest of these was changed, seconds since 1970 */
    const char *kept;  /* a file that cannot be read or believed now: what was good last stays; NULL: none */
    const char *why;   /* with `kept` */
};
void sources_look(const struct sources *s, const struct config_source *source, struct sources_view *ret);

/*
 * Files that `c` does not name are forgotten, and `changed` is called, from the loop, when one of the others
 * has become another. 0 or -errno.
 */
int sources_watch(
    struct sources *s, const struct config *c, sd_event *loop, void (*changed)(void *arg), void *arg);

#endif
