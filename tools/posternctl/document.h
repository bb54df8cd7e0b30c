/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the status document: what is missing there is "" or zero. */
#ifndef POSTERNCTL_DOCUMENT_H
#define POSTERNCTL_DOCUMENT_H

#include <jansson.h>
#include <string.h>

static inline const char *text_of(const json_t *from, const char *key)
{
    const char *s = json_string_value(json_object_get(from, key));
    return s ? s : "";
}

static inline long long number_of(const json_t *from, const char *key)
{
    return json_integer_value(json_object_get(from, key));
}

static inline double real_of(const json_t *from, const char *key)
{
    return json_number_value(json_object_get(from, key));
}

/* The entry of this name. NULL: there is none. */
static inline json_t *named(json_t *list, const char *name, size_t n)
{
    json_t *one;
    size_t i;

    json_array_foreach (list, i, one)
        if (strlen(text_of(one, "name")) == n && memcmp(text_of(one, "name"), name, n) == 0)
            return one;
    return NULL;
}

/* "pool/backend", which stays the document's; NULL: there is none. *ret_pool may be NULL. */
static inline json_t *find_backend(json_t *status, const char *name, json_t **ret_pool)
{
    const char *slash = strchr(name, '/');
    json_t *pool = slash ? named(json_object_get(status, "pools"), name, (size_t)(slash - name)) : NULL;

    if (ret_pool)
        *ret_pool = pool;
    return pool ? named(json_object_get(pool, "backends"), slash + 1, strlen(slash + 1)) : NULL;
}

#endif
