/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: one line of JSON becomes one session; the last line is empty. Failure path: a message of
 * postern's instead, or an end before the empty line: what came so far is not passed off as the whole.
 */
#include "session_list.h"

#include "client.h"
#include "document.h"
#include "memory.h"
#include "screen.h"

#include <errno.h>
#include <stdlib.h>

#define ERROR_MARK "[3]: "

bool filter_is_set(const struct filter *f)
{
    return f->client || f->backend || f->state || f->older || f->idle;
}

char *filter_question(const struct filter *f)
{
    const struct {
        const char *key, *value;
    } parts[] = {{"client", f->client}, {"backend", f->backend}, {"state", f->state}, {"older", f->older},
        {"idle", f->idle}};
    char *question;
    size_t n;
    bool odd = false;

    FILE *out = must(open_memstream(&question, &n));
    fprintf(out, "set severity-output number;show sessions");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!parts[i].value)
            continue;
        odd |= parts[i].value[strcspn(parts[i].value, " \t\r\n;\\")] != '\0';
        fprintf(out, " %s=%s", parts[i].key, parts[i].value);
    }
    if (fclose(out) == 0 && !odd)
        return question;
    free(question);
    return NULL;
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

/* 1: it was a session; 0: the end; -errno */
static int take_line(struct session_list *l, const char *line, char **ret_why)
{
    if (line[0] == '\n')
        return 0;
    if (strncmp(line, ERROR_MARK, strlen(ERROR_MARK)) == 0) {
        *ret_why = must(strdup(line + strlen(ERROR_MARK)));
        return -EINVAL;
    }
    json_t *one = json_loads(line, 0, NULL);
    if (json_is_object(one))
        add(l, one);
    bool good = json_is_object(one);
    json_decref(one);
    return good ? 1 : -EPROTO;
}

int session_list_read(
    const char *socket, const struct filter *f, size_t most, struct session_list *ret, char **ret_why)
{
    char *question = filter_question(f), *line = NULL;
    size_t room = 0;
    int found = 1;

    *ret = (struct session_list){0};
    if (!question) {
        *ret_why = must(strdup("a filter has no blank, semicolon or backslash\n"));
        return -EINVAL;
    }
    FILE *answer = client_open(socket, question);
    int error = answer ? 0 : -errno;
    free(question);
    if (!answer)
        return error;
    errno = 0;
    if (getline(&line, &room, answer) < 0 || line[0] != '\n') /* of the first command */
        found = errno ? -errno : -ECONNRESET;
    while (found > 0 && ret->n < most) {
        errno = 0;
        found = getline(&line, &room, answer) < 0 ? (errno ? -errno : -ECONNRESET)
                                                  : take_line(ret, line, ret_why);
    }
    ret->cut = found > 0;
    free(line);
    fclose(answer);
    return found < 0 ? found : 0;
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
    if (error != -EINVAL)
        return client_tell(c->socket, -error);
    why[strcspn(why, "\n")] = '\0';
    char *printable = screen_printable(why);
    fprintf(stderr, "posternctl: %s\n", printable);
    free(printable);
    free(why);
    return EXIT_BAD_USAGE;
}
