/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator: choosing, health, weights, zones, brake and outliers as the daemon has them, against
 * synthetic traffic in virtual time. The same seed gives the same report, byte by byte. Happy path: a
 * scenario is run, its report written, the status is 0. Failure: 1 when something that must hold does not; 2
 * for a wrong argument. Called by tools/sim, and by meson as a test of each scenario.
 */
#include "measure.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS_MAX 100000000 /* 10^8 */

static const char usage[] =
    "usage: tools/sim SCENARIO [--sessions N] [--seed N] [--plot FILE]\n"
    "       tools/sim --list\n"
    "\n"
    "Runs postern's own choosing of backends (health, weights, zones, least-sessions, ...) in virtual time "
    "against\n"
    "synthetic traffic, reports how evenly and how safely sessions were spread, and draws it.\n"
    "\n"
    "  --sessions N   how many, up to 100000000; more of them means larger backends, not a longer run\n"
    "  --seed N       of all random numbers (default 1); the same seed gives the same report\n"
    "  --plot FILE    where the picture goes, .svg or .png (default out/sim-SCENARIO.svg)\n"
    "  --list         the scenarios\n"
    "\n"
    "The status is 1 when something that the scenario demands does not hold.\n";

static void list(void)
{
    for (size_t i = 0; i < n_scenarios; i++)
        printf("%-12s %s\n", scenarios[i].name, scenarios[i].about);
}

static const struct scenario *find(const char *name)
{
    for (size_t i = 0; i < n_scenarios; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    errx(2, "there is no scenario \"%s\"; tools/sim --list names them", name);
}

static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno != 0 || *end || end == text || text[0] == '-' || n < min || n > max)
        errx(2, "--%s takes a number from %lu to %lu, not \"%s\"", option, (unsigned long)min,
            (unsigned long)max, text);
    return n;
}

static bool run(const struct scenario *s, uint64_t sessions, uint64_t seed, FILE *data)
{
    static struct world w;
    static struct measure m;
    const struct event *next = s->events;

    world_init(&w, s, sessions, seed);
    measure_begin(&m, &w, data);
    for (uint32_t second = 0; second < s->seconds; second++) {
        for (; next < s->events + SCENARIO_EVENTS_MAX && next->kind != EVENT_NONE && next->at_s == second;
             next++) {
            measure_homes(&m, &w);
            world_event(&w, next);
        }
        world_second(&w);
        measure_second(&m, &w);
    }
    measure_homes(&m, &w);
    bool ok = measure_report(&m, &w, seed, stdout);
    world_done(&w);
    return ok;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"sessions", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'}, {"data", required_argument, NULL, 'd'},
        {"list", no_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'}, {0}};
    uint64_t sessions = 0, seed = 1;
    const char *data_name = NULL;

    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (o) {
        case 'n':
            sessions = number("sessions", optarg, 1000, SESSIONS_MAX);
            break;
        case 's':
            seed = number("seed", optarg, 0, UINT64_MAX);
            break;
        case 'd': /* for tools/sim */
            data_name = optarg;
            break;
        case 'l':
            list();
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            return 2;
        }
    }
    if (optind != argc - 1) {
        fputs(usage, stderr);
        return 2;
    }
    const struct scenario *s = find(argv[optind]);
    FILE *data = data_name ? fopen(data_name, "we") : NULL;
    if (data_name && !data)
        err(2, "%s", data_name);
    bool ok = run(s, sessions > 0 ? sessions : s->sessions, seed, data);
    if (data && fclose(data) != 0)
        err(2, "%s", data_name);
    return ok ? 0 : 1;
}
