/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what the program keeps in an entry. No failure. Called by dissolved.c, in the worker. */
#include "path/entry_facts.h"

#include "bpf/dissolve_order.h"

union addr entry_client(const struct dissolve_entry *e)
{
    return e->header_bytes > 0 ? entry_addr(&e->source, e->named_port)
                               : entry_addr(&e->client, e->client_port);
}

union addr entry_upstream(const struct dissolve_entry *e)
{
    return e->header_bytes > 0 ? entry_addr(&e->client, e->client_port) : (union addr){0};
}

uint64_t entry_last_packet_ms(const struct dissolve_entry *e)
{
    uint64_t a = __atomic_load_n(&e->way[DISSOLVE_FROM_CLIENT].last_ns, __ATOMIC_RELAXED);
    uint64_t b = __atomic_load_n(&e->way[DISSOLVE_FROM_BACKEND].last_ns, __ATOMIC_RELAXED);

    return (a > b ? a : b) / 1000000;
}

enum close_reason entry_end_reason(const struct dissolve_entry *e)
{
    static const uint32_t closed =
        DISSOLVE_FIN_ACKED(DISSOLVE_FROM_CLIENT) | DISSOLVE_FIN_ACKED(DISSOLVE_FROM_BACKEND);

    if ((e->marks & closed) == closed) /* a reset after that is a late word to somebody who has forgotten */
        return e->marks & DISSOLVE_FIN_FIRST(DISSOLVE_FROM_BACKEND) ? REASON_backend_fin : REASON_client_fin;
    if (e->marks & DISSOLVE_RST(DISSOLVE_FROM_CLIENT))
        return REASON_client_reset;
    if (e->marks & DISSOLVE_RST(DISSOLVE_FROM_BACKEND))
        return REASON_backend_reset;
    return REASON_internal; /* ended, and by nobody */
}

bool entry_is_half_closed(const struct dissolve_entry *e)
{
    return (e->marks & (DISSOLVE_FIN(DISSOLVE_FROM_CLIENT) | DISSOLVE_FIN(DISSOLVE_FROM_BACKEND))) != 0;
}
