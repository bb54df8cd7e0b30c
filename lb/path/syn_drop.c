/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a session of a source over its limit has been refused, and the source is entered into the
 * program's map; one system call that never waits. Failure path: the kernel has no memory for the entry.
 * Called by accept.c, in the worker.
 */
#include "path/syn_drop.h"

#include "bpf/abi.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#define MS_NS UINT64_C(1000000)

int syn_drop_source(int sources_fd, const struct addr_prefix *source, uint64_t now_ms)
{
    struct admit_key key = {.family = source->family};
    uint64_t until_ns = (now_ms + SYN_DROP_MS) * MS_NS;

    memcpy(key.addr, source->bytes, sizeof(key.addr));
    return bpf_map_update_elem(sources_fd, &key, &until_ns, BPF_ANY) ? -errno : 0;
}
