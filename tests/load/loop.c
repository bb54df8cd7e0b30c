/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: epoll edge-triggered for descriptors, a binary heap for timers, a list of sources that want
 * to go on.
 *
 * Happy path: loop_start, loop_add for each descriptor, loop_run until somebody calls loop_stop.
 * Failure: what only a broken machine can refuse (epoll itself, memory for the heap) ends the program in
 * words. A source may be closed, or its memory reused for another descriptor, while events for it lie in the
 * batch at hand: a closed one is skipped, a reused one sees an event without a cause, which every handler
 * must tolerate. Everybody calls it, from the one thread there is.
 */
#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BATCH 256

static struct {
    int epoll_fd;
    bool stopped;
    struct source *again;
    struct timer **heap;
    uint32_t n_timers;
    uint32_t heap_room;
} loop;

static void die(const char *what)
{
    fprintf(stderr, "mailload: %s: %s\n", what, strerror(errno));
    exit(1);
}

void loop_start(void)
{
    struct rlimit limit;

    loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop.epoll_fd < 0)
        die("cannot create an epoll set");
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* what is missing shows when sockets are opened */
    }
}

uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

int loop_add(struct source *s, uint32_t events)
{
    struct epoll_event ev = {.events = events | EPOLLET, .data.ptr = s};

    s->again = false;
    return epoll_ctl(loop.epoll_fd, EPOLL_CTL_ADD, s->fd, &ev) < 0 ? -errno : 0;
}

int loop_modify(struct source *s, uint32_t events)
{
    struct epoll_event ev = {.events = events | EPOLLET, .data.ptr = s};

    return epoll_ctl(loop.epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) < 0 ? -errno : 0;
}

static void leave_again_list(struct source *s)
{
    struct source **link = &loop.again;

    while (*link && *link != s)
        link = &(*link)->again_next;
    if (*link)
        *link = s->again_next;
    s->again = false;
}

void loop_close(struct source *s)
{
    if (s->fd < 0)
        return;
    if (s->again)
        leave_again_list(s);
    close(s->fd);
    s->fd = -1;
}

void loop_again(struct source *s, uint32_t events)
{
    struct source **link = &loop.again;

    if (s->again) {
        s->again_events |= events;
        return;
    }
    s->again = true;
    s->again_events = events;
    s->again_next = NULL;
    while (*link)
        link = &(*link)->again_next;
    *link = s;
}

static void heap_put(uint32_t place, struct timer *t)
{
    loop.heap[place] = t;
    t->place = place + 1;
}

static void sift_up(uint32_t place, struct timer *t)
{
    while (place > 0 && loop.heap[(place - 1) / 2]->at_ns > t->at_ns) {
        heap_put(place, loop.heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    heap_put(place, t);
}

static void sift_down(uint32_t place, struct timer *t)
{
    for (;;) {
        uint32_t child = 2 * place + 1;

        if (child >= loop.n_timers)
            break;
        if (child + 1 < loop.n_timers && loop.heap[child + 1]->at_ns < loop.heap[child]->at_ns)
            child++;
        if (loop.heap[child]->at_ns >= t->at_ns)
            break;
        heap_put(place, loop.heap[child]);
        place = child;
    }
    heap_put(place, t);
}

void timer_cancel(struct timer *t)
{
    uint32_t place;
    struct timer *last;

    if (t->place == 0)
        return;
    place = t->place - 1;
    t->place = 0;
    last = loop.heap[--loop.n_timers];
    if (last == t)
        return;
    if (place > 0 && loop.heap[(place - 1) / 2]->at_ns > last->at_ns)
        sift_up(place, last);
    else
        sift_down(place, last);
}

void timer_set(struct timer *t, uint64_t at_ns)
{
    timer_cancel(t);
    if (loop.n_timers == loop.heap_room) {
        loop.heap_room = loop.heap_room ? 2 * loop.heap_room : 256;
        loop.heap = realloc(loop.heap, loop.heap_room * sizeof(*loop.heap));
        if (!loop.heap)
            die("no memory for timers");
    }
    t->at_ns = at_ns;
    sift_up(loop.n_timers++, t);
}

static void fire_timers(uint64_t now)
{
    while (loop.n_timers > 0 && loop.heap[0]->at_ns <= now && !loop.stopped) {
        struct timer *t = loop.heap[0];

        timer_cancel(t);
        t->fire(t);
    }
}

/* One source a turn: new events of others come between two turns of a busy one. */
static void run_first_again(void)
{
    struct source *s = loop.again;

    if (!s)
        return;
    loop.again = s->again_next;
    s->again = false;
    s->on_event(s, s->again_events);
}

static int wait_ms(uint64_t now, uint64_t deadline_ns)
{
    uint64_t until = deadline_ns;

    if (loop.again)
        return 0;
    if (loop.n_timers > 0 && loop.heap[0]->at_ns < until)
        until = loop.heap[0]->at_ns;
    if (until <= now)
        return 0;
    until = (until - now + NS_PER_MS - 1) / NS_PER_MS;
    return until > 3600000 ? 3600000 : (int)until;
}

bool loop_run(uint64_t deadline_ns)
{
    struct epoll_event events[BATCH];

    while (!loop.stopped) {
        uint64_t now = now_ns();
        int n;

        if (now >= deadline_ns)
            return false;
        n = epoll_wait(loop.epoll_fd, events, BATCH, wait_ms(now, deadline_ns));
        if (n < 0 && errno != EINTR)
            die("epoll_wait failed");
        for (int i = 0; i < n; i++) {
            struct source *s = events[i].data.ptr;

            if (s->fd >= 0)
                s->on_event(s, events[i].events);
        }
        run_first_again();
        if (loop.n_timers > 0)
            fire_timers(now_ns());
    }
    return true;
}

void loop_stop(void)
{
    loop.stopped = true;
}
