/* SPDX-License-Identifier: Apache-2.0 */
/* The sources there is most of, as a table, or as postern lists them. */
#include "command.h"
#include "json_lines.h"
#include "screen.h"
#include "heavy_list.h"
#include "table.h"

#include <inttypes.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void add_limit(struct table *t, uint64_t limit)
{
    if (limit)
        table_add(t, PLAIN, "%" PRIu64, limit);
    else
        table_add(t, PLAIN, "none");
}

int run_sources(const struct call *c)
{
    static const struct table_column columns[] = {{"SOURCE", false}, {"CLASS", false}, {"SESS", true},
        {"MAX", true}, {"/MIN", true}, {"MAX/MIN", true}, {"TRIED", true}, {"REFUSED", true}};
    const struct screen s = screen_of_stdout();
    struct heavy_list list;
    struct table t;
    char *why = NULL;

    if (c->json)
        return json_lines_print(c->socket, heavy_question(&c->filter));
    int error = heavy_list_read(c->socket, &c->filter, &list, &why);
    if (error) {
        heavy_list_done(&list);
        return json_lines_tell(c->socket, error, why);
    }
    table_init(&t, columns, COUNT(columns));
    for (size_t i = 0; i < list.n; i++) {
        const struct heavy *one = &list.all[i];
        table_add(&t, one->over ? WARN : PLAIN, "%s", one->source);
        table_add(&t, PLAIN, "%s", one->class);
        table_add(&t, one->over ? WARN : PLAIN, "%" PRIu64, one->sessions);
        add_limit(&t, one->sessions_limit);
        table_add(&t, PLAIN, "%" PRIu64, one->per_minute);
        add_limit(&t, one->per_minute_limit);
        table_add(&t, PLAIN, "%" PRIu64, one->begun);
        table_add(&t, one->refused ? WARN : PLAIN, "%" PRIu64, one->refused);
    }
    table_print(&t, &s, 0);
    heavy_list_done(&list);
    return EXIT_SUCCESS;
}
