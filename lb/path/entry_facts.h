/* SPDX-License-Identifier: Apache-2.0 */
/* What an entry of the kernel's table says of its session. It may change while it is read. Pure but for that.
 */
#ifndef POSTERN_PATH_ENTRY_FACTS_H
#define POSTERN_PATH_ENTRY_FACTS_H

#include "counters.h"
#include "dissolve_table.h"

#include <stdbool.h>
#include <stdint.h>

/* The client, as limits and log lines mean it. */
union addr entry_client(const struct dissolve_entry *e);

/* The upstream balancer that has named the client, and sends its packets; AF_UNSPEC: there is none. */
union addr entry_upstream(const struct dissolve_entry *e);

/* When a packet last passed, ms of the clock; 0: the very first one is still being worked on. */
uint64_t entry_last_packet_ms(const struct dissolve_entry *e);

/* Why a session has ended. */
enum close_reason entry_end_reason(const struct dissolve_entry *e);

/* One side has closed, or both. */
bool entry_is_half_closed(const struct dissolve_entry *e);

#endif
