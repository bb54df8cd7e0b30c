/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins: the directory on bpffs where maps and links outlive the daemon.
 *
 *   /sys/fs/bpf/postern/<cookie of the network namespace>/<layout>/<name>
 *
 * A layout names what is inside: a daemon that wants another one makes a directory beside. Thread: control.
 */
#ifndef POSTERN_CONTROL_PINS_H
#define POSTERN_CONTROL_PINS_H

#include <stdbool.h>

#define PINS_PATH_MAX 256
#define PINS_LINK "link-" /* what names of links begin with */

struct pins {
    char home[PINS_PATH_MAX / 2]; /* of this network namespace */
    char directory[PINS_PATH_MAX];
};

/* Works out the paths; touches nothing. 0 or -errno. */
int pins_init(struct pins *p, const char *layout);

/* Mounts bpffs if nobody has, and makes the directories (0700). 0 or -errno. */
int pins_make(const struct pins *p);

/* "<directory>/<name>", for libbpf. */
void pins_path(const struct pins *p, const char *name, char ret_path[PINS_PATH_MAX]);

/*
 * Calls `each` for every name in the directory (pins_each) or for every other layout in the home
 * (pins_each_other), until it returns other than 0. That, 0 (also when there is no directory), or -errno.
 */
int pins_each(const struct pins *p, int (*each)(const char *name, void *arg), void *arg);
int pins_each_other(const struct pins *p, int (*each)(const char *layout, void *arg), void *arg);

/* Removes one pin. */
void pins_remove_one(const struct pins *p, const char *name);

/* Removes every pin and the directory, and the home when it is empty then: what is pinned ends. 0 or -errno.
 */
int pins_remove(const struct pins *p);

#endif
