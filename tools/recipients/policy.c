/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: lines of name=value up to an empty one; the few attributes that count are picked by a table,
 * then read. All others are skipped: every version of Postfix adds some.
 *
 * Failure paths: a line without "=", a NUL, an attribute that counts given twice, another kind of request, a
 * number that is none: the request is refused as a whole. A client that is no address ("unknown", a local
 * submission) is none, but its message is. Called by server.c and the fuzzer.
 */
#include "policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum attribute { REQUEST, PROTOCOL_STATE, CLIENT_ADDRESS, SASL_USERNAME, RECIPIENT_COUNT, ATTRIBUTES };

static const char *const names[ATTRIBUTES] = {
    [REQUEST] = "request",
    [PROTOCOL_STATE] = "protocol_state",
    [CLIENT_ADDRESS] = "client_address",
    [SASL_USERNAME] = "sasl_username",
    [RECIPIENT_COUNT] = "recipient_count",
};

/* A part of the request's bytes. */
struct value {
    const char *at; /* NULL: not given */
    size_t n;
};

static bool is(struct value v, const char *text)
{
    return v.at && v.n == strlen(text) && memcmp(v.at, text, v.n) == 0;
}

/* Notes the value of a line when it is of an attribute that counts. What is wrong with it, or NULL. */
static const char *note(struct value line, struct value values[ATTRIBUTES])
{
    const char *equals = memchr(line.at, '=', line.n);

    if (!equals)
        return "a line without =";
    if (memchr(line.at, '\0', line.n))
        return "a NUL";
    struct value name = {line.at, (size_t)(equals - line.at)};
    for (unsigned i = 0; i < ATTRIBUTES; i++) {
        if (!is(name, names[i]))
            continue;
        if (values[i].at)
            return "an attribute given twice";
        values[i] = (struct value){equals + 1, line.n - name.n - 1};
    }
    return NULL;
}

static bool read_number(struct value v, uint32_t *ret)
{
    uint32_t number = 0;

    for (size_t i = 0; i < v.n; i++) {
        if (v.at[i] < '0' || v.at[i] > '9')
            return false;
        number = number * 10 + (uint32_t)(v.at[i] - '0');
        if (number > POLICY_RECIPIENTS_MAX)
            return false;
    }
    *ret = number;
    return v.n > 0;
}

static void read_client(struct value v, union addr *ret)
{
    char text[INET6_ADDRSTRLEN];
    union addr a = {0};

    if (!v.at || v.n >= sizeof(text))
        return;
    memcpy(text, v.at, v.n);
    text[v.n] = '\0';
    if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1)
        a.sa.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1)
        a.sa.sa_family = AF_INET6;
    else
        return;
    addr_unmap(&a);
    *ret = a;
}

static void read_user(struct value v, char ret[POLICY_USER_MAX])
{
    size_t n = v.at && v.n < POLICY_USER_MAX ? v.n : POLICY_USER_MAX - 1;

    for (size_t i = 0; v.at && i < n; i++) {
        unsigned char c = (unsigned char)v.at[i];
        ret[i] = c < ' ' || c == 0x7f || c == '"' || c == '\\' ? '?' : (char)c;
    }
    ret[v.at ? n : 0] = '\0';
}

/* What is wrong with the values, or NULL. */
static const char *read_values(const struct value values[ATTRIBUTES], struct policy_request *ret)
{
    struct policy_request r = {0};

    if (!is(values[REQUEST], "smtpd_access_policy"))
        return "no request=smtpd_access_policy";
    if (!values[PROTOCOL_STATE].at)
        return "no protocol_state";
    r.whole_message = is(values[PROTOCOL_STATE], "END-OF-MESSAGE");
    if (values[RECIPIENT_COUNT].at && !read_number(values[RECIPIENT_COUNT], &r.recipients))
        return "a recipient_count that is no number up to 1000000";
    if (r.whole_message && !values[RECIPIENT_COUNT].at)
        return "no recipient_count";
    read_client(values[CLIENT_ADDRESS], &r.client);
    read_user(values[SASL_USERNAME], r.user);
    *ret = r;
    return NULL;
}

int policy_parse(
    const char *data, size_t n, struct policy_request *ret, size_t *ret_used, const char **ret_why)
{
    struct value values[ATTRIBUTES] = {0};
    const char *why = NULL, *at = data;

    for (const char *end; !why && (end = memchr(at, '\n', n - (size_t)(at - data))); at = end + 1) {
        if (end > at) {
            why = note((struct value){at, (size_t)(end - at)}, values);
            continue;
        }
        why = read_values(values, ret);
        if (why)
            break;
        *ret_used = (size_t)(end + 1 - data);
        return 0;
    }
    if (!why && n < POLICY_REQUEST_MAX)
        return -EAGAIN;
    *ret_why = why ? why : "a request of more than 8192 bytes";
    return -EINVAL;
}
