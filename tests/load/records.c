/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two halves of what will carry dissolved sessions between gateways (bpf/dissolve_record.h), without the
 * network in between:
 *   records save DIRECTORY      writes the records of the table pinned there to standard output as they come,
 *                               after "ready" on standard error, until SIGTERM
 *   records install DIRECTORY   makes entries of the records on standard input, in a table that no daemon has
 *                               open; says how many became entries, had ended, and could not be installed
 * Status 1, and a line on standard error, when anything fails.
 */
#include "bpf/dissolve_order.h"
#include "bpf/dissolve_record.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 100

static volatile sig_atomic_t ended;

static void die(const char *what)
{
    fprintf(stderr, "records: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_map(const char *directory, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = bpf_obj_get(path);
    if (fd < 0)
        die(path);
    return fd;
}

static void *map_memory(int fd, size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        die("mmap");
    return at;
}

/* ---- save ---- */

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

static int write_record(void *context, void *data, size_t size)
{
    (void)context;
    if (write(STDOUT_FILENO, data, size) != (ssize_t)size)
        die("write");
    return 0;
}

static void save(const char *directory)
{
    const struct sigaction action = {.sa_handler = on_end};
    struct ring_buffer *ring =
        ring_buffer__new(open_map(directory, "dissolve_records"), write_record, NULL, NULL);
    struct dissolve_control *control =
        map_memory(open_map(directory, "dissolve_control"), sizeof(struct dissolve_control));

    if (!ring)
        die("ring buffer");
    sigaction(SIGTERM, &action, NULL);
    __atomic_store_n(&control->export_records, 1, __ATOMIC_RELEASE);
    fprintf(stderr, "ready\n");
    while (!ended)
        if (ring_buffer__poll(ring, WAIT_MS) < 0 && errno != EINTR)
            die("poll");
    __atomic_store_n(&control->export_records, 0, __ATOMIC_RELEASE);
    if (ring_buffer__consume(ring) < 0)
        die("ring buffer");
    ring_buffer__free(ring);
}

/* ---- install ---- */

struct table {
    struct dissolve_entry *entries;
    uint32_t n, next; /* next: none below is free */
    int tuples;
    unsigned installed, ended, refused;
};

static void open_table(struct table *t, const char *directory)
{
    struct bpf_map_info info = {0};
    uint32_t size = sizeof(info);
    int fd = open_map(directory, "dissolve_entries");

    if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
        die("dissolve_entries");
    if (info.value_size != sizeof(struct dissolve_entry)) {
        errno = EINVAL;
        die("dissolve_entries");
    }
    *t = (struct table){.n = info.max_entries, .tuples = open_map(directory, "dissolve_tuples")};
    t->entries = map_memory(fd, (size_t)t->n * sizeof(struct dissolve_entry));
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool insert_tuples(const struct table *t, uint32_t index)
{
    struct dissolve_key keys[DISSOLVE_WAYS];

    dissolve_keys(&t->entries[index], keys);
    for (uint32_t way = 0; way < DISSOLVE_WAYS; way++) {
        struct dissolve_ref ref = {DISSOLVE_REF(index, way), t->entries[index].generation};
        if (bpf_map_update_elem(t->tuples, &keys[way], &ref, BPF_NOEXIST) == 0)
            continue;
        if (way > 0)
            (void)bpf_map_delete_elem(t->tuples, &keys[0]);
        return false;
    }
    return true;
}

static void install_one(struct table *t, const struct dissolve_record *r)
{
    while (t->next < t->n && order_load(&t->entries[t->next].state) != DISSOLVE_FREE)
        t->next++;
    if (!dissolve_record_is_good(r) || t->next == t->n) {
        t->refused++;
        return;
    }
    struct dissolve_entry *e = &t->entries[t->next];
    dissolve_record_install(r, e, e->generation + 1, 0, now_ns());
    order_install(&e->state);
    if (insert_tuples(t, t->next)) {
        t->installed++;
        return;
    }
    order_free(&e->state); /* another session has the tuple */
    t->refused++;
}

/* The session of this record, if it has been installed before. */
static void remove_one(struct table *t, const struct dissolve_record *r)
{
    struct dissolve_key keys[DISSOLVE_WAYS];
    struct dissolve_entry ended_one;
    struct dissolve_ref ref;

    dissolve_record_install(r, &ended_one, 0, 0, 0);
    dissolve_keys(&ended_one, keys);
    if (bpf_map_lookup_elem(t->tuples, &keys[DISSOLVE_FROM_CLIENT], &ref) < 0)
        return;
    uint32_t index = ref.index_way >> 1;
    struct dissolve_entry *e = &t->entries[index];
    if (e->way[0].session != r->session[0] || e->way[1].session != r->session[1])
        return;
    for (int way = 0; way < DISSOLVE_WAYS; way++)
        (void)bpf_map_delete_elem(t->tuples, &keys[way]);
    order_free(&e->state);
    t->next = index < t->next ? index : t->next;
    t->installed--;
    t->ended++;
}

static void install(const char *directory)
{
    struct dissolve_record r;
    struct table t;
    size_t n;

    open_table(&t, directory);
    while ((n = fread(&r, 1, sizeof(r), stdin)) == sizeof(r)) {
        if (r.kind == DISSOLVE_RECORD_ENDED && r.version == DISSOLVE_RECORD_VERSION)
            remove_one(&t, &r);
        else
            install_one(&t, &r);
    }
    if (n != 0 || ferror(stdin))
        die("the input ends within a record");
    printf("{\"installed\": %u, \"ended\": %u, \"refused\": %u}\n", t.installed, t.ended, t.refused);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "save") == 0)
        save(argv[2]);
    else if (argc == 3 && strcmp(argv[1], "install") == 0)
        install(argv[2]);
    else
        return fprintf(stderr, "usage: records save|install DIRECTORY\n"), 2;
    return 0;
}
