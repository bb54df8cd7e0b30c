/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dissolve_order.h, all interleavings: two packets on two CPUs and the daemon, or three packets, each access
 * to shared memory one step. The same lines that the program and the daemon run; sockets are numbers.
 *
 * What must hold: a packet that goes to the stack gets there before the session is dissolved, or its bytes
 * would be lost; what the daemon has taken back is not dissolved behind its back; and each session ends up
 * somewhere.
 *
 * The search: actors are coroutines that stop before each access. A run follows a schedule; the next one
 * differs in the last choice that has an alternative. What an actor does next depends only on what it has
 * read so far, so a state is the shared memory and a hash of each actor's reads; a state met before is not
 * followed again.
 */
#include "unit.h"

#include <linux/types.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static __u32 model_load(const __u32 *at);
static __u32 model_cas(__u32 *at, __u32 old, __u32 new);

#define order_load(at) model_load(at)
#define order_cas(at, old, new) model_cas(at, old, new)
#include "bpf/dissolve_order.h"

#define ACTORS 3
#define STACK_SIZE 65536
#define STEPS_MAX 120
#define STATES_MAX (1u << 22)
#define BUSY_MAX 2 /* the daemon would go on; here it comes later, or not at all */
#define START 100u /* where both directions' numbers stand */

enum mistake { NONE, NO_SECOND_LOOK, SEEN_BEFORE_SWITCHING, NO_SPOILING, PUBLISH_AFTER_LOOK, MISTAKES };

struct actor {
    void (*run)(struct actor *);
    int way;
    __u32 payload;
    bool over;
    uint64_t reads; /* hash of what it has read */
    ucontext_t context;
    char *stack;
};

static struct shared {
    __u32 state, seen[2], received[2];
    bool taken_back, lost, betrayed;
} shared;

static struct actor actors[ACTORS];
static ucontext_t scheduler;
static struct actor *now;
static enum mistake mistake;
static uint64_t *states, n_states;

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 29;
}

static void step(void)
{
    swapcontext(&now->context, &scheduler);
}

static __u32 remember(__u32 value)
{
    now->reads = mix(now->reads, value + 1);
    return value;
}

static __u32 model_load(const __u32 *at)
{
    step();
    return remember(*at);
}

static __u32 model_cas(__u32 *at, __u32 old, __u32 new)
{
    step();
    __u32 found = *at;
    if (found == old)
        *at = new;
    if (at == &shared.state && found == old && new == DISSOLVE_DISSOLVED &&shared.taken_back)
        shared.betrayed = true;
    return remember(found);
}

/* The judgement, as far as the order matters: nothing is under way, nothing is unread. The sockets are read
 * first. */
static bool is_quiet(const __u32 seen_before[2])
{
    __u32 received = order_load(&shared.received[0]);
    bool quiet = received == START && remember(shared.received[1]) == START;

    for (int way = 0; way < 2; way++) {
        __u32 seen = mistake == SEEN_BEFORE_SWITCHING ? seen_before[way] : order_load(&shared.seen[way]);
        quiet = quiet && seen == START;
    }
    return quiet;
}

/* switch_or_record() of dissolve_switch.h, with the mistakes. True: translated. */
static bool on_packet(struct actor *a)
{
    __u32 seen[2] = {0};

    if (mistake == SEEN_BEFORE_SWITCHING)
        for (int way = 0; way < 2; way++)
            seen[way] = order_load(&shared.seen[way]);
    __u32 found = order_load(&shared.state);
    if (order_is_translated(found))
        return true;
    if (found == DISSOLVE_ARMED && order_switch_begin(&shared.state) &&
        order_switch_end(&shared.state, is_quiet(seen)))
        return true;
    if (mistake == PUBLISH_AFTER_LOOK) {
        bool translated = order_spoil(&shared.state);
        order_publish(&shared.seen[a->way], START + a->payload);
        return translated;
    }
    assert_true(order_publish(&shared.seen[a->way], START + a->payload));
    if (mistake == NO_SECOND_LOOK)
        return false;
    if (mistake == NO_SPOILING)
        return order_is_translated(order_load(&shared.state));
    return order_spoil(&shared.state);
}

static void packet(struct actor *a)
{
    if (on_packet(a))
        return;
    step(); /* now the socket has it */
    if (order_is_translated(shared.state) && a->payload)
        shared.lost = true;
    shared.received[a->way] = START + a->payload;
}

/* Takes it back, as when a socket is readable; then arms once more. */
static void daemon_cancels(struct actor *a)
{
    enum order_cancelled cancelled = ORDER_BUSY;

    for (int i = 0; i < BUSY_MAX && cancelled == ORDER_BUSY; i++)
        cancelled = order_cancel(&shared.state);
    if (cancelled != ORDER_CANCELLED)
        return;
    shared.taken_back = true;
    step();
    shared.taken_back = false;
    order_arm(&shared.state);
}

static void start(unsigned low, unsigned high)
{
    struct actor *a = (struct actor *)((uintptr_t)high << 32 | low);

    a->run(a);
    a->over = true;
    swapcontext(&a->context, &scheduler);
}

#ifdef __SANITIZE_ADDRESS__
void __asan_unpoison_memory_region(void const volatile *at, size_t size);
#else
static void __asan_unpoison_memory_region(void const volatile *at, size_t size)
{
}
#endif

