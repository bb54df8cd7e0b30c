/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What HAProxy has no words for: the status document, and what is set up on the host. Called through the
 * table in admin_commands.c, control thread only.
 */
#include "control/admin/admin_commands.h"
#include "control/admin/admin_handlers.h"
#include "control/watch/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

void admin_show_status(const struct admin_call *c)
{
    char *text = status_print(c->world);

    if (!text) {
        admin_say(c, LOG_ERR, "There is no memory for it.");
        return;
    }
    admin_reply_text(c->reply, text);
    admin_reply_text(c->reply, "\n");
    free(text);
}

/* 0 and the text, or -errno. */
static int write_plan(const struct admin_world *w, char **ret)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = w->print_plan ? open_memstream(&text, &n) : NULL;

    if (!out)
        return w->print_plan ? -ENOMEM : -ENOSYS;
    int error = w->print_plan(w->arg, out);
    if (fclose(out) && !error)
        error = -ENOMEM;
    if (error)
        free(text);
    else
        *ret = text;
    return error;
}

void admin_show_plan(const struct admin_call *c)
{
    char *text = NULL;
    int error = write_plan(c->world, &text);

    if (error)
        admin_say(c, LOG_ERR, "The host cannot be read: %s.", strerror(-error));
    else
        admin_reply_text(c->reply, text);
    free(text);
}
