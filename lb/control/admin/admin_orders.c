/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators order the daemon as a whole to do. Happy path: it is done, or has begun, and the answer says
 * so. Failure path: the answer says why not; for a configuration with errors, in the words of --check. Called
 * by admin_commands.c, control thread only.
 */
#include "control/admin/admin_orders.h"

#include "control/admin/admin_commands.h"
#include "control/admin/admin_handlers.h"

#include <string.h>
#include <syslog.h>

/* An empty line would end the answer. */
static void add_lines(const struct admin_call *c, const char *words)
{
    while (*words) {
        size_t len = strcspn(words, "\n");
        if (len > 0)
            admin_reply_print(c->reply, "%.*s\n", (int)len, words);
        words += len + (words[len] == '\n');
    }
}

static bool has_orders(const struct admin_call *c)
{
    if (!c->world->orders)
        admin_say(c, LOG_ERR, "This process takes no such orders.");
    return c->world->orders != NULL;
}

void admin_reload(const struct admin_call *c)
{
    const char *words = "", *why;

    if (!has_orders(c))
        return;
    admin_log_change(c->session, c->text);
    if (c->world->orders->reload(c->world->orders->arg, &why, &words)) {
        admin_say(c, LOG_INFO, "reload: %s", why);
        return;
    }
    add_lines(c, words);
    admin_say(c, LOG_ERR, "not reloaded: %s", why);
}

void admin_upgrade(const struct admin_call *c)
{
    pid_t pid = 0;

    if (!has_orders(c))
        return;
    admin_log_change(c->session, c->text);
    const char *why = c->world->orders->upgrade(c->world->orders->arg, &pid);
    if (why)
        admin_say(c, LOG_ERR, "no upgrade: %s", why);
    else
        admin_say(
            c, LOG_INFO, "upgrade: process %d is to take over; last_upgrade in show status tells", (int)pid);
}
