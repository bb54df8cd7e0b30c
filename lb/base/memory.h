/* SPDX-License-Identifier: Apache-2.0 */
/* Address space taken at start: nothing is allocated later, and a page costs memory only once it is used. */
#ifndef POSTERN_BASE_MEMORY_H
#define POSTERN_BASE_MEMORY_H

#include <stddef.h>
#include <sys/mman.h>

/* Zeroed memory, or NULL. memory_release() gives it back. */
static inline void *memory_reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* NULL is accepted. */
static inline void memory_release(void *p, size_t bytes)
{
    if (p)
        munmap(p, bytes);
}

/* Gives the pages back, not the addresses: it is zeroed memory again. */
static inline void memory_discard(void *p, size_t bytes)
{
    (void)madvise(p, bytes, MADV_DONTNEED);
}

#endif
