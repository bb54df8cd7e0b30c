/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link is a descriptor of this process and goes with it. The kernel lets go of a link when its interface is
 * deleted; another interface may get the same number. A link that has been let go tells interface 0. Called
 */
#include "control/kernel/tcx_links.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* `xdp.ifindex` stands where newer headers have `tcx.ifindex`. */
bool tcx_link_is_at(int link_fd, int ifindex)
{
    struct bpf_link_info info = {0};
    uint32_t size = sizeof(info);

    return !bpf_obj_get_info_by_fd(link_fd, &info, &size) && (int)info.xdp.ifindex == ifindex;
}

/* Its place; l->n when it has none. */
static uint32_t find(const struct tcx_links *l, int ifindex)
{
    uint32_t i = 0;

    while (i < l->n && l->ifindex[i] != ifindex)
        i++;
    return i;
}

static void forget(struct tcx_links *l, uint32_t i)
{
    close(l->fd[i]);
    l->n--;
    l->fd[i] = l->fd[l->n];
    l->ifindex[i] = l->ifindex[l->n];
}

bool tcx_links_attached(const struct tcx_links *l, int ifindex)
{
    uint32_t i = find(l, ifindex);
    return i < l->n && tcx_link_is_at(l->fd[i], ifindex);
}

int tcx_links_attach(struct tcx_links *l, int program_fd, int ifindex)
{
    if (tcx_links_attached(l, ifindex))
        return -EEXIST;
    tcx_links_detach(l, ifindex);
    if (l->n == TCX_INTERFACES_MAX)
        return -ENOSPC;
    int fd = bpf_link_create(program_fd, ifindex, (enum bpf_attach_type)TCX_INGRESS, NULL);
    if (fd < 0)
        return -errno;
    l->ifindex[l->n] = ifindex;
    l->fd[l->n++] = fd;
    return 0;
}

void tcx_links_detach(struct tcx_links *l, int ifindex)
{
    uint32_t i = find(l, ifindex);

    if (i < l->n)
        forget(l, i);
}

void tcx_links_detach_all(struct tcx_links *l)
{
    while (l->n)
        forget(l, l->n - 1);
}

void tcx_links_drop_dead(struct tcx_links *l)
{
    for (uint32_t i = l->n; i-- > 0;)
        if (!tcx_link_is_at(l->fd[i], l->ifindex[i]))
            forget(l, i);
}

static bool is_loopback(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    bool yes = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0 && request.ifr_flags & IFF_LOOPBACK;
    if (fd >= 0)
        close(fd);
    return yes;
}

int tcx_each_interface(int (*each)(int ifindex, const char *name, void *arg), void *arg)
{
    struct if_nameindex *all = if_nameindex();
    int first = 0;

    if (!all)
        return -errno;
    for (const struct if_nameindex *i = all; i->if_index; i++) {
        int error = is_loopback(i->if_name) ? 0 : each((int)i->if_index, i->if_name, arg);
        first = first ? first : error;
    }
    if_freenameindex(all);
    return first;
}
