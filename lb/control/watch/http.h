/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP server for those who only look: GET and HEAD of a table of pages, one request a connection.
 * Thread: control; nothing here waits for a client.
 */
#ifndef POSTERN_CONTROL_HTTP_H
#define POSTERN_CONTROL_HTTP_H

#include "base/addr.h"

#include <stddef.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#define HTTP_CLIENTS_MAX 32 /* at a time; one more, and the oldest is left */
#define HTTP_LIFE_MS 10000  /* of a connection, from its first packet to its last */

struct http;

struct http_page {
    const char *path;
    const char *type; /* its Content-Type */
    /* Writes the page as it is now; the status: 200, or 503. */
    unsigned (*write)(FILE *out, void *arg);
};

/* The pages must outlive the server. */
struct http_given {
    sd_event *loop;
    const struct http_page *pages;
    size_t n_pages;
    void *arg; /* of their functions */
};

/*
 * Listens from now on; with `fd`, which is taken over also on failure, at a socket that listens there
 * already, -1: none does. 0 or -errno.
 */
int http_open(const struct http_given *given, const union addr *at, int fd, struct http **ret);

/* The listening socket; -1 for NULL. */
int http_fd(const struct http *h);

/* Answers who has just asked, and ends all connections. NULL is accepted. */
void http_close(struct http *h);

#endif
