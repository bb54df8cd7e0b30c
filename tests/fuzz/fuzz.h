/* SPDX-License-Identifier: Apache-2.0 */
/* What every fuzz target has: its one entry, and a way to say what must hold. */
#ifndef POSTERN_TESTS_FUZZ_H
#define POSTERN_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops with a message; unlike assert() it has no argument that could be left out. */
#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);                       \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
