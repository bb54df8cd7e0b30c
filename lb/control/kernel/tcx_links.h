/* SPDX-License-Identifier: Apache-2.0 */
/* On which interfaces' ingress (tcx) a program is, by links of this process. Thread: control. */
#ifndef POSTERN_CONTROL_TCX_LINKS_H
#define POSTERN_CONTROL_TCX_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS; Debian 12's headers lack the name */
#define TCX_INTERFACES_MAX 256

/* All zero: on none. */
struct tcx_links {
    int ifindex[TCX_INTERFACES_MAX];
    int fd[TCX_INTERFACES_MAX];
    uint32_t n;
};

/* -EEXIST when it already is there; 0 or -errno. */
int tcx_links_attach(struct tcx_links *l, int program_fd, int ifindex);
void tcx_links_detach(struct tcx_links *l, int ifindex);
void tcx_links_detach_all(struct tcx_links *l);
bool tcx_links_attached(const struct tcx_links *l, int ifindex);

/* Lets go of the links whose interfaces are gone. */
void tcx_links_drop_dead(struct tcx_links *l);

/* Whether a link, of whoever, is at this interface still. */
bool tcx_link_is_at(int link_fd, int ifindex);

/* Calls `each` for every interface but the loopback; goes on after a failure. 0 or the first -errno. */
int tcx_each_interface(int (*each)(int ifindex, const char *name, void *arg), void *arg);

#endif
