/* SPDX-License-Identifier: Apache-2.0 */
/* mailload reset: not written yet; says so and fails. */
#include "commands.h"

#include <stdio.h>

int reset_main(const struct options *o)
{
    fprintf(stderr, "mailload: reset is not there yet\n");
    return 1;
}
