/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One YAML file as a tree. libfyaml splits the text into events; the tree is built here, because every node
 * must know its place and depth must have a limit.
 *
 * Happy path: read, check that it is plain text in the part of YAML that a configuration needs, then event by
 * event to the tree.
 *
 * Failure paths: a file that cannot be read, is too large or is no text; YAML that is not wanted (aliases,
 * tags, ...), of which every line is reported; a syntax error, where libfyaml stops. All of them end this
 * file.
 *
 * Called by config_parse.c on the control thread.
 */
#include "control/config/config_yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct builder {
    struct config_report *report;
    struct config_arena *arena;
    uint32_t file;
    uint32_t last; /* where the last thing seen ended: the place of what has none */
    struct config_node *root;
    unsigned depth;
    struct {
        struct config_node *node;
        struct config_node **tail;
        struct config_node *key; /* of a map: seen, and waiting for its value */
    } open[CONFIG_DEPTH_MAX];
};

/* Reads the file whole; the text gets a final NUL. */
static int read_text(struct config_report *r, uint32_t file)
{
    struct config_file *f = &r->files[file];
    size_t len = 0;
    ssize_t n;
    char *text = malloc(CONFIG_FILE_BYTES_MAX + 2);
    int fd = text ? open(f->name, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
    if (!text)
        return -ENOMEM;
    if (fd < 0) {
        config_report_error(r, CONFIG_WHOLE_FILE(file), "cannot be opened: %m");
        goto fail;
    }
    while (len <= CONFIG_FILE_BYTES_MAX && (n = read(fd, text + len, CONFIG_FILE_BYTES_MAX + 1 - len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            config_report_error(r, CONFIG_WHOLE_FILE(file), "cannot be read: %m");
            goto fail;
        }
        len += (size_t)n;
    }
    if (len > CONFIG_FILE_BYTES_MAX) {
        config_report_error(
            r, CONFIG_WHOLE_FILE(file), "is larger than 1 MiB; split it into files in conf.d");
        goto fail;
    }
    close(fd);
    text[len] = '\0';
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark says nothing in UTF-8 */
        len -= 3;
        memmove(text, text + 3, len + 1);
    }
    f->text = text; /* what the file did not fill was never touched and takes no memory */
    f->len = (uint32_t)len;
    return 0;
fail:
    if (fd >= 0)
        close(fd);
    free(text);
    return -EINVAL;
}

/* Length of the valid UTF-8 sequence at s (the text ends with NUL), 0 when it is none; *ret_code is its
 * character. */
static uint32_t utf8_bytes(const char *s, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *b = (const uint8_t *)s;
    uint32_t len = b[0] < 0x80 ? 1 : (b[0] & 0xe0) == 0xc0 ? 2 : (b[0] & 0xf0) == 0xe0 ? 3 : 4;
    uint32_t code = len == 1 ? b[0] : b[0] & (0x7fu >> len);
    if ((b[0] & 0xc0) == 0x80 || b[0] > 0xf4)
        return 0;
    for (uint32_t i = 1; i < len; i++) {
        if ((b[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (b[i] & 0x3f);
    }
    if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return len;
}

static bool is_control(uint32_t code)
{
    return (code < 0x20 && code != '\t' && code != '\n') || (code >= 0x7f && code <= 0x9f);
}

/*
 * libfyaml takes some bytes that are no text as the end of the text, without a word. So they are searched for
 * first; the first one ends the search, since a file that is no text would be nothing but such errors.
 */
static int check_characters(struct config_report *r, uint32_t file)
{
    const struct config_file *f = &r->files[file];
    for (uint32_t i = 0, len, code = 0; i < f->len; i += len) {
        struct config_place place = {.file = file, .start = i, .end = i + 1};
        len = utf8_bytes(f->text + i, &code);
        if (len == 0) {
            config_report_error(r, place, "a byte that is no UTF-8 text (0x%02x)", (uint8_t)f->text[i]);
            return -EINVAL;
        }
        if (is_control(code) && !(code == '\r' && f->text[i + 1] == '\n')) {
            config_report_error(r, place, "a control character (U+%04X) cannot stand in this file", code);
            return -EINVAL;
        }
    }
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The end of the quoted text that begins at *at; what is wrong with it, or NULL. */
static const char *skip_quoted(const struct config_file *f, uint32_t *at, uint32_t end)
{
    char quote = f->text[*at];
    for (uint32_t i = *at + 1; i < end; i++) {
        if (f->text[i] == '\\' && quote == '"')
            i++;
        else if (f->text[i] == quote && quote == '\'' && f->text[i + 1] == quote)
            return "a quote in quotes ('') is not supported; no value needs one";
        else if (f->text[i] == quote) {
            *at = i;
            return NULL;
        }
    }
    return "a quote that is not closed in its line";
}

#define TOO_DEEP "lists and maps stand more than 16 deep in one another"
_Static_assert(CONFIG_DEPTH_MAX == 16, "TOO_DEEP says so");

/* Why a word of a configuration cannot begin with this character; NULL when it can. */
static const char *unwanted_because(char c)
{
    switch (c) {
    case '?':
        return "a key marked with '?' is not supported; write \"key: value\"";
    case '*':
        return "aliases (*name) are not supported; write the value out";
    case '&':
        return "anchors (&name) are not supported";
    case '!':
        return "tags (!name) are not supported; write the value alone";
    case '|':
    case '>':
        return "text over several lines is not supported; write the value beside its key";
    default:
        return NULL;
    }
}

/*
 * What a configuration needs no part of: aliases and anchors (with which a small file becomes a huge one),
 * tags, complex keys, text over several lines, deep nesting. They are refused here and not when libfyaml has
 * parsed them, because its version 0.7 has memory errors there, found by fuzzing. Whatever could begin a word
 * counts, also where libfyaml would not take it as one. `depth` counts brackets and braces over the lines of
 * a file.
 */
static const char *unwanted(const struct config_file *f, uint32_t *at, uint32_t end, unsigned *depth)
{
    bool word_may_begin = true;
    for (uint32_t i = *at; i < end; i++) {
        char c = f->text[i];
        const char *why = NULL;
        if (c == '#' && (i == *at || is_blank(f->text[i - 1])))
            break;
        if (word_may_begin && (c == '"' || c == '\''))
            why = skip_quoted(f, &i, end);
        else if (word_may_begin && (c == '[' || c == '{'))
            why = ++*depth > CONFIG_DEPTH_MAX ? TOO_DEEP : NULL;
        else if (c == ']' || c == '}')
            *depth -= *depth > 0;
        else if (word_may_begin)
            why = unwanted_because(c);
        if (why) {
            *at = i;
            return why;
        }
        word_may_begin = is_blank(c) || strchr("[]{},:\"'", c);
    }
    return NULL;
}

/* The first thing in a line that cannot stand in a configuration and its place; NULL when there is none. */
static const char *check_line(const struct config_file *f, uint32_t *at, uint32_t end, unsigned *depth)
{
    const char *line = f->text + *at;
    size_t indent = strspn(line, " \t\r");
    const char *tab = memchr(line, '\t', indent);
    if (tab && *at + indent < end && line[indent] != '#') {
        *at = (uint32_t)(tab - f->text);
        return "a tab cannot indent a line in YAML; use spaces";
    }
    return unwanted(f, at, end, depth);
}

static int check_text(struct config_report *r, uint32_t file)
{
    const struct config_file *f = &r->files[file];
    uint32_t errors_before = r->n_errors;
    unsigned depth = 0;
    int rc = check_characters(r, file);
    for (uint32_t at = 0, end; rc == 0 && at < f->len && depth <= CONFIG_DEPTH_MAX; at = end + 1) {
        const char *newline = memchr(f->text + at, '\n', f->len - at);
        end = newline ? (uint32_t)(newline - f->text) : f->len;
        struct config_place place = {.file = file, .start = at};
        const char *why = check_line(f, &place.start, end, &depth);
        if (!why)
            continue;
        place.end = place.start;
        config_report_error(r, place, "%s", why);
    }
    return rc < 0 || r->n_errors > errors_before ? -EINVAL : 0;
}

/* Sets the place of an event, and remembers its end. */
static struct config_place event_place(struct builder *b, struct fy_event *e)
{
    const struct fy_mark *start = fy_event_start_mark(e), *end = fy_event_end_mark(e);
    struct config_place p = {.file = b->file, .start = b->last, .end = b->last};
    uint32_t len = b->report->files[b->file].len;
    if (start) {
        p.start = (uint32_t)start->input_pos;
        p.end = end ? (uint32_t)end->input_pos : p.start;
    }
    /* Never trust a position further than the text goes. */
    p.start = p.start < len ? p.start : len;
    p.end = p.end < len ? p.end : len;
    p.end = p.end > p.start ? p.end : p.start;
    b->last = p.end;
    return p;
}

/* The place of an entry of a list that was left out: the '-' or ',' after which it is missing. */
static void find_left_out(const struct builder *b, struct config_node *n)
{
    const struct config_file *f = &b->report->files[b->file];
    uint32_t at = n->place.start;
    while (at < f->len && strchr(" \t\r\n#", f->text[at]))
        at += f->text[at] == '#' ? (uint32_t)strcspn(f->text + at, "\n") : 1;
    if (at < f->len && (f->text[at] == '-' || f->text[at] == ','))
        n->place.start = n->place.end = at;
}

/* Puts a node where it belongs: the root, a key, the value of a key, an entry of a list. */
static void attach(struct builder *b, struct config_node *n)
{
    if (b->depth == 0) {
        b->root = n;
        return;
    }
    unsigned top = b->depth - 1;
    struct config_node *parent = b->open[top].node;
    if (parent->kind == CONFIG_NODE_MAP && !b->open[top].key) {
        b->open[top].key = n;
        /* Of a map with one pair and no braces libfyaml knows only the place of the colon. */
        if (n->place.start < parent->place.start)
            parent->place = n->place;
        return;
    }
    if (parent->kind == CONFIG_NODE_LIST && n->empty)
        find_left_out(b, n);
    n->key = b->open[top].key;
    b->open[top].key = NULL;
    *b->open[top].tail = n;
    b->open[top].tail = &n->next;
    parent->n_children++;
}

static int add_value(struct builder *b, struct fy_event *e, struct config_node *n)
{
    size_t len = 0;
    const char *text = e->scalar.value ? fy_token_get_text(e->scalar.value, &len) : NULL;
    if (!text) { /* an empty text has none */
        text = "";
        len = 0;
    }
    n->empty = len == 0 && (!e->scalar.value || fy_token_scalar_style(e->scalar.value) == FYSS_PLAIN);
    n->text = config_arena_text(b->arena, text, len);
    if (!n->text)
        return -ENOMEM;
    if (memchr(text, '\0', len)) {
        config_report_error(b->report, n->place, "a NUL character (\"\\0\") cannot stand in a value");
        n->kind = CONFIG_NODE_BAD;
    }
    return 0;
}

/* One event that begins a node. -EINVAL: too deep. */
static int add_node(struct builder *b, struct fy_event *e)
{
    struct config_node *n = config_arena_take(b->arena, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->place = event_place(b, e);
    n->kind = e->type == FYET_SEQUENCE_START  ? CONFIG_NODE_LIST
              : e->type == FYET_MAPPING_START ? CONFIG_NODE_MAP
                                              : CONFIG_NODE_VALUE;
    if (e->type == FYET_SCALAR && add_value(b, e, n) < 0)
        return -ENOMEM;
    if (e->type == FYET_ALIAS) /* check_text() lets none pass */
        n->kind = CONFIG_NODE_BAD;
    attach(b, n);
    if (e->type != FYET_SEQUENCE_START && e->type != FYET_MAPPING_START)
        return 0;
    if (b->depth == CONFIG_DEPTH_MAX) {
        config_report_error(b->report, n->place, TOO_DEEP);
        return -EINVAL;
    }
    b->open[b->depth].node = n;
    b->open[b->depth].tail = &n->first;
    b->open[b->depth].key = NULL;
    b->depth++;
    return 0;
}

static int on_event(struct builder *b, struct fy_event *e, unsigned *documents)
{
    switch (e->type) {
    case FYET_DOCUMENT_START:
        if (++*documents == 1)
            return 0;
        config_report_error(b->report, event_place(b, e), "a second document begins here; a file holds one");
        return -EINVAL;
    case FYET_SCALAR:
    case FYET_ALIAS:
    case FYET_SEQUENCE_START:
    case FYET_MAPPING_START:
        return add_node(b, e);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        event_place(b, e);
        b->depth--;
        return 0;
    default:
        return 0;
    }
}

/* The usual slip: an IPv6 address in brackets is a list to YAML. True when the line has "]:" and a digit
 * outside quotes. */
static bool has_bare_brackets(const struct config_file *f, uint32_t at)
{
    uint32_t start = at < f->len ? at : f->len;
    while (start > 0 && f->text[start - 1] != '\n')
        start--;
    for (const char *s = f->text + start; *s && *s != '\n'; s++)
        if (s[0] == ']' && s[1] == ':' && s[2] >= '0' && s[2] <= '9')
            return true;
    return false;
}

/* Passes on what libfyaml has to say of a text that it could not parse. */
static void report_syntax(struct builder *b, struct fy_diag *diag)
{
    struct config_place place = {.file = b->file, .start = b->last, .end = b->last};
    const struct fy_diag_error *e;
    uint32_t before = b->report->n_errors;
    void *cursor = NULL;
    while ((e = fy_diag_errors_iterate(diag, &cursor))) {
        if (e->type != FYET_ERROR)
            continue;
        if (e->line > 0 && e->column > 0)
            place = config_place_at(b->report, b->file, e->line, e->column);
        config_report_error(b->report, place, "not YAML: %s%s", e->msg ? e->msg : "syntax error",
            has_bare_brackets(&b->report->files[b->file], place.start) ? CONFIG_QUOTE_IPV6 : "");
    }
    if (b->report->n_errors == before)
        config_report_error(b->report, place, "not YAML: syntax error near here");
}

static int build(struct builder *b, const char *text, size_t len)
{
    struct fy_diag_cfg diag_cfg;
    struct fy_event *e;
    unsigned documents = 0;
    int r = -ENOMEM;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.colorize = false;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (!diag)
        return -ENOMEM;
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
        .diag = diag,
    };
    struct fy_parser *parser = fy_parser_create(&cfg);
    if (parser && fy_parser_set_string(parser, text, len) == 0) {
        for (r = 0; r == 0 && (e = fy_parser_parse(parser)); fy_parser_event_free(parser, e))
            r = on_event(b, e, &documents);
        if (r == 0 && fy_parser_get_stream_error(parser)) {
            report_syntax(b, diag);
            r = -EINVAL;
        }
    }
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    return r;
}

int config_yaml_read(
    struct config_report *r, uint32_t file, struct config_arena *arena, struct config_node **ret)
{
    struct builder b = {.report = r, .arena = arena, .file = file};
    int rc = read_text(r, file);
    if (rc == 0)
        rc = check_text(r, file);
    if (rc < 0)
        return rc;
    const struct config_file *f = &r->files[file];
    rc = build(&b, f->text, f->len);
    if (rc < 0)
        return rc;
    *ret = b.root && b.root->empty ? NULL : b.root;
    return 0;
}

const struct config_node *config_node_get(const struct config_node *map, const char *key)
{
    if (!map || map->kind != CONFIG_NODE_MAP)
        return NULL;
    for (const struct config_node *n = map->first; n; n = n->next)
        if (n->key && n->key->text && strcmp(n->key->text, key) == 0)
            return n;
    return NULL;
}
