/* SPDX-License-Identifier: Apache-2.0 */
/* Backends in a file: reading it when it has changed, and hearing of that. Thread: control. */
#ifndef POSTERN_CONTROL_DISCOVERY_FILE_H
#define POSTERN_CONTROL_DISCOVERY_FILE_H

#include "control/discovery/discovery_set.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

/* Which content was read last, by whom it may be read included. All zero: none. */
struct discovery_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

/*
 * Hears of changes in the directory of a file, so that a file that is renamed into place, or whose link is,
 * is noticed. The handler is called with `arg`. 0 or -errno, as when there is no such directory.
 */
int discovery_file_watch(
    sd_event *loop, const char *path, sd_event_inotify_handler_t handler, void *arg, sd_event_source **ret);

/* True when the file is another than at the last call, or cannot be looked at. */
bool discovery_file_changed(const char *path, struct discovery_stamp *stamp);

/* Reads it as for this pool. NULL, or why not; errors of its content go to standard error. */
const char *discovery_file_read(
    const char *path, const struct config *c, const struct config_pool *pool, struct discovery_set *set);

#endif
