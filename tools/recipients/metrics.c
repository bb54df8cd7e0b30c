/* SPDX-License-Identifier: Apache-2.0 */
/* One table of plain numbers, then those that have a class. Called by the HTTP server, on the loop. */
#include "metrics.h"

#include <inttypes.h>

#define PREFIX "postern_recipients_"

struct number {
    const char *name, *type, *help;
    uint64_t value;
};

static void write_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void write_numbers(FILE *out, const struct tally *c, const struct server_stats *s)
{
    const struct number numbers[] = {
        {"messages_total", "counter", "messages that came to their end", c->stats.messages},
        {"recipients_total", "counter", "their recipients", c->stats.recipients},
        {"exempt_messages_total", "counter", "messages that were not judged", c->stats.exempt},
        {"deferred_messages_total", "counter", "messages that were answered with DEFER", c->stats.deferred},
        {"asked_early_total", "counter", "questions before the end of a message, not counted",
            c->stats.elsewhere},
        {"odd_requests_total", "counter", "connections closed for a request that is none", s->odd},
        {"answers_not_taken_total", "counter", "connections closed since an answer was not taken",
            s->not_taken},
        {"connections_displaced_total", "counter", "connections closed to make room for another",
            s->displaced},
        {"connections", "gauge", "connections of Postfix", s->clients},
        {"history_works", "gauge", "whether the database could be used when last tried",
            history_works(c->history)},
        {"history_seconds", "gauge", "how far it goes back, in whole days; growth is judged from a week on",
            tally_history_days(c) * UINT64_C(86400)},
        {"history_gaps_total", "counter", "hours that ended while it could not be used",
            c->stats.history_gaps},
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        write_head(out, numbers[i].name, numbers[i].type, numbers[i].help);
        fprintf(out, PREFIX "%s %" PRIu64 "\n", numbers[i].name, numbers[i].value);
    }
}

static void write_alarms(FILE *out, const struct tally *c)
{
    write_head(out, "alarms_total", "counter", "alarms that began, by what was reached");
    for (unsigned class = 0; class < CLASSES; class ++)
        for (unsigned reason = ALARM_NONE + 1; reason < ALARM_REASONS; reason++)
            fprintf(out, PREFIX "alarms_total{class=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                source_class_names[class], alarm_reason_names[reason], c->stats.alarms[class][reason]);
    write_head(out, "alarms", "gauge", "sources that have an alarm now");
    for (unsigned class = 0; class < CLASSES; class ++)
        fprintf(out, PREFIX "alarms{class=\"%s\"} %" PRIu64 "\n", source_class_names[class],
            c->stats.alarms_now[class]);
}

static void write_tables(FILE *out, const struct tally *c)
{
    write_head(out, "sources", "gauge", "sources in the table");
    for (unsigned class = 0; class < CLASS_TOTAL; class ++)
        fprintf(
            out, PREFIX "sources{class=\"%s\"} %" PRIu32 "\n", source_class_names[class], c->tables[class].n);
    write_head(out, "sources_evicted_total", "counter", "sources that left the full table for another");
    for (unsigned class = 0; class < CLASS_TOTAL; class ++)
        fprintf(out, PREFIX "sources_evicted_total{class=\"%s\"} %" PRIu64 "\n", source_class_names[class],
            c->tables[class].evicted);
    write_head(out, "unseen_recipients", "gauge", "a source with more recipients than this is in the table");
    for (unsigned class = 0; class < CLASS_TOTAL; class ++)
        fprintf(out, PREFIX "unseen_recipients{class=\"%s\"} %.1f\n", source_class_names[class],
            sources_unseen_at_most(&c->tables[class]));
}

unsigned metrics_write(FILE *out, void *arg)
{
    const struct metrics *m = arg;

    write_numbers(out, m->tally, server_stats(m->server));
    write_alarms(out, m->tally);
    write_tables(out, m->tally);
    return 200;
}
