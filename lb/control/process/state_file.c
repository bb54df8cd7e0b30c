/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the version, the names of the columns, a line for each backend; written beside and renamed.
 * Failure paths: another format is ignored as a whole; a line that cannot be read, has no end or cannot hold
 * is left out; each is told with its place. Called by gateway_state.c, control thread only.
 */
#include "control/process/state_file.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINES_MAX (4 * SNAPSHOT_BACKENDS_MAX)
#define LINE_MAX_BYTES 4096
#define TOLD_MAX 10 /* wrong lines that are told of one by one */
#define MODE 0640

struct reading {
    const char *path;
    FILE *errors;
    unsigned line, wrong;
    bool is_state; /* the first two lines are those of such a file */
};

static void tell(struct reading *r, const char *why)
{
    if (++r->wrong <= TOLD_MAX)
        fprintf(r->errors, "postern: %s:%u: %s; left out\n", r->path, r->line, why);
    else if (r->wrong == TOLD_MAX + 1)
        fprintf(r->errors, "postern: %s:%u: and further lines are wrong; left out\n", r->path, r->line);
}

/* One of the first two lines. NULL, or what is wrong. */
static const char *read_head(unsigned line, const char *text)
{
    static const char names[] = SERVER_STATE_COLUMNS;
    const char *foreign_end = strstr(names, " origin ");

    if (line == 1)
        return strcmp(text, SERVER_STATE_VERSION) == 0 ? NULL
                                                       : "the format is not version " SERVER_STATE_VERSION;
    bool foreign = strlen(text) == (size_t)(foreign_end - names) && strncmp(text, names, strlen(text)) == 0;
    return foreign || strcmp(text, names) == 0 ? NULL : "these are not the columns of a state file";
}

/* What is wrong with a line, or NULL. */
static const char *read_line(struct reading *r, char *text, size_t n, state_file_each_fn *each, void *arg)
{
    struct server_state s;

    if (n == 0 || text[n - 1] != '\n')
        return "the line has no end: the file was cut off";
    text[n - 1] = '\0';
    if (strlen(text) != n - 1 || n > LINE_MAX_BYTES)
        return "the line is no text, or too long";
    if (r->line <= 2) {
        const char *why = read_head(r->line, text);
        r->is_state = !why;
        return why;
    }
    const char *why = server_state_parse(text, &s);
    return why ? why : each(&s, arg);
}

unsigned state_file_read(const char *path, FILE *errors, state_file_each_fn *each, void *arg)
{
    struct reading r = {.path = path, .errors = errors, .is_state = true};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    char *text = NULL;
    size_t size = 0;
    ssize_t n;

    if (!f) {
        if (errno != ENOENT)
            fprintf(errors, "postern: %s: %s; left out\n", path, strerror(errno));
        r.wrong = errno != ENOENT;
        fd_close(&fd);
        return r.wrong;
    }
    while (r.is_state && r.line < LINES_MAX && (n = getline(&text, &size, f)) > 0) {
        r.line++;
        const char *why = read_line(&r, text, (size_t)n, each, arg);
        if (why)
            tell(&r, why);
        r.is_state &= !(why && r.line <= 2);
    }
    if (ferror(f)) {
        r.line++;
        tell(&r, strerror(errno));
    }
    free(text);
    fclose(f);
    return r.wrong;
}

static int write_whole(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, text, n);
        if (written < 0 && errno != EINTR)
            return -errno;
        text += written > 0 ? written : 0;
        n -= written > 0 ? (size_t)written : 0;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int state_file_write(const char *path, const char *text, size_t n)
{
    char beside[PATH_MAX + 8];
    int len = snprintf(beside, sizeof(beside), "%s.new", path);

    if (len < 0 || (size_t)len >= sizeof(beside))
        return -ENAMETOOLONG;
    if (unlink(beside) < 0 && errno != ENOENT)
        return -errno;
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
    if (fd < 0)
        return -errno;
    int error = write_whole(fd, text, n);
    fd_close(&fd);
    if (!error && rename(beside, path) < 0)
        error = -errno;
    if (error)
        (void)unlink(beside);
    return error;
}
