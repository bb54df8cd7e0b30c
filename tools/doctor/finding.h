/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a check has found: its verdict, what it is about, and four texts, of one or more lines each. Text for
 * people and JSON for machines are both made of findings (report.h).
 */
#ifndef DOCTOR_FINDING_H
#define DOCTOR_FINDING_H

#include <stddef.h>

/* The graver, the greater. */
enum verdict { VERDICT_OK, VERDICT_SKIPPED, VERDICT_WARNING, VERDICT_FAILED, VERDICTS };

enum finding_part {
    TRIED, /* what was done to find out */
    SEEN,  /* what came of it; of SKIPPED: why nothing was tried */
    WHY,   /* what it does to mail */
    MEND,  /* commands, one a line; what is no command begins with "# ", so that all of it may be pasted */
    FINDING_PARTS
};

struct doctor_check;

struct finding {
    const struct doctor_check *check;
    enum verdict verdict;
    char *about;               /* "backend inbound/mta1 (10.2.0.11:25)"; "" is this host */
    char *part[FINDING_PARTS]; /* "" where nothing was said */
};

struct findings {
    struct finding **list;
    size_t n;
};

/* Begins a finding of a check. It stays the list's; valid until findings_done(). */
struct finding *findings_add(
    struct findings *all, const struct doctor_check *check, enum verdict verdict, const char *about);
void findings_done(struct findings *all);

/* Adds a line to one of the texts. Control characters become '?': servers' words may be among them. */
void finding_say(struct finding *f, enum finding_part part, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "ok", "skipped", "warning", "failed"; "tried", "seen", "why", "mend". */
const char *verdict_name(enum verdict verdict);
const char *finding_part_name(enum finding_part part);

/* The gravest verdict of a check, or of all (NULL). OK when there is none. */
enum verdict findings_verdict(const struct findings *all, const struct doctor_check *check);

/* How many have this verdict. */
size_t findings_count(const struct findings *all, enum verdict verdict);

/* What to mend first: the first failure, else the first warning. NULL: there is none. */
const struct finding *findings_first(const struct findings *all);

#endif
