/* SPDX-License-Identifier: Apache-2.0 */
/* The tables behind dissolver.h. A failed step fails the test that runs. */
#include "dissolver.h"

#include "dissolve.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TCX_INGRESS 46
#define NOTICES_SIZE 65536
#define RECORDS_SIZE 65536

static int on_notice(void *context, void *data, size_t size)
{
    struct dissolver *d = context;

    assert_int_equal(size, sizeof(struct dissolve_notice));
    memcpy(&d->notices[d->n_notices++ % DISSOLVER_NOTICES], data, size);
    return 0;
}

static int on_record(void *context, void *data, size_t size)
{
    struct dissolver *d = context;

    assert_int_equal(size, sizeof(struct dissolve_record));
    memcpy(&d->records[d->n_records++ % DISSOLVER_NOTICES], data, size);
    return 0;
}

static void open_rings(struct dissolver *d)
{
    uint32_t worker = 0;
    int ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "notices", 0, 0, NOTICES_SIZE, NULL);

    assert_true(ring >= 0);
    assert_int_equal(
        bpf_map_update_elem(bpf_map__fd(d->bpf->maps.dissolve_notices), &worker, &ring, BPF_ANY), 0);
    d->rings = ring_buffer__new(ring, on_notice, d, NULL);
    assert_non_null(d->rings);
    assert_int_equal(ring_buffer__add(d->rings, bpf_map__fd(d->bpf->maps.dissolve_records), on_record, d), 0);
}

void dissolver_up(struct dissolver *d, uint32_t sessions)
{
    memset(d, 0, sizeof(*d));
    d->entries_size = sessions * sizeof(struct dissolve_entry);
    d->bpf = dissolve_bpf__open();
    assert_non_null(d->bpf);
    assert_int_equal(bpf_map__set_max_entries(d->bpf->maps.dissolve_entries, sessions), 0);
    assert_int_equal(bpf_map__set_max_entries(d->bpf->maps.dissolve_tuples, sessions * 2), 0);
    assert_int_equal(bpf_map__set_max_entries(d->bpf->maps.dissolve_records, RECORDS_SIZE), 0);
    assert_int_equal(dissolve_bpf__load(d->bpf), 0);
    d->entries = mmap(NULL, d->entries_size, PROT_READ | PROT_WRITE, MAP_SHARED,
        bpf_map__fd(d->bpf->maps.dissolve_entries), 0);
    assert_ptr_not_equal(d->entries, MAP_FAILED);
    d->control = mmap(NULL, sizeof(*d->control), PROT_READ | PROT_WRITE, MAP_SHARED,
        bpf_map__fd(d->bpf->maps.dissolve_control), 0);
    assert_ptr_not_equal(d->control, MAP_FAILED);
    d->control->layout = DISSOLVE_LAYOUT;
    d->control->route_epoch = 1;
    d->control->export_records = 1;
    open_rings(d);
}

void dissolver_down(struct dissolver *d)
{
    for (unsigned i = 0; i < d->n_links; i++)
        close(d->links[i]);
    ring_buffer__free(d->rings);
    munmap(d->entries, d->entries_size);
    munmap(d->control, sizeof(*d->control));
    dissolve_bpf__destroy(d->bpf);
    memset(d, 0, sizeof(*d));
}

void dissolver_attach(struct dissolver *d, const char *device)
{
    assert_true(d->n_links < COUNT(d->links));
    int link = bpf_link_create(
        dissolver_program(d), (int)if_nametoindex(device), (enum bpf_attach_type)TCX_INGRESS, NULL);
    assert_true(link >= 0);
    d->links[d->n_links++] = link;
}

int dissolver_program(const struct dissolver *d)
{
    return bpf_program__fd(d->bpf->progs.dissolve);
}

int dissolver_alive(const struct dissolver *d)
{
    return bpf_map__fd(d->bpf->maps.dissolve_alive);
}

static struct dissolve_addr mapped(const union addr *addr)
{
    struct dissolve_addr a = {.word = {0, 0, htonl(0xffff), addr->v4.sin_addr.s_addr}};

    if (addr->v4.sin_family == AF_INET6)
        memcpy(&a, &addr->v6.sin6_addr, sizeof(a));
    return a;
}

struct dissolve_entry *dissolver_entry(struct dissolver *d, uint32_t index, const union addr *client,
    const union addr *vip, const union addr *source, const union addr *backend)
{
    struct dissolve_entry *e = &d->entries[index];
    uint32_t generation = e->generation + 1;

    *e = (struct dissolve_entry){.generation = generation};
    e->client = mapped(client);
    e->vip = mapped(vip);
    e->source = mapped(source);
    e->backend = mapped(backend);
    e->client_port = htons(addr_port(client));
    e->vip_port = htons(addr_port(vip));
    e->source_port = htons(addr_port(source));
    e->backend_port = htons(addr_port(backend));
    return e;
}

void dissolver_insert(struct dissolver *d, uint32_t index)
{
    struct dissolve_key keys[DISSOLVE_WAYS];
    struct dissolve_ref refs[DISSOLVE_WAYS];
    uint32_t n = DISSOLVE_WAYS;

    dissolve_keys(&d->entries[index], keys);
    for (unsigned way = 0; way < DISSOLVE_WAYS; way++)
        refs[way] = (struct dissolve_ref){DISSOLVE_REF(index, way), d->entries[index].generation};
    assert_int_equal(
        bpf_map_update_batch(bpf_map__fd(d->bpf->maps.dissolve_tuples), keys, refs, &n, NULL), 0);
    assert_int_equal(n, DISSOLVE_WAYS);
}

void dissolver_delete(struct dissolver *d, uint32_t index)
{
    struct dissolve_key keys[DISSOLVE_WAYS];
    uint32_t n = DISSOLVE_WAYS;

    dissolve_keys(&d->entries[index], keys);
    assert_int_equal(bpf_map_delete_batch(bpf_map__fd(d->bpf->maps.dissolve_tuples), keys, &n, NULL), 0);
}

uint64_t dissolver_count(const struct dissolver *d, enum dissolve_reason which)
{
    uint32_t key = which;
    uint64_t values[64] = {0}, sum = 0;
    int cpus = libbpf_num_possible_cpus();

    assert_in_range(cpus, 1, COUNT(values));
    assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(d->bpf->maps.dissolve_counters), &key, values), 0);
    for (int i = 0; i < cpus; i++)
        sum += values[i];
    return sum;
}

const char *dissolver_reason(uint32_t which)
{
    static const char *const names[] = {
#define X(name, kind, text) #name,
#include "bpf/dissolve_reasons.def"
#undef X
    };

    return which < COUNT(names) ? names[which] : "?";
}

static uint64_t memory_of(const struct bpf_map *map)
{
    char path[64], line[128];
    unsigned long long bytes = 0;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bpf_map__fd(map));
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (bytes == 0 && fgets(line, sizeof(line), f))
        (void)sscanf(line, "memlock: %llu", &bytes);
    fclose(f);
    return bytes;
}

uint64_t dissolver_memory(const struct dissolver *d)
{
    return memory_of(d->bpf->maps.dissolve_entries) + memory_of(d->bpf->maps.dissolve_tuples);
}

void dissolver_read(struct dissolver *d)
{
    assert_true(ring_buffer__consume(d->rings) >= 0);
}

int dissolver_poll_fd(const struct dissolver *d)
{
    return ring_buffer__epoll_fd(d->rings);
}
