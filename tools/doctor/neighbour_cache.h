/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel knows of hosts on its links. */
#ifndef DOCTOR_NEIGHBOUR_CACHE_H
#define DOCTOR_NEIGHBOUR_CACHE_H

#include "base/addr.h"

#include <stdbool.h>

/* True when somebody with this address was asked for on a link, and nobody has answered. */
bool neighbour_is_silent(const union addr *a);

#endif
