/* SPDX-License-Identifier: Apache-2.0 */
/* What has become of the configuration's last reading, or of the last upgrade. Thread: control. */
#ifndef POSTERN_CONTROL_RELOAD_RESULT_H
#define POSTERN_CONTROL_RELOAD_RESULT_H

#include <stdbool.h>
#include <time.h>

struct reload_result {
    time_t loaded_at; /* the configuration in force */
    time_t at;        /* the last attempt; 0: there was none since the start */
    bool ok;          /* it was applied; else: */
    char error[512];  /* why not */
};

#endif
