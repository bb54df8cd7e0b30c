/* SPDX-License-Identifier: Apache-2.0 */
/* Happy path: FILE, conf.d, conf.d/<any>.yaml. Failure path: what is not there is not listed. Called by
 * doctor.c and check_config.c. */
#include "tools/doctor/config_files.h"

#include "tools/posternctl/memory.h"

#include <glob.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void add(struct config_paths *p, const char *path)
{
    p->list = must(realloc(p->list, (p->n + 1) * sizeof(*p->list)));
    p->list[p->n++] = must(strdup(path));
}

void config_paths_find(const char *file, struct config_paths *ret)
{
    char *own = must(strdup(file)), *directory, *pattern;
    glob_t found = {0};
    struct stat st;

    *ret = (struct config_paths){0};
    add(ret, file);
    must(asprintf(&directory, "%s/conf.d", dirname(own)) < 0 ? NULL : directory);
    must(asprintf(&pattern, "%s/*.yaml", directory) < 0 ? NULL : pattern);
    if (stat(directory, &st) == 0) {
        add(ret, directory);
        if (glob(pattern, 0, NULL, &found) == 0)
            for (size_t i = 0; i < found.gl_pathc; i++)
                add(ret, found.gl_pathv[i]);
        globfree(&found);
    }
    free(pattern);
    free(directory);
    free(own);
}

void config_paths_done(struct config_paths *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->list[i]);
    free(p->list);
}

time_t config_paths_changed(const struct config_paths *p)
{
    time_t newest = 0;
    struct stat st;

    for (size_t i = 0; i < p->n; i++)
        if (stat(p->list[i], &st) == 0 && st.st_mtim.tv_sec > newest)
            newest = st.st_mtim.tv_sec;
    return newest;
}

bool config_same_file(const char *a, const char *b)
{
    struct stat one, other;

    if (stat(a, &one) || stat(b, &other))
        return strcmp(a, b) == 0;
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}
