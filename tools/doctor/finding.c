/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a check begins a finding and says its texts, line by line. Failure path: no memory, and the
 * program ends (memory.h). Called by the checks and by the reports; one thread.
 */
#include "tools/doctor/finding.h"

#include "tools/posternctl/memory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const verdict_names[] = {[VERDICT_OK] = "ok",
    [VERDICT_SKIPPED] = "skipped",
    [VERDICT_WARNING] = "warning",
    [VERDICT_FAILED] = "failed"};
static const char *const part_names[] = {[TRIED] = "tried", [SEEN] = "seen", [WHY] = "why", [MEND] = "mend"};

_Static_assert(sizeof(verdict_names) / sizeof(verdict_names[0]) == VERDICTS, "each has a name");
_Static_assert(sizeof(part_names) / sizeof(part_names[0]) == FINDING_PARTS, "each has a name");

const char *verdict_name(enum verdict verdict)
{
    return verdict_names[verdict];
}

const char *finding_part_name(enum finding_part part)
{
    return part_names[part];
}

struct finding *findings_add(
    struct findings *all, const struct doctor_check *check, enum verdict verdict, const char *about)
{
    struct finding *f = must(calloc(1, sizeof(*f)));

    all->list = must(realloc(all->list, (all->n + 1) * sizeof(*all->list)));
    all->list[all->n++] = f;
    f->check = check;
    f->verdict = verdict;
    f->about = must(strdup(about));
    for (size_t i = 0; i < FINDING_PARTS; i++)
        f->part[i] = must(strdup(""));
    return f;
}

void findings_done(struct findings *all)
{
    for (size_t i = 0; i < all->n; i++) {
        for (size_t k = 0; k < FINDING_PARTS; k++)
            free(all->list[i]->part[k]);
        free(all->list[i]->about);
        free(all->list[i]);
    }
    free(all->list);
    *all = (struct findings){0};
}

void finding_say(struct finding *f, enum finding_part part, const char *fmt, ...)
{
    char *line, *whole, **to = &f->part[part];
    va_list args;

    va_start(args, fmt);
    must(vasprintf(&line, fmt, args) < 0 ? NULL : line);
    va_end(args);
    for (char *at = line; *at; at++)
        if (((unsigned char)*at < ' ' && *at != '\n') || *at == 0x7f)
            *at = '?';
    must(asprintf(&whole, "%s%s%s", *to, **to ? "\n" : "", line) < 0 ? NULL : whole);
    free(line);
    free(*to);
    *to = whole;
}

enum verdict findings_verdict(const struct findings *all, const struct doctor_check *check)
{
    enum verdict gravest = VERDICT_OK;

    for (size_t i = 0; i < all->n; i++)
        if ((!check || all->list[i]->check == check) && all->list[i]->verdict > gravest)
            gravest = all->list[i]->verdict;
    return gravest;
}

size_t findings_count(const struct findings *all, enum verdict verdict)
{
    size_t n = 0;

    for (size_t i = 0; i < all->n; i++)
        n += all->list[i]->verdict == verdict;
    return n;
}

const struct finding *findings_first(const struct findings *all)
{
    for (enum verdict verdict = VERDICT_FAILED; verdict >= VERDICT_WARNING; verdict--)
        for (size_t i = 0; i < all->n; i++)
            if (all->list[i]->verdict == verdict)
                return all->list[i];
    return NULL;
}
