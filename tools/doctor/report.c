/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people, in the order of causes: a line for what is right or was skipped, all four texts for what
 * is not, at the end what to mend first. No failure paths but memory.
 */
#include "tools/doctor/report.h"

#include "control/config/config.h"
#include "tools/doctor/checks.h"
#include "tools/posternctl/memory.h"
#include "tools/posternctl/screen.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VERDICT_WIDTH 9
#define ID_WIDTH 18
#define PART_WIDTH 7

static const enum style styles[] = {
    [VERDICT_OK] = GOOD, [VERDICT_SKIPPED] = DIM, [VERDICT_WARNING] = WARN, [VERDICT_FAILED] = BAD};

static void write_head(const struct doctor *d, const struct screen *s)
{
    char at[32];
    time_t now = time(NULL);

    strftime(at, sizeof(at), "%Y-%m-%d %H:%M:%S UTC", gmtime(&now));
    screen_style(s, HEAD, "postern doctor " POSTERN_VERSION);
    fprintf(s->out, " at %s\n%s%s%s; ", at, d->config ? "gateway " : "",
        d->config ? d->config->gateway.name : "", d->config ? "" : "a gateway without a good configuration");
    fprintf(s->out, "%s; ", d->options->file);
    if (d->pid)
        fprintf(s->out, "postern runs as process %d\n\n", (int)d->pid);
    else
        fprintf(s->out, "postern %s\n\n", d->running ? "runs" : "does not run");
}

/* Lines below each other, the first one where the cursor is; commands are never broken. */
static void write_lines(const struct screen *s, unsigned at, const char *text, bool wrap)
{
    char *own = must(strdup(text)), *rest = own;

    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        char *printable = screen_printable(line);
        if (line != own)
            fprintf(s->out, "%*s", (int)at, "");
        if (wrap)
            screen_wrap(s, at, at, printable);
        else
            fprintf(s->out, "%s\n", printable);
        free(printable);
    }
    free(own);
}

static void write_finding(const struct finding *f, const struct screen *s)
{
    const unsigned indent = VERDICT_WIDTH + ID_WIDTH;
    bool grave = f->verdict >= VERDICT_WARNING;
    char *about = screen_printable(f->about);

    screen_style(s, styles[f->verdict], verdict_name(f->verdict));
    fprintf(s->out, "%*s%-*s", (int)(VERDICT_WIDTH - strlen(verdict_name(f->verdict))), "", ID_WIDTH,
        f->check->id);
    if (!grave) {
        fprintf(s->out, "%s%s", about, *about ? ": " : "");
        write_lines(s, indent + (*about ? screen_columns(about) + 2 : 0), f->part[SEEN], true);
    } else {
        screen_style(s, HEAD, *about ? about : "this host");
        fputc('\n', s->out);
    }
    for (enum finding_part part = 0; grave && part < FINDING_PARTS; part++) {
        if (!f->part[part][0])
            continue;
        fprintf(s->out, "%*s", VERDICT_WIDTH, "");
        screen_style(s, DIM, finding_part_name(part));
        fprintf(s->out, "%*s", (int)(PART_WIDTH - strlen(finding_part_name(part))), "");
        write_lines(s, VERDICT_WIDTH + PART_WIDTH, f->part[part], part != MEND);
    }
    free(about);
}

static void write_count(const struct screen *s, size_t n, const char *what, enum style style)
{
    char text[64];

    snprintf(text, sizeof(text), "%zu %s", n, what);
    screen_style(s, n ? style : PLAIN, text);
}

static void write_summary(const struct doctor *d, const struct screen *s)
{
    const struct finding *first = findings_first(&d->findings);

    fputc('\n', s->out);
    write_count(s, findings_count(&d->findings, VERDICT_FAILED), "failed", BAD);
    fputs(", ", s->out);
    write_count(s, findings_count(&d->findings, VERDICT_WARNING), "to be looked at", WARN);
    fputs(", ", s->out);
    write_count(s, findings_count(&d->findings, VERDICT_SKIPPED), "skipped", PLAIN);
    fputs(", ", s->out);
    write_count(s, findings_count(&d->findings, VERDICT_OK), "right", PLAIN);
    fputs(".\n", s->out);
    if (!first)
        return;
    char *about = screen_printable(first->about);
    fprintf(s->out, "Mend this first: %s%s%s\n", first->check->id, *about ? ", " : "", about);
    free(about);
    if (!first->part[MEND][0])
        return;
    fputs("    ", s->out);
    write_lines(s, 4, first->part[MEND], false);
}

void report_text(const struct doctor *d, const struct screen *s)
{
    write_head(d, s);
    for (size_t i = 0; i < d->findings.n; i++)
        write_finding(d->findings.list[i], s);
    write_summary(d, s);
}
