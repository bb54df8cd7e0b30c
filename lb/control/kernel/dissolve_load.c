/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: pins found or made -> program loaded over the pinned maps -> entries mapped; then
 * dissolve_take: a notice ring for each worker -> links: those pinned get the program just loaded; then
 * dissolve_follow: interfaces without one get a link. Until dissolve_take another process may be at the same
 * table.
 *
 * Failure paths: nothing that was pinned before is ever removed on the way up, for sessions live there; a
 * directory that this run has made is. One line for the operator.
 *
 * The directory is named after the layout of bpf/dissolve_abi.h and the size of the table: a daemon that
 * wants another one leaves the old sessions to their own program and starts a table beside.
 */
#include "control/kernel/dissolve_load.h"

#include "bpf/dissolve_reasons.h"
#include "control/kernel/bpf_load.h"
#include "control/kernel/pins.h"
#include "control/kernel/tcx_links.h"
#include "dissolve.skel.h"
#include "log.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENTRIES_PER_SESSION 2 /* those that have ended stay for some seconds */
#define ENTRIES_MIN 1024u
#define ENTRIES_BATCH 128 /* on the stack: 32 KiB */
#define NOTICES_BYTES (256 * 1024)

struct dissolve {
    const struct snapshot *snapshot;
    struct pins pins;
    struct dissolve_bpf *skeleton; /* NULL: no pool wants it, and nothing is pinned */
    struct dissolve_table table;
    struct dissolve_control *control;
    int link_fd[TCX_INTERFACES_MAX];
    int link_ifindex[TCX_INTERFACES_MAX];
    uint32_t n_links;
    bool fresh; /* this run has made the directory, and nobody was at the table yet */
};

static uint32_t table_size(const struct snapshot *s)
{
    uint32_t n = ENTRIES_PER_SESSION * s->max_sessions;
    return n < ENTRIES_MIN ? ENTRIES_MIN : n;
}

int dissolve_pins(const struct snapshot *s, struct pins *ret)
{
    char layout[32];
    snprintf(layout, sizeof(layout), "v%u-%u", DISSOLVE_LAYOUT, table_size(s));
    return pins_init(ret, layout);
}

static bool is_wanted(const struct snapshot *s, const struct pins *p)
{
    for (uint32_t i = 0; i < s->n_pools; i++)
        if (s->pools[i].dissolve)
            return true;
    return access(p->directory, F_OK) == 0;
}

/* ---- loading ----------------------------------------------------------------------------------------- */

static int set_up_maps(struct dissolve *d)
{
    char path[PINS_PATH_MAX];
    struct bpf_map *map;
    int error = bpf_map__set_max_entries(d->skeleton->maps.dissolve_entries, d->table.n_entries);

    if (!error)
        error =
            bpf_map__set_max_entries(d->skeleton->maps.dissolve_tuples, DISSOLVE_WAYS * d->table.n_entries);
    bpf_object__for_each_map(map, d->skeleton->obj)
    {
        if (error || bpf_map__is_internal(map))
            continue;
        pins_path(&d->pins, bpf_map__name(map), path);
        error = bpf_map__set_pin_path(map, path);
    }
    return error;
}

static int load_program(struct dissolve *d)
{
    d->skeleton = dissolve_bpf__open();
    if (!d->skeleton)
        return -errno;
    int error = set_up_maps(d);
    return error ? error : dissolve_bpf__load(d->skeleton);
}

static int make_notice_rings(struct dissolve *d, uint32_t workers)
{
    for (uint32_t i = 0; i < workers; i++) {
        int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "dissolve_ring", 0, 0, NOTICES_BYTES, NULL);
        if (fd < 0)
            return -errno;
        d->table.notices_fd[i] = fd;
    }
    return 0;
}

/* From now on the program's notices come to us. */
static int put_notice_rings(struct dissolve *d)
{
    int outer = bpf_map__fd(d->skeleton->maps.dissolve_notices);

    for (uint32_t i = 0; i < DISSOLVE_WORKERS_MAX && d->table.notices_fd[i] >= 0; i++)
        if (bpf_map_update_elem(outer, &i, &d->table.notices_fd[i], BPF_ANY))
            return -errno;
    return 0;
}

static void *map_memory(const struct bpf_map *map, size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
    return p == MAP_FAILED ? NULL : p;
}

static size_t entries_bytes(const struct dissolve *d)
{
    return d->table.n_entries * sizeof(struct dissolve_entry);
}

static int open_table(struct dissolve *d)
{
    int error = make_notice_rings(d, d->snapshot->workers);

    if (error)
        return error;
    d->table.tuples_fd = bpf_map__fd(d->skeleton->maps.dissolve_tuples);
    d->control = map_memory(d->skeleton->maps.dissolve_control, sizeof(*d->control));
    d->table.entries = map_memory(d->skeleton->maps.dissolve_entries, entries_bytes(d));
    if (!d->table.entries || !d->control)
        return -ENOMEM;
    d->control->layout = DISSOLVE_LAYOUT;
    return 0;
}

