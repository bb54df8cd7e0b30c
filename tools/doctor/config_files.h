/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a configuration is read from. */
#ifndef DOCTOR_CONFIG_FILES_H
#define DOCTOR_CONFIG_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* FILE first; then, where it is there, conf.d beside it and its files. */
struct config_paths {
    char **list;
    size_t n;
};

void config_paths_find(const char *file, struct config_paths *ret);
void config_paths_done(struct config_paths *p);

/* When one of them was last changed; 0: not known. */
time_t config_paths_changed(const struct config_paths *p);

/* Whether two paths are one file; when one of them is not there, whether they are written alike. */
bool config_same_file(const char *a, const char *b);

#endif
