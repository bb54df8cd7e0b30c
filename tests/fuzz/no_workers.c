/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzz target without workers: nobody is asked about sessions, which would take the whole data path. */
#include "inquiries.h"

#include <stdlib.h>

void inquiries_ask(struct inquiries *i, struct session_question *q)
{
    abort();
}

void inquiries_forget(struct inquiries *i, const struct session_question *q)
{
    abort();
}
