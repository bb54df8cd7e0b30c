/* SPDX-License-Identifier: Apache-2.0 */
/* The sessions there are, as a table, or as postern lists them. */
#include "client.h"
#include "command.h"
#include "memory.h"
#include "screen.h"
#include "session_list.h"
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Line by line, since there may be many; only what follows the first, empty answer. */
static int print_json(const struct call *c)
{
    char *line = NULL, *question = filter_question(&c->filter);
    size_t room = 0;
    int error = 0;

    if (!question) {
        fprintf(stderr, "posternctl: a filter has no blank, semicolon or backslash\n");
        return EXIT_BAD_USAGE;
    }
    FILE *answer = client_open(c->socket, question);
    free(question);
    if (!answer)
        return client_tell(c->socket, errno);
    errno = 0;
    ssize_t n = getline(&line, &room, answer);
    while (n > 0 && (n = getline(&line, &room, answer)) > 1 && !error) {
        if (line[0] == '{')
            fwrite(line, 1, (size_t)n, stdout);
        else {
            error = EXIT_BAD_USAGE;
            fprintf(stderr, "posternctl: %s", n > 5 ? line + 5 : line);
        }
    }
    if (n < 0 && !error)
        error = client_tell(c->socket, errno ? errno : ECONNRESET);
    free(line);
    fclose(answer);
    return error;
}

int run_sessions(const struct call *c)
{
    static const struct table_column columns[] = {{"ID", false}, {"CLIENT", false}, {"BACKEND", false},
        {"STATE", false}, {"AGE", true}, {"IDLE", true}, {"IN", true}, {"OUT", true}};
    const struct screen s = screen_of_stdout();
    struct session_list list;
    struct table t;
    char text[SCREEN_SHORT];

    if (c->json)
        return print_json(c);
    int error = session_list_ask(c, &list);
    if (error)
        return error;
    table_init(&t, columns, COUNT(columns));
    for (size_t i = 0; i < list.n; i++) {
        const struct session *one = &list.all[i];
        table_add(&t, PLAIN, "%s", one->id);
        table_add(&t, PLAIN, "%s", one->client);
        table_add(&t, PLAIN, "%s", one->backend);
        table_add(&t, PLAIN, "%s", one->state);
        table_add(&t, PLAIN, "%s", screen_duration(one->age_ms / 1000, text));
        table_add(&t, PLAIN, "%s", screen_duration(one->idle_ms / 1000, text));
        table_add(&t, PLAIN, "%s", screen_bytes(one->bytes_in, text));
        table_add(&t, PLAIN, "%s", screen_bytes(one->bytes_out, text));
    }
    table_print(&t, &s, 0);
    session_list_done(&list);
    return EXIT_SUCCESS;
}
