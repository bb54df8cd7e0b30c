/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics: times go to a log-linear histogram of fixed size, errors to a table, all of it to one line of
 * JSON. Happy path: add while running, write once at the end. Nothing here fails.
 */
#include "stats.h"

#include <inttypes.h>
#include <stdio.h>

#define TOLD_PER_KIND 5

static const struct {
    const char *name;
    const char *text;
} error_kinds[] = {
#define X(name, text) {#name, text},
    ERROR_KINDS
#undef X
};

/* The unit of a bucket is 1/16 us, so that fast round trips keep their digits. */
static uint32_t bucket_of(uint64_t ns)
{
    uint64_t value = ns * 16 / 1000;
    uint32_t shift = 0;

    while (value >> shift >= 128)
        shift++;
    value = (value >> shift) + 64ull * shift;
    return value < HISTOGRAM_BUCKETS ? (uint32_t)value : HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static double bucket_us(uint32_t bucket)
{
    uint32_t shift = bucket < 128 ? 0 : bucket / 64 - 1;
    double low = (double)((uint64_t)(bucket - 64 * shift) << shift);

    return (low + (double)(1ull << shift) / 2) / 16;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    h->count++;
    h->sum_ns += ns;
    if (ns > h->max_ns)
        h->max_ns = ns;
    h->buckets[bucket_of(ns)]++;
}

double histogram_quantile_us(const struct histogram *h, double quantile)
{
    uint64_t rank = (uint64_t)(quantile * (double)h->count);
    uint64_t seen = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > rank)
            return bucket_us(i);
    }
    return (double)h->max_ns / 1000;
}

void error_count(struct errors *e, enum error_kind kind, const char *detail)
{
    e->total++;
    if (e->by_kind[kind]++ < TOLD_PER_KIND)
        fprintf(
            stderr, "mailload: %s%s%s\n", error_kinds[kind].text, detail ? ": " : "", detail ? detail : "");
}

static const char *separator = "";

static void json_key(const char *key)
{
    printf("%s\"%s\": ", separator, key);
    separator = ", ";
}

void json_open(void)
{
    printf("{");
    separator = "";
}

void json_text(const char *key, const char *value)
{
    json_key(key);
    putchar('"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            putchar('\\');
        putchar((unsigned char)*value < ' ' ? '?' : *value);
    }
    putchar('"');
}

void json_count(const char *key, uint64_t value)
{
    json_key(key);
    printf("%" PRIu64, value);
}

void json_real(const char *key, double value)
{
    json_key(key);
    printf("%.3f", value);
}

void json_errors(const struct errors *e)
{
    json_count("failed", e->total);
    json_key("errors");
    printf("{");
    separator = "";
    for (int i = 1; i < ERROR_KINDS_MAX; i++)
        if (e->by_kind[i] > 0)
            json_count(error_kinds[i].name, e->by_kind[i]);
    printf("}");
    separator = ", ";
}

void json_times(const char *prefix, const struct histogram *h)
{
    char key[64];

    snprintf(key, sizeof(key), "%sp50_us", prefix);
    json_real(key, histogram_quantile_us(h, 0.50));
    snprintf(key, sizeof(key), "%sp99_us", prefix);
    json_real(key, histogram_quantile_us(h, 0.99));
    snprintf(key, sizeof(key), "%smax_us", prefix);
    json_real(key, (double)h->max_ns / 1000);
    snprintf(key, sizeof(key), "%smean_us", prefix);
    json_real(key, h->count ? (double)h->sum_ns / (double)h->count / 1000 : 0);
}

void json_close(void)
{
    printf("}\n");
    fflush(stdout);
}
