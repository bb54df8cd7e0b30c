/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the file in which the past of sources lasts: what is believed is written again as it was read, and
 * goes on counting. */
#include "control/watch/source_history.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct source_history first, again;
    json_t *document = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);

    if (!document || source_history_read(document, &first)) {
        json_decref(document);
        return 0;
    }
    json_t *written = source_history_write(&first);
    MUST(written && source_history_read(written, &again) == NULL);
    MUST(memcmp(&first, &again, sizeof(first)) == 0);
    for (uint32_t i = 0; i < first.n; i++) {
        struct source_past *p = &first.classes[i];
        (void)source_history_count(p, 7, p->hour * HISTORY_HOUR_S);
        (void)source_history_count(p, UINT32_MAX, (p->hour + 3) * HISTORY_HOUR_S);
        (void)source_history_count(p, 7, 1);
        MUST(source_history_usual(p) >= -1 && p->hour == 0);
    }
    json_decref(written);
    json_decref(document);
    return 0;
}
