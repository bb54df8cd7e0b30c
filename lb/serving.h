/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is served now, and how that changes while sessions go on: the configuration, the roster made of it,
 * the snapshot that the workers have, the kernel's side. Thread: control.
 */
#ifndef POSTERN_SERVING_H
#define POSTERN_SERVING_H

#include "control/kernel/kernel.h"
#include "control/process/reload_result.h"
#include "control/roster/roster.h"
#include "loads.h"
#include "publication.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct serving {
    const char *file;      /* the configuration's; not owned */
    struct config *config; /* owned */
    struct roster *roster;
    struct publication publication;
    struct kernel kernel;
    const struct load *loads; /* not owned */
    struct sources *sources;
    sd_event *loop; /* not owned; NULL until serving_watch() */
    /* Before a reload is applied: NULL, or why it must not be. NULL itself: nobody minds. */
    const char *(*prepare)(void *arg, const struct config *after);
    void *prepare_arg;
    bool reloading;   /* a reload has been applied; its line is written once it is in force everywhere */
    unsigned changes; /* of that reload */
    struct reload_result last_reload;
    char *reload_words; /* what was wrong with the configuration then, as --check says it; owned, or NULL */
    const char *needs_process; /* why another process must serve what was read last; NULL: none must */
    bool sources_changed;      /* their files have; a line is written as for a reload */
    bool vips_changed;         /* catching must follow */
    uint64_t settle_version;   /* it does when all workers know this snapshot; 0: they do */
    uint64_t weigh_ms;         /* when weights change by themselves; UINT64_MAX: they do not */
    char error_text[512];      /* what serving_replace() returns may lie here */
    uint64_t leave_ms;         /* when to look at what is leaving; UINT64_MAX: nothing is */
};

/* Makes the first snapshot of a configuration, which it takes over. 0 or -errno; serving_close() in any case.
 */
int serving_open(struct serving *v, const char *file, struct config *config);
/* The first snapshot again, of a roster that has been changed since; before anybody has it. 0 or -errno. */
int serving_begin_anew(struct serving *v);
void serving_close(struct serving *v); /* the workers and the kernel's side are gone */

/* Hands the roster as it is now to the workers. 0 or -errno, after logging it. */
int serving_publish(struct serving *v);

/*
 * Another roster, if `error` says that there is one, takes the place of ours, the kernel's side and the
 * workers follow it. It is taken in any case. NULL, or why nothing has changed.
 */
const char *serving_replace(struct serving *v, int error, struct roster *next);

/* A pool's backends that were found are these from now on. NULL, or why nothing has changed. */
const char *serving_take_found(
    struct serving *v, const char *pool, const struct backend_spec *specs, uint32_t n);

/*
 * Reads the file again and applies it whole, or not at all; logs what has changed, or why not. True: applied.
 * False with needs_process: an upgrade would apply it; then serving_refuse_reload(), if there is none.
 */
bool serving_reload(struct serving *v);

/* Logs and notes that, and why, the configuration in force is still that of before. */
void serving_refuse_reload(struct serving *v, const char *why);

/* From now on files of sources are heard of. 0 or -errno. */
int serving_watch(struct serving *v, sd_event *loop);

/* Does what is due; to be called after every wake-up, and at serving_next_ms(). */
void serving_tend(struct serving *v, uint64_t now_ms);
uint64_t serving_next_ms(const struct serving *v, uint64_t now_ms);

/* Every worker has the newest snapshot. */
static inline bool serving_is_settled(const struct serving *v)
{
    return v->settle_version == 0;
}

/* The snapshot in force: the control thread is the only one to replace it. */
static inline const struct snapshot *serving_snapshot(const struct serving *v)
{
    return v->publication.newest;
}

#endif
