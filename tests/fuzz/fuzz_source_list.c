/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes files of prefixes: every line with something in it is good or bad, what is good can be found again.
 */
#include "control/discovery/source_list.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct prefix_members members = {0};
    struct source_reading reading = {0};
    struct prefix_trie *trie;

    MUST(source_list_read((const char *)data, size, 7, &members, &reading) == 0);
    MUST(members.n == reading.good && reading.good + reading.bad <= size);
    for (size_t i = 0; i < reading.bad && i < SOURCE_BAD_SHOWN; i++) {
        MUST(reading.shown[i].line > 0 && reading.shown[i].why[0]);
        for (const char *c = reading.shown[i].why; *c; c++)
            MUST(*c >= ' ' && *c <= '~');
    }
    MUST(prefix_trie_new(members.items, members.n, &trie) == 0);
    for (size_t i = 0; i < members.n; i++) {
        union addr a = {.sa.sa_family = members.items[i].prefix.family};
        size_t len;
        const uint8_t *bytes = addr_bytes(&a, &len);
        memcpy((uint8_t *)bytes, members.items[i].prefix.bytes, len);
        MUST(prefix_trie_find(trie, &a).nearest == 7);
    }
    prefix_trie_unref(trie);
    prefix_members_done(&members);
    return 0;
}
