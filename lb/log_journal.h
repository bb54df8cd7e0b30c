/* SPDX-License-Identifier: Apache-2.0 */
/* Events as entries of the journal with fields of their own, where standard error is the journal. Thread: the
 * log's writer. */
#ifndef POSTERN_LOG_JOURNAL_H
#define POSTERN_LOG_JOURNAL_H

#include "log.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define LOG_JOURNAL_FIELDS 48 /* further ones stand in the message only */
#define LOG_JOURNAL_BYTES (LOG_EVENT_BYTES + LOG_JOURNAL_FIELDS * 16)

/* True when standard error is connected to the journal, which then knows the time and takes <level>. */
bool log_is_journal(void);

/*
 * The pairs of a logfmt line as fields: event=vip state="is up" becomes POSTERN_EVENT=vip and
 * POSTERN_STATE=is up. What is no pair ends them. Returns how many; they lie in `buffer`. Pure.
 */
int log_journal_fields(
    const char *line, char buffer[LOG_JOURNAL_BYTES], struct iovec fields[LOG_JOURNAL_FIELDS]);

/* Hands one event to the journal; may wait for it. False when it was not taken. */
bool log_journal_send(enum log_level level, const char *line);

#endif
