/* SPDX-License-Identifier: Apache-2.0 */
/* The process that postern runs in, and whom it runs as. */
#ifndef DOCTOR_PROCESS_H
#define DOCTOR_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct doctor;

struct process {
    uid_t uid;
    gid_t gid;
    uint64_t capabilities; /* the effective ones, by number */
    uint64_t descriptors;  /* how many it may have */
};

/* What /proc tells of a process. False: it tells nothing. */
bool process_read(pid_t pid, struct process *ret);

/* Whom postern runs as, or would: as the unit says. False: there is no user "postern". */
bool process_user(const struct doctor *d, uid_t *ret_uid, gid_t *ret_gid);

/* Whether that user may open a path: R_OK and the like of access(2). Needs root. 0 or -errno. */
int process_may(uid_t uid, gid_t gid, const char *path, int mode);

#endif
