/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY protocol header as upstream balancers send it (specification by HAProxy Technologies, 2.1 and
 * 2.2), read strictly: what is not exactly a header names nobody.
 */
#ifndef POSTERN_BASE_PROXY_PARSE_H
#define POSTERN_BASE_PROXY_PARSE_H

#include "base/addr.h"

#include <stddef.h>
#include <stdint.h>

/* After this many bytes every header is whole, or bad. */
#define PROXY_PARSE_MAX (16 + 536)

enum proxy_violation {
    PROXY_NO_VIOLATION,
#define X(name, text) PROXY_VIOLATION_##name,
#include "base/proxy_violations.def"
#undef X
    PROXY_VIOLATIONS
};

enum proxy_parsed {
    PROXY_PARSED_MORE,    /* so far it could become one */
    PROXY_PARSED_CLIENT,  /* it names a client */
    PROXY_PARSED_NOBODY,  /* LOCAL, UNKNOWN or UNSPEC: whole, and names nobody */
    PROXY_PARSED_REFUSED, /* it is none, or names who cannot be a client */
};

struct proxy_parse {
    size_t length;                  /* of the header; CLIENT, NOBODY */
    union addr client, destination; /* IPv4-mapped ones as IPv4, each by itself; CLIENT */
    uint8_t version;                /* 1 or 2; CLIENT, NOBODY */
    enum proxy_violation violation; /* REFUSED */
};

/*
 * Looks at the first `n` bytes of a connection; those that follow the header are not touched. All that the
 * answer says is in *ret, the rest of which is zero. Pure.
 */
enum proxy_parsed proxy_parse(const uint8_t *bytes, size_t n, struct proxy_parse *ret);

/* "line_end", and what it means; "" for PROXY_NO_VIOLATION. */
const char *proxy_violation_name(enum proxy_violation v);
const char *proxy_violation_text(enum proxy_violation v);

#endif
