/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions an operator means, in words: client=PREFIX backend=POOL/BACKEND state=... older=... idle=...
 * Pure. */
#ifndef POSTERN_CONTROL_SESSION_FILTER_H
#define POSTERN_CONTROL_SESSION_FILTER_H

#include "sessions.h"

#define SESSION_FILTER_WHY_MAX 256

/*
 * Reads such words, which end with a NULL, in any order; none means all sessions. *ret_backend is the one
 * that was named, still to be looked up, or NULL. 0 or -EINVAL: then `ret_why` says what is wrong and how it
 * should be, and the other outputs are untouched.
 */
int session_filter_read(const char *const *words, struct session_filter *ret, const char **ret_backend,
    char ret_why[SESSION_FILTER_WHY_MAX]);

/* "0x0123456789abcdef", as sessions are listed, or without the 0x, as the log has it. 0: it is none. */
uint64_t session_id_read(const char *text);

#endif
