/* SPDX-License-Identifier: Apache-2.0 */
/* All counters in one log line. Thread: control. */
#ifndef POSTERN_GATEWAY_COUNTERS_H
#define POSTERN_GATEWAY_COUNTERS_H

#include <stdint.h>

struct counters;
struct kernel;

/* Logs event=counters; `all` are the counters of `workers` workers. */
void gateway_log_counters(const struct counters *all, uint32_t workers, const struct kernel *kernel);

#endif
