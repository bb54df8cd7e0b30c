/* SPDX-License-Identifier: Apache-2.0 */
/* The dissolve program loaded in a test, with its tables at hand, as the daemon would use them. One worker,
 * 0. */
#ifndef POSTERN_TESTS_DISSOLVER_H
#define POSTERN_TESTS_DISSOLVER_H

#include "lab.h"

#include "bpf/dissolve_order.h"
#include "bpf/dissolve_reasons.h"
#include "bpf/dissolve_record.h"

#define DISSOLVER_NOTICES 256

struct dissolve_bpf;
struct ring_buffer;

struct dissolver {
    struct dissolve_bpf *bpf;
    struct dissolve_entry *entries; /* mapped */
    struct dissolve_control *control;
    struct ring_buffer *rings;
    size_t entries_size;
    unsigned n_notices, n_records; /* so far; the latest of them: */
    struct dissolve_notice notices[DISSOLVER_NOTICES];
    struct dissolve_record records[DISSOLVER_NOTICES];
    int links[4];
    unsigned n_links;
};

void dissolver_up(struct dissolver *d, uint32_t sessions);
void dissolver_down(struct dissolver *d);

/* Runs the program on an interface of the namespace this thread is in. */
void dissolver_attach(struct dissolver *d, const char *device);

int dissolver_program(const struct dissolver *d);
/* The map dissolve_alive. */
int dissolver_alive(const struct dissolver *d);

/* An entry with these four ends, each "address:port", in state FREE; all else 0. */
struct dissolve_entry *dissolver_entry(struct dissolver *d, uint32_t index, const union addr *client,
    const union addr *vip, const union addr *source, const union addr *backend);

/* Inserts, or deletes, both tuples of an entry in one system call. */
void dissolver_insert(struct dissolver *d, uint32_t index);
void dissolver_delete(struct dissolver *d, uint32_t index);

uint64_t dissolver_count(const struct dissolver *d, enum dissolve_reason which);
const char *dissolver_reason(uint32_t which);

/* Bytes of kernel memory that entries and tuples take, used or not. */
uint64_t dissolver_memory(const struct dissolver *d);

/* Takes what is in the rings. */
void dissolver_read(struct dissolver *d);
/* To wait on for notices. */
int dissolver_poll_fd(const struct dissolver *d);

#endif
