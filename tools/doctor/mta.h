/* SPDX-License-Identifier: Apache-2.0 */
/* What mail servers call themselves in their greetings, and the lines of their configuration that mend
 * things. Pure. */
#ifndef DOCTOR_MTA_H
#define DOCTOR_MTA_H

#include "snapshot_pool.h"

struct mta {
    const char *name;     /* as in its greeting, and for people */
    const char *proxy[3]; /* by enum pool_proxy: how it is made to expect that; NULL: it cannot */
    const char *closed; /* how it is made to believe headers of the gateways alone; NULL: it cannot itself */
    const char *networks; /* where its trusted networks stand */
};

/* Who greets like this; never NULL: an unknown one has general words. */
const struct mta *mta_of(const char *greeting);

#endif
