/* SPDX-License-Identifier: Apache-2.0 */
/* Postfix's policy delegation protocol (SMTPD_POLICY_README): a request as the counter needs it. Pure. */
#ifndef POSTERN_RECIPIENTS_POLICY_H
#define POSTERN_RECIPIENTS_POLICY_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_REQUEST_MAX 8192 /* bytes; Postfix's own are one or two thousand */
#define POLICY_USER_MAX 128     /* with its NUL; of a longer name the first bytes count */
#define POLICY_RECIPIENTS_MAX 1000000

struct policy_request {
    union addr client;          /* AF_UNSPEC: none that is an address; the port is 0 */
    char user[POLICY_USER_MAX]; /* the SASL login, made safe for a line of the log; "": none */
    uint32_t recipients;        /* accepted for this message */
    bool whole_message; /* asked at END-OF-MESSAGE, the only place where `recipients` is all of them */
};

/*
 * The request at the beginning of n bytes. 0, and how many bytes it takes; -EAGAIN when its end is not there
 * yet; -EINVAL when it is none, and why in *ret_why. Outputs are untouched otherwise.
 */
int policy_parse(
    const char *data, size_t n, struct policy_request *ret, size_t *ret_used, const char **ret_why);

#endif
