/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: /proc has the process; what it may open is tried by a child that becomes its user. Failure
 * path: there is nothing to read, and the caller says so. Called by the checks.
 */
#include "tools/doctor/process.h"

#include "tools/doctor/doctor.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER "postern" /* of postern.service */

static FILE *open_file(pid_t pid, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

bool process_read(pid_t pid, struct process *ret)
{
    FILE *status = open_file(pid, "status"), *limits = open_file(pid, "limits");
    struct process p = {0};
    char line[256];
    int found = 0;

    while (status && fgets(line, sizeof(line), status))
        found += sscanf(line, "Uid: %*u %u", &p.uid) == 1 || sscanf(line, "Gid: %*u %u", &p.gid) == 1 ||
                 sscanf(line, "CapEff: %lx", &p.capabilities) == 1;
    while (limits && fgets(line, sizeof(line), limits))
        found += sscanf(line, "Max open files %lu", &p.descriptors) == 1;
    if (status)
        fclose(status);
    if (limits)
        fclose(limits);
    if (found < 4)
        return false;
    *ret = p;
    return true;
}

bool process_user(const struct doctor *d, uid_t *ret_uid, gid_t *ret_gid)
{
    struct process p;
    const struct passwd *user;

    if (d->pid && process_read(d->pid, &p)) {
        *ret_uid = p.uid;
        *ret_gid = p.gid;
        return true;
    }
    user = getpwnam(USER);
    if (!user)
        return false;
    *ret_uid = user->pw_uid;
    *ret_gid = user->pw_gid;
    return true;
}

int process_may(uid_t uid, gid_t gid, const char *path, int mode)
{
    int status = 0;
    pid_t child = fork();

    if (child < 0)
        return -errno;
    if (child == 0) {
        if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
            _exit(EPERM);
        _exit(access(path, mode) ? errno : 0);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}
