/* SPDX-License-Identifier: Apache-2.0 */
/* What top shows: backends, the sessions of one, and whose sessions these are; or who has most of all, and
 * the sessions of one of those. */
#ifndef POSTERNCTL_TOP_VIEWS_H
#define POSTERNCTL_TOP_VIEWS_H

#include "session_list.h"
#include "heavy_list.h"
#include "top_grid.h"

#include <jansson.h>

enum view { VIEW_BACKENDS, VIEW_SESSIONS, VIEW_SOURCES, VIEW_HEAVY, VIEWS };

/* Each fills a grid, which is empty or none before, and which grid_done() empties. */
void view_backends(struct grid *g, json_t *status);
void view_sessions(struct grid *g, const struct session_list *list);
void view_sources(struct grid *g, const struct session_list *list);
void view_heavy(struct grid *g, const struct heavy_list *list);

#endif
