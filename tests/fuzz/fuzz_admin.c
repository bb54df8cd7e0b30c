/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes lines of the admin socket: any is answered in ASCII, one block a command, and leaves values in
 * bounds. */
#include "control/admin/admin_commands.h"
#include "control/checks/checks.h"
#include "control/watch/heavy_sources.h"
#include "fuzz.h"
#include "log.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

static struct config_pool pool = {.name = "in", .max_sessions = 9};
static struct config config = {.gateway = {.name = "gw", .zone = "", .max_sessions = 100},
    .admin = {.socket = "/run/admin.sock", .tcp = ""},
    .pools = {.items = &pool, .n = 1}};
static struct roster the_roster;
static struct roster *roster = &the_roster;
static struct counters counters;
static struct load loads[SNAPSHOT_BACKENDS_MAX];
static struct admin_base bases[SNAPSHOT_BACKENDS_MAX];

static int publish(void *arg)
{
    return 0;
}

static const char *replace(void *arg, int error, struct roster *next)
{
    if (!error)
        the_roster = *next;
    roster_free(next);
    return error ? "no" : NULL;
}

static void begin(void)
{
    the_roster = (struct roster){.config = &config, .n_listeners = 1, .n_pools = 1, .n_backends = 1};
    strcpy(the_roster.listeners[0].name, "mx");
    strcpy(the_roster.pools[0].name, "in");
    the_roster.pools[0].config = &pool;
    the_roster.backends[0].member = true;
    strcpy(the_roster.backends[0].spec.name, "one");
    the_roster.backends[0].spec.weight = 100;
}

/* Somebody of each family has sessions. */
static const struct source_world *sources(void)
{
    static struct source_world world;
    static const struct addr_prefix some[] = {
        {AF_INET, 32, {192, 0, 2, 1}}, {AF_INET6, 64, {0x20, 0x01, 0x0d, 0xb8}}};
    struct source_tops *tops = world.tops ? NULL : source_tops_new(1);
    struct source_meter *meter = tops ? source_meter_new(100, 32, 64) : NULL;

    if (!meter)
        return &world;
    for (int i = 0; i < 2; i++) {
        const union addr a = addr_of_prefix(&some[i]);
        source_tops_hold(tops, 0, meter, &some[i], source_meter_enter(meter, &a));
        source_tops_count(tops, 0, &some[i], clock_now_ms());
    }
    world.tops = tops;
    world.meter = meter;
    return &world;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct admin_world w = {.roster = &roster,
        .counters = &counters,
        .workers = 1,
        .loads = loads,
        .sources = sources(),
        .bases = bases,
        .publish = publish,
        .replace = replace};
    struct admin_session s = {.level = ADMIN_ADMIN, .timeout_ms = ADMIN_TIMEOUT_MS};
    struct admin_reply reply = {0};
    char *line = malloc(size + 1), *rest = line;

    MUST(line);
    for (size_t i = 0; i < size; i++) /* as the socket does */
        line[i] = (char)(data[i] ? data[i] : '?');
    line[size] = '\0';
    begin();
    while (rest && !s.quit && reply.n < ADMIN_REPLY_MAX / 2) {
        size_t before = reply.n;
        admin_run(&w, &s, admin_cut(rest, &rest), &reply);
        MUST(!reply.cut && (s.quit || reply.n > before));
        MUST(s.quit || reply.text[reply.n - 1] == (s.prompt ? ' ' : '\n'));
    }
    for (size_t i = 0; i < reply.n; i++)
        MUST(reply.text[i] == '\n' || (reply.text[i] >= ' ' && reply.text[i] <= '~'));
    MUST(roster_value(roster, 0, OVERRIDE_WEIGHT) <= SNAPSHOT_WEIGHT_MAX);
    MUST(roster_value(roster, 0, OVERRIDE_STATE) <= BACKEND_MAINT);
    for (uint32_t i = 0; i < the_roster.n_backends; i++)
        MUST(the_roster.backends[i].spec.weight <= SNAPSHOT_WEIGHT_MAX);
    MUST(s.timeout_ms > 0 && s.timeout_ms <= ADMIN_TIMEOUT_MAX_MS);
    admin_reply_done(&reply);
    free(line);
    return 0;
}
