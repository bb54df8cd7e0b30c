/* SPDX-License-Identifier: Apache-2.0 */
/* Running out of pipes is no error: the flow goes on copying. Thread: its worker. */
#include "path/pipes.h"

#include "base/fd.h"
#include "path/relay_step.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int open_pipe(struct pipes *p, uint16_t i)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    /* A smaller pipe (fs.pipe-user-pages-soft) works too, with more system calls. */
    (void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
    p->read_fd[i] = fds[0];
    p->write_fd[i] = fds[1];
    return 0;
}

static void close_pipe(struct pipes *p, uint16_t i)
{
    fd_close(&p->read_fd[i]);
    fd_close(&p->write_fd[i]);
}

int pipes_init(struct pipes *p, uint32_t flows)
{
    p->n_pipes = p->n_stock = 0;
    for (uint16_t i = 0; i < PIPES_MAX && i < flows; i++) {
        int error = open_pipe(p, i);
        if (error) {
            pipes_done(p);
            return error;
        }
        p->stock[p->n_stock++] = i;
        p->n_pipes++;
    }
    return 0;
}

void pipes_done(struct pipes *p)
{
    for (uint16_t i = 0; i < p->n_pipes; i++)
        close_pipe(p, i);
    p->n_pipes = p->n_stock = 0;
}

uint16_t pipes_take(struct pipes *p)
{
    return p->n_stock > 0 ? p->stock[--p->n_stock] : RELAY_NO_PIPE;
}

void pipes_return(struct pipes *p, uint16_t pipe, bool empty)
{
    assert(pipe < p->n_pipes && p->n_stock < p->n_pipes);
    if (!empty) {
        close_pipe(p, pipe);
        if (open_pipe(p, pipe) < 0)
            return;
    }
    p->stock[p->n_stock++] = pipe;
}
