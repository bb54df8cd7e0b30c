/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes lines of a state file: what is read is in bounds, and is read again from what is written of it. */
#include "control/roster/server_state.h"
#include "fuzz.h"

#include <string.h>

static bool read_line(const char *text, size_t n, struct server_state *ret)
{
    char *line = malloc(n + 1);

    MUST(line);
    memcpy(line, text, n);
    line[n] = '\0';
    bool good = !server_state_parse(line, ret);
    free(line);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct server_seen seen = {.pool_id = 3, .id = 1};
    struct server_state s, again;
    struct admin_reply out = {0};

    if (memchr(data, '\0', size) || !read_line((const char *)data, size, &s))
        return 0;
    MUST(s.value[OVERRIDE_WEIGHT] <= SNAPSHOT_WEIGHT_MAX &&
         s.configured[OVERRIDE_WEIGHT] <= SNAPSHOT_WEIGHT_MAX);
    MUST(s.value[OVERRIDE_STATE] <= BACKEND_MAINT && s.configured[OVERRIDE_STATE] <= BACKEND_MAINT);
    MUST(s.v4.sa.sa_family == AF_INET || s.v6.sa.sa_family == AF_INET6);
    server_state_write(&out, &s, &seen);
    MUST(!out.cut && out.text[out.n - 1] == '\n' && !memchr(out.text, '\n', out.n - 1));
    MUST(read_line(out.text, out.n - 1, &again));
    MUST(strcmp(s.pool, again.pool) == 0 && strcmp(s.name, again.name) == 0);
    MUST(memcmp(s.value, again.value, sizeof(s.value)) == 0);
    admin_reply_done(&out);
    return 0;
}
