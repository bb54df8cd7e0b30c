/* SPDX-License-Identifier: Apache-2.0 */
/* Files that postern reads and writes while it runs, beside its configuration. Called by doctor.c. */
#include "control/config/config.h"
#include "control/discovery/source_list.h"
#include "tools/doctor/check_host.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/process.h"
#include "tools/posternctl/memory.h"
#include "tools/spf/list.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STALE_HOURS 48 /* a day more than the longest that a list is good for */
#define SPF_DIRECTORY "/var/lib/postern/spf/"

/* ---- the state file ----------------------------------------------------------------------------------- */

void check_state_file(struct doctor *d)
{
    const char *path = d->config->admin.state_file;
    char *own = must(strdup(path));
    const char *directory = dirname(own);
    uid_t uid;
    gid_t gid;

    int error = !path[0]                      ? 0
                : access(directory, F_OK) < 0 ? -errno
                : process_user(d, &uid, &gid) ? process_may(uid, gid, directory, W_OK | X_OK)
                                              : 0;
    if (error) {
        struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", path);
        finding_say(f, TRIED, "asked whether postern can write into %s", directory);
        finding_say(f, SEEN, "%s", strerror(-error));
        finding_say(f, WHY,
            "what operators set (drain, weights) is forgotten at the next restart: a backend that is being "
            "worked on gets sessions");
        if (process_user(d, &uid, &gid))
            finding_say(f, MEND, "install -d -o %u -g %u -m 0750 %s", uid, gid, directory);
        else
            finding_say(f, MEND, "install -d -o postern -g postern -m 0750 %s", directory);
    }
    free(own);
}

/* ---- lists of prefixes -------------------------------------------------------------------------------- */

static void tell_unreadable(struct doctor *d, const char *source, const char *path, int error)
{
    struct finding *f = doctor_find(d, VERDICT_FAILED, "source %s, %s", source, path);
    size_t n = strlen(SPF_DIRECTORY);

    finding_say(f, TRIED, "read it as postern does");
    finding_say(f, SEEN, "%s", strerror(-error));
    finding_say(f, WHY,
        "its clients are taken for anybody: they go to the pool of all others, with the limits of all "
        "others");
    if (strncmp(path, SPF_DIRECTORY, n) == 0 && error == -ENOENT)
        finding_say(f, MEND, "systemctl enable --now postern-spf@%s.timer", path + n);
    else if (error == -ENOENT)
        finding_say(f, MEND, "# write it: a prefix on each line; or take it out of sources.%s in %s", source,
            d->options->file);
    else
        finding_say(f, MEND, "chmod a+r %s\n# and its directories a+x", path);
}

static void tell_bad(struct doctor *d, const char *source, const char *path, const struct source_reading *r)
{
    const char *doubt = source_list_doubt(r, 0);
    struct finding *f =
        doctor_find(d, doubt ? VERDICT_FAILED : VERDICT_WARNING, "source %s, %s", source, path);

    finding_say(f, TRIED, "read it as postern does");
    finding_say(f, SEEN, "%zu lines are good, %zu are not%s%s", r->good, r->bad, doubt ? ": " : "",
        doubt ? doubt : "");
    for (size_t i = 0; i < r->bad && i < SOURCE_BAD_SHOWN; i++)
        finding_say(f, SEEN, "%s:%zu: %s", path, r->shown[i].line, r->shown[i].why);
    finding_say(f, WHY, "%s",
        doubt ? "it is not believed: the last good list stays in use, or none after a restart"
              : "clients of the bad lines are taken for anybody");
    finding_say(f, MEND, "# correct these lines in %s", path);
}

static int read_list(const char *path, struct source_reading *ret)
{
    struct prefix_members members = {0};
    char *text = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "re");

    if (!file)
        return -errno;
    errno = 0;
    ssize_t n = getdelim(&text, &room, EOF, file);
    int error = n < 0 && !feof(file)
                    ? -errno
                    : source_list_read(n > 0 ? text : "", n > 0 ? (size_t)n : 0, 0, &members, ret);
    prefix_members_done(&members);
    free(text);
    fclose(file);
    return error;
}

/* A list of postern-spf says itself when the DNS was asked last. */
static void look_at_age(struct doctor *d, const char *source, const char *path)
{
    char why[LIST_WHY_MAX];
    struct list list;
    FILE *file = fopen(path, "re");
    int error = file ? list_parse(file, &list, why) : -errno;

    if (file)
        fclose(file);
    if (error)
        return; /* it is of somebody else */
    time_t hours = (time(NULL) - list.looked) / 3600;
    if (hours >= STALE_HOURS) {
        struct finding *f = doctor_find(d, VERDICT_WARNING, "source %s, %s", source, path);
        finding_say(f, TRIED, "read when it was looked up last");
        finding_say(f, SEEN, "%lld hours ago; no SPF record is good for longer than a day", (long long)hours);
        finding_say(f, WHY, "new addresses of %s are taken for anybody's", list.domain);
        finding_say(f, MEND, "systemctl enable --now postern-spf@%s.timer", list.domain);
        finding_say(f, MEND, "# what keeps it from it: journalctl -u postern-spf@%s", list.domain);
    }
    list_done(&list);
}

static void look_at_list(struct doctor *d, const char *source, const char *path)
{
    struct source_reading reading = {0};
    uid_t uid;
    gid_t gid;

    int error = read_list(path, &reading);
    if (!error && geteuid() == 0 && process_user(d, &uid, &gid))
        error = process_may(uid, gid, path, R_OK);
    if (error)
        tell_unreadable(d, source, path, error);
    else if (reading.bad)
        tell_bad(d, source, path, &reading);
    else
        look_at_age(d, source, path);
}

void check_sources(struct doctor *d)
{
    const struct config_source *sources = d->config->sources.items;

    for (uint32_t i = 0; i < d->config->sources.n; i++) {
        const struct config_path *files = sources[i].files.items;
        for (uint32_t k = 0; k < sources[i].files.n; k++)
            look_at_list(d, sources[i].name, files[k].path);
    }
}
