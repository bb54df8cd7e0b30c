/* SPDX-License-Identifier: Apache-2.0 */
/* Where clients of the admin socket connect to: a unix socket, or a port of the loopback. Thread: control. */
#ifndef POSTERN_CONTROL_ADMIN_ENDPOINT_H
#define POSTERN_CONTROL_ADMIN_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/un.h>

#define ADMIN_ENDPOINT_WHY_MAX 384

struct admin_endpoint {
    int fd;       /* -1: closed */
    dev_t device; /* of the unix socket, as it was made; with the inode 0: none was */
    ino_t inode;
    struct sockaddr_un name;
};

/* The group of the sockets: one by its name, or our own when that is "". 0 or -errno, after writing why. */
int admin_endpoint_group(const char *group, gid_t *ret, char ret_why[ADMIN_ENDPOINT_WHY_MAX]);

/*
 * Listens at a path, for the members of a group, in place of what a daemon that is dead has left there; or at
 * "127.0.0.1:9999". 0 or -errno, after writing why.
 */
int admin_endpoint_unix(
    struct admin_endpoint *e, const char *path, gid_t group, char ret_why[ADMIN_ENDPOINT_WHY_MAX]);
int admin_endpoint_tcp(struct admin_endpoint *e, const char *at, char ret_why[ADMIN_ENDPOINT_WHY_MAX]);

/* A socket that another process has had: at a path, or of TCP (""). It is ours to remove from now on. */
void admin_endpoint_adopt(struct admin_endpoint *e, int fd, const char *path);

/* Gives a unix socket to another group; logs where that cannot be. */
void admin_endpoint_regroup(const struct admin_endpoint *e, gid_t group);

/* Closes it and removes its name; what is closed stays so. */
void admin_endpoint_close(struct admin_endpoint *e);

#endif
