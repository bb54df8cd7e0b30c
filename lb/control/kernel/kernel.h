/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that postern has in the kernel, as one: the eBPF programs, the table of dissolved sessions, the
 * host's rules and routes, the interfaces towards the backends. It follows the snapshot. Thread: control.
 */
#ifndef POSTERN_CONTROL_KERNEL_H
#define POSTERN_CONTROL_KERNEL_H

#include "snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct admit;
struct bpf;
struct dissolve;
struct host;
struct routes;

struct kernel {
    const struct snapshot *s; /* what is set up; NULL: nothing */
    struct bpf *bpf;
    struct admit *admit;
    struct dissolve *dissolve;
    struct host *host;
    struct routes *routes;
    bool shared; /* another process has sessions here: nothing that they may live on is removed */
    bool apart;  /* but the table of dissolved sessions: it has another one */
};

/*
 * Sets up everything for a snapshot but the catching, which is bpf_catch_attach(). With k->shared another
 * process serves still, and is not disturbed: the table of dissolved sessions follows with kernel_take().
 * `seed` is bpf_load()'s. 0 or -errno, after saying on standard error what failed; kernel_close() takes down
 * what there is, also then.
 */
int kernel_open(struct kernel *k, const struct snapshot *s, uint64_t seed);

/* The table is ours from now on, or again. 0 or -errno, after saying what failed. */
int kernel_take(struct kernel *k);

/* Whether another process has sessions here; when none has any more, what only they needed is removed. */
void kernel_share(struct kernel *k, bool shared);

/*
 * Follows to another snapshot: backends that are new get their return path, VIPs that are new their routes,
 * what is gone from the snapshot loses them. Catching follows with kernel_catch(). 0 or -errno with a line in
 * `ret_error`; then everything is as it was before. `s` must live until the next change.
 */
int kernel_change(struct kernel *k, const struct snapshot *s, char *ret_error, size_t error_size);

/* Brings the caught VIPs and those refused in line with the snapshot. Workers must know it by now. */
int kernel_catch(struct kernel *k, const struct snapshot *s);

/*
 * Takes everything down; with dissolved sessions alive, what they live on stays: how many those are. While
 * another process needs it (k->shared), only what is this process's own goes: 0.
 */
uint32_t kernel_close(struct kernel *k);

#endif
