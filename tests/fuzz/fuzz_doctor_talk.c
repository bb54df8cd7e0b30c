/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes doctor's conversations: whatever a server says, in whatever pieces, bounds hold, what is said is one
 * of a few things, and the conversation ends. The first byte is the size of the pieces, the second the plan.
 */
#include "fuzz.h"
#include "tools/doctor/mta.h"
#include "tools/doctor/talk.h"

#include <string.h>

static void check(const struct talk *t)
{
    char name[sizeof(t->name)];

    MUST(t->step <= TALK_QUIT && t->say_bytes <= TALK_NOOPS_MAX * TALK_NOOP_BYTES);
    MUST(t->say_bytes < 2 || memcmp(t->say + t->say_bytes - 2, "\r\n", 2) == 0);
    MUST(t->say_bytes < 4 || memcmp(t->say, "DATA", 4) != 0);
    MUST(strlen(t->greeting) < sizeof(t->greeting) && strlen(t->last) < sizeof(t->last));
    snprintf(name, sizeof(name), "%s", t->name);
    MUST(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == strlen(name));
    MUST(!strpbrk(t->last, "\"\\\r\n"));
    MUST(mta_of(t->greeting)->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct talk t;
    struct talk_plan plan = {.host = "gw1"};

    if (size < 3)
        return 0;
    size_t piece = data[0] % 64 + 1u;
    plan.rcpt = data[1] & 1 ? "nobody@relay.example.com" : NULL;
    plan.large_bytes = data[1] & 2 ? 100u * data[1] : 0;
    talk_init(&t, &plan);
    for (size_t at = 2; at < size && !t.done; at += piece) {
        size_t give = size - at < piece ? size - at : piece;
        MUST(talk_hear(&t, (const char *)data + at, give) == t.done);
        check(&t);
        t.say_bytes = data[1] & 4 ? 0 : t.say_bytes; /* sent, or not yet */
    }
    return 0;
}
