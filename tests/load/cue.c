/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cues: how a bench or test brackets the part it measures. Happy path: cue_wait says a word, the loop watches
 * standard input, the callback runs. Standard input that cannot be watched (a file, /dev/null) counts as
 * ended.
 */
#include "cue.h"

#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    struct source source; /* first */
    bool watched;
    bool at_end;
    bool is_over; /* standard input has ended */
    uint32_t lines;
    void (*on_cue)(void *arg);
    void *arg;
    struct timer timer;
} cue = {.source = {.fd = -1}};

static void deliver(void)
{
    void (*on_cue)(void *arg) = cue.on_cue;

    if (!on_cue || !(cue.is_over || (!cue.at_end && cue.lines > 0)))
        return;
    if (cue.lines > 0)
        cue.lines--;
    cue.on_cue = NULL;
    on_cue(cue.arg);
}

static void on_input(struct source *s, uint32_t events)
{
    char text[256];
    ssize_t n;

    while ((n = read(s->fd, text, sizeof(text))) > 0)
        for (ssize_t i = 0; i < n; i++)
            cue.lines += text[i] == '\n';
    if (n == 0 || errno != EAGAIN)
        cue.is_over = true;
    deliver();
}

static void on_timer(struct timer *t)
{
    deliver();
}

static void watch(void)
{
    cue.watched = true;
    cue.source.fd = STDIN_FILENO;
    cue.source.on_event = on_input;
    cue.timer.fire = on_timer;
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    if (loop_add(&cue.source, EPOLLIN) < 0)
        cue.is_over = true;
}

void cue_wait(const char *word, bool at_end, void (*on_cue)(void *arg), void *arg)
{
    cue.on_cue = on_cue;
    cue.arg = arg;
    cue.at_end = at_end;
    if (!cue.watched)
        watch();
    dprintf(STDERR_FILENO, "%s\n", word);
    timer_set(&cue.timer, now_ns()); /* what has already come counts too */
}
