/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: loaded once, with the prefixes that are a source for as long as this process runs; attached and
 * detached as limits come and go, and to interfaces as they come. Failure path: an interface that does not
 * take it is a line of the log, and a failure of the change that asked for it. Called by kernel.c, control
 * thread only.
 */
#include "control/kernel/admit_load.h"

#include "admit.skel.h"
#include "bpf/abi.h"
#include "control/kernel/bpf_load.h"
#include "control/kernel/tcx_links.h"
#include "log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct admit {
    struct admit_bpf *skeleton;
    struct tcx_links links;
};

bool admit_is_wanted(const struct snapshot *s)
{
    return s->limits.action == LIMIT_DROP || s->limits.rate_action == LIMIT_DROP;
}

/* The first bits of so many words, in network order. */
static void make_mask(uint32_t bits, uint32_t words, uint32_t ret[])
{
    for (uint32_t i = 0; i < words; i++) {
        uint32_t of_this = bits < 32 ? bits : 32;
        ret[i] = of_this ? htonl(UINT32_MAX << (32 - of_this)) : 0;
        bits -= of_this;
    }
}

static int load(struct admit *a, const struct snapshot *s, int catch_vips_fd)
{
    a->skeleton = admit_bpf__open();
    if (!a->skeleton)
        return -errno;
    make_mask(s->limits.prefix_v4, 1, (uint32_t *)&a->skeleton->rodata->admit_mask_v4);
    make_mask(s->limits.prefix_v6, 4, (uint32_t *)a->skeleton->rodata->admit_mask_v6);
    int error = bpf_map__reuse_fd(a->skeleton->maps.catch_vips, catch_vips_fd);
    return error ? error : admit_bpf__load(a->skeleton);
}

int admit_open(
    const struct snapshot *s, int catch_vips_fd, struct admit **ret, char *ret_error, size_t error_size)
{
    struct admit *a = calloc(1, sizeof(*a));

    bpf_capture_complaints();
    int error = a ? load(a, s, catch_vips_fd) : -ENOMEM;
    if (!error) {
        *ret = a;
        return 0;
    }
    admit_close(a);
    return bpf_explain_failure(
        error, "load the eBPF program that drops SYNs of sources (admit)", ret_error, error_size);
}

void admit_close(struct admit *a)
{
    if (!a)
        return;
    tcx_links_detach_all(&a->links);
    admit_bpf__destroy(a->skeleton); /* NULL is accepted */
    free(a);
}

static int attach_missing(int ifindex, const char *name, void *arg)
{
    struct admit *a = arg;

    int error = tcx_links_attach(&a->links, bpf_program__fd(a->skeleton->progs.admit), ifindex);
    if (error == -EEXIST || error == -ENODEV) /* gone meanwhile: a report is on its way */
        return 0;
    if (error)
        log_event(LOG_LEVEL_ERROR, "syn_drop_failed", "interface=%s error=\"%s\"", name, strerror(-error));
    else
        log_event(LOG_LEVEL_INFO, "syn_drop", "interface=%s change=attached", name);
    return error;
}

int admit_follow(struct admit *a, const struct snapshot *s)
{
    if (!admit_is_wanted(s)) {
        tcx_links_detach_all(&a->links);
        return 0;
    }
    tcx_links_drop_dead(&a->links);
    return tcx_each_interface(attach_missing, a);
}

int admit_sources_fd(const struct admit *a)
{
    return bpf_map__fd(a->skeleton->maps.admit_sources);
}

int admit_counters(const struct admit *a, uint64_t ret[])
{
    return bpf_sum_counters(bpf_map__fd(a->skeleton->maps.admit_counters), ADMIT_COUNTERS, ret);
}

static int print_interface(int ifindex, const char *name, void *arg)
{
    fprintf(arg, "%-6s  bpf link: tcx ingress on %s  # SYNs of sources over a limit\n", "add", name);
    return 0;
}

void admit_print_plan(const struct snapshot *s, FILE *out)
{
    if (admit_is_wanted(s))
        (void)tcx_each_interface(print_interface, out);
}
