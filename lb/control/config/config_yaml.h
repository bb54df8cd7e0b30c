/* SPDX-License-Identifier: Apache-2.0 */
/* One YAML file as a tree of nodes that know their places; no aliases, no tags. Thread: control. */
#ifndef POSTERN_CONTROL_CONFIG_YAML_H
#define POSTERN_CONTROL_CONFIG_YAML_H

#include "control/config/config_arena.h"
#include "control/config/config_report.h"

#include <stdbool.h>
#include <stdint.h>

/* The usual slip: brackets without quotes are a list to YAML. */
#define CONFIG_QUOTE_IPV6 "; an IPv6 address must be quoted, like \"[2001:db8::25]:25\""

/* Maps and lists inside one another; the schema needs six. */
#define CONFIG_DEPTH_MAX 16

enum config_node_kind {
    CONFIG_NODE_VALUE,
    CONFIG_NODE_LIST,
    CONFIG_NODE_MAP,
    CONFIG_NODE_BAD, /* was reported; says nothing about what the operator meant */
};

struct config_node {
    enum config_node_kind kind;
    bool empty; /* a value that was left out: "key:" */
    uint32_t n_children;
    struct config_place place;
    const char *text;          /* of a value, NUL-terminated */
    struct config_node *key;   /* of an entry of a map */
    struct config_node *first; /* child of a list or map */
    struct config_node *next;
};

/*
 * Reads a file of the report into memory, checks that it is text and parses it. What is wrong goes into the
 * report. 0: *ret is the root (NULL when nothing stands in the file). -EINVAL: an error was reported and
 * there is no tree. -ENOMEM.
 */
int config_yaml_read(
    struct config_report *r, uint32_t file, struct config_arena *arena, struct config_node **ret);

/* The entry of a map with this key; NULL when there is none or the node is no map. */
const struct config_node *config_node_get(const struct config_node *map, const char *key);

#endif
