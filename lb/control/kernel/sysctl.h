/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's settings, read and never written. Thread: any. */
#ifndef POSTERN_CONTROL_SYSCTL_H
#define POSTERN_CONTROL_SYSCTL_H

#include <stdbool.h>

/* The first number of a file below /proc/sys ("net/ipv4/ip_forward"), or `otherwise`. */
long sysctl_number(const char *path, long otherwise);

/*
 * An IPv4 setting of an interface: the kernel goes by the higher of this and "all". *ret_all: "all" decides.
 * 0 where it is not known.
 */
long sysctl_of_interface(const char *interface, const char *name, bool *ret_all);

#endif
