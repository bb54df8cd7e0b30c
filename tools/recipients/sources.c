/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places are found by chains over a seeded hash. A newcomer to a full table takes the place of whoever has
 * the lowest rank, and the rank with it: that is what makes the bound. Its meter begins at nothing, so that
 * nobody is blamed for another. The ranks stand in an array of their own: looking for the lowest is one pass
 * over it, a few microseconds, and happens once for a message of a stranger at most.
 */
#include "sources.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define NOBODY UINT32_MAX

const char *const source_class_names[CLASSES] = {
    [CLASS_CLIENT] = "client",
    [CLASS_USER] = "user",
    [CLASS_TOTAL] = "total",
};

int sources_init(struct sources *t, uint32_t capacity, uint64_t seed)
{
    *t = (struct sources){
        .items = calloc(capacity, sizeof(*t->items)),
        .ranks = calloc(capacity, sizeof(*t->ranks)),
        .heads = malloc(capacity * sizeof(*t->heads)),
        .capacity = capacity,
        .seed = seed,
    };
    if (!t->items || !t->ranks || !t->heads) {
        sources_done(t);
        return -ENOMEM;
    }
    memset(t->heads, 0xff, capacity * sizeof(*t->heads));
    return 0;
}

void sources_done(struct sources *t)
{
    free(t->items);
    free(t->ranks);
    free(t->heads);
    *t = (struct sources){0};
}

static uint32_t *head_of(const struct sources *t, const char *name)
{
    return &t->heads[XXH3_64bits_withSeed(name, strlen(name), t->seed) % t->capacity];
}

struct source *sources_find(const struct sources *t, const char *name)
{
    for (uint32_t i = *head_of(t, name); i != NOBODY; i = t->items[i].next)
        if (strcmp(t->items[i].name, name) == 0)
            return &t->items[i];
    return NULL;
}

static uint32_t lowest(const struct sources *t)
{
    uint32_t found = 0;

    for (uint32_t i = 1; i < t->n; i++)
        if (t->ranks[i] < t->ranks[found])
            found = i;
    return found;
}

struct source *sources_victim(const struct sources *t)
{
    return t->n < t->capacity ? NULL : &t->items[lowest(t)];
}

static void unchain(struct sources *t, const struct source *s)
{
    uint32_t *at = head_of(t, s->name);

    while (&t->items[*at] != s)
        at = &t->items[*at].next;
    *at = s->next;
}

struct source *sources_add(struct sources *t, const char *name)
{
    struct source *s = sources_victim(t);

    assert(strlen(name) < SOURCE_NAME_MAX);
    if (s) {
        unchain(t, s);
        t->evicted++;
    } else {
        s = &t->items[t->n++];
    }
    uint32_t *head = head_of(t, name);
    *s = (struct source){.next = *head};
    strcpy(s->name, name);
    *head = (uint32_t)(s - t->items);
    return s;
}

void sources_weigh(struct sources *t, const struct source *s, uint64_t recipients)
{
    t->ranks[s - t->items] += (double)recipients;
    t->weight += (double)recipients;
}

void sources_next_hour(struct sources *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        t->ranks[i] /= 2;
        t->items[i].growth_limit = 0;
        t->items[i].saved = false;
        meter_next_hour(&t->items[i].meter);
    }
    t->weight /= 2;
}

double sources_unseen_at_most(const struct sources *t)
{
    return t->weight / t->capacity;
}
