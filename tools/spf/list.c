/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a list is read line by line; written whole under another name, synced, renamed.
 *
 * Failure paths: a line that is not as list_print() writes it makes the file unreadable: nobody shall lose a
 * file of his own. A failed write removes what it began and leaves the list as it was; a killed one leaves a
 * .NAME.new, which the next one overwrites.
 *
 * Called by main.c, by the tests and the fuzzer; one thread. Whoever writes holds the lock of the directory.
 */
#include "list.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIME_FORMAT "%Y-%m-%dT%H:%M:%SZ"
#define TIME_TEXT_MAX 32

enum header { HEADER_DOMAIN, HEADER_LOOKED, HEADER_TTL, HEADER_SERIAL, N_HEADERS };

static const char *const headers[N_HEADERS] = {"domain", "looked", "ttl", "serial"};

void list_done(struct list *l)
{
    prefix_set_done(&l->set);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno || *end || n > max)
        return -EINVAL;
    *ret = n;
    return 0;
}

static int parse_header(enum header header, const char *text, struct list *l)
{
    struct tm tm = {0};
    uint64_t n;

    switch (header) {
    case HEADER_DOMAIN:
        return spf_name_parse(text, l->domain);
    case HEADER_LOOKED: {
        const char *end = strptime(text, TIME_FORMAT, &tm);
        l->looked = timegm(&tm);
        return end && !*end ? 0 : -EINVAL;
    }
    case HEADER_TTL:
        if (parse_number(text, UINT32_MAX, &n) < 0)
            return -EINVAL;
        l->ttl = (uint32_t)n;
        return 0;
    case HEADER_SERIAL:
        return parse_number(text, UINT64_MAX - 1, &l->serial);
    case N_HEADERS:
        break;
    }
    return -EINVAL;
}

/* Comments that are no header mean nothing. */
static int parse_comment(const char *line, struct list *l, unsigned *found)
{
    for (unsigned i = 0; i < N_HEADERS; i++) {
        size_t len = strlen(headers[i]);
        if (strncmp(line, "# ", 2) != 0 || strncmp(line + 2, headers[i], len) != 0 ||
            strncmp(line + 2 + len, ": ", 2) != 0)
            continue;
        if (*found & 1u << i || parse_header((enum header)i, line + 2 + len + 2, l) < 0)
            return -EINVAL;
        *found |= 1u << i;
    }
    return 0;
}

static int parse_prefix_line(const char *line, struct list *l)
{
    struct addr_prefix p;
    char text[ADDR_TEXT_MAX];

    if (addr_network_parse(line, strlen(line), &p) < 0 || strcmp(addr_prefix_format(&p, text), line) != 0)
        return -EINVAL;
    prefix_set_add(&l->set, &p);
    return 0;
}

int list_parse(FILE *in, struct list *ret, char ret_why[LIST_WHY_MAX])
{
    struct list l = {0};
    char *line = NULL;
    size_t size = 0, number = 0;
    unsigned found = 0;
    ssize_t len;
    int error = 0;

    while (!error && (len = getline(&line, &size, in)) >= 0) {
        number++;
        if (len == 0 || line[len - 1] != '\n' || strlen(line) != (size_t)len)
            error = -EINVAL;
        else {
            line[len - 1] = '\0';
            error = line[0] == '#' ? parse_comment(line, &l, &found) : parse_prefix_line(line, &l);
        }
    }
    free(line);
    if (error)
        snprintf(ret_why, LIST_WHY_MAX, "line %zu is none that postern-spf writes", number);
    else if (ferror(in) || found != (1u << N_HEADERS) - 1) {
        snprintf(ret_why, LIST_WHY_MAX, "it was not written by postern-spf");
        error = -EINVAL;
    } else if (prefix_set_too_large(&l.set)) {
        snprintf(ret_why, LIST_WHY_MAX, "it has more addresses than postern-spf lets pass");
        error = -EINVAL;
    }
    if (error) {
        list_done(&l);
        return error;
    }
    *ret = l;
    return 0;
}

