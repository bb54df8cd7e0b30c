/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration in memory, as it was written: what config_parse.c fills in along the schema table. */
#ifndef POSTERN_CONTROL_CONFIG_MODEL_H
#define POSTERN_CONTROL_CONFIG_MODEL_H

#include "base/addr.h"
#include "control/config_arena.h"

#include <stdint.h>

struct config_node;

/* A number, duration or word that was written but could not be read; checks leave it alone. */
#define CONFIG_UNKNOWN UINT32_MAX

#define CONFIG_NAME_MAX 64
#define CONFIG_KEYS_MAX 32 /* keys of one section */
#define CONFIG_VIPS_MAX 4096
#define CONFIG_MAILBOX_MAX 254 /* RFC 5321, 4.5.3.1.3, without the angle brackets */
#define CONFIG_ZONES_MAX 64
#define CONFIG_VERDICTS_MAX 16 /* rows of a pool's table */
#define CONFIG_HOST_MAX 253    /* RFC 1035, 2.3.4, without the final dot */
#define CONFIG_FOUND_MAX 256   /* backends found for one pool */
#define CONFIG_SOCKET_MAX 107  /* what sun_path holds beside its NUL */
#define CONFIG_STARS_MAX 4     /* of a pattern: each more would multiply the work on a hostile line */

struct config_array {
    void *items;
    uint32_t n;
};

/* Every entry of a list starts with the node it was read from. Names are NULL where there were none. */
struct config_vip {
    const struct config_node *node;
    struct addr_prefix prefix;
    uint16_t port;
};

struct config_listener {
    const struct config_node *node;
    const char *name;
    struct config_array vips; /* struct config_vip */
    const char *pool;
};

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

/* How many gateways stand in a zone. */
struct config_zone {
    const struct config_node *node;
    const char *name;
    uint32_t gateways;
};

struct config_drain {
    uint32_t limit_ms, silent_ms;
};

struct config_gateway {
    const char *name;
    const char *zone;
    const struct config_node *zone_node; /* of the value; NULL when it was not written */
    struct config_array zones;           /* struct config_zone */
    const char *host_name;
    const char *resolver; /* ADDRESS or ADDRESS:PORT; "": as the host */
    uint32_t workers, max_sessions;
    struct config_drain drain;
};

struct config_admin {
    const char *socket;     /* "": none */
    const char *group;      /* of the socket; "": our own */
    const char *tcp;        /* ADDRESS:PORT; "": none */
    uint32_t name;          /* enum admin_name */
    const char *state_file; /* "": none */
};

/* What it calls itself at the admin socket. */
enum admin_name { ADMIN_NAME_HAPROXY, ADMIN_NAME_POSTERN };

struct config_http {
    const char *listen; /* ADDRESS:PORT; "": nowhere */
};

struct config {
    struct config_gateway gateway;
    struct config_admin admin;
    struct config_http http;
    struct config_array listeners; /* struct config_listener */
    struct config_array pools;     /* struct config_pool */
    struct config_arena arena;     /* owns every pointer above */
};

#endif
