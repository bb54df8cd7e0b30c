/* SPDX-License-Identifier: Apache-2.0 */
/* What is different between two configurations, key by key. Pure. */
#ifndef POSTERN_CONTROL_CONFIG_DIFF_H
#define POSTERN_CONTROL_CONFIG_DIFF_H

struct config;

/*
 * One difference. `path` names the key as an operator would: "pools.inbound.backends.mta1.weight". `before`
 * and `after` are the values as they would be written; NULL where the thing was not there, or is no more.
 */
typedef void config_change_fn(const char *path, const char *before, const char *after, void *arg);

/* Calls `each` for every difference, in the order of the schema; how many there were. */
unsigned config_diff(
    const struct config *before, const struct config *after, config_change_fn *each, void *arg);

#endif
