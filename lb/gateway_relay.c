/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a line for each backend of which something is proven; who has the same place, addresses, source
 * and header there holds on to it, until his first test there has ended. Failure path: what is missing or not
 * understood is not proven. Called by gateway_upgrade.c and gateway.c.
 */
#include "gateway_relay.h"

#include "base/fd.h"
#include "serving.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE_MAX_BYTES 512

/* Who it is, and the way his sessions come to him: whatever differs has yet to be proven. */
static void describe(const struct roster *r, const struct roster_backend *b, char line[LINE_MAX_BYTES])
{
    char v4[ADDR_TEXT_MAX], v6[ADDR_TEXT_MAX];

    snprintf(line, LINE_MAX_BYTES, "%s %s %s %s %d %d", r->pools[b->pool].name, b->spec.name,
        addr_format(&b->spec.v4, v4), addr_format(&b->spec.v6, v6), b->source, b->proxy);
}

int gateway_relay_fd(const struct roster *r)
{
    int fd = memfd_create("postern-relay", MFD_CLOEXEC);
    FILE *out = fd >= 0 ? fdopen(fcntl(fd, F_DUPFD_CLOEXEC, 0), "w") : NULL;
    char who[LINE_MAX_BYTES];

    for (uint32_t i = 0; out && i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        if (!b->member || (b->relay != RELAY_RIGHT && b->relay != RELAY_OPEN))
            continue;
        describe(r, b, who);
        fprintf(out, "%s %s\n", who, relay_verdict_name(b->relay));
    }
    if (!out || fclose(out) != 0)
        fd_close(&fd);
    return fd;
}

static bool take(struct roster *r, const char *line)
{
    char who[LINE_MAX_BYTES], wanted[2 * LINE_MAX_BYTES];

    for (uint32_t i = 0; i < r->n_backends; i++) {
        if (!r->backends[i].member)
            continue;
        describe(r, &r->backends[i], who);
        for (enum relay_verdict k = RELAY_RIGHT; k <= RELAY_OPEN; k++) {
            snprintf(wanted, sizeof(wanted), "%s %s\n", who, relay_verdict_name(k));
            if (strcmp(line, wanted) != 0)
                continue;
            r->backends[i].relay = k;
            return true;
        }
    }
    return false;
}

int gateway_relay_restore(struct serving *v, int fd)
{
    char path[32], line[2 * LINE_MAX_BYTES];
    bool any = false;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    FILE *in = fd >= 0 ? fopen(path, "re") : NULL;
    while (in && fgets(line, sizeof(line), in))
        any |= take(v->roster, line);
    if (in)
        fclose(in);
    return any ? serving_begin_anew(v) : 0;
}
