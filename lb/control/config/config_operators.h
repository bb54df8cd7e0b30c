/* SPDX-License-Identifier: Apache-2.0 */
/* How operators and monitoring reach the daemon, as it was written. A part of config_model.h. */
#ifndef POSTERN_CONTROL_CONFIG_OPERATORS_H
#define POSTERN_CONTROL_CONFIG_OPERATORS_H

#include <stdint.h>

struct config_admin {
    const char *socket;     /* "": none */
    const char *group;      /* of the socket; "": our own */
    const char *tcp;        /* ADDRESS:PORT; "": none */
    uint32_t name;          /* enum admin_name */
    const char *state_file; /* "": none */
};

/* What it calls itself at the admin socket. */
enum admin_name { ADMIN_NAME_HAPROXY, ADMIN_NAME_POSTERN };

struct config_http {
    const char *listen; /* ADDRESS:PORT; "": nowhere */
};

#endif
