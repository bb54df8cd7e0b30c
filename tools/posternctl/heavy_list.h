/* SPDX-License-Identifier: Apache-2.0 */
/* The sources there is most of, as postern lists them. */
#ifndef POSTERNCTL_HEAVY_LIST_H
#define POSTERNCTL_HEAVY_LIST_H

#include "command.h"

#include <stddef.h>
#include <stdint.h>

struct heavy {
    char source[64], class[72];
    uint64_t sessions, sessions_limit, per_minute, per_minute_limit; /* limits: 0 is none */
    uint64_t begun, error, refused;
    bool over;
};

struct heavy_list {
    struct heavy *all;
    size_t n, room;
};

/* The question for those that a filter chooses (client, class, over); freed with free(). NULL: as with
 * question_end(). */
char *heavy_question(const struct filter *f);

/* As session_list_read(); heavy_list_done() in any case. */
int heavy_list_read(const char *socket, const struct filter *f, struct heavy_list *ret, char **ret_why);
void heavy_list_done(struct heavy_list *l);

#endif
