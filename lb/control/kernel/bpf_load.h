/* SPDX-License-Identifier: Apache-2.0 */
/* The eBPF programs: load, fill their maps from the snapshot, attach, count, detach. Thread: control. */
#ifndef POSTERN_CONTROL_BPF_LOAD_H
#define POSTERN_CONTROL_BPF_LOAD_H

#include "snapshot.h"

#include <stddef.h>
#include <stdint.h>

struct bpf;

/*
 * Loads catch and return and fills their maps: every VIP of the snapshot, every backend address of a pool
 * with source: client. Nothing is attached yet. `seed` decides which worker gets whom; 0: a new one. 0 or
 * -errno; on failure `ret_error` holds one line that says what failed and what would mend it (at most
 * `error_size` bytes).
 */
int bpf_load(const struct snapshot *s, uint64_t seed, struct bpf **ret, char *ret_error, size_t error_size);
void bpf_free(struct bpf *b); /* detaches everything first; NULL is accepted */

/* Gives a worker's listening socket (of that family) to catch. 0 or -errno. */
int bpf_set_listener(struct bpf *b, sa_family_t family, uint32_t worker, int fd);

/* Brings the VIPs that catch knows in line with a snapshot: served, refused, or none of its business. 0 or
 * -errno. */
int bpf_catch_vips(struct bpf *b, const struct snapshot *s);

/* The map of them, for another program. */
int bpf_catch_vips_fd(const struct bpf *b);

/* Brings the backends that return knows in line with a snapshot. 0 or -errno. */
int bpf_return_backends(struct bpf *b, const struct snapshot *s);

/* Attaches catch to the current network namespace; takes it away again: then the VIPs refuse connections. */
int bpf_catch_attach(struct bpf *b);
void bpf_catch_end(struct bpf *b);    /* whoever else has the link: it catches nobody any more */
void bpf_catch_detach(struct bpf *b); /* NULL is accepted, also before an attach */

/* Instead of attaching: puts this catch into a link that another process has. 0, and the link is ours to
 * close; or -errno. */
int bpf_catch_take(struct bpf *b, int link_fd);

/* What such another process needs: the link (-1: not attached), and the seed of bpf_load(). */
int bpf_catch_link(const struct bpf *b);
uint64_t bpf_catch_seed(const struct bpf *b);

/* Attaches return to the ingress of an interface (tcx). -EEXIST when it already is; 0 or -errno. */
int bpf_return_attach(struct bpf *b, int ifindex);
void bpf_return_detach(struct bpf *b, int ifindex);
bool bpf_return_attached(const struct bpf *b, int ifindex);

/* Takes note of libbpf's first complaint from now on. */
void bpf_capture_complaints(void);

/* One line: what could not be done, why, what libbpf complained of, and what would mend it. Returns `error`.
 */
int bpf_explain_failure(int error, const char *what, char *ret_error, size_t error_size);

/* A per-CPU array map of 64-bit words, each summed over the CPUs. 0 or -errno. */
int bpf_sum_counters(int map_fd, uint32_t n, uint64_t ret_sums[]);

/* What they are called: "catch_caught", "return_marked". */
extern const char *const bpf_catch_names[], *const bpf_return_names[];

/* Sums of the programs' counters, in the order of bpf/abi.h. 0 or -errno. */
int bpf_counters(const struct bpf *b, uint64_t ret_catch[], uint64_t ret_return[]);

#endif
