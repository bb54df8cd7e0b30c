/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Producers -> one bounded queue each (one writer, one reader, no locks) -> the writer thread -> standard
 * error.
 *
 * The writer sleeps on an eventfd when all queues are empty, and only then does a producer have to wake it;
 * while lines keep coming it looks every LOG_BATCH_MS instead. So a busy worker makes no system call for its
 * lines. Standard error that nobody reads stops the writer, nobody else: queues fill, lines are dropped and
 * counted. Lines that it refuses (a full disk, a reader that has gone) are lost, counted, and told about as
 * soon as it takes some again.
 */
#include "log.h"

#include "base/fd.h"
#include "base/text.h"
#include "log_journal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SESSION_QUEUE 4096 /* lines; powers of two */
#define EVENT_QUEUE 128
#define LINE_MAX_BYTES (LOG_EVENT_BYTES + 200)
#define LOG_BATCH_MS 20
#define OUTPUT_BYTES (64 * 1024)
#define STOP_SECONDS 2 /* without a byte taken: nobody reads the last lines */

struct event_line {
    struct timespec at;
    enum log_level level;
    char text[LOG_EVENT_BYTES];
};

/* A line outlives the snapshot that its names came from: it has its own copies. */
struct session_line {
    struct timespec at;
    struct session_record record;
    char names[5][LOG_NAME_BYTES];
};

/* Positions only grow; the producer writes `head`, the writer `tail`. */
struct queue {
    _Alignas(64) _Atomic uint32_t head;
    _Atomic uint64_t dropped;
    _Alignas(64) _Atomic uint32_t tail;
    uint64_t dropped_told; /* the writer's */
    uint32_t capacity;
    uint32_t entry_bytes;
    uint8_t *entries;
};

struct log {
    struct queue *queues; /* one a worker, the last is the control thread's */
    uint32_t n_queues;
    int wake_fd;
    _Atomic bool sleeping;
    _Atomic bool stop;
    pthread_t thread;
    bool running;
    bool muted;   /* while it does not run */
    bool journal; /* standard error is the journal */
    bool colour;
    time_t second; /* whose text this is: many lines are of one second */
    char second_text[32];
    char *output;
    size_t used;
    _Atomic uint64_t written; /* bytes that standard error took */
    _Atomic uint64_t lost;    /* lines that standard error refused, in all, and: */
    uint64_t lost_told;
    int lost_error;
    bool torn; /* the first of them was cut in its middle */
};

static struct log the_log = {.wake_fd = -1};

static void *queue_reserve(struct queue *q)
{
    uint32_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&q->tail, memory_order_acquire) == q->capacity)
        return NULL;
    return q->entries + (size_t)(head % q->capacity) * q->entry_bytes;
}

static void queue_commit(struct queue *q)
{
    /* Sequentially consistent, as is the writer's `sleeping`: one of the two always sees the other. */
    atomic_fetch_add(&q->head, 1);
}

static const void *queue_front(struct queue *q)
{
    uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    if (tail == atomic_load(&q->head))
        return NULL;
    return q->entries + (size_t)(tail % q->capacity) * q->entry_bytes;
}

static void queue_pop(struct queue *q)
{
    atomic_fetch_add_explicit(&q->tail, 1, memory_order_release);
}

static void wake_writer(void)
{
    const uint64_t one = 1;
    if (atomic_load(&the_log.sleeping) && atomic_exchange(&the_log.sleeping, false))
        (void)!write(the_log.wake_fd, &one, sizeof(one));
}

/* Writes to standard error, waiting for its reader. How much it took; less than all: *ret_error says why. */
static size_t write_out(const char *text, size_t size, int *ret_error)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = write(STDERR_FILENO, text + done, size - done);
        if (n > 0) {
            done += (size_t)n;
            atomic_fetch_add_explicit(&the_log.written, (uint64_t)n, memory_order_relaxed);
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
            (void)poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            *ret_error = errno;
            break;
        }
    }
    return done;
}

/* The colour of a line on a terminal, by level; information has none. */
static const char *level_colour(enum log_level level)
{
    if (level == LOG_LEVEL_ERROR)
        return "\033[31m";
    return level == LOG_LEVEL_WARNING ? "\033[33m" : NULL;
}

static const char *level_name(enum log_level level)
{
    if (level == LOG_LEVEL_ERROR)
        return "error";
    return level == LOG_LEVEL_WARNING ? "warning" : "info";
}

