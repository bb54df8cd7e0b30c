/* SPDX-License-Identifier: Apache-2.0 */
/* tun and tap devices of the gateway: what is written to their descriptor comes in on the device. */
#ifndef POSTERN_TESTS_DEVICE_H
#define POSTERN_TESTS_DEVICE_H

#include "fixture.h"

#include <sys/uio.h>

/* Up; `flags` are TUNSETIFF's. */
int device_open(const char *name, int flags);

void device_attach_return(const struct fixture *f, const char *name);

/* Writes one packet, which the return program must mark, wherever it is attached. */
void device_expect_marked(const struct fixture *f, int device, const struct iovec *parts, size_t n);

#endif
