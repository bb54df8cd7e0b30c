/* SPDX-License-Identifier: Apache-2.0 */
/* One flow's decisions: each event in each mode, and a random walk against a model of two sockets and a pipe.
 */
#include "path/relay_step.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct relay_flow fresh(void)
{
    struct relay_flow f;
    relay_flow_init(&f);
    return f;
}

static void a_small_read_is_sent_and_the_next_awaited(void **state)
{
    struct relay_flow f = fresh();

    assert_int_equal(relay_step(&f, RELAY_STARTED, 0), RELAY_AWAIT_BYTES);
    assert_int_equal(relay_step(&f, RELAY_RECEIVED, 100), RELAY_SEND);
    assert_int_equal(relay_step(&f, RELAY_SENT, 100), RELAY_AWAIT_BYTES);
    assert_int_equal(f.bytes, 100);
}

static void a_short_send_waits_for_space_and_loses_nothing(void **state)
{
    struct relay_flow f = fresh();

    relay_step(&f, RELAY_RECEIVED, 100);
    assert_int_equal(relay_step(&f, RELAY_SENT, 40), RELAY_AWAIT_SPACE);
    assert_int_equal(f.offset, 40);
    assert_int_equal(f.pending, 60);
    assert_int_equal(relay_step(&f, RELAY_WRITABLE, 0), RELAY_SEND);
    assert_int_equal(relay_step(&f, RELAY_SENT, -EAGAIN), RELAY_AWAIT_SPACE);
    assert_int_equal(relay_step(&f, RELAY_WRITABLE, 0), RELAY_SEND);
    assert_int_equal(relay_step(&f, RELAY_SENT, 60), RELAY_AWAIT_BYTES);
    assert_int_equal(f.bytes, 100);
}

static void two_full_reads_turn_to_splice(void **state)
{
    struct relay_flow f = fresh();

    relay_step(&f, RELAY_RECEIVED, RELAY_BUFFER_BYTES);
    assert_int_equal(relay_step(&f, RELAY_SENT, RELAY_BUFFER_BYTES), RELAY_AWAIT_BYTES);
    relay_step(&f, RELAY_RECEIVED, RELAY_BUFFER_BYTES);
    assert_int_equal(relay_step(&f, RELAY_SENT, RELAY_BUFFER_BYTES), RELAY_TAKE_PIPE);
    assert_int_equal(relay_step(&f, RELAY_PIPE_TAKEN, 1), RELAY_FILL);
}

static void a_small_read_in_between_starts_the_count_anew(void **state)
{
    struct relay_flow f = fresh();
    static const int reads[] = {RELAY_BUFFER_BYTES, 10, RELAY_BUFFER_BYTES};

    for (size_t i = 0; i < COUNT(reads); i++) {
        relay_step(&f, RELAY_RECEIVED, reads[i]);
        assert_int_equal(relay_step(&f, RELAY_SENT, reads[i]), RELAY_AWAIT_BYTES);
    }
}

static void without_a_pipe_it_goes_on_copying(void **state)
{
    struct relay_flow f = fresh();
    assert_int_equal(relay_step(&f, RELAY_PIPE_TAKEN, 0), RELAY_AWAIT_BYTES);
    assert_int_equal(f.full_reads, 0);
}

static void a_pipe_with_bytes_waits_for_space_never_for_bytes(void **state)
{
    struct relay_flow f = fresh();

    relay_step(&f, RELAY_PIPE_TAKEN, 1);
    assert_int_equal(relay_step(&f, RELAY_FILLED, 65536), RELAY_DRAIN);
    assert_int_equal(relay_step(&f, RELAY_DRAINED, -EAGAIN), RELAY_AWAIT_SPACE);
    assert_int_equal(relay_step(&f, RELAY_WRITABLE, 0), RELAY_DRAIN);
    /* The budget ends in the middle of the pipe: what is left still goes first. */
    f.budget = 0;
    assert_int_equal(relay_step(&f, RELAY_DRAINED, 65535), RELAY_DRAIN);
    assert_int_equal(relay_step(&f, RELAY_DRAINED, -EAGAIN), RELAY_AWAIT_SPACE);
    f.budget = 0;
    assert_int_equal(relay_step(&f, RELAY_DRAINED, 1), RELAY_AWAIT_READABLE);
}

static void a_bulky_flow_that_went_quiet_copies_again(void **state)
{
    struct relay_flow f = fresh();

    relay_step(&f, RELAY_READABLE, 0);
    relay_step(&f, RELAY_FILLED, 100);
    relay_step(&f, RELAY_DRAINED, 100);
    assert_int_equal(relay_step(&f, RELAY_FILLED, -EAGAIN), RELAY_AWAIT_BYTES);

    f = fresh();
    relay_step(&f, RELAY_READABLE, 0);
    relay_step(&f, RELAY_FILLED, RELAY_BUFFER_BYTES);
    relay_step(&f, RELAY_DRAINED, RELAY_BUFFER_BYTES);
    assert_int_equal(relay_step(&f, RELAY_FILLED, -EAGAIN), RELAY_AWAIT_READABLE);
}

static void fin_is_passed_on_in_both_modes(void **state)
{
    struct relay_flow f = fresh();
    assert_int_equal(relay_step(&f, RELAY_RECEIVED, 0), RELAY_PASS_FIN);
    relay_step(&f, RELAY_READABLE, 0);
    assert_int_equal(relay_step(&f, RELAY_FILLED, 0), RELAY_PASS_FIN);
}

