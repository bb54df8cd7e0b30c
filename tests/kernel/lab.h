/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three hosts in fresh network namespaces: client -- gateway -- backend, joined by veth, IPv4 and IPv6. The
 * test runs on the gateway; sockets can be opened on any host. Everything is gone when the test's process
 * ends. Nothing here waits longer than a deadline, and nothing sleeps.
 */
#ifndef POSTERN_TESTS_LAB_H
#define POSTERN_TESTS_LAB_H

/* cmocka wants these before it, in this order. clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "base/addr.h"

#include <stdbool.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The router has no cable until lab_insert_router(). */
enum lab_host { LAB_CLIENT, LAB_GATEWAY, LAB_BACKEND, LAB_ROUTER, LAB_HOSTS };

/* The interfaces and addresses. The gateway has .1 and ::1 of both networks, and is both hosts' default
 * route. */
#define LAB_CLIENT_DEVICE "clients" /* the gateway's, towards the clients */
#define LAB_BACKEND_DEVICE "backends"
#define LAB_CLIENT_V4 "198.51.100.7"
#define LAB_CLIENT_V6 "2001:db8:c::7"
#define LAB_BACKEND_V4 "10.2.0.11"
#define LAB_BACKEND_V6 "2001:db8:2::11"

/* Options of lab_connect(). */
#define LAB_TRANSPARENT 1
#define LAB_REUSEADDR 2
#define LAB_BIND_NO_PORT 4

/* For cmocka: a fresh lab for each test. */
int lab_setup(void **state);
int lab_teardown(void **state);

/* For main(): true, after saying in TAP that all is skipped, when this user cannot make namespaces. The
 * status is then to be 0: any other would make an error of the skip. */
bool lab_impossible(void);

/* Moves this thread to a host. */
void lab_enter(enum lab_host host);

/* Runs a shell command on a host; it must succeed. */
void lab_run(enum lab_host host, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Moves an interface to another host. */
void lab_move(enum lab_host from, const char *device, enum lab_host to);

/* Puts the router between gateway and backend, with a smaller MTU on its side towards the backend than both
 * of them have: each learns of it through ICMP or not at all. */
void lab_insert_router(unsigned mtu);

/* What a shell command on a host writes; the caller frees it. */
char *lab_output(enum lab_host host, const char *command);

/* A listening socket with SO_REUSEADDR; "address:port", port 0 for any. */
int lab_listen(enum lab_host host, const char *address);

/* A connection attempt; `source` is "address:port" or NULL. The descriptor, or -errno; -ETIMEDOUT after
 * `wait_ms`. */
int lab_try(enum lab_host host, const char *source, const char *dest, unsigned options, int wait_ms);

/* The same, where it must succeed. */
int lab_connect(enum lab_host host, const char *source, const char *dest, unsigned options);

/* The next connection of a listener; its peer is written to `ret_peer` unless that is NULL. */
int lab_accept(int listener, union addr *ret_peer);

/* A byte each way must arrive. */
void lab_expect_talk(int a, int b);

/* A listener has nothing to accept. */
void lab_expect_nobody(int listener);

/* The peer must have closed in order. */
void lab_expect_end(int fd);

/* Address of a socket or its peer as text "[addr]:port". */
char *lab_local(int fd, char text[ADDR_TEXT_MAX]);
union addr lab_addr(const char *text);

#endif
