/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions a filter means, and what their states are called. Pure; called by workers and commands. */
#include "sessions.h"

bool session_is_meant(const struct session_filter *f, const struct session_view *v)
{
    return (f->id == 0 || f->id == v->id) &&
           (f->client.family == AF_UNSPEC || addr_in_prefix(&v->client, &f->client)) &&
           (f->backend == SESSION_NOWHERE || f->backend == v->backend) &&
           (f->states == 0 || (f->states & 1u << v->state) != 0) && v->age_ms >= f->older_ms &&
           v->idle_ms >= f->idle_ms;
}

const char *session_state_name(enum session_state state)
{
    static const char *const names[] = {
#define X(name) [SESSION_##name] = #name,
        SESSION_STATE_LIST(X)
#undef X
    };
    return names[state];
}
