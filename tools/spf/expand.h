/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a domain's SPF record lets pass, as a set of prefixes. Pure: it says what it needs looked up, and is
 * told:
 *
 *     struct spf_expansion *e = spf_expansion_new("example.org");
 *     while ((q = spf_expansion_question(e)))
 *         spf_expansion_answer(e, answer to q);
 *
 * The limits are those of RFC 7208, section 4.6.4, over all that the record leads to. A name counts as void
 * when it has neither an A nor an AAAA record.
 */
#ifndef POSTERN_SPF_EXPAND_H
#define POSTERN_SPF_EXPAND_H

#include "prefix_set.h"

#define SPF_LOOKUPS_MAX 10
#define SPF_VOIDS_MAX 2
#define SPF_MX_MAX 10
#define SPF_PREFIXES_MAX 10000 /* before they are merged */
#define SPF_TTL_MIN 300        /* seconds */
#define SPF_TTL_MAX 86400
#define SPF_WHY_MAX 2048

struct spf_expansion;

struct spf_question {
    const char *name;
    int type; /* ns_t_txt, ns_t_a, ns_t_aaaa or ns_t_mx */
};

/* Without data: there is no such name, or it has no such records. */
struct spf_answer {
    const char *failed; /* why there is no answer; NULL: there is one */
    uint32_t ttl;       /* seconds */
    size_t n;
    char *const *data; /* of each record, as it comes over the wire, names uncompressed */
    const int *sizes;
};

/* The domain is one that spf_name_parse() has written. spf_expansion_free() accepts NULL. */
struct spf_expansion *spf_expansion_new(const char *domain);
void spf_expansion_free(struct spf_expansion *e);

/* What is to be looked up next; NULL: it has come to its end. Valid until the answer. */
const struct spf_question *spf_expansion_question(const struct spf_expansion *e);
void spf_expansion_answer(struct spf_expansion *e, const struct spf_answer *answer);

/* After the end: why there is no set, with the term, its domain and the way there; NULL: there is one. */
const char *spf_expansion_failure(const struct spf_expansion *e);

/* The set, which is the expansion's, and for how many seconds it is good (SPF_TTL_MIN..SPF_TTL_MAX). */
const struct prefix_set *spf_expansion_set(const struct spf_expansion *e);
uint32_t spf_expansion_ttl(const struct spf_expansion *e);

#endif
