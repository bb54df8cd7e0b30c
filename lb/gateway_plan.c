/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only looks at the host, or clears it, while no daemon runs. Failure paths: one line says what could
 * not be read or removed. Called by main.c.
 */
#include "gateway.h"

#include "control/kernel/admit_load.h"
#include "control/kernel/dissolve_left.h"
#include "control/kernel/host.h"
#include "control/kernel/preflight.h"
#include "control/kernel/routes.h"

#include <stdio.h>
#include <string.h>

#define ERROR_TEXT_MAX 512

static int fail(const char *what, int error)
{
    fprintf(stderr, "postern: %s: %s\n", what, strerror(-error));
    return error;
}

static void print_interface(int ifindex, const char *name, const char *backends, void *arg)
{
    fprintf(arg, "%-6s  bpf link: tcx ingress on %s  # return path of %s\n", "add", name, backends);
}

int gateway_print_plan(const struct snapshot *s, FILE *out)
{
    char error_text[ERROR_TEXT_MAX] = "";
    struct host *host = NULL;
    struct routes *routes = NULL;

    int error = routes_open(s, NULL, &routes, error_text, sizeof(error_text));
    if (error) {
        fprintf(stderr, "postern: %s\n", error_text);
        return error;
    }
    error = host_open(s, &host);
    if (!error)
        error = host_print_plan(host, out);
    if (error)
        fail("cannot read the host's rules and routes", error);
    else {
        fprintf(out,
            "%-6s  bpf link: sk_lookup on this network namespace  # catches connections to the VIPs\n",
            "add");
        routes_each_interface(routes, print_interface, out);
        admit_print_plan(s, out);
        dissolve_print_plan(s, out);
    }
    host_close(host);
    routes_close(routes);
    return error;
}

int gateway_flush(const struct snapshot *s, FILE *out)
{
    struct host *host = NULL;

    int error = preflight_lock(stderr);
    if (error)
        return error;
    error = dissolve_flush(s, out);
    if (!error)
        error = host_open(s, &host);
    if (!error)
        error = host_undo(host);
    host_close(host);
    return error ? fail("cannot remove everything", error) : 0;
}
