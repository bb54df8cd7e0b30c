/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: good, and what the running postern has loaded. Called by doctor.c. */
#include "tools/doctor/check_host.h"
#include "tools/doctor/doctor.h"

void check_config(struct doctor *d)
{
    if (d->config) {
        doctor_note(d, VERDICT_OK, "%s is good", d->options->file);
        return;
    }
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", d->options->file);
    finding_say(f, TRIED, "read it as postern does");
    finding_say(f, SEEN, "%s", d->config_errors);
    finding_say(f, WHY, "postern does not start with it, and a reload keeps the old one");
    finding_say(f, MEND, "postern --check -f %s", d->options->file);
}
