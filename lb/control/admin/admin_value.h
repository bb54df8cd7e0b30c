/* SPDX-License-Identifier: Apache-2.0 */
/* One value of show info or show stat in the forms that tell what it is: typed and JSON. Thread: control. */
#ifndef POSTERN_CONTROL_ADMIN_VALUE_H
#define POSTERN_CONTROL_ADMIN_VALUE_H

#include "control/admin/admin_reply.h"

#include <stdbool.h>
#include <stdint.h>

struct admin_call;

enum admin_form { ADMIN_PLAIN, ADMIN_TYPED, ADMIN_JSON };

struct admin_value {
    unsigned position;
    const char *name;
    const char *tags; /* three letters: where it comes from, what it is, whose it is */
    const char *type; /* "u32", "u64" or "s32"; of a text nothing */
    const char *text; /* or NULL: a number */
    uint64_t number;
};

/* Whose value it is; NULL: the process's. */
struct admin_owner {
    char letter;
    const char *kind;
    uint64_t proxy, id;
};

/* A line, or an object that a comma comes before unless it is the first of its array. */
void admin_value_typed(struct admin_reply *r, const struct admin_owner *owner, const struct admin_value *v);
void admin_value_json(
    struct admin_reply *r, const struct admin_owner *owner, const struct admin_value *v, bool first);

/* The form that the words from this one on ask for; the last one counts. */
enum admin_form admin_form(const struct admin_call *c, unsigned from);

#endif
