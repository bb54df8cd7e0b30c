/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a test is ordered for each backend that is meant, and when the last one has ended all are told.
 * Failure paths: nobody of that name; a client that leaves: the tests go on, nobody is told. Called through
 * the table in admin_commands.c, and at the end of each test; control thread only.
 */
#include "control/admin/admin_commands.h"
#include "control/admin/admin_handlers.h"
#include "control/admin/admin_backend.h"
#include "control/checks/relay_tests.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

struct task {
    struct admin_task base;
    struct relay_waiter waiter;
    const struct admin_world *world;
    struct admin_session *session;
    struct admin_reply *reply;
    bool meant[SNAPSHOT_BACKENDS_MAX];
    bool awaited[SNAPSHOT_BACKENDS_MAX];
    uint32_t n_awaited;
};

static struct relay_tests *tests_of(const struct admin_world *w)
{
    return w->relay_tests ? *w->relay_tests : NULL;
}

/* One line for each family, in the words of the log. */
static void tell(const struct admin_world *w, uint16_t backend, struct admin_reply *reply)
{
    const struct roster *r = *w->roster;
    const struct roster_backend *b = &r->backends[backend];
    struct relay_view v;

    for (int v6 = 0; v6 < 2; v6++) {
        if (!b->member || !relay_tests_look(tests_of(w), backend, v6, &v))
            continue;
        admin_reply_print(reply, "backend=%s pool=%s clients=%s verdict=%s holds=%s", b->spec.name,
            r->pools[b->pool].name, v6 ? "ipv6" : "ipv4",
            relay_verdict_name(v.last ? v.last->verdict : RELAY_UNTESTED), relay_verdict_name(v.holds));
        if (v.last)
            admin_reply_print(reply, " at=%lld stranger=\"%s\" trusted=\"%s\" reason=\"%s\"", (long long)v.at,
                v.last->stranger.said, v.last->trusted.said, v.last->why);
        admin_reply_text(reply, "\n");
    }
}

void admin_show_relay(const struct admin_call *c)
{
    for (uint16_t i = 0; i < admin_roster(c)->n_backends; i++)
        tell(c->world, i, c->reply);
}

static void finish(struct task *t)
{
    for (uint16_t i = 0; i < SNAPSHOT_BACKENDS_MAX; i++)
        if (t->meant[i])
            tell(t->world, i, t->reply);
    relay_tests_unwait(tests_of(t->world), &t->waiter);
    admin_task_over(t->session, t->reply);
    free(t);
}

static void on_end(struct relay_waiter *waiter, uint16_t backend)
{
    struct task *t = (struct task *)((char *)waiter - offsetof(struct task, waiter));

    t->n_awaited -= t->awaited[backend];
    t->awaited[backend] = false;
    if (t->n_awaited == 0)
        finish(t);
}

/* All is told at once. */
static void go_on(struct admin_task *base)
{
}

static void drop(struct admin_task *base)
{
    struct task *t = (struct task *)base;

    relay_tests_unwait(tests_of(t->world), &t->waiter);
    free(t);
}

/* The backends that a word means: "pool/backend", "pool", or all for "". How many; 0 after saying why. */
static uint32_t choose(const struct admin_call *c, const char *word, bool meant[SNAPSHOT_BACKENDS_MAX])
{
    const struct roster *r = admin_roster(c);
    bool one = strchr(word, '/') != NULL;
    uint32_t backend = one ? admin_find_backend(c, word) : ADMIN_NOBODY, n = 0;
    int pool = one || !word[0] ? -1 : admin_find_pool(r, word, strlen(word));

    if (one && backend == ADMIN_NOBODY)
        return 0;
    for (uint16_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        meant[i] = b->member && (one ? i == backend : !word[0] || b->pool == pool);
        n += meant[i];
    }
    if (n == 0)
        admin_say(c, LOG_ERR, pool < 0 && word[0] ? "No such backend." : "There is no server.");
    return n;
}

void admin_relay_test(const struct admin_call *c)
{
    struct relay_tests *tests = tests_of(c->world);
    struct task *t = calloc(1, sizeof(*t));

    if (!tests || !t) {
        admin_say(
            c, LOG_ERR, tests ? "Out of memory." : "No tests are made any more: postern is about to end.");
        free(t);
        return;
    }
    t->base = (struct admin_task){.go_on = go_on, .drop = drop};
    t->waiter.on_end = on_end;
    t->world = c->world;
    t->session = c->session;
    t->reply = c->reply;
    if (choose(c, admin_word(c, 0), t->meant) == 0) {
        free(t);
        return;
    }
    for (uint16_t i = 0; i < SNAPSHOT_BACKENDS_MAX; i++)
        if (t->meant[i] && relay_tests_order(tests, i)) {
            t->awaited[i] = true;
            t->n_awaited++;
        }
    admin_log_change(c->session, c->text);
    admin_task_begin(c->session, &t->base);
    relay_tests_wait(tests, &t->waiter);
}
