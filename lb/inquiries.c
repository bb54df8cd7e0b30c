/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a question goes to the first worker, and on to the next one where that has finished; whenever a
 * piece is full, and at the end, whoever has asked is told, and asks for more when there is room for it. The
 * others come first then.
 *
 * Failure paths: whoever has asked is gone: its piece is dropped when the worker is done with it. A worker
 * that stops answers as things stand, and at the end whoever still waits is told that it is over. Called by
 * the admin socket's commands and gateway_drain.c.
 */
#include "inquiries.h"

#include "base/fd.h"
#include "path/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct inquiries {
    struct worker *workers;
    uint32_t n_workers;
    int done_fd;
    sd_event_source *source;
    struct session_question *first; /* they wait, the oldest first */
    struct session_question *asked; /* whose piece is under way; NULL: nobody's, or nobody's any more */
    bool busy;                      /* a worker has the inquiry */
    uint64_t lists;                 /* the numbers in use, as bits */
    struct session_inquiry inquiry;
    struct session_view views[INQUIRY_PIECE];
};

static void line_up(struct inquiries *i, struct session_question *q)
{
    struct session_question **at = &i->first;

    while (*at)
        at = &(*at)->next;
    q->next = NULL;
    *at = q;
}

/* Hands the piece, as far as it has come, to the worker whose turn it is. */
static void hand_over(struct inquiries *i)
{
    i->inquiry.position = i->asked->position;
    worker_ask(&i->workers[i->asked->worker], &i->inquiry);
    i->busy = true;
}

static void ask_next(struct inquiries *i)
{
    struct session_question *q = i->first;

    if (i->busy || !q)
        return;
    i->first = q->next;
    i->asked = q;
    i->inquiry = (struct session_inquiry){
        .filter = q->filter,
        .end = q->end,
        .list = q->list,
        .done_fd = i->done_fd,
        .views = i->views,
        .room = INQUIRY_PIECE,
    };
    hand_over(i);
}

/* Those that end sessions list nothing. */
static void begin(struct inquiries *i, struct session_question *q)
{
    bool lists = q->end == REASON_none && ~i->lists != 0;

    q->begun = true;
    q->list = lists ? (uint32_t)__builtin_ctzll(~i->lists) : SESSION_LISTS;
    i->lists |= lists ? 1ull << q->list : 0;
}

static void end(struct inquiries *i, const struct session_question *q)
{
    if (q->begun && q->list < SESSION_LISTS)
        i->lists &= ~(1ull << q->list);
}

void inquiries_ask(struct inquiries *i, struct session_question *q)
{
    if (!q->begun)
        begin(i, q);
    line_up(i, q);
    ask_next(i);
}

void inquiries_forget(struct inquiries *i, const struct session_question *q)
{
    struct session_question **at = &i->first;

    if (i->asked == q)
        i->asked = NULL;
    while (*at && *at != q)
        at = &(*at)->next;
    if (*at)
        *at = q->next;
    end(i, q);
}

static void take_piece(struct inquiries *i)
{
    struct session_question *q = i->asked;

    i->busy = false;
    if (!q)
        return;
    q->position = i->inquiry.finished ? 0 : i->inquiry.position;
    q->worker += i->inquiry.finished;
    bool over = q->worker == i->n_workers || session_is_found(&i->inquiry);
    if (!over && i->inquiry.n < i->inquiry.room) {
        hand_over(i);
        return;
    }
    q->found += i->inquiry.found;
    i->asked = NULL;
    if (over)
        end(i, q);
    q->on_sessions(q, i->views, i->inquiry.n, over);
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct inquiries *i = arg;
    uint64_t value;

    (void)!read(fd, &value, sizeof(value));
    if (i->busy && atomic_load_explicit(&i->inquiry.done, memory_order_acquire))
        take_piece(i);
    ask_next(i);
    return 0;
}

int inquiries_new(sd_event *loop, struct worker *workers, uint32_t n_workers, struct inquiries **ret)
{
    struct inquiries *i = calloc(1, sizeof(*i));

    if (!i)
        return -ENOMEM;
    i->workers = workers;
    i->n_workers = n_workers;
    i->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = i->done_fd < 0 ? -errno : sd_event_add_io(loop, &i->source, i->done_fd, EPOLLIN, on_done, i);
    if (error >= 0) /* nobody who asks comes before anything else */
        error = sd_event_source_set_priority(i->source, SD_EVENT_PRIORITY_IDLE);
    if (error < 0) {
        inquiries_stop(i);
        inquiries_free(i);
        return error;
    }
    *ret = i;
    return 0;
}

void inquiries_stop(struct inquiries *i)
{
    if (i)
        i->source = sd_event_source_disable_unref(i->source);
}

void inquiries_free(struct inquiries *i)
{
    if (!i)
        return;
    assert(!i->source);
    if (i->asked)
        i->asked->found += i->inquiry.found;
    if (i->asked)
        i->asked->on_sessions(i->asked, NULL, 0, true);
    while (i->first) {
        struct session_question *q = i->first;
        i->first = q->next;
        q->on_sessions(q, NULL, 0, true);
    }
    fd_close(&i->done_fd);
    free(i);
}
