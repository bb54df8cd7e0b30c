/* SPDX-License-Identifier: Apache-2.0 */
/* The client side of mailload: a crowd of sessions with one script each. See client.c. */
#ifndef MAILLOAD_CLIENT_H
#define MAILLOAD_CLIENT_H

#include "conn.h"
#include "options.h"
#include "stats.h"
#include "stream.h"

struct crowd;

enum peer_phase {
    PEER_UNUSED,
    PEER_CONNECTING, /* until the banner */
    PEER_WAITING,    /* greeted, until everybody is */
    PEER_RUNNING,    /* the subcommand's script */
    PEER_RAN,        /* until everybody has run */
    PEER_QUITTING,   /* QUIT, 221, end */
    PEER_OVER,
};

/* One session from the client's side. */
struct peer {
    struct conn conn; /* first: events come with it */
    struct crowd *crowd;
    enum peer_phase phase;
    bool raw;                /* bytes go to on_raw, not to lines */
    uint16_t step;           /* of the subcommand's script */
    const char *waiting_for; /* what is told when time runs out */
    union endpoint local;
    union endpoint seen; /* the client, as the banner named it */
    uint64_t opened_ns;
    uint64_t mark_ns; /* the subcommand's */
    uint64_t rounds;  /* the subcommand's */
    struct timer timer;
    struct stream stream;
    struct drain drain;
    struct pace pace;
};

struct crowd_ops {
    void (*on_start)(struct peer *);                        /* the script begins */
    void (*on_line)(struct peer *, char *line, size_t len); /* the last line of a reply */
    size_t (*on_raw)(
        struct peer *, const char *, size_t); /* returns how many it took; clears `raw` at the end */
    void (*on_room)(struct peer *);           /* may be NULL */
    void (*on_end)(struct peer *, int error); /* NULL: an end is an error while running */
    void (*on_greeted)(struct crowd *);       /* NULL: the scripts begin at once */
};

struct crowd {
    const struct options *options;
    const struct crowd_ops *ops;
    struct peer *peers;
    uint32_t n_peers;
    uint32_t *free_slots; /* peers that may be opened */
    uint32_t n_free;
    bool together;   /* all open first, then all run, then all quit; else each by itself, and again */
    uint64_t wanted; /* sessions in all */
    uint64_t opened;
    uint64_t first_ns;  /* with a rate: when the first one was opened... */
    struct timer pacer; /* ...and when the next may be */
    uint32_t connecting;
    uint32_t running;
    bool started; /* together: the scripts have begun */
    bool quitting;
    uint64_t stop_ns; /* no new session or round after this; 0 is never */
    uint64_t ok;
    uint64_t begin_ns; /* of the run */
    uint64_t end_ns;
    uint64_t port_changed;
    uint64_t via_port_changed;
    union endpoint expected_via; /* AF_UNSPEC: not checked */
    bool expect_via_client;
    struct errors errors;
    struct histogram banner_times;
};

void crowd_init(struct crowd *c, const struct options *o, const struct crowd_ops *ops, bool together);

/* Runs it to its end. Then json_open() was called and the members every subcommand has are written. */
void crowd_run(struct crowd *c);

/* Closes the JSON object; the exit status. */
int crowd_report_end(const struct crowd *c);

/* Together: begins the scripts (for on_greeted), and QUITs every open session. */
void crowd_start(struct crowd *c);
void crowd_quit(struct crowd *c);

/* This session's script is done; it QUITs when everybody's is. */
void peer_ran(struct peer *p);

/* This session is over, well (ERROR_none) or not. */
void peer_finish(struct peer *p, enum error_kind kind, const char *detail);

/* Sends text, and says what is waited for. */
void peer_say(struct peer *p, const char *text, size_t len, const char *waiting_for);

/* What an unexpected end is called. */
enum error_kind end_kind(int error);

/* A socket on its way to one of the targets from one of the sources. 0 or -errno. */
int client_connect(const struct options *o, const union endpoint *to, union endpoint *ret_local, int *ret_fd);

#endif
