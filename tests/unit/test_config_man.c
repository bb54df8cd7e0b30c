/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manual page says what the schema says: every key in its section with type, range and default, no key
 * that does not exist, and examples that load. The page is the first argument; without one, the working
 * directory is the root of the tree.
 */
#include "config_files.h"
#include "control/config/config_values.h"

#include <ctype.h>

static char *page;

/* The text of a section, "" when the page has none; in a buffer that the next call reuses. */
static const char *section_text(const char *name)
{
    static char text[64 * 1024];
    char heading[64];
    int n = snprintf(heading, sizeof(heading), "\n# %s\n", name);
    for (char *c = heading; *c; c++)
        *c = (char)toupper(*c);
    const char *start = strstr(page, heading);
    const char *end = start ? strstr(start + n, "\n# ") : NULL;
    snprintf(text, sizeof(text), "%.*s", start ? (int)(end ? end - start : (long)strlen(start)) : 0,
        start ? start : "");
    return text;
}

/* "client or gateway" */
static void put_words(FILE *out, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        fprintf(out, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
}

/* "limit, up to 50" */
static void put_type(FILE *out, const struct config_key *key)
{
    static const char *const plain[] = {
        [CONFIG_NAME] = "name",
        [CONFIG_MAILBOX] = "mail address",
        [CONFIG_HOST] = "DNS name",
        [CONFIG_PATH] = "absolute path",
        [CONFIG_LOOPBACK] = "loopback address",
        [CONFIG_RESOLVER] = "address",
        [CONFIG_VIPS] = "address or list of addresses",
        [CONFIG_BACKEND] = "address or list of addresses",
        [CONFIG_PREFIXES] = "prefix or list of prefixes",
        [CONFIG_PATHS] = "absolute path or list of them",
        [CONFIG_NAMES] = "name or list of names",
        [CONFIG_NAMED] = "map of names",
        [CONFIG_MAP] = "map",
        [CONFIG_LIST] = "list",
    };
    char min[16], max[16];

    if (key->type == CONFIG_PATTERN || key->type == CONFIG_TEXT)
        fprintf(out, "%s, %u to %u characters", key->type == CONFIG_TEXT ? "text" : "pattern", key->min,
            key->max);
    else if (key->type == CONFIG_NUMBER)
        fprintf(out, "number, %u to %u", key->min, key->max);
    else if (key->type == CONFIG_LIMIT)
        fprintf(out, "limit, up to %u", key->max);
    else if (key->type == CONFIG_RATE)
        fprintf(out, "rate, up to %u/min", key->max);
    else if (key->type == CONFIG_DURATION)
        fprintf(out, "duration, %s to %s", config_duration_format(key->min, min),
            config_duration_format(key->max, max));
    else if (key->type == CONFIG_WORD)
        put_words(out, key->words);
    else
        fputs(plain[key->type], out);
}

/* The line that introduces a key, as the page must have it. The caller frees. */
static char *introduction(const struct config_key *key)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fprintf(out, "\n*%s* (", key->name);
    put_type(out, key);
    if (key->required)
        fputs("; required", out);
    else if (key->fallback)
        fprintf(out, "; default: %s", key->fallback[0] ? key->fallback : "none");
    fputs(")\n\t", out);
    fclose(out);
    return text;
}

static void check_section(const struct config_section *s, const char *name)
{
    const char *text = section_text(name);
    for (size_t i = 0; i < s->n_keys; i++) {
        char *line = introduction(&s->keys[i]);
        if (!strstr(text, line))
            fail_msg("section %s of the manual page lacks this line, followed by an indented text: %s", name,
                line);
        free(line);
    }
    for (const char *at = text; (at = strstr(at, "\n*")); at++) {
        char key[64] = "";
        sscanf(at, "\n*%63[^*]*", key);
        if (!config_find_key(s, key))
            fail_msg("section %s of the manual page has %s, which is no key", name, key);
    }
}

static void check_below(const struct config_section *s)
{
    for (size_t i = 0; i < s->n_keys; i++) {
        if (!s->keys[i].section)
            continue;
        check_section(s->keys[i].section, s->keys[i].name);
        check_below(s->keys[i].section);
    }
}

static void every_key_stands_in_its_section(void **state)
{
    check_below(&config_root);
}

static void every_whole_example_loads(void **state)
{
    int n = 0;
    for (char *at = page, *end; (at = strstr(at, "\n```\n")); at = end + 5) {
        struct config *c;
        char *errors;
        at += 5;
        end = strstr(at, "\n```\n");
        assert_non_null(end);
        write_file(FILE_NAME, at, (size_t)(end + 1 - at));
        if (!memmem(at, (size_t)(end - at), "\npools:\n", 8))
            continue;
        if (load(&c, &errors) < 0)
            fail_msg("an example of the manual page does not load:\n%s", errors);
        config_free(c);
        free(errors);
        n++;
    }
    assert_true(n >= 2);
}

static int read_page(const char *name)
{
    FILE *f = fopen(name, "re");
    size_t size = 0;
    ssize_t n = f ? getdelim(&page, &size, '\0', f) : -1;
    if (f)
        fclose(f);
    if (n <= 0)
        print_error("%s: %s\n", name, strerror(errno));
    return n > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_stands_in_its_section),
        cmocka_unit_test(every_whole_example_loads),
    };
    if (read_page(argc > 1 ? argv[1] : "man/postern.yaml.5.scd") < 0)
        return 1;
    int r = cmocka_run_group_tests(tests, set_up_files, tear_down_files);
    free(page);
    return r;
}
