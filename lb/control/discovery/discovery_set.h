/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backends that one look has found, made of the records of the DNS or of a file. Pure. Each address is a
 * backend of its own, named after itself with its port: names are unique in a pool, and alike on every
 * gateway, however a server orders its records.
 */
#ifndef POSTERN_CONTROL_DISCOVERY_SET_H
#define POSTERN_CONTROL_DISCOVERY_SET_H

#include "control/roster/roster.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISCOVERY_WEIGHT 100   /* of an address without one: the default of a written backend */
#define DISCOVERY_TEXT_MAX 192 /* for the log */

struct discovery_set {
    uint32_t n;
    uint32_t refused;             /* addresses that cannot be a backend's */
    bool too_many;                /* more than CONFIG_FOUND_MAX */
    char why[DISCOVERY_TEXT_MAX]; /* the first that was refused, and why */
    struct backend_spec specs[CONFIG_FOUND_MAX];
};

/* What an SRV record says of a server (RFC 2782). */
struct discovery_service {
    uint16_t priority, weight, port;
    char target[CONFIG_HOST_MAX + 1]; /* "": there is decidedly no such service */
};

/* The data of an SRV record, names uncompressed. 0 or -EINVAL. */
int discovery_service_parse(const uint8_t *data, size_t size, struct discovery_service *ret);

/*
 * Adds the address of an A (4 bytes) or AAAA (16 bytes) record with a service's port, or counts it as
 * refused; of two records for one endpoint the one of better priority counts. `c` and the pool's `source`
 * decide on what cannot be a backend.
 */
void discovery_set_add(struct discovery_set *s, const struct config *c, uint32_t source, const uint8_t *data,
    size_t size, const struct discovery_service *service);

/* Adds a backend as it was written. */
void discovery_set_add_spec(struct discovery_set *s, const struct backend_spec *spec);

/* After the last: brings weights of SRV records, which go further, into the range of backends' weights. */
void discovery_set_scale(struct discovery_set *s);

/* After the last: brings the backends into one order. */
void discovery_set_sort(struct discovery_set *s);

/* The same for two sets exactly when they say the same. */
uint64_t discovery_set_identity(const struct discovery_set *s);

#endif
