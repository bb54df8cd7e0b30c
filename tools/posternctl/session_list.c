/* SPDX-License-Identifier: Apache-2.0 */
/* One object becomes one session. */
#include "session_list.h"

#include "document.h"
#include "json_lines.h"
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>

bool filter_is_set(const struct filter *f)
{
    return f->client || f->backend || f->state || f->older || f->idle;
}

char *filter_question(const struct filter *f)
{
    struct question q;

    question_begin(&q, "show sessions");
    question_add(&q, "client", f->client);
    question_add(&q, "backend", f->backend);
    question_add(&q, "state", f->state);
    question_add(&q, "older", f->older);
    question_add(&q, "idle", f->idle);
    return question_end(&q);
}

static void add(struct session_list *l, const json_t *one)
{
    const char *pool = text_of(one, "pool"), *backend = text_of(one, "backend");

    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 256;
        l->all = must(reallocarray(l->all, l->room, sizeof(*l->all)));
    }
    struct session *s = &l->all[l->n++];
    *s = (struct session){.age_ms = (uint64_t)number_of(one, "age_ms"),
        .idle_ms = (uint64_t)number_of(one, "idle_ms"),
        .bytes_in = (uint64_t)number_of(one, "bytes_in"),
        .bytes_out = (uint64_t)number_of(one, "bytes_out")};
    snprintf(s->id, sizeof(s->id), "%s", text_of(one, "id"));
    snprintf(s->client, sizeof(s->client), "%s", text_of(one, "client"));
    snprintf(s->state, sizeof(s->state), "%s", text_of(one, "state"));
    int made = pool[0] ? asprintf(&s->backend, "%s/%s", pool, backend[0] ? backend : "-")
                       : asprintf(&s->backend, "-");
    must(made < 0 ? NULL : s->backend);
}

struct taking {
    struct session_list *list;
    size_t most;
};

static bool take(void *arg, const json_t *one)
{
    struct taking *t = arg;

    add(t->list, one);
    return t->list->n < t->most;
}

int session_list_read(
    const char *socket, const struct filter *f, size_t most, struct session_list *ret, char **ret_why)
{
    struct taking t = {.list = ret, .most = most};

    *ret = (struct session_list){0};
    int error = json_lines_read(socket, filter_question(f), take, &t, ret_why);
    ret->cut = error > 0;
    return error < 0 ? error : 0;
}

void session_list_done(struct session_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->all[i].backend);
    free(l->all);
    *l = (struct session_list){0};
}

int session_list_ask(const struct call *c, struct session_list *ret)
{
    char *why = NULL;
    int error = session_list_read(c->socket, &c->filter, SIZE_MAX, ret, &why);

    if (!error)
        return 0;
    session_list_done(ret);
    return json_lines_tell(c->socket, error, why);
}
