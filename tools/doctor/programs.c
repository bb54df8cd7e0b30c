/* SPDX-License-Identifier: Apache-2.0 */
/* Happy path: the kernel lists ids, each id has a name. Failure path: a kernel that does not tell is believed
 * to have them. Called by check_ways.c. */
#include "tools/doctor/programs.h"

#include "base/fd.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#define PROGRAMS_MAX 64
#define TCX_INGRESS 46 /* BPF_TCX_INGRESS; the headers of Debian 12 do not have it */

static bool is_called(__u32 id, const char *name)
{
    struct bpf_prog_info info = {0};
    __u32 size = sizeof(info);
    int fd = bpf_prog_get_fd_by_id(id);

    bool same = fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
                strncmp(info.name, name, sizeof(info.name) - 1) == 0;
    fd_close(&fd);
    return same;
}

static bool is_attached(int target, enum bpf_attach_type type, const char *name)
{
    __u32 ids[PROGRAMS_MAX], n = PROGRAMS_MAX;

    if (bpf_prog_query(target, type, 0, NULL, ids, &n))
        return true;
    for (__u32 i = 0; i < n; i++)
        if (is_called(ids[i], name))
            return true;
    return false;
}

bool programs_on_namespace(const char *name)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    bool attached = fd < 0 || is_attached(fd, BPF_SK_LOOKUP, name);

    fd_close(&fd);
    return attached;
}

bool programs_on_interface(const char *interface, const char *name)
{
    return is_attached((int)if_nametoindex(interface), (enum bpf_attach_type)TCX_INGRESS, name);
}