/* What stands before the text of every line. */
static void add_prefix(struct text *t, const struct timespec *at, enum log_level level)
{
    struct tm utc;

    if (the_log.journal) {
        text_add(t, "<");
        text_add_number(t, level);
        text_add(t, ">");
        return;
    }
    if (at->tv_sec != the_log.second) {
        gmtime_r(&at->tv_sec, &utc);
        strftime(the_log.second_text, sizeof(the_log.second_text), "%Y-%m-%dT%H:%M:%S", &utc);
        the_log.second = at->tv_sec;
    }
    text_add(t, the_log.colour && level_colour(level) ? level_colour(level) : "");
    text_add(t, "time=");
    text_add(t, the_log.second_text);
    text_add(t, ".");
    text_add_decimal(t, (uint64_t)at->tv_nsec / 1000000, 3);
    text_add(t, "Z level=");
    text_add(t, level_name(level));
    text_add(t, " ");
}

/* What of the buffer was not taken is lost; a line that was taken in part is, too. */
static void lose(const char *from, const char *end)
{
    uint64_t lines = 0;

    for (const char *c = from; c < end; c++)
        lines += *c == '\n';
    atomic_fetch_add_explicit(&the_log.lost, lines, memory_order_relaxed);
}

/* Says how many lines were lost since that was said last. False: that is refused, too. */
static bool tell_lost(void)
{
    uint64_t lost = atomic_load_explicit(&the_log.lost, memory_order_relaxed);
    char line[320], event[256];
    struct timespec at;
    struct text t;

    if (lost == the_log.lost_told)
        return true;
    const char *why = strerrordesc_np(the_log.lost_error);
    snprintf(event, sizeof(event), "event=log_dropped lines=%llu total=%llu error=\"%s\"\n",
        (unsigned long long)(lost - the_log.lost_told), (unsigned long long)lost, why ? why : "");
    clock_gettime(CLOCK_REALTIME, &at);
    text_begin(&t, line, sizeof(line));
    text_add(&t, the_log.torn ? "\n" : "");
    add_prefix(&t, &at, LOG_LEVEL_WARNING);
    text_add(&t, event);
    size_t size = (size_t)(t.at - line), done = write_out(line, size, &the_log.lost_error);
    the_log.torn = done > 0 ? done < size : the_log.torn;
    if (done == size)
        the_log.lost_told = lost;
    return done == size;
}

static void flush_output(void)
{
    const char *end = the_log.output + the_log.used;
    size_t done = 0;

    if (the_log.used == 0)
        return;
    if (tell_lost()) {
        done = write_out(the_log.output, the_log.used, &the_log.lost_error);
        the_log.torn = done > 0 && done < the_log.used && the_log.output[done - 1] != '\n';
    }
    lose(the_log.output + done, end);
    the_log.used = 0;
}

static void put_line(const struct timespec *at, enum log_level level, const char *line)
{
    bool coloured = the_log.colour && !the_log.journal && level_colour(level);
    struct text t;

    if (the_log.used + LINE_MAX_BYTES > OUTPUT_BYTES)
        flush_output();
    char *begin = the_log.output + the_log.used;
    text_begin(&t, begin, LINE_MAX_BYTES);
    add_prefix(&t, at, level);
    text_add(&t, line);
    text_add(&t, coloured ? "\033[0m" : "");
    /* A line that was too long ends here as well; the NUL makes room for it. */
    *t.at++ = '\n';
    the_log.used += (size_t)(t.at - begin);
}

/* In the journal after the session lines that came before it. */
static void put_event(const struct event_line *line)
{
    if (the_log.journal) {
        flush_output();
        if (log_journal_send(line->level, line->text))
            return;
    }
    put_line(&line->at, line->level, line->text);
}

static const char *or_dash(const char *text)
{
    return text[0] ? text : "-";
}

/* " <key>=<value>", the value of which may be none. */
static void add_text(struct text *t, const char *key, const char *value)
{
    text_add(t, key);
    text_add(t, or_dash(value));
}

static void add_number(struct text *t, const char *key, uint64_t value)
{
    text_add(t, key);
    text_add_number(t, value);
}

static void add_optional(struct text *t, const char *key, int64_t value, bool known)
{
    if (known)
        add_number(t, key, (uint64_t)value);
    else
        add_text(t, key, "");
}

static void add_addr(struct text *t, const char *key, const union addr *a)
{
    char buf[ADDR_TEXT_MAX];
    add_text(t, key, addr_format(a, buf));
}

