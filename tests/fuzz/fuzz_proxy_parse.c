/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of PROXY headers: the answer is the same however few bytes have come, once it is one; no
 * byte behind the header changes it; what it names is written and read again as the same.
 */
#include "base/proxy_header.h"
#include "base/proxy_parse.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_named(const struct proxy_parse *p)
{
    static const struct proxy_tlv tlv = {.value = "partners", .n = 8, .type = PROXY_TLV_FIRST};
    char header[PROXY_HEADER_MAX];
    struct proxy_parse again;

    MUST(p->client.sa.sa_family == AF_INET || p->client.sa.sa_family == AF_INET6);
    if (p->destination.sa.sa_family != p->client.sa.sa_family)
        return;
    for (int i = 0; i < 2; i++) {
        int n = i == 0 ? proxy_header_v1(&p->client, &p->destination, header)
                       : proxy_header_v2(&p->client, &p->destination, &tlv, header);
        MUST(n > 0 && proxy_parse((uint8_t *)header, (size_t)n, &again) == PROXY_PARSED_CLIENT);
        MUST(again.length == (size_t)n && again.version == i + 1);
        MUST(addr_same_host(&again.client, &p->client) && addr_port(&again.client) == addr_port(&p->client));
        MUST(addr_same_host(&again.destination, &p->destination));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_parse whole, part;
    enum proxy_parsed at_last = proxy_parse(data, size, &whole);
    size_t most = size < PROXY_PARSE_MAX ? size : PROXY_PARSE_MAX;

    MUST(size < PROXY_PARSE_MAX || at_last != PROXY_PARSED_MORE);
    MUST((at_last == PROXY_PARSED_REFUSED) == (whole.violation != PROXY_NO_VIOLATION));
    MUST(whole.length <= most);
    if (at_last == PROXY_PARSED_CLIENT)
        check_named(&whole);
    for (size_t n = 0; n < most; n++) {
        uint8_t *exact = malloc(n ? n : 1); /* so that reading past it is found */
        MUST(exact);
        memcpy(exact, data, n);
        enum proxy_parsed so_far = proxy_parse(exact, n, &part);
        free(exact);
        if (so_far == PROXY_PARSED_MORE)
            continue;
        MUST(so_far == at_last && part.length == whole.length && part.violation == whole.violation);
        MUST(so_far == PROXY_PARSED_REFUSED || n >= whole.length);
    }
    return 0;
}
