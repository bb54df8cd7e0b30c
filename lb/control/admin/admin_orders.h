/* SPDX-License-Identifier: Apache-2.0 */
/* What operators may order the daemon as a whole to do. Thread: control. */
#ifndef POSTERN_CONTROL_ADMIN_ORDERS_H
#define POSTERN_CONTROL_ADMIN_ORDERS_H

#include <stdbool.h>
#include <sys/types.h>

/* Whoever carries them out. */
struct admin_orders {
    /*
     * Reads the configuration again. True: applied, or another process is about to serve it, as *ret_text
     * says. False: *ret_text is why not, *ret_words what --check would write (or ""); they last until the
     * next time.
     */
    bool (*reload)(void *arg, const char **ret_text, const char **ret_words);
    /* Starts an upgrade in place: NULL, and the process; or why not. */
    const char *(*upgrade)(void *arg, pid_t *ret_pid);
    void *arg;
};

#endif