static void prepare(struct actor *a)
{
    uintptr_t at = (uintptr_t)a;

    a->over = false;
    a->reads = 0;
    __asan_unpoison_memory_region(a->stack, STACK_SIZE); /* of a run that was given up */
    getcontext(&a->context);
    a->context.uc_stack = (stack_t){.ss_sp = a->stack, .ss_size = STACK_SIZE};
    a->context.uc_link = NULL;
    makecontext(&a->context, (void (*)(void))start, 2, (unsigned)at, (unsigned)(at >> 32));
}

static void restart(void)
{
    shared = (struct shared){.state = DISSOLVE_ARMED, .seen = {START, START}, .received = {START, START}};
    for (int i = 0; i < ACTORS; i++)
        prepare(&actors[i]);
}

/* Whether this state was met before. */
static bool is_known(void)
{
    uint64_t hash = mix(1, (uint64_t)shared.state << 32 | (uint64_t)shared.taken_back << 1 | shared.lost);

    for (int way = 0; way < 2; way++)
        hash = mix(hash, (uint64_t)shared.seen[way] << 32 | shared.received[way]);
    for (int i = 0; i < ACTORS; i++)
        hash = mix(hash, actors[i].reads * 2 + actors[i].over);
    for (uint64_t at = hash;; at++) {
        if (states[at % STATES_MAX] == hash)
            return true;
        if (!states[at % STATES_MAX]) {
            states[at % STATES_MAX] = hash;
            assert_true(++n_states < STATES_MAX / 2);
            return false;
        }
    }
}

static void resume(struct actor *a)
{
    a->reads = mix(a->reads, 1); /* one step further */
    now = a;
    swapcontext(&scheduler, &a->context);
}

/* One run; the first `fixed` choices are given. How many choices were made. */
static unsigned run_once(unsigned char choice[STEPS_MAX], unsigned char choices[STEPS_MAX], unsigned fixed)
{
    unsigned n = 0;

    for (restart();; n++) {
        struct actor *open[ACTORS];
        unsigned char n_open = 0;

        for (int i = 0; i < ACTORS; i++)
            if (!actors[i].over)
                open[n_open++] = &actors[i];
        if (!n_open || shared.lost || shared.betrayed)
            return n;
        if (n >= fixed && is_known())
            return n;
        assert_true(n < STEPS_MAX);
        if (n >= fixed)
            choice[n] = 0;
        choices[n] = n_open;
        resume(open[choice[n]]);
    }
}

/* Whether some interleaving goes wrong. */
static bool goes_wrong(enum mistake which)
{
    unsigned char choice[STEPS_MAX], choices[STEPS_MAX];
    unsigned fixed = 0;

    mistake = which;
    n_states = 0;
    memset(states, 0, STATES_MAX * sizeof(*states));
    for (;;) {
        unsigned n = run_once(choice, choices, fixed);
        bool over = actors[0].over && actors[1].over && actors[2].over;

        if (shared.lost || shared.betrayed)
            return true;
        if (over)
            assert_true(shared.state == DISSOLVE_ARMED || shared.state == DISSOLVE_DISSOLVED);
        while (n > 0 && choice[n - 1] + 1 == choices[n - 1])
            n--;
        if (!n)
            return false;
        choice[n - 1]++;
        fixed = n;
    }
}

static void set(int i, void (*run)(struct actor *), int way, __u32 payload)
{
    actors[i].run = run;
    actors[i].way = way;
    actors[i].payload = payload;
}

/* A packet of either direction, with payload or without. */
static void set_packet(int i, unsigned kind)
{
    set(i, packet, kind & 1, kind & 2 ? 10 : 0);
}

static void two_packets_and_the_daemon(void **state)
{
    for (unsigned a = 0; a < 4; a++)
        for (unsigned b = a; b < 4; b++) {
            set_packet(0, a);
            set_packet(1, b);
            set(2, daemon_cancels, 0, 0);
            assert_false(goes_wrong(NONE));
            assert_true(n_states > 100);
        }
}

static void three_packets(void **state)
{
    static const unsigned kinds[][3] = {{0, 1, 2}, {0, 2, 3}, {2, 2, 2}, {2, 2, 3}};

    for (size_t i = 0; i < COUNT(kinds); i++) {
        for (int a = 0; a < ACTORS; a++)
            set_packet(a, kinds[i][a]);
        assert_false(goes_wrong(NONE));
        assert_true(n_states > 10000);
    }
}

static void each_mistake_is_found(void **state)
{
    for (enum mistake which = NONE + 1; which < MISTAKES; which++) {
        bool found = false;

        for (unsigned kind = 0; kind < 16 && !found; kind++) {
            set_packet(0, kind % 4);
            set_packet(1, kind / 4);
            set(2, daemon_cancels, 0, 0);
            found = goes_wrong(which);
        }
        if (!found)
            fail_msg("mistake %d does no harm", (int)which);
    }
}

static int setup(void **state)
{
    states = calloc(STATES_MAX, sizeof(*states));
    assert_non_null(states);
    for (int i = 0; i < ACTORS; i++) {
        actors[i].stack = malloc(STACK_SIZE);
        assert_non_null(actors[i].stack);
    }
    return 0;
}

static int teardown(void **state)
{
    free(states);
    for (int i = 0; i < ACTORS; i++)
        free(actors[i].stack);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_packets_and_the_daemon),
        cmocka_unit_test(three_packets),
        cmocka_unit_test(each_mistake_is_found),
    };

    return cmocka_run_group_tests_name("order of dissolving", tests, setup, teardown);
}
