/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How sessions ended, for clients that cannot see it themselves (WATCH), and which client addresses have
 * come.
 *
 * Happy path: every ended session goes into a ring of the last 65536, found by its client's address and port;
 * a WATCH is answered from the ring, or waits up to two seconds for the end. Failure: `250 none` when none
 * came. A client tuple that is used again: its newest end counts.
 */
#include "serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENDED_MAX 65536u
#define WATCH_NS (2 * NS_PER_S)

struct ended {
    union endpoint client;
    enum session_end end;
    uint64_t at_ns;
    uint64_t after_fin;
    uint64_t hash;
    uint32_t older; /* of the same hash chain, plus one; may be overwritten since */
};

struct watch {
    struct timer timer; /* first: it is found by it */
    struct watch *next, **link;
    struct conn *conn;
    union endpoint client;
};

static struct ended *ended; /* a ring */
static uint32_t n_ended;
static uint32_t heads[ENDED_MAX]; /* newest of a hash chain, plus one */
static struct watch *watches;

static bool same_endpoint(const union endpoint *a, const union endpoint *b)
{
    return endpoint_same_host(a, b) && endpoint_port(a) == endpoint_port(b);
}

static void *must_have(void *memory)
{
    if (!memory) {
        fprintf(stderr, "mailload: no memory to remember clients\n");
        exit(1);
    }
    return memory;
}

static void answer(struct conn *conn, const struct ended *e)
{
    char client[ENDPOINT_TEXT_MAX], text[160], hash[HASH_TEXT_MAX];
    int len = snprintf(text, sizeof(text), "250 %s %llu %s %llu %s\r\n",
        e->end == END_RESET ? "reset" : "fin", (unsigned long long)((now_ns() - e->at_ns) / NS_PER_MS),
        endpoint_format(&e->client, client), (unsigned long long)e->after_fin, hash_format(e->hash, hash));

    conn_send(conn, text, (size_t)len);
}

static void watch_free(struct watch *w)
{
    timer_cancel(&w->timer);
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    free(w);
}

void watch_ended(const union endpoint *client, enum session_end end, uint64_t after_fin, uint64_t hash)
{
    uint32_t chain = endpoint_hash(client, true) % ENDED_MAX;
    uint32_t place = n_ended++ % ENDED_MAX;

    if (!ended)
        ended = must_have(calloc(ENDED_MAX, sizeof(*ended)));
    ended[place] = (struct ended){*client, end, now_ns(), after_fin, hash, heads[chain]};
    heads[chain] = place + 1;
    for (struct watch *w = watches, *next; w; w = next) {
        next = w->next;
        if (!same_endpoint(&w->client, client))
            continue;
        answer(w->conn, &ended[place]);
        watch_free(w);
    }
}

static struct ended *find_ended(const union endpoint *client)
{
    uint32_t place = heads[endpoint_hash(client, true) % ENDED_MAX];

    for (int i = 0; ended && place > 0 && i < 64; i++) {
        struct ended *e = &ended[place - 1];

        if (same_endpoint(&e->client, client))
            return e;
        place = e->older;
    }
    return NULL;
}

void watch_started(const union endpoint *client)
{
    struct ended *e = find_ended(client);

    if (e)
        memset(&e->client, 0, sizeof(e->client)); /* another session had this tuple */
}

static void on_watch_timer(struct timer *t)
{
    struct watch *w = (struct watch *)t;
    char client[ENDPOINT_TEXT_MAX], text[96];
    int len = snprintf(text, sizeof(text), "250 none 2000 %s\r\n", endpoint_format(&w->client, client));

    conn_send(w->conn, text, (size_t)len);
    watch_free(w);
}

void watch_begin(struct conn *conn, const union endpoint *client)
{
    const struct ended *e = find_ended(client);
    struct watch *w;

    if (e) {
        answer(conn, e);
        return;
    }
    w = must_have(calloc(1, sizeof(*w)));
    w->conn = conn;
    w->client = *client;
    w->timer.fire = on_watch_timer;
    w->next = watches;
    w->link = &watches;
    if (watches)
        watches->link = &w->next;
    watches = w;
    timer_set(&w->timer, now_ns() + WATCH_NS);
}

void watch_forget(const struct conn *conn)
{
    for (struct watch *w = watches, *next; w; w = next) {
        next = w->next;
        if (w->conn == conn)
            watch_free(w);
    }
}

/* An open-addressed set of addresses that doubles when half full. */
static union endpoint *seen;
static uint32_t n_seen, seen_room;

static bool seen_insert(const union endpoint *client)
{
    uint32_t place = endpoint_hash(client, false) & (seen_room - 1);

    while (seen[place].sa.sa_family != AF_UNSPEC) {
        if (endpoint_same_host(&seen[place], client))
            return false;
        place = (place + 1) & (seen_room - 1);
    }
    seen[place] = *client;
    return true;
}

void clients_saw(const union endpoint *client)
{
    if (2 * (n_seen + 1) > seen_room) {
        union endpoint *old = seen;
        uint32_t old_room = seen_room;

        seen_room = seen_room ? 2 * seen_room : 4096;
        seen = must_have(calloc(seen_room, sizeof(*seen)));
        for (uint32_t i = 0; i < old_room; i++)
            if (old[i].sa.sa_family != AF_UNSPEC)
                seen_insert(&old[i]);
        free(old);
    }
    n_seen += seen_insert(client);
}

uint32_t clients_distinct(void)
{
    return n_seen;
}
