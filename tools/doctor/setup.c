/* SPDX-License-Identifier: Apache-2.0 */
/* No failure paths. Called by the checks. */
#include "tools/doctor/setup.h"

#include <stdio.h>

bool setup_dissolves(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n_pools; i++)
        if (s->pools[i].dissolve)
            return true;
    return false;
}

bool setup_is_transparent(const struct snapshot *s, sa_family_t family)
{
    for (uint32_t i = 0; i < s->n_backends; i++)
        if (s->backends[i].source == SOURCE_CLIENT && snapshot_backend_addr(&s->backends[i], family))
            return true;
    return false;
}

bool setup_has_vip(const struct snapshot *s, sa_family_t family)
{
    for (uint32_t i = 0; i < s->n_vips; i++)
        if (s->vips[i].prefix.family == family)
            return true;
    return false;
}

char *setup_backend_name(const struct snapshot *s, const struct snapshot_backend *b,
    const union addr *address, char buf[SETUP_NAME_MAX])
{
    char text[ADDR_TEXT_MAX];

    snprintf(buf, SETUP_NAME_MAX, "backend %s/%s (%s)", s->pools[b->pool].name, b->name,
        addr_format(address, text));
    return buf;
}

void setup_tell_sysctl(
    struct doctor *d, enum verdict verdict, const char *name, long seen, long good, const char *why)
{
    struct finding *f = doctor_find(d, verdict, "%s", name);

    finding_say(f, TRIED, "sysctl %s", name);
    finding_say(f, SEEN, "%ld", seen);
    finding_say(f, WHY, "%s", why);
    finding_say(f, MEND, "sysctl -w %s=%ld", name, good);
    finding_say(f, MEND, "# and over restarts: echo '%s = %ld' >>/etc/sysctl.d/60-postern.conf", name, good);
}
