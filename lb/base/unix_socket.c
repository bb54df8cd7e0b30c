/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever listens is found by a connection; what refuses one is a leftover. Called at the start of a socket.
 */
#include "base/unix_socket.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int unix_socket_make_way(const struct sockaddr_un *address)
{
    struct stat st;

    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;
    fd_close(&fd);
    if (error == 0 || error == EAGAIN) /* its line is full: it lives */
        return -EADDRINUSE;
    if (error != ECONNREFUSED)
        return -error;
    return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}
