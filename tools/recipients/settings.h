/* SPDX-License-Identifier: Apache-2.0 */
/* The command line. */
#ifndef POSTERN_RECIPIENTS_SETTINGS_H
#define POSTERN_RECIPIENTS_SETTINGS_H

#include "base/addr.h"
#include "meter.h"

#include <stddef.h>
#include <sys/un.h>

#define SETTINGS_EXEMPT_MAX 256 /* prefixes, and as many users */
#define SETTINGS_TEXT_MAX 200   /* of a deferral */

/* An address to listen on: TCP, or a Unix socket when its path is not empty. */
struct settings_listen {
    union addr tcp;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

struct settings {
    struct settings_listen listen;
    union addr metrics;
    const char *database;
    struct limits source, total;
    struct addr_prefix exempt[SETTINGS_EXEMPT_MAX];
    size_t n_exempt;
    const char *exempt_users[SETTINGS_EXEMPT_MAX];
    size_t n_exempt_users;
    const char *defer; /* the text; NULL: nothing is deferred */
};

/* Texts stay in argv. What is wrong is said on standard error, and the program ends with status 64. */
void settings_read(int argc, char **argv, struct settings *ret);

#endif
