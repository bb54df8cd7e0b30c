/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: good, safe from strangers, and the one that the running postern goes by. Called by
 * doctor.c.
 */
#include "tools/doctor/check_host.h"
#include "tools/doctor/config_files.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/process.h"
#include "tools/posternctl/client.h"
#include "tools/posternctl/document.h"
#include "tools/posternctl/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void check_config(struct doctor *d)
{
    if (d->config) {
        doctor_note(d, VERDICT_OK, "%s is good", d->options->file);
        return;
    }
    char *errors = must(strdup(d->config_errors));
    size_t n = strlen(errors);
    if (n > 0 && errors[n - 1] == '\n')
        errors[n - 1] = '\0';
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", d->options->file);
    finding_say(f, TRIED, "read it as postern does");
    finding_say(f, SEEN, "%s", errors);
    finding_say(f, WHY, "postern does not start with it; one that runs keeps the configuration it has");
    finding_say(
        f, MEND, "# correct it where the message points, then: postern --check -f %s", d->options->file);
    free(errors);
}

static void look_at_access(struct doctor *d, const char *path)
{
    struct stat st;
    uid_t uid;
    gid_t gid;

    if (stat(path, &st))
        return; /* `config` has said so */
    if (st.st_mode & S_IWOTH) {
        struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", path);
        finding_say(f, TRIED, "read its permissions");
        finding_say(f, SEEN, "everybody on this host may write to it (mode %04o)", st.st_mode & 07777);
        finding_say(f, WHY, "whoever can write here chooses which host gets the mail");
        finding_say(f, MEND, "chmod o-w %s", path);
    }
    if (geteuid() != 0 || !process_user(d, &uid, &gid))
        return;
    int error = process_may(uid, gid, path, S_ISDIR(st.st_mode) ? R_OK | X_OK : R_OK);
    if (error != -EACCES)
        return;
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", path);
    finding_say(f, TRIED, "opened it as user %u, as postern does", uid);
    finding_say(f, SEEN, "%s (mode %04o)", strerror(-error), st.st_mode & 07777);
    finding_say(f, WHY, "postern cannot read its configuration: it does not start, and a reload fails");
    finding_say(f, MEND, "chgrp %u %s && chmod g+r%s %s", gid, path, S_ISDIR(st.st_mode) ? "x" : "", path);
}

void check_access(struct doctor *d)
{
    struct config_paths paths;

    config_paths_find(d->options->file, &paths);
    for (size_t i = 0; i < paths.n; i++)
        look_at_access(d, paths.list[i]);
    config_paths_done(&paths);
}

void check_admin_socket(struct doctor *d)
{
    if (d->status) {
        doctor_note(d, VERDICT_OK, "%s answers", d->socket);
        return;
    }
    if (!d->running || !d->socket[0]) {
        doctor_note(d, VERDICT_SKIPPED, "%s",
            d->running ? "the configuration has no admin: {socket: ...}: what the running postern does is "
                         "not looked at"
                       : "postern does not run");
        return;
    }
    struct finding *f = doctor_find(d, VERDICT_FAILED, "admin socket %s", d->socket);
    finding_say(f, TRIED, "asked it for \"show status\"");
    finding_say(f, SEEN, "%s", client_reason(d->status_error));
    finding_say(f, WHY, "nobody can see how postern stands, nor drain a backend");
    if (d->status_error == EACCES)
        finding_say(f, MEND, "sudo posternctl doctor");
    else
        finding_say(f, MEND,
            "# the running postern has no such socket; where it has the one of another configuration, it "
            "opens this one with:\nsystemctl reload postern");
}

static void tell_refused(struct doctor *d, const json_t *reload)
{
    struct finding *f = doctor_find(d, VERDICT_FAILED, "the running postern");
    finding_say(f, TRIED, "asked for its last reload");
    finding_say(f, SEEN, "it was refused: %s", text_of(reload, "error"));
    finding_say(f, WHY, "what was changed since does not count: the configuration of before is in force");
    finding_say(f, MEND, "# correct what it names, then:\nposternctl reload");
}

void check_loaded(struct doctor *d)
{
    const json_t *config = json_object_get(d->status, "config");
    const json_t *reload = json_object_get(config, "last_reload");

    if (d->is_draft) {
        doctor_note(
            d, VERDICT_OK, "the running postern goes by %s: this is one to come", text_of(config, "file"));
        return;
    }
    if (json_is_object(reload) && !json_is_true(json_object_get(reload, "ok"))) {
        tell_refused(d, reload);
        return;
    }
    if (!d->is_changed) {
        doctor_note(d, VERDICT_OK, "process %d has loaded it as it is", (int)d->pid);
        return;
    }
    struct finding *f = doctor_find(d, VERDICT_WARNING, "%s", d->options->file);
    finding_say(f, TRIED, "compared when it was changed with when the running postern has loaded it");
    finding_say(f, SEEN, "it was changed since");
    finding_say(f, WHY, "what was changed does not count yet");
    finding_say(f, MEND, "posternctl reload");
}

void check_trouble(struct doctor *d)
{
    const json_t *one;
    size_t i;

    json_array_foreach (json_object_get(d->status, "trouble"), i, one) {
        bool error = strcmp(text_of(one, "severity"), "error") == 0;
        struct finding *f =
            doctor_find(d, error ? VERDICT_FAILED : VERDICT_WARNING, "%s", text_of(one, "about"));
        finding_say(f, TRIED, "asked the running postern");
        finding_say(f, SEEN, "%s", text_of(one, "what"));
        if (text_of(one, "why")[0])
            finding_say(f, WHY, "%s", text_of(one, "why"));
        finding_say(f, MEND, "# %s", text_of(one, "do"));
    }
}
