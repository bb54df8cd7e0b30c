/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-spf: keeps a prefix list of each domain's SPF record.
 *
 * Happy path, for each domain: its record is expanded, the result is judged against the list that is there,
 * and takes its place when it may.
 *
 * Failure paths: without a result the list stays as it is, and the reason is told. A change that is too large
 * waits as FILE.pending, told in words, until --approve takes it. What one domain meets does not concern the
 * others; the exit status is that of the worst.
 *
 * One thread beside libunbound's own.
 */
#include "expand.h"
#include "list.h"
#include "lookup.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define DEFAULT_DIRECTORY "/var/lib/postern/spf"
#define CHANGES_SHOWN 40
#define DOMAINS_MAX 100

enum status { STATUS_GOOD = EXIT_SUCCESS, STATUS_PENDING = 3, STATUS_FAILED = EXIT_FAILURE };

enum key { KEY_APPROVE = 256, KEY_IF_DUE };

struct arguments {
    const char *directory, *file, *resolver;
    bool approve, if_due;
    const char *domains[DOMAINS_MAX];
    size_t n_domains;
};

/* One domain's list. */
struct job {
    const struct arguments *arguments;
    char domain[SPF_NAME_MAX + 1];
    char path[PATH_MAX]; /* as the messages name it */
    int directory;       /* locked while files are looked at and changed */
    const char *name;    /* in it */
    char pending[NAME_MAX + 1];
};

const char *argp_program_version = "postern-spf " POSTERN_VERSION;