static void the_side_that_failed_is_named(void **state)
{
    static const struct {
        enum relay_event event;
        int result;
        enum relay_action action;
    } rows[] = {
        {RELAY_RECEIVED, -ECONNRESET, RELAY_SOURCE_FAILED},
        {RELAY_FILLED, -ETIMEDOUT, RELAY_SOURCE_FAILED},
        {RELAY_SENT, -EPIPE, RELAY_SINK_FAILED},
        {RELAY_DRAINED, -ECONNRESET, RELAY_SINK_FAILED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct relay_flow f = fresh();
        f.pending = 10;
        f.piped = 10;
        assert_int_equal(relay_step(&f, rows[i].event, rows[i].result), rows[i].action);
        assert_int_equal(f.error, -rows[i].result);
    }
}

static void an_empty_buffer_ring_is_waited_for(void **state)
{
    struct relay_flow f = fresh();
    assert_int_equal(relay_step(&f, RELAY_RECEIVED, -ENOBUFS), RELAY_AWAIT_BYTES);
}

/* A model of the world around a flow: bytes to read, space to write, both growing at random. */
struct world {
    uint64_t available, total, written;
    uint32_t space;
    bool fin, pipe;
};

static int at_most(uint64_t a, uint64_t b)
{
    return (int)(a < b ? a : b);
}

/* Carries out one action on the model; the next event and its result. False when the flow is over. */
static bool act(struct world *world, struct relay_flow *f, enum relay_action action,
    enum relay_event *ret_event, int *ret_result)
{
    int n;

    *ret_result = 0;
    switch (action) {
    case RELAY_AWAIT_BYTES:
        assert_int_equal(f->pending + f->piped, 0);
        world->pipe = false;
        *ret_event = RELAY_RECEIVED;
        *ret_result = at_most(world->available, RELAY_BUFFER_BYTES);
        world->available -= (uint64_t)*ret_result;
        return true;
    case RELAY_AWAIT_READABLE:
        assert_true(world->pipe && f->piped == 0);
        *ret_event = RELAY_READABLE;
        return true;
    case RELAY_AWAIT_SPACE:
        assert_true(f->pending + f->piped > 0);
        *ret_event = RELAY_WRITABLE;
        world->space += (uint32_t)(rand() % 100000) + 1;
        return true;
    case RELAY_SEND:
        n = at_most(f->pending, world->space);
        *ret_event = RELAY_SENT;
        break;
    case RELAY_DRAIN:
        n = at_most(f->piped, world->space);
        *ret_event = RELAY_DRAINED;
        break;
    case RELAY_TAKE_PIPE:
        world->pipe = rand() % 8 != 0;
        *ret_event = RELAY_PIPE_TAKEN;
        *ret_result = world->pipe;
        return true;
    case RELAY_FILL:
        assert_int_equal(f->piped, 0);
        n = at_most(world->available, (uint64_t)(rand() % 262144) + 1);
        world->available -= (uint64_t)n;
        *ret_event = RELAY_FILLED;
        *ret_result = n > 0 ? n : world->fin ? 0 : -EAGAIN;
        return true;
    default:
        assert_int_equal(action, RELAY_PASS_FIN);
        return false;
    }
    world->written += (uint64_t)n;
    world->space -= (uint32_t)n;
    *ret_result = n > 0 ? n : -EAGAIN;
    return true;
}

static void every_byte_passes_once_whatever_the_sockets_do(void **state)
{
    for (int seed = 0; seed < 2000; seed++) {
        struct relay_flow f = fresh();
        struct world world = {.space = 1000};
        enum relay_event event = RELAY_STARTED;
        int result = 0;
        uint64_t target = (uint64_t)(seed % 50) * 40000 + 7;

        srand((unsigned)seed);
        for (;;) {
            if (world.total < target && rand() % 3 == 0) {
                uint64_t more = (uint64_t)(rand() % 60000);
                more = more < target - world.total ? more : target - world.total;
                world.available += more;
                world.total += more;
            }
            world.fin = world.total == target;
            enum relay_action action = relay_step(&f, event, result);
            /* A wait for bytes ends when there are some, or FIN. */
            if ((action == RELAY_AWAIT_BYTES || action == RELAY_AWAIT_READABLE) && world.available == 0 &&
                !world.fin) {
                world.available += 1;
                world.total += 1;
            }
            if (!act(&world, &f, action, &event, &result))
                break;
        }
        assert_int_equal(world.written, target);
        assert_int_equal(f.bytes, target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_read_is_sent_and_the_next_awaited),
        cmocka_unit_test(a_short_send_waits_for_space_and_loses_nothing),
        cmocka_unit_test(two_full_reads_turn_to_splice),
        cmocka_unit_test(a_small_read_in_between_starts_the_count_anew),
        cmocka_unit_test(without_a_pipe_it_goes_on_copying),
        cmocka_unit_test(a_pipe_with_bytes_waits_for_space_never_for_bytes),
        cmocka_unit_test(a_bulky_flow_that_went_quiet_copies_again),
        cmocka_unit_test(fin_is_passed_on_in_both_modes),
        cmocka_unit_test(the_side_that_failed_is_named),
        cmocka_unit_test(an_empty_buffer_ring_is_waited_for),
        cmocka_unit_test(every_byte_passes_once_whatever_the_sockets_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
