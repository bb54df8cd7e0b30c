/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What postern sets up on the host: a policy rule and a default route in a table of its own for each family
 * that a transparent pool uses, and a local route for each VIP. All of them carry postern's routing protocol
 * number, so that they are recognised, listed and removed. What others put beside them is told, never
 * touched. Thread: control.
 */
#ifndef POSTERN_CONTROL_HOST_H
#define POSTERN_CONTROL_HOST_H

#include "snapshot.h"

#include <stdbool.h>
#include <stdio.h>

/* rtm_protocol of everything we add ("p"); nobody else's in iproute2's rt_protos. */
#define HOST_PROTOCOL 112
#define HOST_TABLE 28783 /* "po" */
#define HOST_RULE_PRIORITY 112

struct host;

/* Opens netlink and reads what is there. 0 or -errno, after logging what failed. `s` must outlive the host.
 */
int host_open(const struct snapshot *s, struct host **ret);
void host_close(struct host *h); /* leaves everything as it is; NULL is accepted */

/*
 * Writes the plan, one line an item in the words of ip(8): "add" what is missing, "keep" what is there
 * already (from an earlier run, or because a VIP is the host's own address), "remove" what carries our mark
 * and is wanted no more, "note" what others have put in our places. Each with a word of why. 0 or -errno.
 */
int host_print_plan(const struct host *h, FILE *out);

/* Calls `each` for every line of the plan: its first word, the rest (a note's text, else words of ip(8)), and
 * why. */
void host_each(const struct host *h,
    void (*each)(const char *word, const char *text, const char *why, void *arg), void *arg);

/*
 * Makes it so. Logs one line: how much was added, found and removed. 0 or -errno, after logging what failed;
 * then host_undo() takes back what had been added. `shared`: nothing is removed, for another process has
 * sessions that may live on it.
 */
int host_apply(struct host *h, bool shared);

/* True when host_apply() has nothing to do. */
bool host_is_settled(const struct host *h, bool shared);

/* True when anything on the host carries our mark. */
bool host_has_ours(const struct host *h);

/* Removes everything that carries our mark, now. 0 or the first -errno, after logging what failed. */
int host_undo(struct host *h);

#endif
