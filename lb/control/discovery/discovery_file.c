/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: an event of the directory, the file is another one, it is read and checked like a part of the
 * configuration.
 *
 * Failure paths: no such file, or none that can be read without waiting: the reason goes to the caller.
 * Errors of its content go to standard error, at their places, and are not repeated before it changes.
 *
 * Called by discovery.c, control thread only.
 */
#include "control/discovery/discovery_file.h"

#include "control/config/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

/* Not the creation of a file: whoever writes it has not ended. */
#define EVENTS                                                                                               \
    (IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF |  \
        IN_ONLYDIR)

int discovery_file_watch(
    sd_event *loop, const char *path, sd_event_inotify_handler_t handler, void *arg, sd_event_source **ret)
{
    char directory[PATH_MAX];
    size_t len = (size_t)(strrchr(path, '/') - path);

    snprintf(directory, sizeof(directory), "%.*s", len > 0 ? (int)len : 1, path);
    int error = sd_event_add_inotify(loop, ret, directory, EVENTS, handler, arg);
    return error < 0 ? error : 0;
}

bool discovery_file_changed(const char *path, struct discovery_stamp *stamp)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        *stamp = (struct discovery_stamp){0};
        return true;
    }
    bool same = st.st_dev == stamp->device && st.st_ino == stamp->inode && st.st_size == stamp->size &&
                st.st_ctim.tv_sec == stamp->changed.tv_sec && st.st_ctim.tv_nsec == stamp->changed.tv_nsec;
    *stamp = (struct discovery_stamp){st.st_dev, st.st_ino, st.st_size, st.st_ctim};
    return !same;
}

const char *discovery_file_read(
    const char *path, const struct config *c, const struct config_pool *pool, struct discovery_set *set)
{
    struct config_backends found;
    struct stat st;

    if (stat(path, &st) < 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode)) /* opening a pipe would wait */
        return "it is no regular file";
    int error = config_load_backends(path, c, pool, stderr, &found);
    if (error)
        return error == -EINVAL ? "the file has errors, see above" : strerror(-error);
    const struct config_backend *backends = found.list.items;
    for (uint32_t i = 0; i < found.list.n; i++) {
        struct backend_spec spec = roster_spec(&backends[i]);
        discovery_set_add_spec(set, &spec);
    }
    config_free(found.owner);
    return NULL;
}
