/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dissolve program and its table: loaded, pinned so that they outlive the daemon, attached to every
 * interface but the loopback. Thread: control.
 */
#ifndef POSTERN_CONTROL_DISSOLVE_LOAD_H
#define POSTERN_CONTROL_DISSOLVE_LOAD_H

#include "control/kernel/pins.h"
#include "dissolve_table.h"
#include "snapshot.h"

#include <stdbool.h>
#include <stddef.h>

struct dissolve;

/*
 * Finds the table that an earlier run has pinned, or makes one, when a pool dissolves its sessions or such a
 * table is there. Nothing is attached yet, and whoever is at the table is not disturbed. 0 or -errno; on
 * failure `ret_error` holds one line that says what failed and what would mend it.
 */
int dissolve_open(const struct snapshot *s, struct dissolve **ret, char *ret_error, size_t error_size);

/*
 * The table is ours from now on, or again: the program's notices come here, and what is attached already runs
 * the program that dissolve_open() has loaded. 0 or -errno.
 */
int dissolve_take(struct dissolve *d);

/* This run has made the table, and dissolve_take() has not been called. */
bool dissolve_is_fresh(const struct dissolve *d);

/* Names the table: processes that say the same share it. "" when there is none. */
const char *dissolve_layout(const struct dissolve *d);

/*
 * Closes everything. With `keep` the table, the program and its links live on for the next daemon; without,
 * they are removed from the host. NULL is accepted.
 */
void dissolve_close(struct dissolve *d, bool keep);

/* What the workers need; valid until dissolve_close(). */
const struct dissolve_table *dissolve_table(const struct dissolve *d);

/*
 * Routes, neighbours, addresses or links may have changed: attaches to new interfaces, asks for the path MTU
 * to the backends, makes the program ask for its next hops again. To be called once at start. 0 or -errno.
 */
int dissolve_follow(struct dissolve *d);

/* Follows to another snapshot, which must outlive it; whether there is a table stays as it was. */
void dissolve_change(struct dissolve *d, const struct snapshot *s);

/* The largest MSS that the paths to all backends of a family carry (0: IPv4, 1: IPv6); 0: not known. */
uint16_t dissolve_mss(const struct dissolve *d, int v6);

/* Sessions that live in the table now, whoever counts them; 0 for NULL. */
uint32_t dissolve_alive(const struct dissolve *d);

/* Calls `each` with the VIP of every session that lives in the table now. 0 or -errno: not all were seen. */
int dissolve_each_vip(const struct dissolve *d, void (*each)(const union addr *vip, void *arg), void *arg);

/* Where the table of this configuration is pinned. 0 or -errno. */
int dissolve_pins(const struct snapshot *s, struct pins *ret);

/* Sums of the program's counters by enum dissolve_reason. 0 or -errno. */
int dissolve_counters(const struct dissolve *d, uint64_t ret[]);

#endif
