/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of ours from the client's address to the backend, of each family, and the program that its
 * answers meet: where the tests of the return program begin. */
#ifndef POSTERN_TESTS_CONNECTED_FIXTURE_H
#define POSTERN_TESTS_CONNECTED_FIXTURE_H

#include "packet.h"
#include "return_fixture.h"

static int connections[2];
static int program;

static inline int connected_setup(void **state)
{
    return_setup(state);
    program = packet_return_program();
    for (int i = 0; i < 2; i++)
        connections[i] = lab_connect(LAB_GATEWAY, clients[i], backends[i], LAB_TRANSPARENT | LAB_REUSEADDR);
    return 0;
}

static inline int connected_teardown(void **state)
{
    fd_close(&program);
    fd_close(&connections[0]);
    fd_close(&connections[1]);
    return return_teardown(state);
}

#endif
