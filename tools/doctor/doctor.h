/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl doctor: proves the setup, before a change and after it. Checks run one after the other in the
 * order of causes (checks.c): what breaks others comes first. A check looks, and may try; what it sets up for
 * that it takes away again. One thread.
 */
#ifndef DOCTOR_H
#define DOCTOR_H

#include "tools/doctor/finding.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct config;
struct network;
struct snapshot;

struct doctor_options {
    const char *file;   /* of the configuration */
    const char *socket; /* of postern; NULL: the one of the configuration */
    const char *only;   /* ids of checks, with commas; NULL: all */
    const char *dnsbl;  /* zones of block lists, with commas; NULL: none */
    bool json, list, strict;
};

/* What all checks may look at. */
struct doctor {
    const struct doctor_options *options;
    struct config *config;     /* NULL: it is not good, and why: */
    char *config_errors;       /* as postern --check writes them; "" */
    struct snapshot *snapshot; /* what postern makes of it; NULL with it */
    bool running;              /* a postern has this network namespace */
    pid_t pid;                 /* its process; 0: not known */
    const char *socket;        /* where it is asked; "": it has no socket */
    json_t *status;            /* what it says (document.h reads it); NULL: nothing, and why: */
    int status_error;          /* errno */
    /* What runs goes by another file, so nothing that this one needs is there yet; or by an older one, so
     * some is not. */
    bool is_draft, is_changed;
    struct network *network; /* what sending has shown (network.h); NULL until a check has asked for it */
    struct findings findings;
    const struct doctor_check *now; /* the check that runs */
};

/* What a check cannot do without; else it is skipped, and says so. */
enum check_needs {
    NEEDS_CONFIG = 1, /* d->config and d->snapshot */
    NEEDS_ROOT = 2,
    NEEDS_DAEMON = 4, /* d->status */
};

/*
 * A check. It adds a finding for each thing that is wrong, and, if it has something to tell, one that is OK
 * for all that is right; one that adds nothing is OK.
 */
struct doctor_check {
    const char *id;    /* "rp-filter": letters and dashes */
    const char *title; /* "reverse path filters": what --list and a check without findings say */
    unsigned needs;    /* of enum check_needs */
    void (*run)(struct doctor *d);
};

/* True when a postern runs that should have set up all that this configuration needs. */
bool doctor_is_applied(const struct doctor *d);

/* Begins a finding of the check that runs; see finding_say(). An empty `about` is this host. */
struct finding *doctor_find(struct doctor *d, enum verdict verdict, const char *about, ...)
    __attribute__((format(printf, 3, 4)));

/* The check that runs has told of this already: things that share a cause are told of once. */
bool doctor_has(const struct doctor *d, const char *about);

/* A finding that is OK or SKIPPED, whose one text is SEEN. */
void doctor_note(struct doctor *d, enum verdict verdict, const char *seen, ...)
    __attribute__((format(printf, 3, 4)));

/* Runs what the options ask for, and writes it to standard output. The exit status of posternctl. */
int doctor_run(const struct doctor_options *o);

#endif