static const struct argp_option options[] = {
    {"directory", 'd', "DIRECTORY", 0, "Keep the list of each domain in DIRECTORY (" DEFAULT_DIRECTORY ")",
        0},
    {"output", 'o', "FILE", 0, "Keep the list of the only domain in FILE", 0},
    {"resolver", 'r', "ADDRESS[:PORT]", 0, "Ask this DNS server, not those of /etc/resolv.conf", 0},
    {"if-due", KEY_IF_DUE, NULL, 0, "Do nothing while the list is younger than its time to live", 0},
    {"approve", KEY_APPROVE, NULL, 0, "Take the change that waits for approval, without looking again", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case 'd':
        a->directory = arg;
        return 0;
    case 'o':
        a->file = arg;
        return 0;
    case 'r':
        a->resolver = arg;
        return 0;
    case KEY_IF_DUE:
        a->if_due = true;
        return 0;
    case KEY_APPROVE:
        a->approve = true;
        return 0;
    case ARGP_KEY_ARG:
        if (a->n_domains == DOMAINS_MAX)
            argp_error(state, "more than %d domains; call it several times", DOMAINS_MAX);
        a->domains[a->n_domains++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->n_domains == 0)
            argp_error(state, "no domain is named");
        if (a->file && a->n_domains > 1)
            argp_error(state, "--output is for one domain; name a --directory for several");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .args_doc = "DOMAIN...",
    .doc =
        "Expand the SPF record of each DOMAIN into a list of prefixes, for sources: of postern.yaml."
        "\vExit status: 0 the lists are as the DNS says, 1 a list could not be renewed, 3 a change waits for "
        "approval. Such a list routes mail, it does not authenticate it. See postern-spf(8).",
};

/* ---- telling ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static enum status complain(
    const struct job *j, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "postern-spf: %s: ", j->domain);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return STATUS_FAILED;
}

static enum status tell(
    const struct job *j, const struct list *l, const char *what, const struct spf_change *change)
{
    printf("%s: %s: %zu prefixes, serial %" PRIu64 ", time to live %" PRIu32 " s, in %s\n", j->domain, what,
        prefix_set_count(&l->set), l->serial, l->ttl, j->path);
    if (change)
        list_print_change(stdout, "  ", change, CHANGES_SHOWN);
    return STATUS_GOOD;
}

static enum status complain_about_write(const struct job *j, int error)
{
    return complain(j, "%s could not be written: %s", j->path, strerror(-error));
}

/* ---- files -------------------------------------------------------------------------------------------- */

/* Another domain's list is not ours to replace. 0, -ENOENT, or -EINVAL and told. */
static int read_list(const struct job *j, const char *name, struct list *ret)
{
    char why[LIST_WHY_MAX];
    int error = list_read(j->directory, name, ret, why);

    if (error == -ENOENT)
        return error;
    if (error) {
        complain(j, "%s: %s: mend or remove it", name, why);
        return -EINVAL;
    }
    if (strcmp(ret->domain, j->domain) == 0)
        return 0;
    complain(j, "%s is the list of %s: choose another file", name, ret->domain);
    list_done(ret);
    return -EINVAL;
}

static void forget_pending(const struct job *j)
{
    (void)unlinkat(j->directory, j->pending, 0); /* most often there is none */
}

static enum status hold(const struct job *j, const struct list *new, const struct spf_change *change)
{
    char why[LIST_WHY_MAX];
    struct list waiting;
    bool known = list_read(j->directory, j->pending, &waiting, why) == 0;
    bool told = known && prefix_set_same(&waiting.set, &new->set);

    if (known)
        list_done(&waiting);
    int error = told ? 0 : list_write(j->directory, j->pending, new, change);
    if (error)
        return complain_about_write(j, error);
    complain(j,
        "%u%% of the IPv4 and %u%% of the IPv6 addresses have changed, more than %d%%: %s.pending waits for "
        "--approve",
        change->percent_v4, change->percent_v6, SPF_HOLD_PERCENT, j->path);
    if (!told)
        list_print_change(stderr, "  ", change, CHANGES_SHOWN);
    return STATUS_PENDING;
}

/* The list that is there, if any, against the new one, whose serial is still to be set. */
static enum status put(const struct job *j, struct list *new)
{
    struct list old = {0};
    struct spf_change change = {0};
    int error = read_list(j, j->name, &old);

    if (error && error != -ENOENT)
        return STATUS_FAILED;
    bool first = error == -ENOENT;
    enum spf_verdict verdict = spf_judge(&old.set, &new->set, &change);
    enum status status;

    new->serial = old.serial + (verdict == SPF_SAME ? 0 : 1);
    if (verdict == SPF_HOLD && !first)
        status = hold(j, new, &change);
    else {
        error = list_write(j->directory, j->name, new, NULL);
        if (!error)
            forget_pending(j);
        status = error                 ? complain_about_write(j, error)
                 : first               ? tell(j, new, "new", NULL)
                 : verdict == SPF_SAME ? tell(j, new, "unchanged", NULL)
                                       : tell(j, new, "changed", &change);
    }
    spf_change_done(&change);
    list_done(&old);
    return status;
}

static enum status approve(const struct job *j)
{
    struct list old = {0}, new;
    struct spf_change change;
    int error = read_list(j, j->pending, &new);

    if (error)
        return error == -ENOENT ? complain(j, "nothing waits for approval: there is no %s.pending", j->path)
                                : STATUS_FAILED;
    error = read_list(j, j->name, &old);
    if (error && error != -ENOENT) {
        list_done(&new);
        return STATUS_FAILED;
    }
    (void)spf_judge(&old.set, &new.set, &change);
    error = list_rename(j->directory, j->pending, j->name);
    enum status status = error ? complain_about_write(j, error) : tell(j, &new, "approved", &change);
    spf_change_done(&change);
    list_done(&new);
    list_done(&old);
    return status;
}

/* A list that cannot be read is due; so is one from the future. */
static bool is_due(const struct job *j)
{
    char why[LIST_WHY_MAX];
    struct list l;
    time_t now = time(NULL);

    if (list_read(j->directory, j->name, &l, why) < 0)
        return true;
    list_done(&l);
    return now < l.looked || now - l.looked >= (time_t)l.ttl;
}

/* ---- domains ------------------------------------------------------------------------------------------ */

static enum status look(const struct job *j, struct lookup *lookup)
{
    struct spf_expansion *e = spf_expansion_new(j->domain);
    struct list new = {.looked = time(NULL)};
    enum status status;

    lookup_run(lookup, e);
    if (spf_expansion_failure(e))
        status = complain(j, "%s", spf_expansion_failure(e));
    else if (flock(j->directory, LOCK_EX) < 0)
        status = complain_about_write(j, -errno);
    else {
        strcpy(new.domain, j->domain);
        new.ttl = spf_expansion_ttl(e);
        prefix_set_unite(&new.set, spf_expansion_set(e));
        status = put(j, &new);
        list_done(&new);
    }
    spf_expansion_free(e);
    return status;
}

/* Where the list is: the directory, and the name in it. */
static int open_place(struct job *j)
{
    const struct arguments *a = j->arguments;
    char directory[PATH_MAX];
    int n = a->file ? snprintf(j->path, sizeof(j->path), "%s", a->file)
                    : snprintf(j->path, sizeof(j->path), "%s/%s", a->directory, j->domain);

    if (n >= (int)sizeof(j->path))
        return -ENAMETOOLONG;
    char *slash = strrchr(j->path, '/');
    j->name = slash ? slash + 1 : j->path;
    snprintf(
        directory, sizeof(directory), "%.*s", slash ? (int)(slash + 1 - j->path) : 1, slash ? j->path : ".");
    n = snprintf(j->pending, sizeof(j->pending), "%s.pending", j->name);
    if (n >= (int)sizeof(j->pending))
        return -ENAMETOOLONG;
    j->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return j->directory < 0 ? -errno : 0;
}

static enum status do_domain(const struct arguments *a, const char *domain, struct lookup *lookup)
{
    struct job j = {.arguments = a, .directory = -1};
    enum status status = STATUS_GOOD;

    snprintf(j.domain, sizeof(j.domain), "%s", domain);
    if (spf_name_parse(domain, j.domain) < 0)
        return complain(&j, "not the name of a domain, like example.org");
    int error = open_place(&j);
    if (error)
        return complain(&j, "the directory of %s: %s", j.path, strerror(-error));
    if (a->approve)
        status = flock(j.directory, LOCK_EX) < 0 ? complain_about_write(&j, -errno) : approve(&j);
    else if (!a->if_due || is_due(&j))
        status = look(&j, lookup);
    close(j.directory);
    return status;
}

int main(int argc, char **argv)
{
    struct arguments a = {.directory = DEFAULT_DIRECTORY};
    struct lookup *lookup;
    enum status worst = STATUS_GOOD;

    argp_err_exit_status = EXIT_FAILURE;
    if (argp_parse(&parser, argc, argv, 0, NULL, &a))
        return EXIT_FAILURE;
    int error = lookup_new(a.resolver, &lookup);
    if (error) {
        fprintf(stderr, "postern-spf: --resolver=%s: %s\n", a.resolver ? a.resolver : "",
            error == -EINVAL ? "not ADDRESS or ADDRESS:PORT of a DNS server, like 192.0.2.53"
                             : strerror(-error));
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < a.n_domains; i++) {
        enum status status = do_domain(&a, a.domains[i], lookup);
        if (status == STATUS_FAILED || worst == STATUS_GOOD)
            worst = status;
    }
    lookup_free(lookup);
    return fflush(stdout) == 0 ? worst : EXIT_FAILURE;
}
