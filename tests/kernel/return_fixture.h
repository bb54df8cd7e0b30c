/* SPDX-License-Identifier: Apache-2.0 */
/* The return path towards one backend that listens, in IPv4 and IPv6: where the tests about it begin. */
#ifndef POSTERN_TESTS_RETURN_FIXTURE_H
#define POSTERN_TESTS_RETURN_FIXTURE_H

#include "fixture.h"

#include "base/fd.h"

static const char *const clients[] = {LAB_CLIENT_V4 ":4242", "[" LAB_CLIENT_V6 "]:4242"};
static const char *const backends[] = {LAB_BACKEND_V4 ":25", "[" LAB_BACKEND_V6 "]:25"};

static struct fixture f;
static int listeners[2];

/* After lab_setup(). */
static inline void return_up(void)
{
    for (int i = 0; i < 2; i++)
        listeners[i] = lab_listen(LAB_BACKEND, backends[i]);
    fixture_init(&f, 1);
    fixture_backend(&f, "mta1", backends[0], backends[1]);
    fixture_up(&f);
}

static inline int return_setup(void **state)
{
    lab_setup(state);
    return_up();
    return 0;
}

static inline int return_teardown(void **state)
{
    fixture_down(&f);
    fd_close(&listeners[0]);
    fd_close(&listeners[1]);
    return lab_teardown(state);
}

#endif
