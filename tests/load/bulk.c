/* SPDX-License-Identifier: Apache-2.0 */
/* mailload bulk: not written yet; says so and fails. */
#include "commands.h"

#include <stdio.h>

int bulk_main(const struct options *o)
{
    fprintf(stderr, "mailload: bulk is not there yet\n");
    return 1;
}
