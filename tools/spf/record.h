/* SPDX-License-Identifier: Apache-2.0 */
/* An SPF record (RFC 7208), term by term, and the data of the other records it leads to. Pure. */
#ifndef POSTERN_SPF_RECORD_H
#define POSTERN_SPF_RECORD_H

#include "base/addr.h"

#define SPF_NAME_MAX 253
#define SPF_SHOWN_MAX 100 /* of a term, in messages */

enum spf_kind {
    SPF_ALL,
    SPF_INCLUDE,
    SPF_A,
    SPF_MX,
    SPF_PTR,
    SPF_IP4,
    SPF_IP6,
    SPF_EXISTS,
    SPF_REDIRECT,
    SPF_EXP,
    SPF_OTHER, /* modifiers nobody knows; they mean nothing */
};

struct spf_term {
    enum spf_kind kind;
    char qualifier;                /* one of "+-~?"; '+' for modifiers */
    bool macro;                    /* it has one, so that `name` is not known */
    char name[SPF_NAME_MAX + 1];   /* what it is about, in small letters; "": the domain of the record */
    struct addr_prefix prefix;     /* ip4, ip6 */
    uint8_t len4, len6;            /* a, mx: of the prefixes around the addresses */
    char shown[SPF_SHOWN_MAX + 1]; /* as it stands in the record; only printable ASCII */
};

/*
 * The strings of a TXT record, joined, when it is an SPF record: NUL-terminated, for the caller to free. NULL
 * when it is another one, or broken.
 */
char *spf_record_text(const uint8_t *data, size_t size);

/* The name of an MX record's host, "" for "none" (RFC 7505). 0 or -EINVAL. */
int spf_mx_host(const uint8_t *data, size_t size, char ret[SPF_NAME_MAX + 1]);

/* Where the terms of a record begin. */
const char *spf_terms_of(const char *record);

/*
 * Reads the term at *at and moves on. 1; 0: none is left; -EINVAL: it breaks the grammar, *ret_why says how,
 * and only `shown` of the term is set.
 */
int spf_term_next(const char **at, struct spf_term *ret, const char **ret_why);

/*
 * A domain name in ASCII, with two labels at least; a dot may end it. In small letters, without that dot. 0
 * or -EINVAL, `ret` untouched.
 */
int spf_name_parse(const char *text, char ret[SPF_NAME_MAX + 1]);

#endif
