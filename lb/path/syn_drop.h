/* SPDX-License-Identifier: Apache-2.0 */
/* Sources whose SYNs the admit program lets disappear (bpf/admit.bpf.c). Thread: any worker. */
#ifndef POSTERN_PATH_SYN_DROP_H
#define POSTERN_PATH_SYN_DROP_H

#include "base/addr.h"

#include <stdint.h>

#define SYN_DROP_MS 10000 /* from the last refusal; then one more attempt is heard */

/*
 * From now on, for SYN_DROP_MS, no SYN of this source is answered. `sources_fd` is the program's map,
 * `now_ms` the clock's. 0 or -errno: then its sessions go on being refused one by one.
 */
int syn_drop_source(int sources_fd, const struct addr_prefix *source, uint64_t now_ms);

#endif
