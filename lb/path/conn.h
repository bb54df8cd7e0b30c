/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One session: its state, its two sides, its two flows; and the table of all sessions of a worker.
 *
 *   FREE -> ACCEPTED -> CONNECTING -> GREETING -> RELAYING -> CLOSING -> FREE
 *               |        ^      |         |            `-> DISSOLVED -> FREE
 *             QUEUED ----'      |      RETRYING -> CONNECTING ...
 *               `----------- FAREWELL ----'  `---> QUEUED ...
 *            (INTRODUCING)
 *
 *   ACCEPTED    the client is connected; a listener, a pool and a backend are being found
 *   INTRODUCING the peer is an upstream balancer: first of all its PROXY header names the client
 *   CONNECTING  one operation waits: the connection to a backend (again for each retry)
 *   QUEUED      waits for a backend below its max_sessions; the client is watched
 *   GREETING    both flows run; the client has had no byte: those of the backend are held, if there are any,
 *               and those of the client are passed on and kept
 *   RETRYING    the backend has failed before the client has had a byte: the operations are joined
 *   FAREWELL    no backend is left; the client has been told, and what it still sends is discarded
 *   RELAYING    both flows run, or one does and the other has ended
 *   DISSOLVED   the session has become an entry in the kernel's table; here only its sockets are left
 *   CLOSING     nothing new is started; the operations still in the ring are joined, then the slot is free
 *
 * conn_enter() is the only writer of the state. A slot is never freed with an operation in the ring.
 */
#ifndef POSTERN_PATH_CONN_H
#define POSTERN_PATH_CONN_H

#include "base/addr.h"
#include "counters.h"
#include "path/choose.h"
#include "path/greeting.h"
#include "path/introduce.h"
#include "path/relay_step.h"
#include "snapshot.h"

#include <stdbool.h>
#include <stdint.h>

#define CONN_NONE UINT32_MAX /* no slot */
#define CONN_NO_BACKEND UINT16_MAX

enum conn_state {
    CONN_FREE,
    CONN_ACCEPTED,
    CONN_INTRODUCING,
    CONN_QUEUED,
    CONN_CONNECTING,
    CONN_GREETING,
    CONN_RETRYING,
    CONN_RELAYING,
    CONN_DISSOLVED,
    CONN_FAREWELL,
    CONN_CLOSING,
    CONN_STATES
};

/* The two sides of a session. A flow is named by the side that its bytes come from. */
enum side { SIDE_CLIENT, SIDE_BACKEND, SIDES };

static inline enum side side_other(enum side s)
{
    return s == SIDE_CLIENT ? SIDE_BACKEND : SIDE_CLIENT;
}

struct conn {
    uint32_t slot;
    uint32_t generation; /* changes with each session in this slot */
    int fd[SIDES];
    uint16_t ops;                    /* operations in the ring: a bit for each enum op_kind */
    uint8_t state;                   /* enum conn_state; conn_enter() writes it */
    uint8_t reason;                  /* enum close_reason; the first one stands */
    bool refused;                    /* it was not admitted */
    bool metered;                    /* in the count of its client's source */
    bool counted;                    /* in the backend's live count */
    bool port_changed, may_dissolve; /* the latter: nothing is known that forbids it */
    bool over;                       /* DISSOLVED: and ended since */
    bool armed;           /* both sockets are in repair: the program may dissolve the session at any moment */
    uint8_t relayed;      /* enum relay_reason: why it did not dissolve */
    uint8_t client_scale; /* what the client shifts its windows by */
    uint16_t client_mss;  /* what the client takes in a segment, without options */
    uint32_t linger_next; /* DISSOLVED: the next slot whose sockets are to be closed, or CONN_NONE */
    uint64_t linger_end_ms;
    uint32_t entry;      /* in the table of dissolved sessions, or ENTRY_NONE */
    bool hung_up[SIDES]; /* both directions of this socket have ended: no RST can come that matters */
    struct greeting greeting;
    int error; /* errno behind the reason */
    struct relay_flow flow[SIDES];

    uint8_t class;           /* of its source, once it is let in */
    uint16_t listener, pool; /* indices into the snapshot: any, they keep them */
    uint16_t backend;        /* the one being tried or used */
    uint8_t source_mode;     /* enum pool_source, and... */
    uint8_t proxy;           /* enum pool_proxy, as the backend was dialled */
    uint16_t next_backend;   /* reserved: in its live count, to be dialled next; or CONN_NO_BACKEND */
    uint8_t failure;         /* enum close_reason: how the last backend failed */
    uint8_t retry_kind;      /* enum counter: the same, for its count */
    bool excused;            /* the backend had not its whole time to greet */
    bool greeting_over;      /* no more will come of a greeting that is held */
    bool told;               /* FAREWELL: the client has been told why */
    bool early_lost;         /* the client has said more than is kept: no other backend can hear it */
    uint16_t early_bytes;    /* said by the client before the greeting... */
    uint16_t held_bytes;     /* by the backend, and not yet to the client... */
    uint32_t early, held;    /* in these lent buffers, or RELAY_NO_BUFFER */
    bool waits;              /* in a line of the queue */
    uint32_t queue_next, queue_previous; /* QUEUED: slots, or CONN_NONE */
    uint16_t n_tried;
    uint16_t tried[CHOOSE_TRIED_MAX];

    uint64_t id;
    uint64_t accepted_ms;
    uint64_t queued_ms;     /* when it began to wait for a backend, the last time; 0: never */
    uint64_t waited_ms;     /* in the queue, before that */
    uint64_t connecting_ms; /* when the present connect began */
    uint64_t active_ms;     /* when a byte or FIN last passed */
    int32_t connect_ms;     /* after accepted_ms; -1 when never */
    int32_t banner_ms;
    union addr client; /* AF_UNSPEC: not introduced yet */
    union addr vip;
    union addr source;
    struct introduction introduction;
};

struct conn_table {
    struct conn *conns; /* address space for all; pages come with use */
    uint32_t *stock;    /* free slots, the last used on top */
    uint32_t n_stock;
    uint32_t capacity;
    uint32_t most_used; /* slots at a time, since the table last rested */
};

/* Takes the address space. 0 or -ENOMEM. */
int conn_table_init(struct conn_table *t, uint32_t capacity);
void conn_table_done(struct conn_table *t);

/* When no slot is in use and many were: gives their pages back. True when it has. */
bool conn_table_rest(struct conn_table *t);

/* A free slot, entered into ACCEPTED with everything else reset, or NULL when all are in use. */
struct conn *conn_new(struct conn_table *t);

/* Gives the slot back. The session must be CLOSING, its operations joined, its descriptors closed. */
void conn_free(struct conn_table *t, struct conn *c);

/* Moves to a state; a move that the table above does not have is a bug and stops the program. */
void conn_enter(struct conn *c, enum conn_state to);

/* True when the table of moves has it. Pure. */
bool conn_may_enter(enum conn_state from, enum conn_state to);

#endif
