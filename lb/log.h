/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: logfmt lines on standard error, written by one writer thread from bounded queues, one queue per
 * producer (each worker, and the control thread). Nobody ever waits for the log; a line that finds
 * its queue full is dropped and counted, and the writer says how many were.
 */
#ifndef POSTERN_LOG_H
#define POSTERN_LOG_H

#include "base/addr.h"
#include "counters.h"

#include <stdbool.h>
#include <stdint.h>

#define LOG_EVENT_BYTES 8000 /* the longest event: all counters, none of them zero */

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6 };

#define LOG_NAME_BYTES 72 /* the longest name of a session line, with its NUL; what is longer is cut */

/* One ended session, as the worker knows it; the strings are copied by log_session(). */
struct session_record {
    uint64_t id;
    union addr client;   /* AF_UNSPEC: nobody has named it */
    union addr upstream; /* the balancer between it and us; AF_UNSPEC: none */
    union addr vip;
    union addr source;  /* our end towards the backend; AF_UNSPEC when none was reached */
    union addr backend; /* the backend's end */
    const char
        *header; /* what was wrong with the upstream's PROXY header; NULL and "": nothing. Of a table */
    const char *listener;
    const char *pool;
    const char *backend_name;
    const char *zone;
    const char *source_class; /* the source that names the client most closely; "" when none does */
    uint64_t bytes_in;        /* from the client */
    uint64_t bytes_out;       /* to the client */
    uint32_t duration_ms;
    int32_t connect_ms; /* accept to backend connected; -1 when never */
    int32_t banner_ms;  /* accept to first byte from the backend; -1 when none came */
    uint16_t smtp_code; /* 0 when the greeting was none */
    uint16_t retries;
    uint16_t worker;
    uint32_t sample;           /* it stands for so many sessions like it; 0 and 1: for itself */
    bool port_changed;         /* the source port is not the client's */
    bool dissolved;            /* it became an entry in the kernel's table; else: */
    enum relay_reason relayed; /* why it did not */
    enum close_reason reason;
    int error; /* errno behind the reason, or 0 */
};

/*
 * Creates the log with `workers` + 1 queues and starts its writer thread. 0 or -errno.
 * Lines written with log_event() before this go straight to standard error.
 */
int log_start(uint32_t workers);

/* For programs that tell what they find in their own words: lines of log_event() go nowhere, unless a log is
 * started. */
void log_mute(void);

/* Writes what is queued, unless standard error takes nothing for two seconds, and stops the writer. Lines
 * after this go straight to standard error again. */
void log_stop(void);

/*
 * One event line from the control thread: "event=<event> <fmt...>"; fmt is logfmt, values with spaces quoted
 * by the caller. Thread: control only.
 */
void log_event(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Queues one session line. False when the queue was full and the line is lost. Thread: that worker. */
bool log_session(uint16_t worker, const struct session_record *r);

/* Lines that standard error has refused so far: a full disk, a reader that has gone. */
uint64_t log_lost(void);

#endif
