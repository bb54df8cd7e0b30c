/* SPDX-License-Identifier: Apache-2.0 */
/* A tool that has no memory left says so and ends. */
#ifndef POSTERNCTL_MEMORY_H
#define POSTERNCTL_MEMORY_H

#include <stdio.h>
#include <stdlib.h>

static inline void *must(void *p)
{
    if (p)
        return p;
    fprintf(stderr, "posternctl: no memory\n");
    exit(EXIT_FAILURE);
}

#endif
