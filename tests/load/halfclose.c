/* SPDX-License-Identifier: Apache-2.0 */
/* mailload halfclose: not written yet; says so and fails. */
#include "commands.h"

#include <stdio.h>

int halfclose_main(const struct options *o)
{
    fprintf(stderr, "mailload: halfclose is not there yet\n");
    return 1;
}
