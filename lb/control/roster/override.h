/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A value that an operator has set at run time, in place of the configured one. It lasts until the operator
 * sets the configured value again, or the configuration says something else than what it was set over. Pure.
 */
#ifndef POSTERN_CONTROL_OVERRIDE_H
#define POSTERN_CONTROL_OVERRIDE_H

#include <stdbool.h>
#include <stdint.h>

enum override_key { OVERRIDE_WEIGHT, OVERRIDE_STATE, OVERRIDE_MAX_SESSIONS, OVERRIDES };

struct override {
    bool set;
    uint32_t value;
    uint32_t configured; /* what it was set over */
};

static inline uint32_t override_value(const struct override *o, uint32_t configured)
{
    return o->set ? o->value : configured;
}

static inline void override_set(struct override *o, uint32_t configured, uint32_t value)
{
    *o = (struct override){.set = value != configured, .value = value, .configured = configured};
}

/* The configuration has been read again. */
static inline void override_follow(struct override *o, uint32_t configured)
{
    if (o->configured != configured)
        *o = (struct override){.set = false};
}

#endif
