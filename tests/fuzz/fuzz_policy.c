/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the questions of Postfix: any bytes are a request, the beginning of one, or none; what is read is in
 * bounds, and a beginning is never judged otherwise than the whole. */
#include "fuzz.h"
#include "policy.h"

#include <errno.h>
#include <string.h>

static void check(const struct policy_request *r)
{
    sa_family_t family = r->client.sa.sa_family;

    MUST(family == AF_UNSPEC || family == AF_INET || family == AF_INET6);
    MUST(r->recipients <= POLICY_RECIPIENTS_MAX);
    MUST(memchr(r->user, '\0', sizeof(r->user)));
    for (const unsigned char *c = (const unsigned char *)r->user; *c; c++)
        MUST(*c >= ' ' && *c != 0x7f && *c != '"' && *c != '\\');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *why = NULL;
    struct policy_request r = {0}, again = {0};
    size_t used = 0, used_again = 0;

    int error = policy_parse(text, size, &r, &used, &why);
    MUST(error == 0 || error == -EAGAIN || error == -EINVAL);
    MUST((error == -EINVAL) == (why != NULL));
    MUST(error != -EAGAIN || size < POLICY_REQUEST_MAX);
    if (error)
        return 0;
    MUST(used > 0 && used <= size && text[used - 1] == '\n');
    check(&r);
    MUST(policy_parse(text, used, &again, &used_again, &why) == 0 && used_again == used);
    MUST(memcmp(&r, &again, sizeof(r)) == 0);
    if (used <= POLICY_REQUEST_MAX)
        MUST(policy_parse(text, used - 1, &again, &used_again, &why) == -EAGAIN);
    return 0;
}
