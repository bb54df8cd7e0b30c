/* SPDX-License-Identifier: Apache-2.0 */
/* Where backends come from, in the configuration; and files of them. */
#include "config_files.h"
#include "control/config/config_discover.h"
#include "control/config/config_values.h"

#define DISCOVER(text) LISTENER "pools:\n  - name: p\n    discover: " text "\n"

/* What must be among the errors. */
static void a_contradiction_is_told(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {LISTENER "pools: [{name: p}]\n", "2:9: error: pool \"p\" has neither \"backends\" nor \"discover\""},
        {DISCOVER("{}"), "4:15: error: discover says neither \"dns\" nor \"file\""},
        {DISCOVER("{dns: \"\"}"), "4:22: error: discover needs a name of the DNS or a file, not \"\""},
        {DISCOVER("{dns: a.test, port: 25, file: /mta}"), "4:45: error: a pool's backends are found by dns"},
        {DISCOVER("{dns: a.test}"), "4:21: error: addresses of the DNS have no port; add \"port\""},
        {DISCOVER("{dns: a.test, port: 0}"), "4:35: error: addresses of the DNS have no port"},
        {DISCOVER("{dns: a.test, type: srv, port: 25}"), "4:46: error: type: srv with a port"},
        {DISCOVER("{dns: a.test, type: mx}"), "\"mx\" is not known here; it may be a or srv"},
        {DISCOVER("{file: /mta, type: a}"), "4:34: error: type is about records of the DNS"},
        {DISCOVER("{file: /mta, port: 25}"), "4:34: error: port is about records of the DNS"},
        {DISCOVER("{file: mta}"), "\"mta\" is not the path of a file from the root"},
        {DISCOVER("{file: /etc/}"), "\"/etc/\" is not the path of a file from the root"},
        {DISCOVER("{dns: a..test, port: 25}"), "\"a..test\" is not a name of the DNS"},
        {DISCOVER("{dns: .test, port: 25}"), "\".test\" is not a name of the DNS"},
        {DISCOVER("{dns: \"a test\", port: 25}"), "\"a test\" is not a name of the DNS"},
        {"gateway: {resolver: ns.test}\n" LISTENER POOL, "\"ns.test\" is not ADDRESS or ADDRESS:PORT"},
        {"gateway: {resolver: 0.0.0.0}\n" LISTENER POOL, "\"0.0.0.0\" is not ADDRESS or ADDRESS:PORT"},
        {"gateway: {resolver: \"192.0.2.1:0\"}\n" LISTENER POOL, "is not ADDRESS or ADDRESS:PORT"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *errors = errors_of(cases[i].text);
        if (!strstr(errors, cases[i].error))
            fail_msg("expected: %s\nfound: %s", cases[i].error, errors);
        free(errors);
    }
}

static void what_is_right_is_taken(void **state)
{
    static const char *const right[] = {
        DISCOVER("{dns: a.test, port: 25}"),
        DISCOVER("{dns: _smtp._tcp.a.test., type: srv}"),
        DISCOVER("{file: /etc/postern/mta.list}"),
        DISCOVER("{dns: a.test, type: a, port: 2525}\n    backends: [{name: b, address: 10.0.0.1:25}]"),
        "gateway: {resolver: 127.0.0.1}\n" DISCOVER("{dns: a.test, port: 25}"),
        "gateway: {resolver: \"[::1]:5353\"}\n" DISCOVER("{dns: a.test, port: 25}"),
    };
    for (size_t i = 0; i < COUNT(right); i++) {
        struct snapshot *s = publish_text(right[i]);
        assert_int_equal(s->n_pools, 1);
        snapshot_free(s);
    }
}

static void a_resolver_has_a_port_by_default(void **state)
{
    static const char *const texts[][2] = {{"192.0.2.53", "[192.0.2.53]:53"},
        {"192.0.2.53:5353", "[192.0.2.53]:5353"}, {"2001:db8::53", "[2001:db8::53]:53"},
        {"[2001:db8::53]", "[2001:db8::53]:53"}, {"[2001:db8::53]:54", "[2001:db8::53]:54"}};
    for (size_t i = 0; i < COUNT(texts); i++) {
        char text[ADDR_TEXT_MAX];
        union addr a;
        assert_int_equal(config_resolver_parse(texts[i][0], &a), 0);
        assert_string_equal(addr_format(&a, text), texts[i][1]);
    }
}

/* Reads a file of backends as for the first pool of a configuration; the caller frees the errors. */
static int read_file(const char *configuration, const char *text, struct config_backends *ret, char **errors)
{
    struct config *c = NULL;
    size_t size;
    write_text(FILE_NAME, configuration);
    assert_int_equal(load(&c, errors), 0);
    free(*errors);
    write_text("mta.list", text);
    FILE *f = open_memstream(errors, &size);
    int r = config_load_backends("mta.list", c, c->pools.items, f, ret);
    fclose(f);
    config_free(c);
    return r;
}

