/* SPDX-License-Identifier: Apache-2.0 */
/* What was found, as JSON. Failure path: no memory, and there is no document. */
#include "control/config/config.h"
#include "control/watch/status.h"
#include "tools/doctor/checks.h"
#include "tools/doctor/report.h"
#include "tools/posternctl/memory.h"

#include <string.h>
#include <time.h>

#define FORMAT 1 /* of the document; grows when something in it changes its meaning */

/* A text as a list of its lines. */
static json_t *lines_of(const char *text)
{
    json_t *all = json_array();

    for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        char *line = must(strndup(at, strcspn(at, "\n")));
        (void)json_array_append_new(all, status_text(line));
        free(line);
    }
    return all;
}

static json_t *finding_json(const struct finding *f)
{
    json_t *all = json_pack("{s:s, s:s, s:o}", "check", f->check->id, "verdict", verdict_name(f->verdict),
        "about", status_text(f->about));

    for (enum finding_part part = 0; part < FINDING_PARTS; part++)
        (void)json_object_set_new(all, finding_part_name(part), lines_of(f->part[part]));
    return all;
}

json_t *report_json(const struct doctor *d)
{
    const struct finding *first = findings_first(&d->findings);
    json_t *counts = json_object(), *findings = json_array();

    for (enum verdict v = 0; v < VERDICTS; v++)
        (void)json_object_set_new(
            counts, verdict_name(v), json_integer((json_int_t)findings_count(&d->findings, v)));
    for (size_t i = 0; i < d->findings.n; i++)
        (void)json_array_append_new(findings, finding_json(d->findings.list[i]));
    return json_pack("{s:i, s:s, s:I, s:s, s:s?, s:b, s:i, s:s, s:o, s:o?, s:o}", "format", FORMAT, "version",
        POSTERN_VERSION, "now", (json_int_t)time(NULL), "file", d->options->file, "gateway",
        d->config ? d->config->gateway.name : NULL, "running", d->running, "pid", (int)d->pid, "verdict",
        verdict_name(findings_verdict(&d->findings, NULL)), "counts", counts, "first",
        first ? finding_json(first) : NULL, "findings", findings);
}
