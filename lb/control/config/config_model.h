/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration in memory, as it was written: what config_parse.c fills in along the schema table. */
#ifndef POSTERN_CONTROL_CONFIG_MODEL_H
#define POSTERN_CONTROL_CONFIG_MODEL_H

#include "base/addr.h"
#include "control/config/config_arena.h"
#include "control/config/config_model_pool.h"
#include "control/config/config_operators.h"

#include <stdint.h>

struct config_node;

/* A number, duration or word that was written but could not be read; checks leave it alone. */
#define CONFIG_UNKNOWN UINT32_MAX

#define CONFIG_NAME_MAX 64
#define CONFIG_KEYS_MAX 32 /* keys of one section */
#define CONFIG_VIPS_MAX 4096
#define CONFIG_SOURCES_MAX 64
#define CONFIG_ROUTES_MAX 4096     /* over all listeners */
#define CONFIG_UPSTREAMS_MAX 64    /* of one listener */
#define CONFIG_SOURCE_FILES_MAX 64 /* of one source */
#define CONFIG_MAILBOX_MAX 254     /* RFC 5321, 4.5.3.1.3, without the angle brackets */
#define CONFIG_ZONES_MAX 64
#define CONFIG_VERDICTS_MAX 16 /* rows of a pool's table */
#define CONFIG_HOST_MAX 253    /* RFC 1035, 2.3.4, without the final dot */
#define CONFIG_FOUND_MAX 256   /* backends found for one pool */
#define CONFIG_SOCKET_MAX 107  /* what sun_path holds beside its NUL */
#define CONFIG_STARS_MAX 4     /* of a pattern: each more would multiply the work on a hostile line */

struct config_vip {
    const struct config_node *node;
    struct addr_prefix prefix;
    uint16_t port;
};

/* Whose clients go to another pool than the others. */
struct config_route {
    const struct config_node *node;
    const char *from; /* a source */
    const char *pool;
};

/* What follows for a listener from the relay test of its backends. */
enum relay_test_mode { RELAY_TEST_OFF, RELAY_TEST_WARN, RELAY_TEST_GATE };

struct config_listener {
    const struct config_node *node;
    const char *name;
    struct config_array vips; /* struct config_vip */
    const char *pool;
    struct config_array routes;    /* struct config_route */
    struct config_array upstreams; /* struct config_prefix: who names clients in a PROXY header */
    uint32_t max_sessions;         /* 0: no limit of its own */
    uint32_t relay_test;           /* enum relay_test_mode */
};

struct config_prefix {
    const struct config_node *node;
    struct addr_prefix prefix;
};

struct config_path {
    const struct config_node *node;
    const char *path;
};

struct config_name {
    const struct config_node *node;
    const char *name;
};

/* What each client may have. */
struct config_limits {
    uint32_t sessions, rate; /* 0: no limit */
};

#define CONFIG_SOURCE_OTHER "other" /* stands for clients that are in none */

/* A named list of prefixes. */
struct config_source {
    const struct config_node *node;
    const char *name;
    struct config_array prefixes; /* struct config_prefix */
    struct config_array files;    /* struct config_path; read while postern runs */
    struct config_tlv {
        uint32_t type;           /* less 0xe0 */
        const char *value;       /* "": none */
    } tlv;                       /* of v2 headers of its clients */
    struct config_limits limits; /* what was not written is that of source_limits */
};

struct config_source_limits {
    uint32_t prefix_v4, prefix_v6; /* how much of an address is one client */
    struct config_limits each;
    uint32_t action, rate_action; /* enum limit_action */
    const char *text;
    struct config_array exempt; /* struct config_name, of sources */
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

struct config_log {
    uint32_t sample; /* 1: every session has its line */
};

/* How the relay test asks; config_relay.h has its addresses. */
struct config_relay_test {
    struct config_array trusted, untrusted; /* struct config_prefix: whole addresses, one of each family */
    const char *sender;                     /* "": the null sender */
    const char *recipient;
    uint32_t interval_ms;
};

struct config {
    struct config_gateway gateway;
    struct config_admin admin;
    struct config_http http;
    struct config_log log;
    struct config_relay_test relay_test;
    struct config_array listeners; /* struct config_listener */
    struct config_array sources;   /* struct config_source */
    struct config_source_limits source_limits;
    struct config_array pools; /* struct config_pool */
    struct config_arena arena; /* owns every pointer above */
};

#endif