static void a_file_holds_a_list_of_backends(void **state)
{
    struct config_backends found;
    char *errors;
    int r = read_file(DISCOVER("{file: /mta}"),
        "- {name: mta1, address: [10.0.0.1:25, \"[2001:db8::1]:25\"], zone: z, weight: 7}\n"
        "- {name: mta2, address: 10.0.0.2:25, state: drain}\n",
        &found, &errors);
    assert_string_equal(errors, "");
    assert_int_equal(r, 0);
    const struct config_backend *b = found.list.items;
    assert_int_equal(found.list.n, 2);
    assert_string_equal(b[0].name, "mta1");
    assert_string_equal(b[0].zone, "z");
    assert_int_equal(b[0].weight, 7);
    assert_int_equal(b[1].weight, 100);
    assert_int_equal(b[1].state, BACKEND_DRAIN);
    config_free(found.owner);
    free(errors);
}

static void what_is_wrong_in_a_file_is_told_at_its_place(void **state)
{
    static const char zoned[] =
        "gateway: {zone: a, zones: [{name: a, gateways: 1}]}\n" DISCOVER("{file: /mta}");
    static const struct {
        const char *configuration, *text, *error;
    } cases[] = {
        {DISCOVER("{file: /mta}"), "- {name: a, address: 10.0.0.1}\n",
            "mta.list:1:22: error: address: \"10.0.0.1\" has no port; write \"10.0.0.1:25\"\n"
            "    1 | - {name: a, address: 10.0.0.1}\n"
            "      |                      ^~~~~~~~\n"},
        {DISCOVER("{file: /mta}"), "- {name: a, address: 192.0.2.1:25}\n",
            "mta.list:1:22: error: \"192.0.2.1:25\" is an address that this gateway takes as its own\n"},
        {DISCOVER("{file: /mta}"), "- {name: a, address: 127.0.0.1:25}\n",
            "mta.list:1:22: error: \"127.0.0.1:25\" is this host's loopback address\n"},
        {DISCOVER("{file: /mta}"), "- {name: a, address: 10.0.0.1:25}\n- {name: a, address: 10.0.0.2:25}\n",
            "mta.list:2:10: error: a backend of this pool is called \"a\" a second time; the first is at "
            "mta.list:1:10\n"},
        {DISCOVER("{file: /mta}"), "- {name: a, adress: 10.0.0.1:25}\n",
            "mta.list:1:13: error: unknown key \"adress\" in backend \"a\"; the nearest known key is "
            "\"address\"\n"},
        {DISCOVER("{file: /mta}"), "", "mta.list: error: expected a list of backends here"},
        {DISCOVER("{file: /mta}"), "[]\n", "mta.list:1:1: error: \"backends\" is an empty list"},
        {DISCOVER("{file: /mta}"), "backends: []\n",
            "mta.list:1:1: error: expected a list of backends here, like \"- {name: mta1, address: "
            "10.2.0.11:25}\", not a map of keys"},
        {DISCOVER("{file: /mta}"), "- {name: a", "mta.list:1:1: error: not YAML"},
        {zoned, "- {name: a, address: 10.0.0.1:25, zone: b}\n",
            "mta.list:1:41: error: the zone \"b\" is not listed under gateway.zones"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct config_backends found;
        char *errors;
        assert_int_equal(read_file(cases[i].configuration, cases[i].text, &found, &errors), -EINVAL);
        if (!strstr(errors, cases[i].error))
            fail_msg("expected: %s\nfound: %s", cases[i].error, errors);
        free(errors);
    }
}

static void a_file_holds_no_more_than_the_limit(void **state)
{
    struct config_backends found;
    char *errors, *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    for (int i = 0; i <= CONFIG_FOUND_MAX; i++)
        fprintf(f, "- {name: b%d, address: 10.0.%d.%d:25}\n", i, i / 200, i % 200 + 1);
    fclose(f);
    assert_int_equal(read_file(DISCOVER("{file: /mta}"), text, &found, &errors), -EINVAL);
    assert_non_null(strstr(errors, "mta.list:257:3: error: more than 256 backends found for one pool"));
    free(errors);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_contradiction_is_told),
        cmocka_unit_test(what_is_right_is_taken),
        cmocka_unit_test(a_resolver_has_a_port_by_default),
        cmocka_unit_test(a_file_holds_a_list_of_backends),
        cmocka_unit_test(what_is_wrong_in_a_file_is_told_at_its_place),
        cmocka_unit_test(a_file_holds_no_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
