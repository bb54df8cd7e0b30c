/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the configuration is read as postern reads it, a running postern is asked for its status, each
 * check runs, and all that was found is written.
 *
 * Failure paths: a configuration that is not good, or no postern, is for the checks to tell; those that
 * cannot do without are skipped, with the reason. A check that is asked for and does not exist is bad usage.
 */
#include "tools/doctor/doctor.h"

#include "control/config/config.h"
#include "control/kernel/preflight.h"
#include "log.h"
#include "snapshot.h"
#include "tools/doctor/checks.h"
#include "tools/doctor/config_files.h"
#include "tools/doctor/found.h"
#include "tools/doctor/network.h"
#include "tools/doctor/report.h"
#include "tools/posternctl/client.h"
#include "tools/posternctl/command.h"
#include "tools/posternctl/document.h"
#include "tools/posternctl/memory.h"
#include "tools/posternctl/screen.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct finding *doctor_find(struct doctor *d, enum verdict verdict, const char *about, ...)
{
    va_list args;
    char *text;

    va_start(args, about);
    must(vasprintf(&text, about, args) < 0 ? NULL : text);
    va_end(args);
    struct finding *f = findings_add(&d->findings, d->now, verdict, text);
    free(text);
    return f;
}

bool doctor_has(const struct doctor *d, const char *about)
{
    for (size_t i = 0; i < d->findings.n; i++)
        if (d->findings.list[i]->check == d->now && strcmp(d->findings.list[i]->about, about) == 0)
            return true;
    return false;
}

void doctor_note(struct doctor *d, enum verdict verdict, const char *seen, ...)
{
    va_list args;
    char *text;

    va_start(args, seen);
    must(vasprintf(&text, seen, args) < 0 ? NULL : text);
    va_end(args);
    finding_say(findings_add(&d->findings, d->now, verdict, ""), SEEN, "%s", text);
    free(text);
}

/* ---- what there is to look at ------------------------------------------------------------------------- */

static void read_config(struct doctor *d)
{
    size_t n;
    FILE *errors = must(open_memstream(&d->config_errors, &n));

    int error = config_load(d->options->file, errors, &d->config);
    if (error && ftell(errors) == 0)
        fprintf(errors, "%s: %s\n", d->options->file, strerror(-error));
    fclose(errors);
}

static void make_snapshot(struct doctor *d)
{
    int error = d->config ? found_snapshot(d->config, d->status, &d->snapshot) : 0;

    if (!error)
        return;
    free(d->config_errors);
    must(asprintf(&d->config_errors, "%s: %s", d->options->file, strerror(-error)) < 0 ? NULL
                                                                                       : d->config_errors);
    config_free(d->config);
    d->config = NULL;
}

/* Where postern does not answer it is taken for one that goes by this file. */
static void compare_files(struct doctor *d)
{
    const json_t *config = json_object_get(d->status, "config");
    struct config_paths paths;

    if (!json_is_object(config))
        return;
    config_paths_find(d->options->file, &paths);
    d->is_draft = !config_same_file(text_of(config, "file"), d->options->file);
    d->is_changed = config_paths_changed(&paths) > number_of(config, "loaded_at");
    config_paths_done(&paths);
}

bool doctor_is_applied(const struct doctor *d)
{
    return d->running && !d->is_draft && !d->is_changed;
}

static void ask_daemon(struct doctor *d)
{
    d->running = preflight_running(&d->pid);
    d->socket = d->options->socket ? d->options->socket : d->config ? d->config->admin.socket : "";
    d->status_error = ENOENT;
    if (d->running && d->socket[0]) {
        d->status = client_try_status(d->socket);
        d->status_error = d->status ? 0 : errno;
        compare_files(d);
    }
}

static void forget(struct doctor *d)
{
    findings_done(&d->findings);
    network_free(d->network);
    json_decref(d->status);
    snapshot_free(d->snapshot);
    config_free(d->config);
    free(d->config_errors);
}

/* ---- the checks --------------------------------------------------------------------------------------- */

/* NULL: nothing is. */
static const char *what_is_missing(const struct doctor *d, unsigned needs)
{
    if (needs & NEEDS_CONFIG && !d->snapshot)
        return "the configuration is not good, see config";
    if (needs & NEEDS_ROOT && geteuid() != 0)
        return "only root can look: sudo posternctl doctor";
    if (needs & NEEDS_DAEMON && !d->running)
        return "postern does not run";
    if (needs & NEEDS_DAEMON && !d->status)
        return "the running postern does not answer, see admin-socket";
    return NULL;
}

static void run_check(struct doctor *d, const struct doctor_check *check)
{
    const char *missing = what_is_missing(d, check->needs);
    size_t before = d->findings.n;

    d->now = check;
    if (missing)
        doctor_note(d, VERDICT_SKIPPED, "%s", missing);
    else
        check->run(d);
    if (d->findings.n == before)
        doctor_note(d, VERDICT_OK, "%s", check->title);
}

static bool is_asked_for(const char *only, const struct doctor_check *check)
{
    size_t n = strlen(check->id);

    for (const char *at = only; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == n && memcmp(at, check->id, n) == 0)
            return true;
    return !only;
}

static bool knows_all(const char *only)
{
    for (const char *at = only; at && *at; at += strcspn(at, ","), at += *at == ',') {
        int n = (int)strcspn(at, ",");
        if (doctor_find_check(at, (size_t)n))
            continue;
        fprintf(stderr, "posternctl: no check '%.*s'; posternctl doctor --list lists them\n", n, at);
        return false;
    }
    return true;
}

static int list_checks(void)
{
    for (size_t i = 0; i < n_doctor_checks; i++)
        printf("%-18s %s\n", doctor_checks[i].id, doctor_checks[i].title);
    return EXIT_SUCCESS;
}

/* What root alone can look at is not known to be right. */
static bool has_skipped_for_root(const struct doctor *d)
{
    for (size_t i = 0; i < d->findings.n; i++)
        if (d->findings.list[i]->verdict == VERDICT_SKIPPED &&
            d->findings.list[i]->check->needs & NEEDS_ROOT && geteuid() != 0)
            return true;
    return false;
}

static int write_report(const struct doctor *d)
{
    if (!d->options->json) {
        const struct screen screen = screen_of_stdout();
        report_text(d, &screen);
        return EXIT_SUCCESS;
    }
    json_t *report = must(report_json(d));
    int error = json_dumpf(report, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
    json_decref(report);
    return error ? EXIT_FAILURE : EXIT_SUCCESS;
}

int doctor_run(const struct doctor_options *o)
{
    struct doctor d = {.options = o};

    if (o->list)
        return list_checks();
    if (!knows_all(o->only))
        return EXIT_BAD_USAGE;
    log_mute(); /* what the daemon's code would log is told as findings */
    read_config(&d);
    ask_daemon(&d);
    make_snapshot(&d);
    for (size_t i = 0; i < n_doctor_checks; i++)
        if (is_asked_for(o->only, &doctor_checks[i]))
            run_check(&d, &doctor_checks[i]);
    enum verdict verdict = findings_verdict(&d.findings, NULL);
    int status = write_report(&d);
    if (!status && verdict >= (o->strict ? VERDICT_WARNING : VERDICT_FAILED))
        status = EXIT_WRONG;
    else if (!status && has_skipped_for_root(&d))
        status = EXIT_NO_PERMISSION;
    forget(&d);
    return status;
}
