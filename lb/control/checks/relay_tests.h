/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All relay tests: which backends are tested when, and what has come of it. A test asks at each address of a
 * backend, one question after the other: as a stranger, then, where that one was refused, from the trusted
 * address. Thread: control; nothing here waits.
 */
#ifndef POSTERN_CONTROL_RELAY_TESTS_H
#define POSTERN_CONTROL_RELAY_TESTS_H

#include "control/checks/relay_verdict.h"
#include "control/roster/roster.h"

#include <systemd/sd-event.h>
#include <time.h>

#define RELAY_TESTS_MAX 32 /* at a time: a few silent backends must not keep the others waiting */

struct relay_tests;

struct relay_tests_given {
    sd_event *loop;
    /* What relay_tests_verdict() tells has changed; from the loop, once for all that changed at a time. */
    void (*on_change)(void *arg);
    void *arg;
    uint64_t seed; /* of the jitter */
};

int relay_tests_new(const struct relay_tests_given *given, struct relay_tests **ret);

/*
 * Takes over who is to be tested and how, by the places of the roster, to which it refers no longer
 * afterwards. What is known of a backend holds while it stays; other questions are asked at once. 0 or
 * -ENOMEM.
 */
int relay_tests_apply(struct relay_tests *t, const struct roster *r);

/* What holds of a backend. */
enum relay_verdict relay_tests_verdict(const struct relay_tests *t, uint16_t backend);

/* One that was down is up: if it was not right, it is tested now. */
void relay_tests_wake(struct relay_tests *t, uint16_t backend);

/* One family of a backend; texts last until the loop goes on. */
struct relay_view {
    union addr address;
    enum relay_verdict holds;        /* the last conclusive one, if there was any */
    const struct relay_result *last; /* NULL: there was none yet */
    time_t at;                       /* of the last one */
};

/* False: it has no address of this family. */
bool relay_tests_look(const struct relay_tests *t, uint16_t backend, bool v6, struct relay_view *ret);

/* Somebody who wants to know of each test that ends, and of each backend that leaves. */
struct relay_waiter {
    struct relay_waiter *next;
    void (*on_end)(struct relay_waiter *w, uint16_t backend); /* may unwait itself */
};

void relay_tests_wait(struct relay_tests *t, struct relay_waiter *w);
void relay_tests_unwait(struct relay_tests *t, struct relay_waiter *w);

/* An operator wants it tested now, whatever its listeners say. False: there is no such backend. */
bool relay_tests_order(struct relay_tests *t, uint16_t backend);

/* Logs what has changed since the last call; to be called when it is in force. */
void relay_tests_tell(struct relay_tests *t);

/* Ends all tests; who waits hears of each. NULL is accepted. */
void relay_tests_free(struct relay_tests *t);

#endif