/* ---- links ------------------------------------------------------------------------------------------- */

static void keep_link(struct dissolve *d, int ifindex, int fd)
{
    d->link_ifindex[d->n_links] = ifindex;
    d->link_fd[d->n_links++] = fd;
}

static bool has_link(const struct dissolve *d, int ifindex)
{
    for (uint32_t i = 0; i < d->n_links; i++)
        if (d->link_ifindex[i] == ifindex)
            return true;
    return false;
}

/* A link that an earlier run has pinned goes on with the program that was loaded now. */
static int take_pinned_link(const char *name, void *arg)
{
    struct dissolve *d = arg;
    char path[PINS_PATH_MAX];
    int ifindex = 0;

    if (sscanf(name, PINS_LINK "%d", &ifindex) != 1 || d->n_links == TCX_INTERFACES_MAX ||
        has_link(d, ifindex))
        return 0;
    pins_path(&d->pins, name, path);
    int fd = bpf_obj_get(path);
    if (fd >= 0 && tcx_link_is_at(fd, ifindex) &&
        bpf_link_update(fd, bpf_program__fd(d->skeleton->progs.dissolve), NULL) == 0) {
        keep_link(d, ifindex, fd);
        return 0;
    }
    if (fd >= 0)
        close(fd);
    pins_remove_one(&d->pins, name);
    return 0;
}

static int attach(struct dissolve *d, int ifindex)
{
    char name[32], path[PINS_PATH_MAX];

    if (d->n_links == TCX_INTERFACES_MAX)
        return -ENOSPC;
    int fd = bpf_link_create(
        bpf_program__fd(d->skeleton->progs.dissolve), ifindex, (enum bpf_attach_type)TCX_INGRESS, NULL);
    if (fd < 0)
        return -errno;
    snprintf(name, sizeof(name), PINS_LINK "%d", ifindex);
    pins_path(&d->pins, name, path);
    pins_remove_one(&d->pins, name);
    if (bpf_obj_pin(fd, path) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    keep_link(d, ifindex, fd);
    return 0;
}

static void drop_dead_links(struct dissolve *d)
{
    char name[32];

    for (uint32_t i = 0; i < d->n_links;) {
        if (tcx_link_is_at(d->link_fd[i], d->link_ifindex[i])) {
            i++;
            continue;
        }
        snprintf(name, sizeof(name), PINS_LINK "%d", d->link_ifindex[i]);
        pins_remove_one(&d->pins, name);
        close(d->link_fd[i]);
        d->n_links--;
        d->link_fd[i] = d->link_fd[d->n_links];
        d->link_ifindex[i] = d->link_ifindex[d->n_links];
    }
}

static int attach_missing(int ifindex, const char *name, void *arg)
{
    struct dissolve *d = arg;

    if (has_link(d, ifindex))
        return 0;
    int error = attach(d, ifindex);
    if (error == -ENODEV)
        return 0; /* gone meanwhile: a report is on its way */
    if (error)
        log_event(LOG_LEVEL_ERROR, "dissolve_failed", "interface=%s error=\"%s\"", name, strerror(-error));
    return error;
}

/* ---- paths to the backends --------------------------------------------------------------------------- */

/* The kernel's path MTU to an address, or 0. */
static int path_mtu(const union addr *to)
{
    bool v6 = to->sa.sa_family == AF_INET6;
    int mtu = 0;
    socklen_t length = sizeof(mtu);
    int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return 0;
    if (connect(fd, &to->sa, addr_len(to)) < 0 ||
        getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &length) < 0)
        mtu = 0;
    close(fd);
    return mtu;
}

static void follow_path_mtu(struct dissolve *d)
{
    static const int headers[2] = {40, 60};
    int least[2] = {0, 0};

    for (uint32_t i = 0; i < d->snapshot->n_backends; i++) {
        const struct snapshot_backend *b = &d->snapshot->backends[i];
        for (int v6 = 0; v6 < 2; v6++) {
            const union addr *a = snapshot_backend_addr(b, v6 ? AF_INET6 : AF_INET);
            int mtu = a && d->snapshot->pools[b->pool].dissolve ? path_mtu(a) : 0;
            if (mtu > headers[v6] && (least[v6] == 0 || mtu < least[v6]))
                least[v6] = mtu;
        }
    }
    for (int v6 = 0; v6 < 2; v6++) {
        int mss = least[v6] > UINT16_MAX ? UINT16_MAX : least[v6];
        atomic_store_explicit(
            &d->table.mss[v6], (uint16_t)(mss ? mss - headers[v6] : 0), memory_order_relaxed);
    }
}

uint16_t dissolve_mss(const struct dissolve *d, int v6)
{
    return atomic_load_explicit(&d->table.mss[v6], memory_order_relaxed);
}

int dissolve_follow(struct dissolve *d)
{
    if (!d->skeleton)
        return 0;
    drop_dead_links(d);
    int error = tcx_each_interface(attach_missing, d);
    follow_path_mtu(d);
    uint32_t epoch = d->control->route_epoch + 1;
    __atomic_store_n(&d->control->route_epoch, epoch ? epoch : 1, __ATOMIC_RELEASE);
    return error;
}

