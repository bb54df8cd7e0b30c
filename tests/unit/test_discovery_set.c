/* SPDX-License-Identifier: Apache-2.0 */
/* From records of the DNS to backends. */
#include "control/discovery/discovery_set.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct discovery_set set;
static struct config_vip vip;
static struct config_listener listener = {.vips = {.items = &vip, .n = 1}};
static const struct config config = {.listeners = {.items = &listener, .n = 1}};

static int set_up(void **state)
{
    memset(&set, 0, sizeof(set));
    return addr_prefix_parse("203.0.113.0/28:25", &vip.prefix, &vip.port);
}

static void add(const char *address, struct discovery_service service, uint32_t source)
{
    uint8_t bytes[16];
    int v6 = strchr(address, ':') != NULL;
    assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, address, bytes), 1);
    discovery_set_add(&set, &config, source, bytes, v6 ? 16 : 4, &service);
}

#define PLAIN ((struct discovery_service){.port = 25, .weight = DISCOVERY_WEIGHT})

static void each_address_is_a_backend_named_after_itself(void **state)
{
    add("2001:db8:2::11", PLAIN, SOURCE_CLIENT);
    add("10.2.0.11", PLAIN, SOURCE_CLIENT);
    add("10.2.0.11", PLAIN, SOURCE_CLIENT);
    discovery_set_sort(&set);
    assert_int_equal(set.n, 2);
    assert_string_equal(set.specs[0].name, "10.2.0.11:25");
    assert_string_equal(set.specs[1].name, "[2001:db8:2::11]:25");
    assert_int_equal(set.specs[0].weight, 100);
    assert_int_equal(addr_port(&set.specs[0].v4), 25);
    assert_int_equal(set.specs[0].v6.sa.sa_family, AF_UNSPEC);
    assert_int_equal(set.refused, 0);
}

static void what_cannot_be_a_backend_is_refused_alone(void **state)
{
    static const char *const bad[] = {"127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1",
        "255.255.255.255", "169.254.1.1", "fe80::1", "::ffff:10.0.0.1", "203.0.113.5"};
    for (size_t i = 0; i < COUNT(bad); i++)
        add(bad[i], PLAIN, SOURCE_CLIENT);
    assert_int_equal(set.n, 0);
    assert_int_equal(set.refused, COUNT(bad));
    assert_string_equal(set.why, "127.0.0.1 is this host's loopback address");
    add("10.2.0.11", (struct discovery_service){.port = 0}, SOURCE_CLIENT);
    assert_int_equal(set.n, 0);
    discovery_set_add(&set, &config, SOURCE_CLIENT, (const uint8_t *)"12345", 5, &PLAIN);
    assert_int_equal(set.refused, COUNT(bad) + 2);
    add("10.2.0.11", PLAIN, SOURCE_CLIENT);
    assert_int_equal(set.n, 1);
}

/* With its own address as the source it may reach another port of what it has taken. */
static void a_vip_with_another_port_depends_on_the_source(void **state)
{
    struct discovery_service other = {.port = 2525, .weight = 1};
    add("203.0.113.5", other, SOURCE_CLIENT);
    assert_int_equal(set.n, 0);
    add("203.0.113.5", other, SOURCE_GATEWAY);
    assert_int_equal(set.n, 1);
    add("203.0.113.5", PLAIN, SOURCE_GATEWAY);
    assert_int_equal(set.n, 1);
}

static void no_more_than_the_limit_is_kept(void **state)
{
    char text[32];
    for (int i = 0; i < CONFIG_FOUND_MAX + 5; i++) {
        snprintf(text, sizeof(text), "10.3.%d.%d", i / 200, i % 200 + 1);
        assert_int_equal(set.too_many, i > CONFIG_FOUND_MAX);
        add(text, PLAIN, SOURCE_CLIENT);
    }
    assert_int_equal(set.n, CONFIG_FOUND_MAX);
    assert_true(set.too_many);
}

static void weights_of_srv_records_become_those_of_backends(void **state)
{
    static const uint16_t weights[] = {65535, 0, 32768, 1};
    for (size_t i = 0; i < COUNT(weights); i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.2.0.%zu", i + 1);
        add(text, (struct discovery_service){.port = 25, .weight = weights[i]}, SOURCE_CLIENT);
    }
    discovery_set_scale(&set);
    assert_int_equal(set.specs[0].weight, 256);
    assert_int_equal(set.specs[1].weight, 1);
    assert_int_equal(set.specs[2].weight, 128);
    assert_int_equal(set.specs[3].weight, 1);
}

static void small_weights_stay_as_they_are(void **state)
{
    add("10.2.0.1", (struct discovery_service){.port = 25, .weight = 60}, SOURCE_CLIENT);
    add("10.2.0.2", (struct discovery_service){.port = 25, .weight = 20}, SOURCE_CLIENT);
    discovery_set_scale(&set);
    assert_int_equal(set.specs[0].weight, 60);
    assert_int_equal(set.specs[1].weight, 20);
}

