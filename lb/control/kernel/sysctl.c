/* SPDX-License-Identifier: Apache-2.0 */
/* Happy path: a file below /proc/sys holds a number. Failure path: it does not, and the caller has said what
 * that means. Called by preflight.c and posternctl doctor. */
#include "control/kernel/sysctl.h"

#include <stdio.h>

long sysctl_number(const char *path, long otherwise)
{
    char whole[160];
    long value;

    snprintf(whole, sizeof(whole), "/proc/sys/%s", path);
    FILE *f = fopen(whole, "re");
    if (!f)
        return otherwise;
    if (fscanf(f, "%ld", &value) != 1)
        value = otherwise;
    fclose(f);
    return value;
}

long sysctl_of_interface(const char *interface, const char *name, bool *ret_all)
{
    char path[128];

    snprintf(path, sizeof(path), "net/ipv4/conf/%s/%s", interface, name);
    long own = sysctl_number(path, 0);
    snprintf(path, sizeof(path), "net/ipv4/conf/all/%s", name);
    long all = sysctl_number(path, 0);
    *ret_all = all >= own;
    return *ret_all ? all : own;
}
