/* SPDX-License-Identifier: Apache-2.0 */
/* The sessions there are, as a table, or as postern lists them. */
#include "command.h"
#include "json_lines.h"
#include "screen.h"
#include "session_list.h"
#include "table.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int run_sessions(const struct call *c)
{
    static const struct table_column columns[] = {{"ID", false}, {"CLIENT", false}, {"BACKEND", false},
        {"STATE", false}, {"AGE", true}, {"IDLE", true}, {"IN", true}, {"OUT", true}};
    const struct screen s = screen_of_stdout();
    struct session_list list;
    struct table t;
    char text[SCREEN_SHORT];

    if (c->json)
        return json_lines_print(c->socket, filter_question(&c->filter));
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
