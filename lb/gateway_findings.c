/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a line for each finding; the backend that has the same place, addresses, source and header
 * there holds on to it, until its first check or test there has ended. Failure path: what is missing or not
 * understood has not been found. Called by gateway_upgrade.c, gateway.c and gateway_health.c.
 */
#include "gateway_findings.h"

#include "base/fd.h"
#include "control/checks/checks.h"
#include "serving.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WHO_MAX_BYTES 512
#define LINE_MAX_BYTES 1024
#define DOWN "down "
#define AGENT "agent "

/* ---- giving ------------------------------------------------------------------------------------------- */

/* Who it is, and the way his sessions come to him: where that differs, all has yet to be found out. */
static void describe(const struct roster *r, const struct roster_backend *b, char who[WHO_MAX_BYTES])
{
    char v4[ADDR_TEXT_MAX], v6[ADDR_TEXT_MAX];

    snprintf(who, WHO_MAX_BYTES, "%s %s %s %s %d %d ", r->pools[b->pool].name, b->spec.name,
        addr_format(&b->spec.v4, v4), addr_format(&b->spec.v6, v6), b->source, b->proxy);
}

static void write_backend(FILE *out, const struct roster *r, const struct checks *c, uint16_t backend)
{
    const struct roster_backend *b = &r->backends[backend];
    struct checks_view view;
    char who[WHO_MAX_BYTES];

    describe(r, b, who);
    if (b->relay == RELAY_RIGHT || b->relay == RELAY_OPEN)
        fprintf(out, "%s%s\n", who, relay_verdict_name(b->relay));
    if (checks_look(c, backend, &view) && view.down)
        fprintf(out, "%s" DOWN "%s\n", who,
            view.checked && !view.ok ? view.reason : "it was down before the upgrade");
    if (checks_look(c, backend, &view) && view.agent)
        fprintf(out, "%s" AGENT "%d %d %u %u %s\n", who, view.agent_state.down, view.agent_state.admin,
            view.agent_state.percent, view.agent_state.max_sessions, view.agent_reason);
}

int gateway_findings_fd(const struct roster *r, const struct checks *c)
{
    int fd = memfd_create("postern-findings", MFD_CLOEXEC);
    FILE *out = fd >= 0 ? fdopen(fcntl(fd, F_DUPFD_CLOEXEC, 0), "w") : NULL;

    for (uint16_t i = 0; out && i < r->n_backends; i++)
        if (r->backends[i].member)
            write_backend(out, r, c, i);
    if (!out || fclose(out) != 0)
        fd_close(&fd);
    return fd;
}

/* ---- taking ------------------------------------------------------------------------------------------- */

typedef void on_finding(void *arg, uint16_t backend, const char *what);

static void read_line(const struct roster *r, const char *line, on_finding *found, void *arg)
{
    char who[WHO_MAX_BYTES];

    for (uint16_t i = 0; i < r->n_backends; i++) {
        if (!r->backends[i].member)
            continue;
        describe(r, &r->backends[i], who);
        if (strncmp(line, who, strlen(who)) == 0)
            found(arg, i, line + strlen(who));
    }
}

static void read_all(const struct roster *r, int fd, on_finding *found, void *arg)
{
    char path[32], line[LINE_MAX_BYTES];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    FILE *in = fd >= 0 ? fopen(path, "re") : NULL;
    while (in && fgets(line, sizeof(line), in)) {
        line[strcspn(line, "\n")] = '\0';
        read_line(r, line, found, arg);
    }
    if (in)
        fclose(in);
}

static bool is_down(const char *what)
{
    return strncmp(what, DOWN, strlen(DOWN)) == 0;
}

/* What an agent has said. False: it is something else, or not understood. */
static bool read_agent(const char *what, struct agent_state *ret, const char **ret_why)
{
    unsigned down, admin;
    int length = 0;

    if (sscanf(what, AGENT "%u %u %u %u %n", &down, &admin, &ret->percent, &ret->max_sessions, &length) < 4)
        return false;
    if (admin > AGENT_MAINT || ret->percent > AGENT_PERCENT_MAX)
        return false;
    ret->down = down > 0;
    ret->admin = (enum agent_admin)admin;
    *ret_why = what + length;
    return true;
}

static void take(void *arg, uint16_t backend, const char *what)
{
    struct roster *r = arg;
    struct backend_said *said = &r->backends[backend].said;
    const struct snapshot_check *asked = &r->pools[r->backends[backend].pool].settings.check;
    struct agent_state agent;
    const char *why;

    /* Where nobody asks any more, nobody would ever say otherwise. */
    if (is_down(what) && asked->type != POOL_CHECK_OFF)
        said->down = true;
    if (asked->agent_port && read_agent(what, &agent, &why)) {
        said->down |= agent.down || agent.admin != AGENT_READY;
        said->percent = agent.percent;
        said->max_sessions = agent.max_sessions;
    }
    for (enum relay_verdict k = RELAY_RIGHT; k <= RELAY_OPEN; k++)
        if (strcmp(what, relay_verdict_name(k)) == 0)
            r->backends[backend].relay = k;
}

int gateway_findings_restore(struct serving *v, int fd)
{
    read_all(v->roster, fd, take, v->roster);
    return fd >= 0 ? serving_begin_anew(v) : 0;
}

static void resume(void *arg, uint16_t backend, const char *what)
{
    struct agent_state agent;
    const char *why;

    if (is_down(what))
        checks_resume(arg, backend, what + strlen(DOWN));
    if (read_agent(what, &agent, &why))
        checks_resume_agent(arg, backend, &agent, why);
}

void gateway_findings_resume(const struct roster *r, struct checks *c, int fd)
{
    read_all(r, fd, resume, c);
}
