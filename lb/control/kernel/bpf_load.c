/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The eBPF programs of bpf/: loaded from the skeletons inside this binary, their maps filled from the
 * snapshot, attached.
 *
 * Happy path: bpf_load(), one bpf_set_listener() per family and worker, bpf_return_attach() as routes.c finds
 * interfaces, bpf_catch_attach(); at the end bpf_catch_detach() first, bpf_free() last. Every link is a
 * descriptor of this process, nothing is pinned: when the process dies, the kernel detaches everything, but
 * for a catch link that a service manager keeps over a crash (gateway_fd_store.c); bpf_catch_end() ends that.
 *
 * Failure paths: a failed load leaves nothing behind and one line for the operator; what libbpf would print
 * is captured.
 *
 * Called by gateway.c and routes.c, control thread only.
 */
#include "control/kernel/bpf_load.h"

#include "base/fd.h"
#include "bpf/abi.h"
#include "catch.skel.h"
#include "control/kernel/tcx_links.h"
#include "return.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

_Static_assert(2 * SNAPSHOT_BACKENDS_MAX <= POSTERN_BACKEND_ADDRS_MAX, "every backend address has a place");

struct bpf {
    struct catch_bpf *catch;
    struct return_bpf *ret;
    int catch_fd; /* the link to the network namespace; -1: not attached */
    uint64_t seed;
    struct tcx_links return_links;
};

/* What libbpf complained of first: the cause; the rest are consequences. libbpf's hook has no argument. */
static char first_complaint[200];

