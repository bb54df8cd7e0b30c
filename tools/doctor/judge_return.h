/* SPDX-License-Identifier: Apache-2.0 */
/* What it means that a connection from a client's address came about, or did not. Pure. */
#ifndef DOCTOR_JUDGE_RETURN_H
#define DOCTOR_JUDGE_RETURN_H

#include "tools/doctor/probe.h"
#include "tools/doctor/tap.h"

#include <stdbool.h>

struct return_evidence {
    enum probe_reach session; /* from the client's address */
    int error;                /* of that, an errno */
    enum probe_reach own;     /* from this gateway's own address; NOT_TRIED when `session` was connected */
    struct tap_seen tap;      /* what came in for the client's address, afterwards also to a ping */
    bool led_away;            /* this host's rules lead it on, to the client */
    bool silent;              /* nobody on the link answers for the backend's address */
    bool other_way;           /* it came in by an interface to which no route to a backend leads */
    bool mark_filter;         /* where it came in, a filter takes answers that are marked for martians */
};

enum return_verdict {
    RETURN_WORKS,
    RETURN_NOT_LET_OUT,       /* this host does not send it */
    RETURN_NO_ROUTE,          /* this host knows no way to the backend */
    RETURN_NO_NEIGHBOUR,      /* nobody there has this address */
    RETURN_NOT_LISTENING,     /* the backend is there, its server is not */
    RETURN_DOWN,              /* nobody gets an answer */
    RETURN_STRANGERS_REFUSED, /* the gateway is served, a client's address is answered with an error */
    RETURN_STRANGERS_DROPPED, /* the same in silence, although answers find their way back */
    RETURN_ELSEWHERE,         /* the backend answers the gateway; its answer to a client does not come here */
    RETURN_OTHER_WAY,         /* it comes by an interface where none is expected */
    RETURN_MARK_FILTER,       /* it comes, and a reverse path filter drops it for its mark */
    RETURN_LED_AWAY,          /* it comes, and a rule of this host leads it on to the client */
    RETURN_LOST_HERE,         /* it comes, and disappears here */
};

enum return_verdict judge_return(const struct return_evidence *e);

#endif