static void of_two_records_for_one_endpoint_the_better_priority_counts(void **state)
{
    add("10.2.0.1", (struct discovery_service){.port = 25, .priority = 20, .weight = 9}, SOURCE_CLIENT);
    add("10.2.0.1", (struct discovery_service){.port = 25, .priority = 10, .weight = 5}, SOURCE_CLIENT);
    add("10.2.0.1", (struct discovery_service){.port = 25, .priority = 30, .weight = 7}, SOURCE_CLIENT);
    assert_int_equal(set.n, 1);
    assert_int_equal(set.specs[0].priority, 10);
    assert_int_equal(set.specs[0].weight, 5);
}

static void the_order_of_records_does_not_matter(void **state)
{
    uint64_t identity = 0;
    unsigned seed = 1;
    for (int round = 0; round < 200; round++) {
        int order[20];
        set_up(state);
        for (int i = 0; i < 20; i++)
            order[i] = i + 1;
        for (int i = 19; i > 0; i--) {
            int k = rand_r(&seed) % (i + 1), other = order[k];
            order[k] = order[i];
            order[i] = other;
        }
        for (int i = 0; i < 20; i++) {
            char text[32];
            snprintf(text, sizeof(text), order[i] % 2 ? "10.2.0.%d" : "2001:db8::%d", order[i]);
            add(text, PLAIN, SOURCE_CLIENT);
        }
        discovery_set_sort(&set);
        assert_int_equal(set.n, 20);
        assert_true(round == 0 || discovery_set_identity(&set) == identity);
        identity = discovery_set_identity(&set);
    }
}

static void any_change_is_another_identity(void **state)
{
    add("10.2.0.1", PLAIN, SOURCE_CLIENT);
    uint64_t before = discovery_set_identity(&set);
    struct backend_spec *s = &set.specs[0];
    s->weight++;
    assert_true(discovery_set_identity(&set) != before);
    s->weight--;
    assert_true(discovery_set_identity(&set) == before);
    s->priority++;
    assert_true(discovery_set_identity(&set) != before);
    s->priority--;
    s->zone[0] = 'z';
    assert_true(discovery_set_identity(&set) != before);
    s->zone[0] = '\0';
    s->v4.v4.sin_addr.s_addr++;
    assert_true(discovery_set_identity(&set) != before);
}

#define SRV(text) (const uint8_t *)("\0\12\0\24\0\31" text), 6 + sizeof(text)

static void an_srv_record_is_read(void **state)
{
    struct discovery_service s;
    assert_int_equal(discovery_service_parse(SRV("\4mta1\7example\4test"), &s), 0);
    assert_int_equal(s.priority, 10);
    assert_int_equal(s.weight, 20);
    assert_int_equal(s.port, 25);
    assert_string_equal(s.target, "mta1.example.test");
    assert_int_equal(discovery_service_parse(SRV(""), &s), 0);
    assert_string_equal(s.target, "");
}

static void a_mangled_srv_record_is_refused_at_every_length(void **state)
{
    static const uint8_t good[] = "\0\12\0\24\0\31\4mta1\7example\4test";
    struct discovery_service s;
    for (size_t n = 0; n < sizeof(good); n++)
        assert_int_equal(discovery_service_parse(good, n, &s), -EINVAL);
    assert_int_equal(discovery_service_parse(good, sizeof(good), &s), 0);
    assert_int_equal(discovery_service_parse(SRV("\4m a1"), &s), -EINVAL);
    assert_int_equal(discovery_service_parse(SRV("\4m\0a1"), &s), -EINVAL);
    assert_int_equal(discovery_service_parse(SRV("\300\14"), &s), -EINVAL);
    assert_int_equal(discovery_service_parse(SRV("\1a\0b"), &s), -EINVAL);
}

static void a_target_that_is_too_long_is_refused(void **state)
{
    uint8_t data[6 + 5 * 64 + 1] = {0};
    struct discovery_service s;
    memset(data + 6, 'a', sizeof(data) - 7);
    for (int i = 0; i < 5; i++)
        data[6 + 64 * i] = 63;
    assert_int_equal(discovery_service_parse(data, sizeof(data), &s), -EINVAL);
    data[6 + 64 * 3] = 0;
    assert_int_equal(discovery_service_parse(data, 6 + 64 * 3 + 1, &s), 0);
    assert_int_equal(strlen(s.target), 191);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_address_is_a_backend_named_after_itself),
        TEST(what_cannot_be_a_backend_is_refused_alone),
        TEST(a_vip_with_another_port_depends_on_the_source),
        TEST(no_more_than_the_limit_is_kept),
        TEST(weights_of_srv_records_become_those_of_backends),
        TEST(small_weights_stay_as_they_are),
        TEST(of_two_records_for_one_endpoint_the_better_priority_counts),
        TEST(the_order_of_records_does_not_matter),
        TEST(any_change_is_another_identity),
        TEST(an_srv_record_is_read),
        TEST(a_mangled_srv_record_is_refused_at_every_length),
        TEST(a_target_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
