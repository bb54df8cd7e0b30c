/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the configuration: whatever stands in the files, loading ends, in order, with either a snapshot that
 * holds what the workers rely on, or with errors that are harmless text. An input is FILE; after a line
 * "#conf.d" it is a file of conf.d. tests/fuzz/run builds this with libFuzzer; with corpus.c it is a
 * regression test.
 */
#include "control/config/config.h"
#include "control/roster/roster.h"
#include "fuzz.h"
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = P_tmpdir "/postern-fuzz-XXXXXX";
static int files[2] = {-1, -1};

static void remove_files(void)
{
    if (chdir(dir) == 0 && unlink("postern.yaml") == 0 && unlink("conf.d/x.yaml") == 0 &&
        rmdir("conf.d") == 0)
        rmdir(dir);
}

/* The two files are memory; a directory of links makes them look like files. */
static void make_files(void)
{
    static const char *const links[] = {"postern.yaml", "conf.d/x.yaml"};
    char target[64];
    MUST(mkdtemp(dir) && chdir(dir) == 0 && mkdir("conf.d", 0700) == 0);
    for (int i = 0; i < 2; i++) {
        files[i] = memfd_create(links[i], MFD_CLOEXEC);
        MUST(files[i] >= 0);
        snprintf(target, sizeof(target), "/proc/self/fd/%d", files[i]);
        MUST(symlink(target, links[i]) == 0);
    }
    atexit(remove_files);
}

static void write_input(const uint8_t *data, size_t size)
{
    static const char mark[] = "\n#conf.d\n";
    const uint8_t *found = size > 0 ? memmem(data, size, mark, strlen(mark)) : NULL;
    size_t first = found ? (size_t)(found - data) : size;
    size_t rest = found ? first + strlen(mark) : size;
    MUST(ftruncate(files[0], 0) == 0 && ftruncate(files[1], 0) == 0);
    MUST(pwrite(files[0], data, first, 0) == (ssize_t)first);
    MUST(pwrite(files[1], data + rest, size - rest, 0) == (ssize_t)(size - rest));
}

/* What the workers take for granted. */
static void check_snapshot(const struct snapshot *s)
{
    MUST(s->workers >= 1 && s->workers <= 64 && s->max_sessions >= 1 && s->gateway_name[0] &&
         s->gateway_zone && s->unavailable);
    MUST(s->n_vips >= 1 && s->n_listeners >= 1 && s->n_pools >= 1 && s->n_backends >= 1);
    MUST(s->n_backends <= SNAPSHOT_BACKENDS_MAX);
    for (uint16_t i = 0; i < s->n_vips; i++) {
        MUST(s->vips[i].listener < s->n_listeners && s->vips[i].port > 0 && s->vips[i].prefix.len > 0);
        MUST(i == 0 || s->vips[i - 1].prefix.len >= s->vips[i].prefix.len);
    }
    for (uint16_t i = 0; i < s->n_listeners; i++)
        MUST(s->listeners[i].name[0] && s->listeners[i].pool < s->n_pools);
    for (uint16_t i = 0; i < s->n_pools; i++) {
        const struct snapshot_pool *p = &s->pools[i];
        MUST(p->name[0] && p->n_members >= 1 && p->retries <= 10);
        MUST(p->source != SOURCE_GATEWAY || p->proxy != PROXY_OFF); /* the promise */
        MUST(p->source <= SOURCE_GATEWAY && p->proxy <= PROXY_V2 && p->balance <= BALANCE_SOURCE_HASH);
        MUST(p->connect_timeout_ms > 0 && p->idle_timeout_ms > 0 && p->half_closed_timeout_ms > 0);
        const struct snapshot_check *check = &p->check;
        MUST(check->type <= POOL_CHECK_OFF && check->rise > 0 && check->fall > 0 && check->rcpt &&
             !strpbrk(check->rcpt, "\r\n <>"));
        MUST(check->fast_interval_ms > 0 && check->timeout_ms > 0 && check->agent_interval_ms > 0);
        MUST(check->fast_interval_ms <= check->interval_ms && check->timeout_ms <= check->interval_ms);
        MUST(p->greeting_timeout_ms > 0 && p->greeting_total_timeout_ms >= p->greeting_timeout_ms);
        MUST(p->n_verdicts >= 1 && p->n_verdicts <= 16 && p->queue_timeout_ms >= 100);
        for (uint16_t k = 0; k < p->n_verdicts; k++)
            MUST(p->verdicts[k].then == THEN_PASS || p->verdicts[k].reply[0] == '4'); /* never a 5xx */
        for (uint16_t k = 0; k < p->n_members; k++) {
            uint16_t b = p->members[k];
            MUST(b < s->n_backends);
            uint32_t before = k == 0 ? 0 : p->weight_sums[k - 1];
            MUST(p->weight_sums[k] - before == s->backends[b].weight);
            MUST(s->backends[b].pool == i && s->backends[b].name[0] && s->backends[b].zone);
            MUST(s->backends[b].weight <= SNAPSHOT_WEIGHT_MAX * SNAPSHOT_WEIGHT_SCALE);
            MUST(s->backends[b].v4.sa.sa_family == AF_INET || s->backends[b].v6.sa.sa_family == AF_INET6);
        }
    }
}

/* Errors go to terminals: whole lines, nothing that a terminal would obey. */
static void check_errors(const char *text, size_t size)
{
    MUST(size > 0 && text[size - 1] == '\n' && strlen(text) == size);
    MUST(strncmp(text, "postern.yaml:", 13) == 0 || strncmp(text, "conf.d/x.yaml:", 14) == 0);
    for (size_t i = 0; i < size; i++)
        MUST(text[i] == '\n' || ((uint8_t)text[i] >= 0x20 && text[i] != 0x7f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = NULL;
    struct roster *roster = NULL;
    struct snapshot *s = NULL;
    char *text = NULL;
    size_t length = 0;
    if (files[0] < 0)
        make_files();
    write_input(data, size);
    FILE *errors = open_memstream(&text, &length);
    MUST(errors);
    int r = config_load("postern.yaml", errors, &c);
    MUST(fclose(errors) == 0);
    MUST(r == 0 || r == -EINVAL);
    if (r == 0) {
        MUST(length == 0);
        MUST(roster_next(NULL, c, 0, &roster) == 0 && roster_weigh(roster, 0) == UINT64_MAX);
        MUST(roster_publish(roster, &s) == 0);
        roster_free(roster);
        config_free(c); /* the snapshot must refer to nothing in it */
        check_snapshot(s);
        snapshot_free(s);
    } else {
        MUST(!c);
        check_errors(text, length);
    }
    free(text);
    return 0;
}
