/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of dissolved sessions: their addresses, which worker has which, and the order of their use. */
#include "path/entries.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void addresses_come_out_as_they_went_in(void **state)
{
    static const char *const cases[] = {"198.51.100.7:4242", "0.0.0.0:0", "255.255.255.255:65535",
        "[2001:db8:25::25]:25", "[::]:0", "[::1]:1", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"};

    for (size_t i = 0; i < COUNT(cases); i++) {
        union addr a;
        struct dissolve_addr stored;
        __be16 port;
        char text[ADDR_TEXT_MAX], wanted[ADDR_TEXT_MAX];

        assert_int_equal(addr_parse(cases[i], &a), 0);
        memset(&stored, 0xee, sizeof(stored));
        entry_set_addr(&a, &stored, &port);
        union addr back = entry_addr(&stored, port);
        assert_int_equal(back.sa.sa_family, a.sa.sa_family);
        assert_string_equal(addr_format(&back, text), addr_format(&a, wanted));
    }
}

static void ipv4_stands_mapped_in_network_order(void **state)
{
    static const uint8_t wanted[16] = {[10] = 0xff, 0xff, 198, 51, 100, 7};
    union addr a;
    struct dissolve_addr stored;
    __be16 port;

    assert_int_equal(addr_parse("198.51.100.7:258", &a), 0);
    entry_set_addr(&a, &stored, &port);
    assert_memory_equal(&stored, wanted, sizeof(wanted));
    assert_memory_equal(&port, "\x01\x02", 2);
}

static void every_entry_belongs_to_one_worker(void **state)
{
    static const uint32_t sizes[] = {1024, 16000, 1000003, 2000000}, workers[] = {1, 2, 3, 7, 64};

    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t j = 0; j < COUNT(workers); j++) {
            const struct dissolve_table t = {.n_entries = sizes[i]};
            uint32_t n = workers[j], share = sizes[i] / n;
            assert_int_equal(dissolve_range_first(&t, 0, n), 0);
            assert_int_equal(dissolve_range_first(&t, n, n), sizes[i]);
            for (uint32_t w = 0; w < n; w++) {
                uint32_t size = dissolve_range_first(&t, w + 1, n) - dissolve_range_first(&t, w, n);
                assert_in_range(size, share, share + 1);
            }
        }
}

static void a_worker_uses_its_own_entries_each_as_late_as_possible(void **state)
{
    enum { N = 8, WORKERS = 2, OWN = N / WORKERS };
    struct dissolve_table t = {.n_entries = N};
    struct entries e;

    t.entries = aligned_alloc(64, N * sizeof(*t.entries));
    assert_non_null(t.entries);
    memset(t.entries, 0, N * sizeof(*t.entries));
    assert_int_equal(entries_init(&e, &t, 1, WORKERS), 0);
    assert_int_equal(entries_take(&e), ENTRY_NONE); /* nobody has looked at them yet */
    for (uint32_t i = 0; i < OWN; i++)
        entries_return(&e, e.first + i);

    for (uint32_t round = 0; round < 3 * OWN; round++) {
        uint32_t index = entries_take(&e);
        assert_int_equal(index, OWN + round % OWN);
        struct dissolve_entry *entry = entry_at(&e, index);
        assert_int_equal(entry->generation, 1 + round / OWN);
        assert_int_equal(entry->marks, 0); /* whatever the one before it left */
        entry->marks = 7;
        entries_return(&e, index);
    }
    for (uint32_t i = 0; i < OWN; i++)
        assert_int_not_equal(entries_take(&e), ENTRY_NONE);
    assert_int_equal(entries_take(&e), ENTRY_NONE);
    entries_done(&e);
    free(t.entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_come_out_as_they_went_in),
        cmocka_unit_test(ipv4_stands_mapped_in_network_order),
        cmocka_unit_test(every_entry_belongs_to_one_worker),
        cmocka_unit_test(a_worker_uses_its_own_entries_each_as_late_as_possible),
    };

    return cmocka_run_group_tests_name("entries", tests, NULL, NULL);
}