static int capture(enum libbpf_print_level level, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

static int capture(enum libbpf_print_level level, const char *fmt, va_list args)
{
    if (level != LIBBPF_WARN || first_complaint[0])
        return 0;
    vsnprintf(first_complaint, sizeof(first_complaint), fmt, args);
    first_complaint[strcspn(first_complaint, "\n")] = '\0';
    return 0;
}

void bpf_capture_complaints(void)
{
    first_complaint[0] = '\0';
    libbpf_set_print(capture);
}

static const char *mend(int err)
{
    switch (-err) {
    case EPERM:
    case EACCES:
        return "postern needs CAP_BPF and CAP_NET_ADMIN in the initial user namespace: start it as root or "
               "from its "
               "systemd unit, and outside of containers that filter bpf(2)";
    case ENOMEM:
        return "the kernel has no memory left for it (RLIMIT_MEMLOCK or the memory control group)";
    case ENOSYS:
        return "this kernel has no bpf(2): it needs CONFIG_BPF_SYSCALL";
    default:
        return "postern needs Linux 6.6 or later with CONFIG_BPF_SYSCALL, CONFIG_CGROUP_BPF and "
               "CONFIG_NET_XGRESS";
    }
}

int bpf_explain_failure(int err, const char *what, char *ret_error, size_t error_size)
{
    const char *detail = first_complaint;

    if (!strncmp(detail, "libbpf: ", 8))
        detail += 8;
    snprintf(ret_error, error_size, "cannot %s: %s%s%s%s; %s", what, strerror(-err), *detail ? " (" : "",
        detail, *detail ? ")" : "", mend(err));
    return err;
}

static struct catch_key vip_key(const struct snapshot_vip *vip)
{
    struct catch_key key = {
        .prefixlen = CATCH_KEY_FIXED_BITS + vip->prefix.len,
        .family = vip->prefix.family,
        .port = vip->port,
    };

    memcpy(key.addr, vip->prefix.bytes, sizeof(key.addr));
    return key;
}

static bool is_caught(const struct snapshot *s, const struct catch_key *key)
{
    for (uint32_t i = 0; i < s->n_vips; i++) {
        struct catch_key other = vip_key(&s->vips[i]);
        if (s->vips[i].state != VIP_LEAVING && memcmp(key, &other, sizeof(other)) == 0)
            return true;
    }
    return false;
}

int bpf_catch_vips(struct bpf *b, const struct snapshot *s)
{
    int map = bpf_map__fd(b->catch->maps.catch_vips);
    struct catch_key key, next;

    for (uint32_t i = 0; i < s->n_vips; i++) {
        const struct snapshot_vip *vip = &s->vips[i];
        uint32_t value = vip->state == VIP_REFUSED ? CATCH_REFUSE : vip->listener;
        key = vip_key(vip);
        if (vip->state != VIP_LEAVING && bpf_map_update_elem(map, &key, &value, BPF_ANY))
            return -errno;
    }
    for (int more = bpf_map_get_next_key(map, NULL, &next); more == 0;) {
        key = next;
        more = bpf_map_get_next_key(map, &key, &next);
        if (!is_caught(s, &key) && bpf_map_delete_elem(map, &key) && errno != ENOENT)
            return -errno;
    }
    return 0;
}

static struct return_key backend_key(const union addr *a)
{
    struct return_key key = {.family = a->sa.sa_family, .port = htons(addr_port(a))};

    if (a->sa.sa_family == AF_INET6)
        memcpy(key.addr, &a->v6.sin6_addr, 16);
    else
        memcpy(key.addr, &a->v4.sin_addr, 4);
    return key;
}

static int add_backend(int map, const union addr *a)
{
    uint32_t yes = 1;

    if (a->sa.sa_family == AF_UNSPEC)
        return 0;
    struct return_key key = backend_key(a);
    return bpf_map_update_elem(map, &key, &yes, BPF_ANY) ? -errno : 0;
}

static bool is_key_of(const union addr *a, const struct return_key *key)
{
    struct return_key other = backend_key(a);
    return a->sa.sa_family != AF_UNSPEC && memcmp(key, &other, sizeof(other)) == 0;
}

static bool is_dialled(const struct snapshot *s, const struct return_key *key)
{
    for (uint32_t i = 0; i < s->n_backends; i++) {
        const struct snapshot_backend *backend = &s->backends[i];
        if (backend->source == SOURCE_CLIENT &&
            (is_key_of(&backend->v4, key) || is_key_of(&backend->v6, key)))
            return true;
    }
    return false;
}

int bpf_return_backends(struct bpf *b, const struct snapshot *s)
{
    int map = bpf_map__fd(b->ret->maps.return_backends);
    struct return_key key, next;

    for (uint32_t i = 0; i < s->n_backends; i++) {
        const struct snapshot_backend *backend = &s->backends[i];
        if (backend->source != SOURCE_CLIENT)
            continue;
        int err = add_backend(map, &backend->v4);
        if (!err)
            err = add_backend(map, &backend->v6);
        if (err)
            return err;
    }
    for (int more = bpf_map_get_next_key(map, NULL, &next); more == 0;) {
        key = next;
        more = bpf_map_get_next_key(map, &key, &next);
        if (!is_dialled(s, &key) && bpf_map_delete_elem(map, &key) && errno != ENOENT)
            return -errno;
    }
    return 0;
}

static int load_catch(struct bpf *b, const struct snapshot *s)
{
    if (!b->seed && getrandom(&b->seed, sizeof(b->seed), 0) != (ssize_t)sizeof(b->seed))
        return -errno;
    b->catch = catch_bpf__open();
    if (!b->catch)
        return -errno;
    b->catch->rodata->catch_workers = s->workers;
    b->catch->rodata->catch_seed = b->seed;
    return catch_bpf__load(b->catch);
}

static int load_return(struct bpf *b)
{
    b->ret = return_bpf__open();
    if (!b->ret)
        return -errno;
    return return_bpf__load(b->ret);
}

int bpf_load(const struct snapshot *s, uint64_t seed, struct bpf **ret, char *ret_error, size_t error_size)
{
    const char *what;
    int err = -ENOMEM;
    struct bpf *b = calloc(1, sizeof(*b));

    if (!b)
        return bpf_explain_failure(err, "load the eBPF programs", ret_error, error_size);
    b->catch_fd = -1;
    b->seed = seed;
    bpf_capture_complaints();
    if (s->workers < 1 || s->workers > POSTERN_WORKERS_MAX || s->n_vips > POSTERN_VIPS_MAX) {
        err = -E2BIG;
        snprintf(ret_error, error_size,
            "cannot serve %u workers and %u addresses: at most %u and %u are possible", s->workers, s->n_vips,
            POSTERN_WORKERS_MAX, POSTERN_VIPS_MAX);
        goto out;
    }
    what = "load the eBPF program that catches connections (catch)";
    err = load_catch(b, s);
    if (err)
        goto out_say;
    what = "load the eBPF program of the return path (return)";
    err = load_return(b);
    if (err)
        goto out_say;
    what = "fill the eBPF maps";
    err = bpf_catch_vips(b, s);
    if (!err)
        err = bpf_return_backends(b, s);
    if (err)
        goto out_say;
    *ret = b;
    return 0;

out_say:
    bpf_explain_failure(err, what, ret_error, error_size);
out:
    bpf_free(b);
    return err;
}

void bpf_free(struct bpf *b)
{
    if (!b)
        return;
    bpf_catch_detach(b);
    tcx_links_detach_all(&b->return_links);
    catch_bpf__destroy(b->catch);
    return_bpf__destroy(b->ret);
    free(b);
}

int bpf_set_listener(struct bpf *b, sa_family_t family, uint32_t worker, int fd)
{
    uint32_t slot = CATCH_SLOT(family == AF_INET6, worker);
    uint64_t value = (uint64_t)fd;

    if (worker >= POSTERN_WORKERS_MAX)
        return -EINVAL;
    return bpf_map_update_elem(bpf_map__fd(b->catch->maps.catch_sockets), &slot, &value, BPF_ANY) ? -errno
                                                                                                  : 0;
}

int bpf_catch_vips_fd(const struct bpf *b)
{
    return bpf_map__fd(b->catch->maps.catch_vips);
}

int bpf_catch_attach(struct bpf *b)
{
    int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return -errno;

    int fd = bpf_link_create(bpf_program__fd(b->catch->progs.catch_lookup), netns, BPF_SK_LOOKUP, NULL);
    int err = fd < 0 ? -errno : 0;
    close(netns);
    if (!err)
        b->catch_fd = fd;
    return err;
}

/* The kernel puts one program in the place of the other: no connection meets neither. */
int bpf_catch_take(struct bpf *b, int link_fd)
{
    if (bpf_link_update(link_fd, bpf_program__fd(b->catch->progs.catch_lookup), NULL) < 0)
        return -errno;
    b->catch_fd = link_fd;
    return 0;
}

int bpf_catch_link(const struct bpf *b)
{
    return b->catch_fd;
}

uint64_t bpf_catch_seed(const struct bpf *b)
{
    return b->seed;
}

void bpf_catch_end(struct bpf *b)
{
    if (b && b->catch_fd >= 0)
        (void)bpf_link_detach(b->catch_fd); /* closing it does the rest */
    bpf_catch_detach(b);
}

void bpf_catch_detach(struct bpf *b)
{
    if (b)
        fd_close(&b->catch_fd);
}

bool bpf_return_attached(const struct bpf *b, int ifindex)
{
    return tcx_links_attached(&b->return_links, ifindex);
}

int bpf_return_attach(struct bpf *b, int ifindex)
{
    return tcx_links_attach(&b->return_links, bpf_program__fd(b->ret->progs.return_path), ifindex);
}

void bpf_return_detach(struct bpf *b, int ifindex)
{
    tcx_links_detach(&b->return_links, ifindex);
}

int bpf_sum_counters(int map, uint32_t n, uint64_t ret_sums[])
{
    int cpus = libbpf_num_possible_cpus();
    if (cpus < 1)
        return -EINVAL;
    uint64_t *values = calloc((size_t)cpus, sizeof(*values));
    if (!values)
        return -ENOMEM;

    int err = 0;
    for (uint32_t i = 0; i < n && !err; i++) {
        if (bpf_map_lookup_elem(map, &i, values)) {
            err = -errno;
            break;
        }
        ret_sums[i] = 0;
        for (int cpu = 0; cpu < cpus; cpu++)
            ret_sums[i] += values[cpu];
    }
    free(values);
    return err;
}

const char *const bpf_catch_names[CATCH_COUNTERS] = {
    [CATCH_CAUGHT] = "catch_caught",
    [CATCH_NO_SOCKET] = "catch_no_socket",
    [CATCH_REFUSED] = "catch_refused",
    [CATCH_NOBODY] = "catch_nobody",
};

const char *const bpf_return_names[RETURN_COUNTERS] = {
    [RETURN_MARKED] = "return_marked",
    [RETURN_MARKED_ERROR] = "return_marked_error",
    [RETURN_NOT_OURS] = "return_not_ours",
};

int bpf_counters(const struct bpf *b, uint64_t ret_catch[], uint64_t ret_return[])
{
    int err = bpf_sum_counters(bpf_map__fd(b->catch->maps.catch_counters), CATCH_COUNTERS, ret_catch);
    if (err)
        return err;
    return bpf_sum_counters(bpf_map__fd(b->ret->maps.return_counters), RETURN_COUNTERS, ret_return);
}
