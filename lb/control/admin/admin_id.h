/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers under which tools know listeners and pools: stable, and none stands for both. Any thread. */
#ifndef POSTERN_CONTROL_ADMIN_ID_H
#define POSTERN_CONTROL_ADMIN_ID_H

#include <stdint.h>

static inline unsigned admin_listener_id(uint32_t listener)
{
    return 2 * listener + 2;
}

static inline unsigned admin_pool_id(uint32_t pool)
{
    return 2 * pool + 3;
}

#endif
