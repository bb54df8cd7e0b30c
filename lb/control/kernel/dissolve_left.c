/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: there is nothing. Else each layout's directory holds pinned maps and links, and lives as long
 * as its sessions do. The one thing that every layout has in common is the map dissolve_alive: when the last
 * packet of a dissolved session passed; the entries of this very version can be counted. Failure paths: what
 * cannot be read is taken to be alive, and stays.
 */
#include "control/kernel/dissolve_left.h"

#include "bpf/dissolve_abi.h"
#include "control/kernel/dissolve_load.h"
#include "control/kernel/pins.h"
#include "control/kernel/tcx_links.h"
#include "log.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Longer than any session may be silent, with the default timeouts; sessions of longer ones are cut then. */
#define SILENT_MAX_S (15 * 60)
#define AFTERLIFE_S 5 /* after the last session's end; so much for late packets */

/* Seconds since a packet of a dissolved session passed; -1: none ever did. -errno when it cannot be known. */
static int silent_s(const struct pins *p, int64_t *ret)
{
    char path[PINS_PATH_MAX];
    struct timespec ts;
    uint32_t zero = 0;
    int cpus = libbpf_num_possible_cpus(), error = 0;
    uint64_t *last = cpus > 0 ? calloc((size_t)cpus, sizeof(*last)) : NULL, latest = 0;

    if (!last)
        return -ENOMEM;
    pins_path(p, "dissolve_alive", path);
    int fd = bpf_obj_get(path);
    if (fd < 0 || bpf_map_lookup_elem(fd, &zero, last) < 0)
        error = -errno;
    for (int i = 0; i < cpus; i++)
        latest = last[i] > latest ? last[i] : latest;
    if (fd >= 0)
        close(fd);
    free(last);
    if (error)
        return error;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    *ret = latest ? ts.tv_sec - (int64_t)(latest / 1000000000) : -1;
    return 0;
}

/* Sessions in a pinned table of this very layout version; -errno when it cannot be read. */
static int64_t count_sessions(const struct pins *p, const char *layout)
{
    char path[PINS_PATH_MAX];
    struct bpf_map_info info = {0};
    uint32_t size = sizeof(info);
    unsigned version = 0;
    int64_t n = 0;

    if (sscanf(layout, "v%u-", &version) != 1 || version != DISSOLVE_LAYOUT)
        return -EINVAL;
    pins_path(p, "dissolve_entries", path);
    int fd = bpf_obj_get(path);
    if (fd < 0)
        return -errno;
    const struct dissolve_entry *all = MAP_FAILED;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.value_size == sizeof(*all))
        all = mmap(NULL, info.max_entries * sizeof(*all), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (all == MAP_FAILED)
        return -EINVAL;
    for (uint32_t i = 0; i < info.max_entries; i++)
        n += all[i].state == DISSOLVE_DISSOLVED;
    munmap((void *)all, info.max_entries * sizeof(*all));
    return n;
}

/* Nothing lives in it, as far as can be known: in a table of another version only silence tells. */
static bool is_over(const struct pins *p, const char *layout)
{
    int64_t silent = 0;

    if (silent_s(p, &silent))
        return false;
    if (silent < 0 || silent > SILENT_MAX_S)
        return true;
    return silent >= AFTERLIFE_S && count_sessions(p, layout) == 0;
}

struct tending {
    bool first, found;
};

static int tend(const char *layout, void *arg)
{
    struct tending *t = arg;
    struct pins p;

    if (pins_init(&p, layout))
        return 0;
    if (is_over(&p, layout)) {
        int error = pins_remove(&p);
        log_event(LOG_LEVEL_INFO, "other_table_removed", "layout=%s error=\"%s\"", layout,
            error ? strerror(-error) : "");
        return 0;
    }
    t->found = true;
    if (t->first)
        log_event(LOG_LEVEL_WARNING, "other_table",
            "layout=%s text=\"dissolved sessions of another version or of another max_sessions; they go on, "
            "and "
            "the table is removed when they have ended\" hint=\"postern --flush ends them at once\"",
            layout);
    return 0;
}

bool dissolve_tend_others(const struct snapshot *s, bool first)
{
    struct tending t = {.first = first};
    struct pins own;

    if (dissolve_pins(s, &own) == 0)
        (void)pins_each_other(&own, tend, &t);
    return t.found;
}

/* ---- the plan ---------------------------------------------------------------------------------------- */

struct plan {
    const struct pins *pins;
    FILE *out;
};

static int print_interface(int ifindex, const char *name, void *arg)
{
    const struct plan *p = arg;
    char link[32], path[PINS_PATH_MAX];

    snprintf(link, sizeof(link), PINS_LINK "%d", ifindex);
    pins_path(p->pins, link, path);
    fprintf(p->out, "%-6s  bpf link: tcx ingress on %s, pinned  # dissolved sessions\n",
        access(path, F_OK) == 0 ? "keep" : "add", name);
    return 0;
}

static int print_other(const char *layout, void *arg)
{
    const struct plan *p = arg;
    fprintf(p->out, "%-6s  pinned: %s/%s  # dissolved sessions of another version or max_sessions\n", "note",
        p->pins->home, layout);
    return 0;
}

void dissolve_print_plan(const struct snapshot *s, FILE *out)
{
    struct pins own;
    struct plan p = {.pins = &own, .out = out};
    bool wanted = false;

    for (uint32_t i = 0; i < s->n_pools; i++)
        wanted |= s->pools[i].dissolve;
    if (dissolve_pins(s, &own))
        return;
    bool there = access(own.directory, F_OK) == 0;
    if (wanted || there) {
        fprintf(out, "%-6s  pinned: %s  # the table of dissolved sessions\n", there ? "keep" : "add",
            own.directory);
        (void)tcx_each_interface(print_interface, &p);
    }
    (void)pins_each_other(&own, print_other, &p);
}

/* ---- flushing ---------------------------------------------------------------------------------------- */

static int flush_layout(const char *layout, void *arg)
{
    FILE *out = arg;
    struct pins p;

    int error = pins_init(&p, layout);
    if (error)
        return error;
    int64_t n = count_sessions(&p, layout);
    if (n >= 0)
        fprintf(out, "%s: cutting %lld dissolved sessions\n", p.directory, (long long)n);
    else
        fprintf(
            out, "%s: cutting the dissolved sessions of another version, in unknown number\n", p.directory);
    fflush(out);
    error = pins_remove(&p);
    if (error)
        fprintf(stderr, "postern: cannot remove %s: %s\n", p.directory, strerror(-error));
    return error;
}

int dissolve_flush(const struct snapshot *s, FILE *out)
{
    struct pins own;
    int error = dissolve_pins(s, &own);

    if (!error && access(own.directory, F_OK) == 0)
        error = flush_layout(strrchr(own.directory, '/') + 1, out);
    return error ? error : pins_each_other(&own, flush_layout, out);
}
