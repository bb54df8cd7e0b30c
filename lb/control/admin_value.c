/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: one value, one line or one JSON object. Failure path: no memory for the object; the reply is
 * cut then, and its client left. Called by admin_show.c and admin_stat.c, control thread only.
 */
#include "control/admin_value.h"

#include "control/admin_commands.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 512

/* What the letters of a tag stand for. */
static const char *word(char letter, const char *letters, const char *const *words)
{
    const char *at = strchr(letters, letter);
    return at ? words[at - letters] : "";
}

static const char *origin(char letter)
{
    static const char *const words[] = {"Metric", "Status", "Key", "Config", "Product"};
    return word(letter, "MSKCP", words);
}

static const char *nature(char letter)
{
    static const char *const words[] = {"Gauge", "Limit", "Min", "Max", "Rate", "Counter", "Duration", "Age",
        "Time", "Name", "Output", "Avg"};
    return word(letter, "GLmMRCDATNOa", words);
}

static const char *scope(char letter)
{
    static const char *const words[] = {"Cluster", "Process", "Service", "System"};
    return word(letter, "CPSs", words);
}

void admin_value_typed(struct admin_reply *r, const struct admin_owner *owner, const struct admin_value *v)
{
    if (owner)
        admin_reply_print(r, "%c.%llu.%llu.", owner->letter, (unsigned long long)owner->proxy,
            (unsigned long long)owner->id);
    admin_reply_print(r, "%u.%s.1:%s:%s:", v->position, v->name, v->tags, v->text ? "str" : v->type);
    if (v->text)
        admin_reply_field(r, v->text);
    else
        admin_reply_print(r, "%llu", (unsigned long long)v->number);
    admin_reply_text(r, "\n");
}

/* Texts are what servers have said, too: only ASCII goes on. */
static json_t *text_value(const char *text)
{
    char plain[TEXT_MAX];
    size_t n = 0;

    for (; text[n] && n < sizeof(plain) - 1; n++)
        plain[n] = (char)(text[n] >= ' ' && text[n] <= '~' ? text[n] : ' ');
    return json_stringn(plain, n);
}

void admin_value_json(
    struct admin_reply *r, const struct admin_owner *owner, const struct admin_value *v, bool first)
{
    json_t *o = owner ? json_pack("{s:s, s:I, s:I}", "objType", owner->kind, "proxyId",
                            (json_int_t)owner->proxy, "id", (json_int_t)owner->id)
                      : json_object();
    json_t *rest = json_pack("{s:{s:i, s:s}, s:i, s:{s:s, s:s, s:s}, s:{s:s, s:o}}", "field", "pos",
        (int)v->position, "name", v->name, "processNum", 1, "tags", "origin", origin(v->tags[0]), "nature",
        nature(v->tags[1]), "scope", scope(v->tags[2]), "value", "type", v->text ? "str" : v->type, "value",
        v->text ? text_value(v->text) : json_integer((json_int_t)v->number));
    char *text = o && rest && json_object_update(o, rest) == 0 ? json_dumps(o, JSON_COMPACT) : NULL;

    if (text && !first)
        admin_reply_text(r, ",");
    if (text)
        admin_reply_text(r, text);
    r->cut |= !text;
    free(text);
    json_decref(rest);
    json_decref(o);
}

enum admin_form admin_form(const struct admin_call *c, unsigned from)
{
    enum admin_form form = ADMIN_PLAIN;

    for (unsigned i = from; i < c->n_words; i++) {
        if (strcmp(c->words[i], "typed") == 0)
            form = ADMIN_TYPED;
        if (strcmp(c->words[i], "json") == 0)
            form = ADMIN_JSON;
    }
    return form;
}
