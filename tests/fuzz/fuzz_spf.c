/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the expansion of SPF records: whatever the answers are, it comes to an end within its limits, with a
 * reason or with a list that nobody could mind, and that is read back as it was written. An input is the
 * answers, one after the other: how many records (255: it failed), and each with two bytes of its size before
 * it.
 */
#include "fuzz.h"
#include "tools/spf/expand.h"
#include "tools/spf/list.h"

#include <arpa/nameser.h>
#include <string.h>

#define RECORDS_MAX 32
#define FAILS 255
/* A record for each frame; MX and its hosts, or one host, for each other term. */
#define QUESTIONS_MAX (1 + SPF_LOOKUPS_MAX * (1 + 2 * SPF_MX_MAX))

struct input {
    const uint8_t *at, *end;
};

static unsigned take_byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

/* Copies, so that what reads past the end of a record is seen. */
static uint8_t *take_record(struct input *in, int type, int *ret_size)
{
    size_t size = type == ns_t_a ? 4 : type == ns_t_aaaa ? 16 : take_byte(in) << 8 | take_byte(in);
    size_t left = (size_t)(in->end - in->at);
    uint8_t *data = calloc(size ? size : 1, 1);
    MUST(data);
    memcpy(data, in->at, size < left ? size : left);
    in->at += size < left ? size : left;
    *ret_size = (int)size;
    return data;
}

static void answer(struct spf_expansion *e, const struct spf_question *q, struct input *in)
{
    char *data[RECORDS_MAX];
    int sizes[RECORDS_MAX];
    struct spf_answer a = {.data = data, .sizes = sizes};
    unsigned n = take_byte(in);

    MUST(q->name[0] && strlen(q->name) <= SPF_NAME_MAX);
    a.failed = n == FAILS ? "it failed" : NULL;
    a.ttl = take_byte(in) << 12;
    for (n %= RECORDS_MAX; !a.failed && a.n < n; a.n++)
        data[a.n] = (char *)take_record(in, q->type, &sizes[a.n]);
    spf_expansion_answer(e, &a);
    for (size_t i = 0; i < a.n; i++)
        free(data[i]);
}

static void check_list(const struct spf_expansion *e)
{
    struct list l = {.domain = "a.test", .ttl = spf_expansion_ttl(e), .serial = 1}, again;
    char *text = NULL, why[LIST_WHY_MAX];
    size_t size;
    FILE *out = open_memstream(&text, &size);

    MUST(out && l.ttl >= SPF_TTL_MIN && l.ttl <= SPF_TTL_MAX);
    l.set = *spf_expansion_set(e);
    MUST(!prefix_set_empty(&l.set) && !prefix_set_too_large(&l.set));
    list_print(out, &l, NULL);
    fclose(out);
    FILE *in = fmemopen(text, size, "r");
    MUST(in && list_parse(in, &again, why) == 0);
    MUST(prefix_set_same(&l.set, &again.set));
    list_done(&again);
    fclose(in);
    free(text);
}

/* The same bytes as somebody's file: read or refused. */
static void check_file(const uint8_t *data, size_t size)
{
    struct list l;
    char why[LIST_WHY_MAX];
    FILE *in = fmemopen((void *)data, size, "r");

    MUST(in);
    if (list_parse(in, &l, why) == 0)
        list_done(&l);
    fclose(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    const struct spf_question *q;
    unsigned n = 0;

    if (size == 0)
        return 0;
    check_file(data, size);
    struct spf_expansion *e = spf_expansion_new("a.test");
    while ((q = spf_expansion_question(e))) {
        MUST(n++ < QUESTIONS_MAX);
        answer(e, q, &in);
    }
    const char *why = spf_expansion_failure(e);
    if (!why)
        check_list(e);
    for (; why && *why; why++)
        MUST(*why >= ' ' && *why <= '~');
    spf_expansion_free(e);
    return 0;
}
