/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzz target without workers or discovery: nobody is asked about them, which would take the whole data
 * path and a resolver. */
#include "control/discovery/discovery.h"
#include "control/discovery/sources.h"
#include "inquiries.h"

#include <stdlib.h>

void inquiries_ask(struct inquiries *i, struct session_question *q)
{
    abort();
}

void inquiries_forget(struct inquiries *i, const struct session_question *q)
{
    abort();
}

bool discovery_look(const struct discovery *d, const char *pool, struct discovery_view *ret)
{
    abort();
}

void sources_look(const struct sources *s, const struct config_source *source, struct sources_view *ret)
{
    abort();
}
