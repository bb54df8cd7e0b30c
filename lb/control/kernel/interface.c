/* SPDX-License-Identifier: Apache-2.0 */
/* Happy path: the kernel tells its flags. Failure path: there is none of this name, so it is not up. Called
 * by host.c and posternctl doctor. */
#include "control/kernel/interface.h"

#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

bool interface_is_up(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = false;

    if (fd < 0)
        return false;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    up = !ioctl(fd, SIOCGIFFLAGS, &request) && request.ifr_flags & IFF_UP;
    close(fd);
    return up;
}
