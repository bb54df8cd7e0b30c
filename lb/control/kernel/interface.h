/* SPDX-License-Identifier: Apache-2.0 */
/* The state of an interface. Thread: any. */
#ifndef POSTERN_CONTROL_INTERFACE_H
#define POSTERN_CONTROL_INTERFACE_H

#include <stdbool.h>

/* It is there, and has been set up. */
bool interface_is_up(const char *name);

#endif
