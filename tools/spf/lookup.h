/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS, for one question after the other. */
#ifndef POSTERN_SPF_LOOKUP_H
#define POSTERN_SPF_LOOKUP_H

#include "expand.h"

struct lookup;

/* `resolver` is ADDRESS or ADDRESS:PORT; NULL: those of /etc/resolv.conf. 0, or -EINVAL for one that is
 * neither. */
int lookup_new(const char *resolver, struct lookup **ret);

/* NULL is accepted. */
void lookup_free(struct lookup *l);

/*
 * Answers what the expansion asks, until it asks no more. Waits LOOKUP_MS for an answer, LOOKUPS_MS for all;
 * what has no answer by then has failed.
 */
#define LOOKUP_MS 10000
#define LOOKUPS_MS 60000
void lookup_run(struct lookup *l, struct spf_expansion *e);

#endif
