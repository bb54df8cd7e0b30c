/* SPDX-License-Identifier: Apache-2.0 */
/* Records of dissolved sessions for other gateways: made, judged, and made into an entry again. */
#include "unit.h"

#include "bpf/dissolve_record.h"

#include <string.h>

/* Each byte another one, but for what a record does not carry or may not. */
static struct dissolve_entry entry(void)
{
    struct dissolve_entry e;
    uint8_t *bytes = (uint8_t *)&e;

    for (size_t i = 0; i < sizeof(e); i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
    e.window_shift[0] = 0;
    e.window_shift[1] = 14;
    e.header_bytes = 28;
    e.marks = DISSOLVE_FIN(DISSOLVE_FROM_BACKEND);
    return e;
}

static struct dissolve_record record(void)
{
    struct dissolve_entry e = entry();
    struct dissolve_record r;

    memset(&r, 0xee, sizeof(r));
    dissolve_record_make(&r, &e, DISSOLVE_RECORD_SWITCHED);
    return r;
}

static void an_entry_survives_the_way_to_another_gateway(void **state)
{
    const struct dissolve_entry from = entry();
    const struct dissolve_record r = record();
    struct dissolve_entry to;
    struct dissolve_key keys[DISSOLVE_WAYS], wanted[DISSOLVE_WAYS];

    memset(&to, 0xee, sizeof(to));
    assert_true(dissolve_record_is_good(&r));
    dissolve_record_install(&r, &to, 4711, 3, 815);

    assert_int_equal(to.state, DISSOLVE_FREE); /* the caller's */
    assert_int_equal(to.generation, 4711);
    assert_int_equal(to.worker, 3);
    dissolve_keys(&from, wanted);
    dissolve_keys(&to, keys);
    assert_memory_equal(keys, wanted, sizeof(keys));
    assert_memory_equal(to.seq_delta, from.seq_delta, sizeof(to.seq_delta));
    assert_memory_equal(to.ts_delta, from.ts_delta, sizeof(to.ts_delta));
    assert_memory_equal(to.window_shift, from.window_shift, sizeof(to.window_shift));
    assert_int_equal(to.flags, from.flags);
    assert_int_equal(to.header_bytes, from.header_bytes);
    assert_int_equal(to.named_port, from.named_port);
    assert_int_equal(to.marks, from.marks);
    assert_int_equal(to.smtp_code, from.smtp_code);
    assert_int_equal(to.start_ms, from.start_ms);
    for (int way = 0; way < DISSOLVE_WAYS; way++) {
        assert_int_equal(to.way[way].session, from.way[way].session);
        assert_int_equal(to.way[way].seen, from.way[way].seen);
        assert_int_equal(to.way[way].packets, from.way[way].packets);
        assert_int_equal(to.way[way].bytes, from.way[way].bytes);
        /* Next hops are each gateway's own. */
        assert_int_equal(to.way[way].epoch, 0);
        assert_int_equal(to.way[way].last_ns, 815);
    }
}

static void only_what_can_be_installed_is_good(void **state)
{
    struct dissolve_record r = record();

    r.size--;
    assert_false(dissolve_record_is_good(&r));
    r = record();
    r.version++;
    assert_false(dissolve_record_is_good(&r));
    r = record();
    r.kind = DISSOLVE_RECORD_ENDED;
    assert_false(dissolve_record_is_good(&r));
    for (int way = 0; way < DISSOLVE_WAYS; way++) {
        r = record();
        r.window_shift[way] = 15;
        assert_false(dissolve_record_is_good(&r));
    }
}

static void the_keys_are_the_addresses_of_the_packets(void **state)
{
    const struct dissolve_entry e = entry();
    struct dissolve_key keys[DISSOLVE_WAYS];

    dissolve_keys(&e, keys);
    assert_memory_equal(&keys[DISSOLVE_FROM_CLIENT].from, &e.client, sizeof(e.client));
    assert_memory_equal(&keys[DISSOLVE_FROM_CLIENT].to, &e.vip, sizeof(e.vip));
    assert_int_equal(keys[DISSOLVE_FROM_CLIENT].from_port, e.client_port);
    assert_int_equal(keys[DISSOLVE_FROM_CLIENT].to_port, e.vip_port);
    assert_memory_equal(&keys[DISSOLVE_FROM_BACKEND].from, &e.backend, sizeof(e.backend));
    assert_memory_equal(&keys[DISSOLVE_FROM_BACKEND].to, &e.source, sizeof(e.source));
    assert_int_equal(keys[DISSOLVE_FROM_BACKEND].from_port, e.backend_port);
    assert_int_equal(keys[DISSOLVE_FROM_BACKEND].to_port, e.source_port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_survives_the_way_to_another_gateway),
        cmocka_unit_test(only_what_can_be_installed_is_good),
        cmocka_unit_test(the_keys_are_the_addresses_of_the_packets),
    };

    return cmocka_run_group_tests_name("dissolve_record", tests, NULL, NULL);
}