static void format_session(char *line, size_t size, const struct session_record *r)
{
    const struct close_reason_info *reason = &close_reasons[r->reason];
    struct text t;

    text_begin(&t, line, size);
    add_addr(&t, "event=session client=", &r->client);
    add_addr(&t, " vip=", &r->vip);
    add_addr(&t, " source=", &r->source);
    add_text(&t, " listener=", r->listener);
    add_text(&t, " pool=", r->pool);
    add_text(&t, " backend=", r->backend_name);
    add_addr(&t, " address=", &r->backend);
    add_text(&t, " zone=", r->zone);
    add_text(&t, " class=", r->source_class);
    text_add(&t, " session=");
    text_add_hex(&t, r->id, 16);
    add_number(&t, " bytes_in=", r->bytes_in);
    add_number(&t, " bytes_out=", r->bytes_out);
    add_number(&t, " duration=", r->duration_ms / 1000);
    text_add(&t, ".");
    text_add_decimal(&t, r->duration_ms % 1000, 3);
    add_optional(&t, " connect_ms=", r->connect_ms, r->connect_ms >= 0);
    add_optional(&t, " banner_ms=", r->banner_ms, r->banner_ms >= 0);
    add_optional(&t, " smtp_code=", r->smtp_code, r->smtp_code > 0);
    add_number(&t, " retries=", r->retries);
    add_text(&t, " port_changed=", r->port_changed ? "yes" : "no");
    add_text(&t, " dissolved=", r->dissolved ? "yes" : "no");
    if (!r->dissolved)
        add_text(&t, " relayed=", relay_reason_name(r->relayed));
    add_text(&t, " end=", reason->end);
    add_text(&t, " reason=", reason->name);
    if (r->upstream.sa.sa_family != AF_UNSPEC)
        add_addr(&t, " upstream=", &r->upstream);
    if (r->header && r->header[0])
        add_text(&t, " header=", r->header);
    if (r->sample > 1)
        add_number(&t, " sample=", r->sample);
    if (r->error) {
        const char *what = strerrordesc_np(r->error);
        add_text(&t, " error=\"", what ? what : "");
        text_add(&t, "\"");
    }
}

static void put_dropped(struct queue *q)
{
    uint64_t dropped = atomic_load_explicit(&q->dropped, memory_order_relaxed);
    struct timespec at;
    char text[128];

    if (dropped == q->dropped_told)
        return;
    clock_gettime(CLOCK_REALTIME, &at);
    snprintf(text, sizeof(text), "event=log_dropped lines=%llu total=%llu",
        (unsigned long long)(dropped - q->dropped_told), (unsigned long long)dropped);
    q->dropped_told = dropped;
    put_line(&at, LOG_LEVEL_WARNING, text);
}

/* Writes what one queue holds. True when there was anything. */
static bool drain_queue(struct queue *q, bool sessions)
{
    const void *entry;
    bool any = false;
    char text[LOG_EVENT_BYTES];

    /* At most one round, so that a busy queue does not keep the others waiting. */
    for (uint32_t i = 0; i < q->capacity && (entry = queue_front(q)) != NULL; i++) {
        if (sessions) {
            const struct session_line *line = entry;
            format_session(text, sizeof(text), &line->record);
            put_line(&line->at, LOG_LEVEL_INFO, text);
        } else {
            const struct event_line *line = entry;
            put_event(line);
        }
        queue_pop(q);
        any = true;
    }
    put_dropped(q);
    return any;
}

static bool drain_all(void)
{
    bool any = false;

    for (uint32_t i = 0; i < the_log.n_queues; i++)
        any |= drain_queue(&the_log.queues[i], i + 1 < the_log.n_queues);
    flush_output();
    return any;
}

static bool all_empty(void)
{
    for (uint32_t i = 0; i < the_log.n_queues; i++)
        if (queue_front(&the_log.queues[i]))
            return false;
    return true;
}

static void *writer_main(void *arg)
{
    uint64_t value;

    for (;;) {
        bool stop = atomic_load(&the_log.stop);
        bool any = drain_all();
        if (stop)
            return NULL;
        struct pollfd p = {.fd = the_log.wake_fd, .events = POLLIN};
        if (any) {
            (void)poll(&p, 1, LOG_BATCH_MS);
            continue;
        }
        atomic_store(&the_log.sleeping, true);
        if (!all_empty() || atomic_load(&the_log.stop)) {
            atomic_store(&the_log.sleeping, false);
            continue;
        }
        if (read(the_log.wake_fd, &value, sizeof(value)) < 0 && errno != EINTR)
            return NULL;
    }
}

static int queue_init(struct queue *q, uint32_t capacity, uint32_t entry_bytes)
{
    q->capacity = capacity;
    q->entry_bytes = entry_bytes;
    q->entries = calloc(capacity, entry_bytes);
    return q->entries ? 0 : -ENOMEM;
}

