/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema of the configuration: one table says for each key its type, range, default and meaning. Reading,
 * checking, the defaults, the messages and the manual page's check all follow from it. Thread: control; the
 * table itself never changes.
 */
#ifndef POSTERN_CONTROL_CONFIG_SCHEMA_H
#define POSTERN_CONTROL_CONFIG_SCHEMA_H

#include "control/config/config_model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
    CONFIG_NAME,     /* const char *; min is its least length */
    CONFIG_PATTERN,  /* const char *; a glob */
    CONFIG_NUMBER,   /* uint32_t */
    CONFIG_DURATION, /* uint32_t, milliseconds */
    CONFIG_LIMIT,    /* uint32_t; 0: no limit */
    CONFIG_RATE,     /* uint32_t, a minute; 0: no limit */
    CONFIG_WORD,     /* uint32_t, index into words */
    CONFIG_TEXT,     /* const char *; printable ASCII */
    CONFIG_MAILBOX,  /* const char *; "" when there is none */
    CONFIG_HOST,     /* const char *; a name of the DNS; "" when there is none */
    CONFIG_PATH,     /* const char *; absolute; "" when there is none */
    CONFIG_RESOLVER, /* const char *; "" when there is none */
    CONFIG_LOOPBACK, /* const char *; an endpoint that only this host reaches; "" when there is none */
    CONFIG_VIPS,     /* struct config_array of struct config_vip: one or a list */
    CONFIG_PREFIXES, /* struct config_array of struct config_prefix: one or a list */
    CONFIG_PATHS,    /* struct config_array of struct config_path, absolute: one or a list */
    CONFIG_NAMES,    /* struct config_array of struct config_name: one or a list */
    CONFIG_BACKEND,  /* struct config_endpoint[2]: one, or one per family */
    CONFIG_MAP,      /* the struct of its section */
    CONFIG_LIST,     /* struct config_array of the struct of its section */
    CONFIG_NAMED,    /* the same, written as a map: each key is the name of an entry */
};

struct config_key {
    const char *name;
    enum config_type type;
    bool required;
    size_t offset;                        /* into the struct of the section that has this key */
    uint32_t min, max;                    /* inclusive */
    const char *const *words;             /* CONFIG_WORD: what may stand there, NULL at the end */
    const struct config_section *section; /* CONFIG_MAP, CONFIG_LIST, CONFIG_NAMED */
    const char *fallback;                 /* the default, as it would be written; NULL when there is none */
    const char *help;
};

struct config_section {
    const char *title;   /* before a name in messages: "pool" */
    const char *unnamed; /* for one without a name: "this pool"; NULL when the title says it all */
    bool named_by_key;   /* its entries are CONFIG_NAMED */
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
