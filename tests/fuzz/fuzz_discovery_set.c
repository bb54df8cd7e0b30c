/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the data of SRV records: what is read has a name that can be asked for, and stays in bounds. */
#include "control/discovery/discovery_set.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct config config;
    static struct discovery_set set;
    struct discovery_service s;
    memset(&s, 'x', sizeof(s));
    int error = discovery_service_parse(data, size, &s);
    MUST(error == 0 || error == -EINVAL);
    if (error)
        return 0;
    MUST(strlen(s.target) <= CONFIG_HOST_MAX && strlen(s.target) < size);
    for (const char *c = s.target; *c; c++)
        MUST(*c > ' ' && *c <= '~' && *c != '"' && *c != '\\');
    memset(&set, 0, sizeof(set));
    discovery_set_add(&set, &config, 0, data, size, &s);
    discovery_set_add(&set, &config, 0, data, size < 4 ? size : 4, &s);
    discovery_set_add(&set, &config, 0, data, size < 16 ? size : 16, &s);
    discovery_set_scale(&set);
    for (uint32_t i = 0; i < set.n; i++)
        MUST(set.specs[i].weight >= 1 && set.specs[i].weight <= 256 && set.specs[i].name[0]);
    return 0;
}