static void log_free(void)
{
    for (uint32_t i = 0; i < the_log.n_queues; i++)
        free(the_log.queues[i].entries);
    free(the_log.queues);
    free(the_log.output);
    the_log.queues = NULL;
    the_log.output = NULL;
    the_log.n_queues = 0;
    the_log.running = false;
    fd_close(&the_log.wake_fd);
}

int log_start(uint32_t workers)
{
    int error = 0;

    the_log.journal = log_is_journal();
    the_log.colour = isatty(STDERR_FILENO) && !getenv("NO_COLOR");
    the_log.output = malloc(OUTPUT_BYTES);
    the_log.queues = aligned_alloc(64, (workers + 1) * sizeof(struct queue));
    if (!the_log.output || !the_log.queues) {
        log_free();
        return -ENOMEM;
    }
    memset(the_log.queues, 0, (workers + 1) * sizeof(struct queue));
    the_log.n_queues = workers + 1;
    for (uint32_t i = 0; i < workers && !error; i++)
        error = queue_init(&the_log.queues[i], SESSION_QUEUE, sizeof(struct session_line));
    if (!error)
        error = queue_init(&the_log.queues[workers], EVENT_QUEUE, sizeof(struct event_line));
    the_log.wake_fd = eventfd(0, EFD_CLOEXEC);
    if (!error && the_log.wake_fd < 0)
        error = -errno;
    atomic_store(&the_log.stop, false);
    if (!error)
        error = -pthread_create(&the_log.thread, NULL, writer_main, NULL);
    if (error) {
        log_free();
        return error;
    }
    (void)pthread_setname_np(the_log.thread, "log");
    the_log.running = true;
    return 0;
}

/* Joins the writer, for as long as its reader takes anything. */
static bool join_writer(void)
{
    struct timespec until;
    uint64_t before;
    int error;

    do {
        before = atomic_load_explicit(&the_log.written, memory_order_relaxed);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += STOP_SECONDS;
        error = pthread_timedjoin_np(the_log.thread, NULL, &until);
    } while (error == ETIMEDOUT && before != atomic_load_explicit(&the_log.written, memory_order_relaxed));
    return error == 0;
}

void log_stop(void)
{
    const uint64_t one = 1;

    if (!the_log.running)
        return;
    atomic_store(&the_log.stop, true);
    (void)!write(the_log.wake_fd, &one, sizeof(one));
    if (join_writer())
        log_free();
    the_log.running = false; /* a writer whose reader stands still keeps what it uses; the process ends */
}

uint64_t log_lost(void)
{
    return atomic_load_explicit(&the_log.lost, memory_order_relaxed);
}

void log_mute(void)
{
    the_log.muted = true;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    struct queue *q = the_log.running ? &the_log.queues[the_log.n_queues - 1] : NULL;
    struct event_line direct = {0}, *line = q ? queue_reserve(q) : &direct;
    va_list args;

    if (!line) {
        atomic_fetch_add_explicit(&q->dropped, 1, memory_order_relaxed);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &line->at);
    line->level = level;
    int n = snprintf(line->text, sizeof(line->text), "event=%s ", event);
    va_start(args, fmt);
    vsnprintf(line->text + n, sizeof(line->text) - (size_t)n, fmt, args);
    va_end(args);
    if (!q && the_log.muted)
        return;
    if (!q) {
        dprintf(STDERR_FILENO, "level=%s %s\n", level_name(level), line->text);
        return;
    }
    queue_commit(q);
    wake_writer();
}

static const char *copy_name(char copy[LOG_NAME_BYTES], const char *name)
{
    struct text t;

    text_begin(&t, copy, LOG_NAME_BYTES);
    text_add(&t, name);
    return copy;
}

bool log_session(uint16_t worker, const struct session_record *r)
{
    struct queue *q = &the_log.queues[worker];
    struct session_line *line = queue_reserve(q);

    if (!line) {
        atomic_fetch_add_explicit(&q->dropped, 1, memory_order_relaxed);
        return false;
    }
    clock_gettime(CLOCK_REALTIME_COARSE, &line->at);
    line->record = *r;
    line->record.listener = copy_name(line->names[0], r->listener);
    line->record.pool = copy_name(line->names[1], r->pool);
    line->record.backend_name = copy_name(line->names[2], r->backend_name);
    line->record.zone = copy_name(line->names[3], r->zone);
    line->record.source_class = copy_name(line->names[4], r->source_class);
    queue_commit(q);
    wake_writer();
    return true;
}
