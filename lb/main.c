/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: check a configuration, show its plan, or run it. */
#include "control/config/config.h"
#include "control/config/config_discover.h"
#include "control/discovery/sources.h"
#include "control/roster/roster.h"
#include "gateway.h"
#include "snapshot.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_CONFIG 78 /* EX_CONFIG of sysexits.h */
#define FLUSH_KEY 256  /* no letter of its own */
#define DEFAULT_FILE "/etc/postern/postern.yaml"

enum mode { MODE_RUN, MODE_CHECK, MODE_PLAN, MODE_FLUSH };

struct arguments {
    const char *file;
    enum mode mode;
};

const char *argp_program_version = "postern " POSTERN_VERSION;

static const struct argp_option options[] = {
    {"file", 'f', "FILE", 0,
        "Read the configuration from FILE and from conf.d/*.yaml beside it (" DEFAULT_FILE ")", 0},
    {"check", 'c', NULL, 0, "Check the configuration and exit: 0 good, 78 bad", 0},
    {"plan", 'p', NULL, 0, "Show what would be added to the host, and what is there already, and exit", 0},
    {"flush", FLUSH_KEY, NULL, 0,
        "Remove all that earlier runs have left on the host, cutting the dissolved sessions that still live, "
        "and exit",
        0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case 'f':
        a->file = arg;
        return 0;
    case 'c':
        a->mode = MODE_CHECK;
        return 0;
    case 'p':
        a->mode = MODE_PLAN;
        return 0;
    case FLUSH_KEY:
        a->mode = MODE_FLUSH;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'; the configuration is named with -f", arg);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .doc = "A transparent TCP balancer for mail: clients reach the MTAs from their own address."
           "\vSignals: HUP reads the configuration again, TERM waits for the sessions to end, a second TERM "
           "or INT "
           "ends them at once, USR1 logs the counters. "
           "See postern(8) and postern.yaml(5).",
};

static int make_snapshot(const struct config *config, struct snapshot **ret)
{
    struct roster *roster = NULL;

    int error = roster_next(NULL, config, 0, &roster);
    if (!error) {
        (void)roster_weigh(roster, 0);
        error = roster_publish(roster, ret);
    }
    roster_free(roster);
    return error;
}

static void print_discovering(const struct config *config, FILE *out)
{
    const struct config_pool *pools = config->pools.items;

    for (uint32_t i = 0; i < config->pools.n; i++)
        if (config_discovers(&pools[i]))
            fprintf(out, "# pool %s discovers backends while it runs: what these need is not known now\n",
                pools[i].name);
}

/* Says what is wrong with the lists of sources, as at a start. It is no error: postern runs without them. */
static int look_at_sources(const struct config *config)
{
    struct sources *sources = sources_new();
    struct prefix_trie *trie = NULL;

    int error = sources ? sources_make(sources, config, &trie) : -ENOMEM;
    prefix_trie_unref(trie);
    sources_free(sources);
    return error;
}

/* What only looks at the configuration, or at the host by it. */
static int look(enum mode mode, const char *file, const struct config *config)
{
    struct snapshot *s = NULL;

    int error = make_snapshot(config, &s);
    if (!error && mode == MODE_PLAN)
        error = gateway_print_plan(s, stdout);
    if (!error && mode == MODE_PLAN)
        print_discovering(config, stdout);
    if (!error && mode == MODE_FLUSH)
        error = gateway_flush(s, stdout);
    if (!error && mode == MODE_CHECK)
        error = look_at_sources(config);
    if (!error && mode == MODE_CHECK)
        printf("%s: good: %u listeners with %u addresses, %u pools with %u backends\n", file, s->n_listeners,
            s->n_vips, s->n_pools, s->n_backends);
    snapshot_free(s);
    return error;
}

int main(int argc, char **argv)
{
    struct arguments a = {.file = DEFAULT_FILE, .mode = MODE_RUN};
    struct config *config = NULL;

    /* Line by line: the log goes there as well, of a process before us too, and nobody's lines are torn. */
    (void)setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
    argp_err_exit_status = EXIT_FAILURE;
    if (argp_parse(&parser, argc, argv, 0, NULL, &a))
        return EXIT_FAILURE;
    int error = config_load(a.file, stderr, &config);
    if (error == -EINVAL)
        return EXIT_CONFIG;
    if (error) {
        fprintf(stderr, "postern: %s: %s\n", a.file, strerror(-error));
        return EXIT_FAILURE;
    }
    error = a.mode == MODE_RUN ? gateway_run(a.file, argv, &config) : look(a.mode, a.file, config);
    config_free(config);
    return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
