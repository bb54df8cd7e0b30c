/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the cutting of an event's line into fields of the journal: each has a name that the journal takes,
 * and lies in the buffer. */
#include "fuzz.h"
#include "log_journal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char line[LOG_EVENT_BYTES], buffer[LOG_JOURNAL_BYTES];
    struct iovec fields[LOG_JOURNAL_FIELDS];
    size_t length = size < sizeof(line) - 1 ? size : sizeof(line) - 1;

    memcpy(line, data, length);
    line[length] = '\0';
    int n = log_journal_fields(line, buffer, fields);
    MUST(n >= 0 && n <= LOG_JOURNAL_FIELDS);
    for (int i = 0; i < n; i++) {
        const char *field = fields[i].iov_base;
        const char *equals = memchr(field, '=', fields[i].iov_len);
        MUST(field >= buffer && field + fields[i].iov_len <= buffer + sizeof(buffer));
        MUST(equals && equals > field + strlen("POSTERN_") && strncmp(field, "POSTERN_", 8) == 0);
        for (const char *c = field; c < equals; c++)
            MUST((*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_');
    }
    return 0;
}