void dissolve_change(struct dissolve *d, const struct snapshot *s)
{
    d->snapshot = s;
    follow_path_mtu(d);
}

/* ---- opening and closing ----------------------------------------------------------------------------- */

int dissolve_open(const struct snapshot *s, struct dissolve **ret, char *ret_error, size_t error_size)
{
    const char *what = "find the network namespace";
    struct dissolve *d = calloc(1, sizeof(*d));
    int error = d ? 0 : -ENOMEM;

    if (!error) {
        d->snapshot = s;
        d->table.n_entries = table_size(s);
        memset(d->table.notices_fd, -1, sizeof(d->table.notices_fd));
        error = dissolve_pins(s, &d->pins);
    }
    if (error || !is_wanted(s, &d->pins))
        goto out;
    what = "make a directory on bpffs for dissolved sessions (/sys/fs/bpf must be one, and "
           "/sys/fs/bpf/postern belong "
           "to postern's user; or set dissolve: off in every pool)";
    d->fresh = access(d->pins.directory, F_OK) != 0;
    error = pins_make(&d->pins);
    if (error)
        goto out;
    what = "load the eBPF program that dissolves sessions (dissolve)";
    bpf_capture_complaints();
    error = load_program(d);
    if (error)
        goto out;
    what = "open the table of dissolved sessions";
    error = open_table(d);
out:
    if (error) {
        bpf_explain_failure(error, what, ret_error, error_size);
        dissolve_close(d, d && !d->fresh);
        return error;
    }
    *ret = d;
    return 0;
}

int dissolve_take(struct dissolve *d)
{
    if (!d->skeleton)
        return 0;
    int error = put_notice_rings(d);
    for (uint32_t i = 0; i < d->n_links && !error; i++)
        (void)bpf_link_update(d->link_fd[i], bpf_program__fd(d->skeleton->progs.dissolve), NULL);
    if (!error)
        error = pins_each(&d->pins, take_pinned_link, d);
    if (!error)
        d->fresh = false; /* sessions may live there by now */
    return error;
}

bool dissolve_is_fresh(const struct dissolve *d)
{
    return d && d->fresh;
}

const char *dissolve_layout(const struct dissolve *d)
{
    return d->skeleton ? strrchr(d->pins.directory, '/') + 1 : "";
}

void dissolve_close(struct dissolve *d, bool keep)
{
    if (!d)
        return;
    for (uint32_t i = 0; i < d->n_links; i++)
        close(d->link_fd[i]);
    if (d->table.entries)
        munmap(d->table.entries, entries_bytes(d));
    if (d->control)
        munmap(d->control, sizeof(*d->control));
    for (uint32_t i = 0; i < DISSOLVE_WORKERS_MAX && d->table.notices_fd[i] >= 0; i++)
        close(d->table.notices_fd[i]);
    dissolve_bpf__destroy(d->skeleton); /* NULL is accepted */
    if (!keep) {
        int error = pins_remove(&d->pins);
        if (error)
            log_event(
                LOG_LEVEL_ERROR, "undo_failed", "what=%s error=\"%s\"", d->pins.directory, strerror(-error));
    }
    free(d);
}

uint32_t dissolve_alive(const struct dissolve *d)
{
    uint32_t n = 0;

    for (uint32_t i = 0; d && d->table.entries && i < d->table.n_entries; i++)
        n += d->table.entries[i].state == DISSOLVE_DISSOLVED;
    return n;
}

/* Through the kernel, not through the mapping: entries belong to their workers, who write them as they like.
 */
int dissolve_each_vip(const struct dissolve *d, void (*each)(const union addr *vip, void *arg), void *arg)
{
    struct dissolve_entry entries[ENTRIES_BATCH];
    uint32_t keys[ENTRIES_BATCH], next = 0;
    int error = 0;

    for (bool first = true; d->table.entries && error == 0; first = false) {
        uint32_t n = ENTRIES_BATCH;
        int fd = bpf_map__fd(d->skeleton->maps.dissolve_entries);
        error = bpf_map_lookup_batch(fd, first ? NULL : &next, &next, keys, entries, &n, NULL) ? -errno : 0;
        for (uint32_t i = 0; i < n && (error == 0 || error == -ENOENT); i++) {
            const union addr vip = entry_addr(&entries[i].vip, entries[i].vip_port);
            if (entries[i].state == DISSOLVE_DISSOLVED)
                each(&vip, arg);
        }
    }
    return error == -ENOENT ? 0 : error; /* that was the last batch */
}

const struct dissolve_table *dissolve_table(const struct dissolve *d)
{
    return &d->table;
}

int dissolve_counters(const struct dissolve *d, uint64_t ret[])
{
    memset(ret, 0, DISSOLVE_REASONS * sizeof(*ret));
    return d->skeleton
               ? bpf_sum_counters(bpf_map__fd(d->skeleton->maps.dissolve_counters), DISSOLVE_REASONS, ret)
               : 0;
}
