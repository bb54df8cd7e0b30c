/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of ours from the client's address to the backend, of each family, and the program that its
 * answers meet: where the tests of the return program begin. */
#ifndef POSTERN_TESTS_CONNECTED_FIXTURE_H
#define POSTERN_TESTS_CONNECTED_FIXTURE_H

#include "fixture.h"
#include "packet.h"

#include "base/fd.h"

static const char *const clients[] = {LAB_CLIENT_V4 ":4242", "[" LAB_CLIENT_V6 "]:4242"};
static const char *const backends[] = {LAB_BACKEND_V4 ":25", "[" LAB_BACKEND_V6 "]:25"};

static struct fixture f;
static int listeners[2], connections[2]; /* the backend's, the gateway's */
static int program;

static inline int connected_setup(void **state)
{
    lab_setup(state);
    fixture_init(&f, 1);
    fixture_backend(&f, "mta1", backends[0], backends[1]);
    fixture_up(&f);
    program = packet_return_program();
    for (int i = 0; i < 2; i++) {
        listeners[i] = lab_listen(LAB_BACKEND, backends[i]);
        connections[i] = lab_connect(LAB_GATEWAY, clients[i], backends[i], LAB_TRANSPARENT | LAB_REUSEADDR);
    }
    return 0;
}

static inline int connected_teardown(void **state)
{
    fd_close(&program);
    for (int i = 0; i < 2; i++) {
        fd_close(&listeners[i]);
        fd_close(&connections[i]);
    }
    fixture_down(&f);
    return lab_teardown(state);
}

#endif
