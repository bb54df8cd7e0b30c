/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the socket is there, with its mode and its group from the first moment on, and listens. Failure
 * paths: somebody lives there, or there is something that is not ours to remove; each says how to mend it.
 * Called by admin_socket.c, control thread only.
 */
#include "control/admin/admin_endpoint.h"

#include "base/addr.h"
#include "base/fd.h"
#include "base/unix_socket.h"
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 1024
#define MODE 0660

static int give_to_group(const char *path, gid_t group)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return -errno;
    return st.st_gid != group && lchown(path, (uid_t)-1, group) < 0 ? -errno : 0;
}

/* The mode before it is bound keeps others out from its first moment on; the umask may have taken more. */
static int listen_at(struct admin_endpoint *e, gid_t group)
{
    struct stat st;

    e->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->fd < 0 || fchmod(e->fd, MODE) < 0)
        return -errno;
    if (bind(e->fd, (const struct sockaddr *)&e->name, sizeof(e->name)) < 0)
        return -errno;
    if (lstat(e->name.sun_path, &st) < 0)
        return -errno;
    e->device = st.st_dev;
    e->inode = st.st_ino;
    int error = give_to_group(e->name.sun_path, group);
    if (error)
        return error;
    return chmod(e->name.sun_path, MODE) < 0 || listen(e->fd, BACKLOG) < 0 ? -errno : 0;
}

static const char *reason(int error)
{
    switch (error) {
    case -EADDRINUSE:
        return "somebody listens there already; is another postern running?";
    case -EEXIST:
        return "something that is no socket is there; move it away";
    case -ENOENT:
        return "there is no such directory; make it";
    case -EPERM:
        return "it cannot be given to the group; add the user that postern runs as to it";
    default:
        return strerror(-error);
    }
}

static int refuse(int error, const char *at, char why[ADMIN_ENDPOINT_WHY_MAX])
{
    snprintf(why, ADMIN_ENDPOINT_WHY_MAX, "cannot open the admin socket %s: %s", at, reason(error));
    return error;
}

int admin_endpoint_group(const char *group, gid_t *ret, char ret_why[ADMIN_ENDPOINT_WHY_MAX])
{
    const struct group *found = group[0] ? getgrnam(group) : NULL;

    if (group[0] && !found) {
        snprintf(ret_why, ADMIN_ENDPOINT_WHY_MAX,
            "admin.group: this host has no group %s; make it with: groupadd --system %s", group, group);
        return -ENOENT;
    }
    *ret = found ? found->gr_gid : getegid();
    return 0;
}

int admin_endpoint_unix(
    struct admin_endpoint *e, const char *path, gid_t group, char ret_why[ADMIN_ENDPOINT_WHY_MAX])
{
    *e = (struct admin_endpoint){.fd = -1, .name.sun_family = AF_UNIX};
    assert(strlen(path) < sizeof(e->name.sun_path));
    strcpy(e->name.sun_path, path);
    int error = unix_socket_make_way(&e->name);
    if (!error)
        error = listen_at(e, group);
    if (!error)
        return 0;
    admin_endpoint_close(e);
    return refuse(error, path, ret_why);
}

int admin_endpoint_tcp(struct admin_endpoint *e, const char *at, char ret_why[ADMIN_ENDPOINT_WHY_MAX])
{
    const int on = 1;
    union addr a;

    *e = (struct admin_endpoint){.fd = -1};
    int error = addr_parse(at, &a);
    if (!error)
        e->fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (!error && (e->fd < 0 || setsockopt(e->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
                      bind(e->fd, &a.sa, addr_len(&a)) < 0 || listen(e->fd, BACKLOG) < 0))
        error = -errno;
    if (!error)
        return 0;
    admin_endpoint_close(e);
    return refuse(error, at, ret_why);
}

void admin_endpoint_adopt(struct admin_endpoint *e, int fd, const char *path)
{
    struct stat st;

    *e = (struct admin_endpoint){.fd = fd, .name.sun_family = AF_UNIX};
    assert(strlen(path) < sizeof(e->name.sun_path));
    strcpy(e->name.sun_path, path);
    if (path[0] && lstat(path, &st) == 0) {
        e->device = st.st_dev;
        e->inode = st.st_ino;
    }
}

void admin_endpoint_regroup(const struct admin_endpoint *e, gid_t group)
{
    int error = give_to_group(e->name.sun_path, group);
    if (error)
        log_event(LOG_LEVEL_ERROR, "admin_socket", "path=%s error=\"%s\"", e->name.sun_path, reason(error));
}

void admin_endpoint_close(struct admin_endpoint *e)
{
    struct stat st;

    if (e->inode && lstat(e->name.sun_path, &st) == 0 && st.st_dev == e->device && st.st_ino == e->inode)
        (void)unlink(e->name.sun_path);
    e->inode = 0;
    fd_close(&e->fd);
}
