/* SPDX-License-Identifier: Apache-2.0 */
/* Two dissolved sessions by hand, one of each family: what each sends, and what its peer must get. */
#ifndef POSTERN_TESTS_DISSOLVED_H
#define POSTERN_TESTS_DISSOLVED_H

#include "segment.h"

enum { IPV4, IPV6, FAMILIES };

static const char *const ends[FAMILIES][4] = {
    {LAB_CLIENT_V4 ":4242", "203.0.113.25:25", "10.2.0.1:31000", LAB_BACKEND_V4 ":2525"},
    {"[" LAB_CLIENT_V6 "]:4242", "[2001:db8:25::25]:25", "[2001:db8:2::1]:31000",
        "[" LAB_BACKEND_V6 "]:2525"},
};
static const char *const ways[] = {"from the client", "from the backend"};

static struct dissolver d;

static inline struct dissolve_entry *dissolved_entry(int family)
{
    return &d.entries[family];
}

static inline void dissolved_again(int family)
{
    union addr a[4];

    for (int i = 0; i < 4; i++)
        a[i] = lab_addr(ends[family][i]);
    struct dissolve_entry *e = dissolver_entry(&d, (uint32_t)family, &a[0], &a[1], &a[2], &a[3]);
    e->seq_delta[0] = 0x9abcdef0;
    e->seq_delta[1] = 0x12345678;
    e->ts_delta[0] = 0xfffff000;
    e->ts_delta[1] = 0x00abcdef;
    e->window_shift[0] = 3;
    e->smtp_code = 220;
    dissolver_insert(&d, (uint32_t)family);
    order_install(&e->state);
}

static inline int dissolved_setup(void **state)
{
    lab_setup(state);
    segment_device(LAB_CLIENT_DEVICE);
    dissolver_up(&d, FAMILIES);
    for (int family = 0; family < FAMILIES; family++)
        dissolved_again(family);
    return 0;
}

static inline int dissolved_teardown(void **state)
{
    dissolver_down(&d);
    return lab_teardown(state);
}

/* A plain segment of a session; the tests change what they are about. */
static inline struct segment segment_of(int family, int way)
{
    return (struct segment){
        .from = lab_addr(ends[family][way ? 3 : 0]),
        .to = lab_addr(ends[family][way ? 2 : 1]),
        .seq = 0x01020304,
        .ack = 0xfefdfcfb,
        .window = 500,
        .payload = 33,
        .flags = FLAG_ACK,
        .hops = 64,
        .ts_value = 0x00112233,
        .ts_echo = 0xffffff00,
        .sack = 0xfefdff00,
    };
}

/* What the other end must get. */
static inline struct segment translated(int family, int way, struct segment s)
{
    const struct dissolve_entry *e = dissolved_entry(family);
    uint32_t window = (uint32_t)s.window << e->window_shift[way];

    s.from = lab_addr(ends[family][way ? 1 : 2]);
    s.to = lab_addr(ends[family][way ? 0 : 3]);
    s.seq += e->seq_delta[way];
    s.sack -= e->seq_delta[!way];
    s.ts_value += e->ts_delta[way];
    if (s.flags & FLAG_ACK) {
        s.ack -= e->seq_delta[!way];
        s.ts_echo -= e->ts_delta[!way];
    }
    if (!(s.flags & FLAG_SYN))
        s.window = (uint16_t)(window > 65535 ? 65535 : window);
    s.hops--;
    return s;
}

static inline void expect_translated(const char *what, int family, int way, const struct segment *s)
{
    struct segment after = translated(family, way, *s);
    struct bytes in = segment_write(s), out = segment_write(&after);

    segment_expect(dissolver_program(&d), what, &in, &out);
}

#define FOR_EACH_WAY(family, way)                                                                            \
    for (int family = 0; family < FAMILIES; family++)                                                        \
        for (int way = 0; way < DISSOLVE_WAYS; way++)

#define TEST(name) cmocka_unit_test_setup_teardown(name, dissolved_setup, dissolved_teardown)

#endif
