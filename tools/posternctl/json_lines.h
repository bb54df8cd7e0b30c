/* SPDX-License-Identifier: Apache-2.0 */
/* Lists that postern answers with one JSON object on each line. */
#ifndef POSTERNCTL_JSON_LINES_H
#define POSTERNCTL_JSON_LINES_H

#include "command.h"

#include <jansson.h>

/* The question for such a list, with words after it; see question_add(). */
struct question {
    char *text;
    size_t n;
    FILE *out;
    bool odd;
};

void question_begin(struct question *q, const char *command);

/* " key=value", unless the value is NULL; key "" is the bare word. */
void question_add(struct question *q, const char *key, const char *value);

/* The whole, freed with free(). NULL: a value has a character that no value has. */
char *question_end(struct question *q);

/*
 * Asks, and has each object taken, until `take` returns false. 0 when the list has come to its end, 1 when
 * `take` has ended it; -EINVAL when postern does not understand the question: *ret_why, to be freed, says
 * why; or another -errno. Frees the question, which may be NULL: that is not understood either.
 */
int json_lines_read(const char *socket, char *question, bool (*take)(void *arg, const json_t *one), void *arg,
    char **ret_why);

/* Prints the lines as they come, since there may be many. Frees the question. The exit status. */
int json_lines_print(const char *socket, char *question);

/* Tells what went wrong with json_lines_read(), and frees `why`. The exit status. */
int json_lines_tell(const char *socket, int error, char *why);

#endif
