/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Up:     programs -> table of dissolved sessions -> return path -> rule and routes
 * Change: return path and routes for what is new, before the workers hear of it; then, once they know it, the
 *         VIPs that are caught
 * Down:   rule and routes -> return path -> programs -> table
 *
 * A change that fails is taken back by changing to what was there before. Called by gateway.c.
 */
#include "control/kernel/kernel.h"

#include "control/kernel/admit_load.h"
#include "control/kernel/bpf_load.h"
#include "control/kernel/dissolve_load.h"
#include "control/kernel/host.h"
#include "control/kernel/routes.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ERROR_TEXT_MAX 512

int kernel_take(struct kernel *k)
{
    const char *what = "take over the table of dissolved sessions";
    int error = dissolve_take(k->dissolve);

    if (!error) {
        what = "attach the dissolve program to every interface";
        error = dissolve_follow(k->dissolve);
    }
    if (error)
        fprintf(stderr, "postern: cannot %s: %s\n", what, strerror(-error));
    return error;
}

int kernel_open(struct kernel *k, const struct snapshot *s, uint64_t seed)
{
    char error_text[ERROR_TEXT_MAX] = "";

    k->s = s;
    int error = bpf_load(s, seed, &k->bpf, error_text, sizeof(error_text));
    if (!error)
        error = admit_open(s, bpf_catch_vips_fd(k->bpf), &k->admit, error_text, sizeof(error_text));
    if (!error)
        error = dissolve_open(s, &k->dissolve, error_text, sizeof(error_text));
    /* Before the return program, so that what it translates does not meet that. */
    if (!error && !k->shared && (error = kernel_take(k)))
        return error;
    if (!error)
        error = routes_open(s, k->bpf, &k->routes, error_text, sizeof(error_text));
    if (!error && (error = admit_follow(k->admit, s)))
        snprintf(error_text, sizeof(error_text), "cannot attach the admit program to every interface: %s",
            strerror(-error));
    if (!error) {
        error = host_open(s, &k->host);
        if (!error)
            error = host_apply(k->host, k->shared);
        if (error)
            snprintf(error_text, sizeof(error_text), "cannot set up the host's rule and routes: %s",
                strerror(-error));
    }
    if (error)
        fprintf(stderr, "postern: %s\n", error_text);
    return error;
}

static int change_host(struct kernel *k, const struct snapshot *s)
{
    struct host *host = NULL;

    int error = host_open(s, &host);
    if (error)
        return error;
    host_close(k->host);
    k->host = host;
    return host_is_settled(host, k->shared) ? 0 : host_apply(host, k->shared);
}

/* What failed, or NULL. */
static const char *follow(struct kernel *k, const struct snapshot *s, int *ret_error)
{
    *ret_error = bpf_return_backends(k->bpf, s);
    if (*ret_error)
        return "fill the return program's map";
    *ret_error = routes_change(k->routes, s);
    if (*ret_error)
        return "follow the routes to the backends";
    *ret_error = admit_follow(k->admit, s);
    if (*ret_error)
        return "attach the admit program to every interface";
    dissolve_change(k->dissolve, s);
    *ret_error = change_host(k, s);
    return *ret_error ? "set up the host's rule and routes" : NULL;
}

static bool dissolves(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n_pools; i++)
        if (s->pools[i].dissolve)
            return true;
    return false;
}

int kernel_change(struct kernel *k, const struct snapshot *s, char *ret_error, size_t error_size)
{
    int error, ignored;

    if (dissolves(s) && !dissolve_table(k->dissolve)->entries) {
        snprintf(ret_error, error_size, "this process was started with dissolve: off in every pool");
        return -EINVAL;
    }
    const char *what = follow(k, s, &error);
    if (what) {
        snprintf(ret_error, error_size, "cannot %s: %s", what, strerror(-error));
        (void)follow(k, k->s, &ignored); /* it was possible before; what fails again has been logged */
        return error;
    }
    k->s = s;
    return 0;
}

int kernel_catch(struct kernel *k, const struct snapshot *s)
{
    int error = bpf_catch_vips(k->bpf, s);

    if (error)
        log_event(LOG_LEVEL_ERROR, "catch_failed", "error=\"cannot fill the catch program's map: %s\"",
            strerror(-error));
    return error;
}

void kernel_share(struct kernel *k, bool shared)
{
    k->shared = shared;
    if (!shared && change_host(k, k->s))
        log_event(LOG_LEVEL_ERROR, "undo_failed",
            "hint=\"see what is left: ip rule; ip route show table all proto %d\"", HOST_PROTOCOL);
}

uint32_t kernel_close(struct kernel *k)
{
    bool leave = k->shared && !k->apart;
    uint32_t alive = leave ? 0 : dissolve_alive(k->dissolve);

    if (k->host && !alive && !k->shared && host_undo(k->host))
        log_event(LOG_LEVEL_ERROR, "undo_failed",
            "hint=\"see what is left: ip rule; ip route show table all proto %d\"", HOST_PROTOCOL);
    host_close(k->host);
    routes_close(k->routes);
    admit_close(k->admit);
    bpf_free(k->bpf);
    dissolve_close(k->dissolve, alive > 0 || (leave && !dissolve_is_fresh(k->dissolve)));
    *k = (struct kernel){0};
    return alive;
}
