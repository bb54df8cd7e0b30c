/* SPDX-License-Identifier: Apache-2.0 */
/* What mailload counts and how it tells it: a histogram of times, errors by kind, one JSON object. See
 * stats.c. */
#ifndef MAILLOAD_STATS_H
#define MAILLOAD_STATS_H

#include <stdbool.h>
#include <stdint.h>

/* Microseconds in buckets of at most 1/64 of their value; the maximum is exact. */
#define HISTOGRAM_BUCKETS (64 * 27)
struct histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns);
double histogram_quantile_us(const struct histogram *h, double quantile);

/* Everything that can go wrong with one session: X(name, text). */
#define ERROR_KINDS                                                                                          \
    X(none, "nothing")                                                                                       \
    X(no_socket, "no socket, source address or port could be had")                                           \
    X(refused, "connection refused")                                                                         \
    X(connect_failed, "the connection did not come up")                                                      \
    X(reset, "reset by the other side")                                                                      \
    X(broken, "the socket failed in some other way")                                                         \
    X(early_end, "the other side ended before it should")                                                    \
    X(bad_banner, "the banner was none of mailload serve")                                                   \
    X(wrong_address, "the server saw another client address")                                                \
    X(wrong_via, "the server's socket had another peer than expected")                                       \
    X(bad_reply, "another reply than expected")                                                              \
    X(refused_421, "the gateway or server answered 421")                                                     \
    X(wrong_data, "bytes were lost, added or changed")                                                       \
    X(no_reset, "it ended by FIN or not at all where a reset was due")                                       \
    X(unfinished, "still open when the time was over")

enum error_kind {
#define X(name, text) ERROR_##name,
    ERROR_KINDS
#undef X
        ERROR_KINDS_MAX
};

struct errors {
    uint64_t total;
    uint64_t by_kind[ERROR_KINDS_MAX];
};

/* Counts it, and tells the first few of each kind on standard error; `detail` may be NULL. */
void error_count(struct errors *e, enum error_kind kind, const char *detail);

/* One flat JSON object on standard output: json_open, members, json_close. */
void json_open(void);
void json_text(const char *key, const char *value);
void json_count(const char *key, uint64_t value);
void json_real(const char *key, double value);
void json_errors(const struct errors *e); /* "failed": total, "errors": {kind: count} */
void json_times(
    const char *prefix, const struct histogram *h); /* prefix_p50_us, _p99_us, _max_us, _mean_us */
void json_close(void);

#endif