int list_read(int directory, const char *name, struct list *ret, char ret_why[LIST_WHY_MAX])
{
    struct stat st;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int error = fd < 0 ? -errno : fstat(fd, &st) < 0 ? -errno : 0;

    if (!error && !S_ISREG(st.st_mode)) {
        snprintf(ret_why, LIST_WHY_MAX, "it is not a file");
        close(fd);
        return -EINVAL;
    }
    FILE *in = error ? NULL : fdopen(fd, "r");
    if (!error && !in)
        error = -errno;
    if (!error)
        error = list_parse(in, ret, ret_why);
    else
        snprintf(ret_why, LIST_WHY_MAX, "%s", strerror(-error));
    if (in)
        fclose(in);
    else if (fd >= 0)
        close(fd);
    return error;
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static size_t print_prefixes(FILE *out, const char *before, const struct prefix_set *set, size_t lines_max)
{
    struct prefix_walk w = {.set = set};
    struct addr_prefix p;
    char text[ADDR_TEXT_MAX];
    size_t n = 0;

    while (n < lines_max && prefix_walk_next(&w, &p)) {
        fprintf(out, "%s%s\n", before, addr_prefix_format(&p, text));
        n++;
    }
    return n;
}

void list_print_change(FILE *out, const char *before, const struct spf_change *change, size_t lines_max)
{
    static const char signs[] = {'-', '+'};
    const struct prefix_set *const sets[] = {&change->left, &change->joined};
    size_t total = prefix_set_count(sets[0]) + prefix_set_count(sets[1]), n = 0;

    for (size_t i = 0; i < 2; i++) {
        char sign[16];
        snprintf(sign, sizeof(sign), "%s%c ", before, signs[i]);
        n += print_prefixes(out, sign, sets[i], lines_max - n);
    }
    if (n < total)
        fprintf(out, "%s... and %zu more\n", before, total - n);
}

void list_print(FILE *out, const struct list *l, const struct spf_change *change)
{
    char when[TIME_TEXT_MAX];
    struct tm tm;

    strftime(when, sizeof(when), TIME_FORMAT, gmtime_r(&l->looked, &tm));
    fprintf(out,
        "# Written by postern-spf(8), which replaces it. It says who may send mail for a domain, not who is\n"
        "# honest: good for routing and limits, never for trust.\n"
        "# %s: %s\n# %s: %s\n# %s: %" PRIu32 "\n# %s: %" PRIu64 "\n",
        headers[HEADER_DOMAIN], l->domain, headers[HEADER_LOOKED], when, headers[HEADER_TTL], l->ttl,
        headers[HEADER_SERIAL], l->serial);
    if (change) {
        fprintf(out,
            "# Against the serial before, %u%% of the IPv4 and %u%% of the IPv6 addresses have changed:\n",
            change->percent_v4, change->percent_v6);
        list_print_change(out, "#   ", change, SIZE_MAX);
    }
    (void)print_prefixes(out, "", &l->set, SIZE_MAX);
}

int list_rename(int directory, const char *from, const char *to)
{
    if (renameat(directory, from, directory, to) < 0 || fsync(directory) < 0)
        return -errno;
    return 0;
}

/* To the disk. 0 or -errno; closed in any case. */
static int print_and_close(int fd, const struct list *l, const struct spf_change *change)
{
    FILE *out = fdopen(fd, "w");

    if (!out) {
        int error = -errno;
        close(fd);
        return error;
    }
    errno = EIO; /* for a stream that fails without saying why */
    list_print(out, l, change);
    int error = fflush(out) == 0 && !ferror(out) && fsync(fd) == 0 ? 0 : -errno;
    if (fclose(out) != 0 && !error)
        error = -errno;
    return error;
}

int list_write(int directory, const char *name, const struct list *l, const struct spf_change *change)
{
    char new[NAME_MAX + 1];

    if (snprintf(new, sizeof(new), ".%s.new", name) >= (int)sizeof(new))
        return -ENAMETOOLONG;
    int fd = openat(directory, new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd < 0)
        return -errno;
    int error = print_and_close(fd, l, change);
    if (!error)
        error = list_rename(directory, new, name);
    if (error)
        (void)unlinkat(directory, new, 0);
    return error;
}
