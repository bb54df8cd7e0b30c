/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session lines go to the journal as they go to a file, many at a time: one entry with fields costs a system
 * call and a message each, too much for the busy. Events are few, and what people search for.
 *
 * Happy path: the line is cut into fields, sd_journal_sendv() takes them.
 * Failure path: the journal is not there or refuses; the caller writes the line instead.
 *
 * Called by log.c, the writer thread.
 */
#include "log_journal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define PREFIX "POSTERN_"

bool log_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

/* The length of the pair's name at `at`; 0 when none stands there. */
static size_t name_bytes(const char *at)
{
    size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return at[n] == '=' ? n : 0;
}

int log_journal_fields(
    const char *line, char buffer[LOG_JOURNAL_BYTES], struct iovec fields[LOG_JOURNAL_FIELDS])
{
    char *out = buffer;
    int n = 0;

    for (const char *at = line; n < LOG_JOURNAL_FIELDS; n++) {
        size_t name = name_bytes(at);
        const char *value = at + name + 1;
        if (name == 0)
            break;
        bool quoted = *value == '"';
        value += quoted;
        size_t length = strcspn(value, quoted ? "\"" : " ");
        if ((size_t)(buffer + LOG_JOURNAL_BYTES - out) < strlen(PREFIX) + name + 1 + length)
            break;
        char *begin = out;
        out = mempcpy(out, PREFIX, strlen(PREFIX));
        for (size_t i = 0; i < name; i++)
            *out++ = (char)toupper(at[i]);
        *out++ = '=';
        out = mempcpy(out, value, length);
        fields[n] = (struct iovec){.iov_base = begin, .iov_len = (size_t)(out - begin)};
        at = value + length;
        at += quoted && *at == '"';
        at += strspn(at, " ");
    }
    return n;
}

bool log_journal_send(enum log_level level, const char *line)
{
    enum { OWN = 3 };
    static char buffer[LOG_JOURNAL_BYTES], message[LOG_EVENT_BYTES + sizeof("MESSAGE=")];
    struct iovec fields[OWN + LOG_JOURNAL_FIELDS];
    char priority[] = "PRIORITY=0", identifier[] = "SYSLOG_IDENTIFIER=postern";

    priority[sizeof(priority) - 2] = (char)('0' + level);
    int length = snprintf(message, sizeof(message), "MESSAGE=%s", line);
    fields[0] = (struct iovec){.iov_base = message, .iov_len = (size_t)length};
    fields[1] = (struct iovec){.iov_base = priority, .iov_len = strlen(priority)};
    fields[2] = (struct iovec){.iov_base = identifier, .iov_len = strlen(identifier)};
    int n = log_journal_fields(line, buffer, fields + OWN);
    return sd_journal_sendv(fields, OWN + n) == 0;
}
