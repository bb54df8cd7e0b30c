/* SPDX-License-Identifier: Apache-2.0 */
/* One object becomes one source. */
#include "heavy_list.h"

#include "document.h"
#include "json_lines.h"
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>

char *heavy_question(const struct filter *f)
{
    struct question q;

    question_begin(&q, "show sources");
    question_add(&q, "source", f->client);
    question_add(&q, "class", f->class);
    question_add(&q, "", f->over ? "over" : NULL);
    return question_end(&q);
}

static bool take(void *arg, const json_t *one)
{
    struct heavy_list *l = arg;

    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 256;
        l->all = must(reallocarray(l->all, l->room, sizeof(*l->all)));
    }
    struct heavy *s = &l->all[l->n++];
    *s = (struct heavy){.sessions = (uint64_t)number_of(one, "sessions"),
        .sessions_limit = (uint64_t)number_of(one, "sessions_limit"),
        .per_minute = (uint64_t)number_of(one, "per_minute"),
        .per_minute_limit = (uint64_t)number_of(one, "per_minute_limit"),
        .begun = (uint64_t)number_of(one, "begun"),
        .error = (uint64_t)number_of(one, "error"),
        .refused = (uint64_t)number_of(one, "refused"),
        .over = json_is_true(json_object_get(one, "over"))};
    snprintf(s->source, sizeof(s->source), "%s", text_of(one, "source"));
    snprintf(s->class, sizeof(s->class), "%s", text_of(one, "class"));
    return true;
}

int heavy_list_read(const char *socket, const struct filter *f, struct heavy_list *ret, char **ret_why)
{
    *ret = (struct heavy_list){0};
    return json_lines_read(socket, heavy_question(f), take, ret, ret_why);
}

void heavy_list_done(struct heavy_list *l)
{
    free(l->all);
    *l = (struct heavy_list){0};
}
