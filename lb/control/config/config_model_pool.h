/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of the configuration, as it was written. A part of config_model.h. */
#ifndef POSTERN_CONTROL_CONFIG_MODEL_POOL_H
#define POSTERN_CONTROL_CONFIG_MODEL_POOL_H

#include "base/addr.h"

#include <stdint.h>

struct config_node;

struct config_array {
    void *items;
    uint32_t n;
};

/* Every entry of a list starts with the node it was read from. Names are NULL where there were none. */
struct config_endpoint {
    const struct config_node *node; /* NULL: no address of this family */
    union addr addr;
};

struct config_backend {
    const struct config_node *node;
    const char *name;
    struct config_endpoint address[2]; /* IPv4, IPv6 */
    const char *zone;
    uint32_t weight;
    uint32_t state; /* enum backend_state */
};

/* What becomes of a reply that a backend greets with. */
struct config_verdict {
    const struct config_node *node;
    const char *reply; /* a glob */
    uint32_t then;     /* enum snapshot_then */
};

struct config_timeouts {
    uint32_t connect_ms, greeting_ms, greeting_total_ms, idle_ms, half_closed_ms;
};

struct config_checking {
    uint32_t type; /* enum pool_check */
    uint32_t interval_ms, fast_interval_ms, timeout_ms, rise, fall;
    uint32_t starttls; /* 1: required */
    const char *rcpt;
};

struct config_agent {
    uint32_t port, interval_ms;
};

/* Where a pool's backends come from, beside those that are written. */
struct config_discover {
    const char *dns; /* "": not from there, as with: */
    uint32_t type;   /* enum discover_type */
    uint32_t port;   /* 0: none was given */
    const char *file;
};

enum discover_type { DISCOVER_A, DISCOVER_SRV };

struct config_pool {
    const struct config_node *node;
    const char *name;
    uint32_t source, proxy_protocol, balance; /* enums of snapshot.h */
    uint32_t dissolve;                        /* 1: on */
    uint32_t zones;                           /* enum zones_policy */
    uint32_t slow_start_ms;                   /* 0: off */
    uint32_t overload_brake, outlier;         /* 1: on */
    struct config_checking check;
    struct config_agent agent;
    struct config_timeouts timeouts;
    uint32_t retries;
    struct config_array greeting; /* struct config_verdict; none written: the default */
    uint32_t max_sessions, queue_length, queue_timeout_ms;
    struct config_discover discover;
    struct config_array backends; /* struct config_backend */
};

#endif
