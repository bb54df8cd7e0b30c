/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema of the configuration: one table says for each key its type, range, default and meaning. Reading,
 * checking, the defaults, the messages and the manual page's check all follow from it. Thread: control; the
 * table itself never changes.
 */
#ifndef POSTERN_CONTROL_CONFIG_SCHEMA_H
#define POSTERN_CONTROL_CONFIG_SCHEMA_H

#include "base/addr.h"
#include "control/config_arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_node;

/* A number, duration or word that was written but could not be read; checks leave it alone. */
#define CONFIG_UNKNOWN UINT32_MAX

#define CONFIG_NAME_MAX 64
#define CONFIG_KEYS_MAX 16 /* keys of one section */
#define CONFIG_VIPS_MAX 4096
#define CONFIG_MAILBOX_MAX 254 /* RFC 5321, 4.5.3.1.3, without the angle brackets */

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

struct config_timeouts {
    uint32_t connect_ms, greeting_ms, greeting_total_ms, idle_ms, half_closed_ms;
};

struct config_checking {
    uint32_t type, starttls; /* enum pool_check; 1: required */
    uint32_t interval_ms, fast_interval_ms, timeout_ms, rise, fall;
    const char *rcpt;
};

struct config_agent {
    uint32_t port, interval_ms;
};

struct config_pool {
    const struct config_node *node;
    const char *name;
    uint32_t source, proxy_protocol, balance; /* enums of snapshot.h */
    uint32_t dissolve;                        /* 1: on */
    struct config_checking check;
    struct config_agent agent;
    struct config_timeouts timeouts;
    uint32_t retries;
    struct config_array backends; /* struct config_backend */
};

struct config_gateway {
    const char *name;
    const char *zone;
    uint32_t workers, max_sessions;
};

struct config {
    struct config_gateway gateway;
    struct config_array listeners; /* struct config_listener */
    struct config_array pools;     /* struct config_pool */
    struct config_arena arena;     /* owns every pointer above */
};

enum config_type {
    CONFIG_NAME,     /* const char *; min is its least length */
    CONFIG_NUMBER,   /* uint32_t */
    CONFIG_DURATION, /* uint32_t, milliseconds */
    CONFIG_WORD,     /* uint32_t, index into words */
    CONFIG_MAILBOX,  /* const char *; "" when there is none */
    CONFIG_VIPS,     /* struct config_array of struct config_vip: one or a list */
    CONFIG_BACKEND,  /* struct config_endpoint[2]: one, or one per family */
    CONFIG_MAP,      /* the struct of its section */
    CONFIG_LIST,     /* struct config_array of the struct of its section */
};

struct config_key {
    const char *name;
    enum config_type type;
    bool required;
    size_t offset;                        /* into the struct of the section that has this key */
    uint32_t min, max;                    /* inclusive */
    const char *const *words;             /* CONFIG_WORD: what may stand there, NULL at the end */
    const struct config_section *section; /* CONFIG_MAP, CONFIG_LIST */
    const char *fallback;                 /* the default, as it would be written; NULL when there is none */
    const char *help;
};

struct config_section {
    const char *title;   /* before a name in messages: "pool" */
    const char *unnamed; /* for one without a name: "this pool"; NULL when the title says it all */
    size_t size;         /* of its struct */
    const struct config_key *keys;
    size_t n_keys;
};

extern const struct config_section config_root;

/* Defaults that the machine decides; the texts stand for them in the manual page. Compared by address. */
extern const char config_fallback_hostname[];
extern const char config_fallback_cpus[];

/* The key of this name in the section; NULL when it has none. */
const struct config_key *config_find_key(const struct config_section *s, const char *name);

/* The key that is spelled most like `name`; *ret_close tells whether it could be a slip of the pen. */
const struct config_key *config_nearest_key(
    const struct config_section *s, const char *name, bool *ret_close);

/* The section in which a key of this name stands, anywhere below `s`; NULL when nowhere. */
const struct config_section *config_section_with(const struct config_section *s, const char *name);

/* The word of a NULL-terminated list that is spelled most like `text`, or NULL when none is near. */
const char *config_nearest_word(const char *const *words, const char *text);

#endif
