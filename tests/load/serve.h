/* SPDX-License-Identifier: Apache-2.0 */
/* The server side of mailload. serve.c listens and reports, serve_session.c speaks, serve_header.c reads
 * PROXY headers, serve_watch.c remembers how sessions ended. */
#ifndef MAILLOAD_SERVE_H
#define MAILLOAD_SERVE_H

#include "conn.h"
#include "options.h"
#include "stats.h"
#include "stream.h"

enum session_end { END_FIN, END_RESET };

enum session_mode {
    MODE_HEADER,   /* a PROXY header must come first */
    MODE_GREETING, /* the banner is held back */
    MODE_COMMANDS,
    MODE_MESSAGE, /* between DATA and the final dot */
    MODE_BULK,    /* SINK, SOURCE, BOTH, DISCARD */
    MODE_DRAIN,   /* after FIN: bytes are counted and hashed until the other side ends too */
    MODE_CLOSING, /* the last answer is on its way */
};

struct session {
    struct conn conn; /* first: events come with it */
    struct session *next_free;
    struct session *next_open, **link_open;
    enum session_mode mode;
    struct timer timer;    /* greeting, stall, pace */
    union endpoint client; /* from the PROXY header, or the socket's peer */
    union endpoint peer;
    uint32_t dot_match; /* how much of CRLF.CRLF has been seen */
    bool draws, gives;  /* bulk: this side reads, this side sends */
    bool discards;      /* bulk: what is read is not looked at */
    struct pace pace;
    struct drain drain;
    struct stream stream;
    bool watches;     /* sent a WATCH */
    uint64_t drained; /* in MODE_DRAIN */
};

struct serve_totals {
    uint64_t connections, connections_v6;
    uint64_t bad_headers, bad_commands;
    uint64_t resets_seen, resets_sent, eofs, quits, broken;
    uint64_t messages;
    uint64_t bytes_in, bytes_out;
    uint64_t open, open_max;
};

struct server {
    const struct options *options;
    struct serve_totals totals;
    struct session *free;
    struct session *open;
};

extern struct server server;

/* Takes over an accepted socket. */
void session_begin(int fd, const union endpoint *peer);

/*
 * A PROXY header at the beginning of what was read first: its length, or -EINVAL when it is not whole or not
 * byte for byte what a balancer must send for it.
 */
int header_parse(enum header_version version, const char *data, size_t len, union endpoint *ret_client);

/* A session begins: what was remembered of an earlier one with its client's address and port is forgotten. */
void watch_started(const union endpoint *client);

/* A session has ended: remembered, and told to those who watch. `after_fin` and `hash` are of MODE_DRAIN. */
void watch_ended(const union endpoint *client, enum session_end end, uint64_t after_fin, uint64_t hash);

/* WATCH: answers on `conn` when that session has ended, or after two seconds. */
void watch_begin(struct conn *conn, const union endpoint *client);

/* The watching connection is gone. */
void watch_forget(const struct conn *conn);

/* How many different client addresses were seen; watch_saw adds one. */
void clients_saw(const union endpoint *client);
uint32_t clients_distinct(void);

#endif
