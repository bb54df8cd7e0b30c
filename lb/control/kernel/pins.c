/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: pins_init, pins_make, then libbpf pins by the paths given here.
 * Failure paths: -errno, the caller says what was to be pinned. A directory that is not there has no pins.
 * Called by dissolve_load.c, control thread only.
 */
#include "control/kernel/pins.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BPFFS "/sys/fs/bpf"
#define BPFFS_MAGIC 0xcafe4a11
#define ROOT BPFFS "/postern"
#define MAKE_TRIES 100

/* The namespace's cookie never returns while the host is up (Linux 5.14). */
static int netns_cookie(uint64_t *ret)
{
    socklen_t length = sizeof(*ret);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int error = getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &length) < 0 ? -errno : 0;
    close(fd);
    return error;
}

int pins_init(struct pins *p, const char *layout)
{
    uint64_t cookie = 0;
    int error = netns_cookie(&cookie);

    if (error)
        return error;
    snprintf(p->home, sizeof(p->home), ROOT "/%" PRIu64, cookie);
    int n = snprintf(p->directory, sizeof(p->directory), "%s/%s", p->home, layout);
    return n < (int)sizeof(p->directory) ? 0 : -ENAMETOOLONG;
}

static bool is_bpffs(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && (uint32_t)fs.f_type == BPFFS_MAGIC;
}

/* A service manager may show us nothing of it but our own directory. */
static int mount_bpffs(void)
{
    if (is_bpffs(ROOT) || is_bpffs(BPFFS))
        return 0;
    return mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0 ? -errno : 0;
}

static int make_directory(const char *path)
{
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int make_directories(const struct pins *p)
{
    int error = make_directory(ROOT);

    if (!error)
        error = make_directory(p->home);
    if (!error)
        error = make_directory(p->directory);
    return error;
}

int pins_make(const struct pins *p)
{
    int error = mount_bpffs();

    if (error)
        return error;
    /* Another postern that ends removes what is empty: it may do so before there is something in it. */
    for (int tries = 0; tries < MAKE_TRIES; tries++)
        if ((error = make_directories(p)) != -ENOENT)
            break;
    return error;
}

void pins_path(const struct pins *p, const char *name, char ret_path[PINS_PATH_MAX])
{
    int n = snprintf(ret_path, PINS_PATH_MAX, "%s/%s", p->directory, name);
    assert(n < PINS_PATH_MAX); /* names are ours */
}

static int each_entry(const char *path, int (*each)(const char *name, void *arg), void *arg)
{
    int result = 0;
    DIR *d = opendir(path);

    if (!d)
        return errno == ENOENT ? 0 : -errno;
    for (struct dirent *e = readdir(d); e && !result; e = readdir(d))
        if (e->d_name[0] != '.')
            result = each(e->d_name, arg);
    closedir(d);
    return result;
}

int pins_each(const struct pins *p, int (*each)(const char *name, void *arg), void *arg)
{
    return each_entry(p->directory, each, arg);
}

struct others {
    const char *own;
    int (*each)(const char *layout, void *arg);
    void *arg;
};

static int unless_own(const char *name, void *arg)
{
    const struct others *o = arg;
    return strcmp(name, o->own) == 0 ? 0 : o->each(name, o->arg);
}

int pins_each_other(const struct pins *p, int (*each)(const char *layout, void *arg), void *arg)
{
    struct others o = {.own = strrchr(p->directory, '/') + 1, .each = each, .arg = arg};
    return each_entry(p->home, unless_own, &o);
}

void pins_remove_one(const struct pins *p, const char *name)
{
    char path[PINS_PATH_MAX];

    pins_path(p, name, path);
    (void)unlink(path);
}

/* A link is detached before it is let go: the kernel would do that in its own time. */
static int remove_entry(const char *name, void *arg)
{
    char path[PINS_PATH_MAX];

    pins_path(arg, name, path);
    int fd = strncmp(name, PINS_LINK, strlen(PINS_LINK)) == 0 ? bpf_obj_get(path) : -1;
    if (fd >= 0) {
        (void)bpf_link_detach(fd); /* fails when its interface has gone */
        close(fd);
    }
    pins_remove_one(arg, name);
    return 0;
}

int pins_remove(const struct pins *p)
{
    int error = each_entry(p->directory, remove_entry, (void *)p);
    struct stat root;

    if (!error && rmdir(p->directory) < 0 && errno != ENOENT)
        error = -errno;
    /* Not empty while another layout lives there, or another namespace: that is as it should be. What was
     * made for the daemon (tmpfiles.d) is another's, or a mount point. */
    if (!error && rmdir(p->home) == 0 && stat(ROOT, &root) == 0 && root.st_uid == geteuid())
        (void)rmdir(ROOT);
    return error;
}
