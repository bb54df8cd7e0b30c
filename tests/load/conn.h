/* SPDX-License-Identifier: Apache-2.0 */
/* One TCP connection of mailload, on either side: lines in, bytes out, pauses, ends. See conn.c. */
#ifndef MAILLOAD_CONN_H
#define MAILLOAD_CONN_H

#include "loop.h"

#include <stddef.h>

#define CONN_READ_SIZE (256u << 10)
#define CORK_MAX_BYTES 300
#define LINE_MAX_BYTES 1000 /* RFC 5321 allows 512, a little grace for tests */

struct conn;

struct conn_ops {
    /* Bytes have come; returns how many it took. What it leaves, because it paused the connection, comes
     * again first after conn_resume(). The connection may be closed inside. */
    size_t (*on_data)(struct conn *, const char *data, size_t len);
    /* The other side has ended: error 0 is a FIN, ECONNRESET a reset, otherwise the socket's error. After a
     * FIN it is called once more when sending fails. */
    void (*on_end)(struct conn *, int error);
    /* All that conn_send() was given has left, and there is room for more. May be NULL. */
    void (*on_room)(struct conn *);
};

struct conn {
    struct source source; /* first: events come with it */
    const struct conn_ops *ops;
    const char *out; /* not sent yet */
    size_t out_len;
    char *out_owned; /* what `out` points into, when it is a copy */
    bool paused;     /* nothing is read */
    bool ended;      /* on_end() was called */
    bool watches_room;
    bool corked;
    uint16_t corked_len;
    uint32_t read_size;  /* read at once; less than CONN_READ_SIZE for slow readers */
    uint64_t skip_bytes; /* so many bytes to come are not looked at: only their number is true in on_data() */
    int send_error;      /* what a send met; the next read tells it */
    char *held;          /* read, but left by on_data() */
    size_t held_len;
    uint16_t line_len;
    char cork[CORK_MAX_BYTES];
    char line[LINE_MAX_BYTES]; /* the beginning of a line that has not come whole */
};

/* Takes a connected or connecting socket and watches it. 0 or -errno (the socket is closed then). */
int conn_begin(struct conn *c, int fd, const struct conn_ops *ops);

/* Sends, and keeps what the socket does not take: as a copy, or only the pointer when the bytes stay as they
 * are. A broken connection shows in on_end(), not here. At most one _static may be outstanding. */
void conn_send(struct conn *c, const char *data, size_t len);
void conn_send_static(struct conn *c, const char *data, size_t len);

/* Between the two, what conn_send() gets is collected and leaves at once, as answers to pipelined commands
 * should. */
void conn_cork(struct conn *c);
void conn_uncork(struct conn *c);

/* Sends as much as the socket takes now and keeps nothing; on_room() tells when to go on. Bytes taken, or
 * -errno. */
long conn_send_some(struct conn *c, const char *data, size_t len);

void conn_pause(struct conn *c);
void conn_resume(struct conn *c); /* reading goes on in the next turn */

void conn_half_close(struct conn *c);
void conn_close(struct conn *c);
void conn_close_with_reset(struct conn *c);

static inline bool conn_is_open(const struct conn *c)
{
    return c->source.fd >= 0;
}

/*
 * Takes the next line out of (*data, *len) and what was kept before: true with the line (without CRLF,
 * NUL-terminated until the next call), false when everything was taken and no line is whole. A longer line
 * than allowed is cut into two.
 */
bool conn_next_line(struct conn *c, const char **data, size_t *len, char **ret_line, size_t *ret_line_len);

#endif
