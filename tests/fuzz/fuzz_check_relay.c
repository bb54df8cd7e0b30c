/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the conversation of the relay test: whatever a server says, it ends, never says DATA, and has an
 * answer only where RCPT was asked and answered with 2xx or 5xx. The first byte of an input says in which
 * pieces the rest comes: lines, as from a server that waits, or so many bytes.
 */
#include "control/checks/check.h"
#include "fuzz.h"

#include <string.h>

#define COMMANDS 5 /* EHLO, MAIL, RCPT, RSET, QUIT */

static const char *const commands[] = {"EHLO ", "MAIL ", "RCPT ", "RSET\r\n", "QUIT\r\n"};

/* The next command is one of those that may follow. */
static void take_command(struct check *c, size_t *next)
{
    size_t i = *next;

    if (!c->say[0])
        return;
    while (i < COMMANDS && strncmp(c->say, commands[i], strlen(commands[i])) != 0)
        i++;
    MUST(i < COMMANDS && (i == *next || i == COMMANDS - 1));
    MUST(strstr(c->say, "\r\n") == c->say + strlen(c->say) - 2);
    *next = i + 1;
    c->say[0] = '\0';
}

static void check(const struct check *c, enum check_verdict v, size_t next)
{
    MUST(!c->answered || next > 2);
    MUST(!c->accepted || c->answered);
    MUST(v == CHECK_GOES_ON || c->reason[0]);
    MUST(v == CHECK_GOES_ON || (v == CHECK_PASSED) == c->answered);
    MUST(strlen(c->reason) < sizeof(c->reason) && !strpbrk(c->reason, "\"\\\r\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct check_plan plan = {.host = "gw1", .sender = "from@here", .rcpt = "to@there"};
    static struct check c;
    size_t next = 0;

    if (size < 2)
        return 0;
    size_t piece = data[0] % 64; /* 0: lines */
    c = (struct check){.plan = &plan};
    enum check_verdict v = check_relay.begin(&c);
    for (size_t at = 1, give; at < size && v == CHECK_GOES_ON; at += give) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t line = end ? (size_t)(end - (data + at)) + 1 : size - at;
        give = piece == 0 ? line : size - at < piece ? size - at : piece;
        v = check_relay.hear(&c, (const char *)data + at, give);
        take_command(&c, &next);
        check(&c, v, next);
    }
    if (v == CHECK_GOES_ON)
        check(&c, check_relay.end(&c, "closed"), next);
    return 0;
}
