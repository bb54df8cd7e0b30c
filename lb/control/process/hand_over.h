/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two processes say to each other when the new one takes over from the old one:
 *
 *   old                                     new
 *    | HAND_FD, one for each descriptor ----> |
 *    | HAND_OFFER --------------------------> |   reads its configuration, loads its programs
 *    | <------------------------ HAND_PREPARED|
 *    |   accepts no more, leaves the table    |
 *    | HAND_TAKE ---------------------------> |   starts its workers, catches
 *    | <------------------------- HAND_SERVING|
 *
 * The socket stays open until the old one ends: that is how the new one learns of it, and the other way
 * round. Messages are the same for every version that has this HAND_VERSION. Thread: control.
 */
#ifndef POSTERN_CONTROL_HAND_OVER_H
#define POSTERN_CONTROL_HAND_OVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HAND_VERSION 1
#define HAND_VARIABLE                                                                                        \
    "POSTERN_HAND_OVER" /* of the environment: the number of the new process's descriptor                    \
                         */
#define HAND_NAME_MAX 32
#define HAND_FDS_MAX 192 /* two for each worker, and some */

/* Names of descriptors; with a number behind a dash where there are several. */
#define HAND_FD_LISTENER_V4 "listener-v4"
#define HAND_FD_LISTENER_V6 "listener-v6"
#define HAND_FD_CATCH "catch" /* the link */
#define HAND_FD_LOCK "lock"   /* of the network namespace */
#define HAND_FD_ADMIN "admin" /* listening sockets */
#define HAND_FD_ADMIN_TCP "admin-tcp"
#define HAND_FD_HTTP "http"
#define HAND_FD_STATE "state"             /* what operators have changed, as in a state file */
#define HAND_FD_FINDINGS "findings"       /* what checks and relay tests have found out */
#define HAND_FD_FOUND "found"             /* the backends that discovery has found */
#define HAND_FD_PREDECESSOR "predecessor" /* the socket towards one that still drains */

enum hand_kind { HAND_FD = 1, HAND_OFFER, HAND_PREPARED, HAND_TAKE, HAND_SERVING };

struct hand_message {
    uint32_t version;
    uint32_t kind;
    uint32_t pid;     /* of the sender */
    uint32_t workers; /* OFFER, PREPARED: the sender's */
    uint64_t seed;    /* OFFER: which worker gets whom */
    char name[64];    /* FD: which one; OFFER, PREPARED: the table of dissolved sessions, dissolve_layout() */
};

/* Sends one message, with a descriptor unless that is -1. 0 or -errno; never waits. */
int hand_send(int socket, const struct hand_message *m, int fd);

/*
 * One message, and its descriptor (the caller's to close) or -1. 0, -EAGAIN when there is none, -ECONNRESET
 * when the other one has gone, -EPROTO when it is of another version.
 */
int hand_receive(int socket, struct hand_message *ret, int *ret_fd);

/* Waits for one message. As hand_receive(), or -ETIMEDOUT. */
int hand_await(int socket, int timeout_ms, struct hand_message *ret, int *ret_fd);

/* What the new process has been given. */
struct inheritance {
    int socket; /* towards the old process, -1: there is none */
    struct hand_message offer;
    struct {
        char name[HAND_NAME_MAX];
        int fd; /* -1: taken */
    } items[HAND_FDS_MAX];
    uint32_t n;
};

/* One descriptor more, which is closed when there is no room for it. */
void inheritance_add(struct inheritance *h, const char *name, int fd);

/*
 * Receives what the environment tells of; h->socket stays -1 when it tells of nothing. 0 or -errno.
 * inheritance_close() in any case.
 */
int inheritance_open(struct inheritance *h);

/* A descriptor by its name, the caller's from now on; or -1. `index` -1: no number. */
int inheritance_take(struct inheritance *h, const char *name, int index);

/* The same for a listening socket that is at this place: a path, or "127.0.0.1:9999". */
int inheritance_take_at(struct inheritance *h, const char *name, const char *place);

/* Closes what nobody has taken, but the socket. A unix socket among it loses its name, when `final`. */
void inheritance_close(struct inheritance *h, bool final);

/* Writes "name" or "name-index". */
void hand_name(char ret_name[HAND_NAME_MAX], const char *name, int index);

/*
 * Starts `path` with these arguments and its end of a new pair of sockets; everything else that is open
 * closes on exec. The sender's end, which the caller closes, and the process. 0 or -errno.
 */
int hand_spawn(const char *path, char *const *arguments, int *ret_socket, pid_t *ret_pid);

#endif
