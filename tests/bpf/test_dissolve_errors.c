/* SPDX-License-Identifier: Apache-2.0 */
/* The dissolve program: ICMP errors about translated packets, and the answers to packets that do not fit. */
#include "dissolved.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

static void expect_error(int family, int way, uint8_t type, uint8_t code, size_t quoted)
{
    union addr router = lab_addr(family == IPV6 ? "[2001:db8:f::1]:1" : "192.0.2.1:1");
    struct segment sent = segment_of(family, way), quote;

    sent.window = 0; /* windows and timestamps of a quote stay as they are */
    sent.options = "NN1";
    quote = translated(family, way, sent);
    quote.sack = sent.sack;
    sent.hops = quote.hops;
    struct bytes in = segment_error_by(&router, 61, &quote, type, code, 1400, quoted);
    struct bytes out = segment_error_by(&router, 60, &sent, type, code, 1400, quoted);
    segment_expect(dissolver_program(&d), "an error", &in, &out);
}

/* Errors quote as little as 8 bytes of TCP, or, most of them, all. */
static void errors_reach_the_sender_with_what_it_sent(void **state)
{
    static const struct {
        uint8_t type, code;
    } errors[FAMILIES][5] = {
        {{ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED}, {ICMP_DEST_UNREACH, ICMP_HOST_UNREACH},
            {ICMP_DEST_UNREACH, ICMP_PORT_UNREACH}, {ICMP_TIME_EXCEEDED, 0}, {ICMP_PARAMETERPROB, 0}},
        {{ICMP6_PACKET_TOO_BIG, 0}, {ICMP6_DST_UNREACH, 0}, {ICMP6_DST_UNREACH, 4}, {ICMP6_TIME_EXCEEDED, 0},
            {ICMP6_PARAM_PROB, 0}},
    };

    FOR_EACH_WAY(family, way)
    for (size_t i = 0; i < COUNT(errors[0]); i++) {
        expect_error(family, way, errors[family][i].type, errors[family][i].code, 8);
        expect_error(family, way, errors[family][i].type, errors[family][i].code, 20);
        expect_error(family, way, errors[family][i].type, errors[family][i].code, 32 + 33);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_translated_error), 4 * 5 * 3);
}

static void other_messages_and_quotes_pass(void **state)
{
    FOR_EACH_WAY(family, way)
    for (int oddity = 0; oddity < 9; oddity++) {
        struct segment sent = segment_of(family, way), s = translated(family, way, sent);
        uint8_t type = family == IPV6 ? 2 : 3;

        struct bytes b = segment_error(&s, type, 4, 1400, 20);
        uint8_t *outer = b.at + sizeof(struct ether_header), *icmp = outer + (family == IPV6 ? 40 : 20);
        uint8_t *ip = icmp + 8, *tcp = ip + (family == IPV6 ? 40 : 20);
        switch (oddity) {
        case 0: /* echo */
            icmp[0] = family == IPV6 ? 128 : 8;
            break;
        case 1: /* the packet as it was sent, not as it was translated */
            b = segment_error(&sent, type, 4, 1400, 20);
            break;
        case 2: /* not TCP */
            ip[family == IPV6 ? 6 : 9] = 17;
            break;
        case 3: /* another port */
            tcp[1] ^= 1;
            break;
        case 4: /* not to the sender of what it quotes */
            ip[family == IPV6 ? 23 : 15] ^= 1;
            break;
        case 5: /* a quote too short */
            b.len = (size_t)(tcp - b.at) + 7;
            break;
        case 6: /* a later fragment, or an extension header */
            ip[family == IPV6 ? 6 : 7] = 44;
            break;
        case 7: /* IPv4 options, or another version */
            ip[0] = 0x47;
            break;
        case 8: /* not dissolved */
            dissolved_entry(family)->state = DISSOLVE_WATCH;
            break;
        }
        segment_expect_same(dissolver_program(&d), "not an error of ours", &b, SEGMENT_GO_ON);
        dissolved_entry(family)->state = DISSOLVE_DISSOLVED;
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_translated_error), 0);
}

static void errors_are_dropped_at_the_last_hop(void **state)
{
    FOR_EACH_WAY(family, way)
    {
        struct segment s = translated(family, way, segment_of(family, way));
        struct bytes b = segment_error_by(&s.to, 1, &s, family == IPV6 ? 2 : 3, 4, 1400, 20);

        segment_expect_same(dissolver_program(&d), "the last hop", &b, SEGMENT_DROP);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_hop_limit), 4);
}

/* As a router would: from where the packet was going, with the packet as it was sent. */
static void packets_too_big_are_answered(void **state)
{
    static const char *const dest[FAMILIES][2] = {
        {LAB_BACKEND_V4, LAB_CLIENT_V4}, {LAB_BACKEND_V6, LAB_CLIENT_V6}};

    FOR_EACH_WAY(family, way)
    {
        struct segment s = segment_of(family, way);
        size_t headers = (family == IPV6 ? 40 : 20) + 32;

        s.options = "NNT";
        s.payload = (uint16_t)(1300 - headers);
        lab_run(LAB_GATEWAY, "ip %s route add %s dev %s mtu lock 1300", family ? "-6" : "-4",
            dest[family][way], way ? LAB_CLIENT_DEVICE : LAB_BACKEND_DEVICE);
        d.control->route_epoch++;
        expect_translated("it just fits", family, way, &s);
        s.payload++;
        struct bytes in = segment_write(&s);
        struct bytes out =
            segment_error_by(&s.to, 64, &s, family == IPV6 ? 2 : 3, family == IPV6 ? 0 : 4, 1300, 8);
        uint8_t *ip = out.at + sizeof(struct ether_header);
        if (family == IPV6) {
            ip[1] = ip[2] = ip[3] = 0; /* no flow label */
        } else {
            ip[1] = ip[4] = ip[5] = 0; /* no type of service, no id */
            ip[10] = ip[11] = 0;
            uint32_t sum = 0;
            for (int i = 0; i < 20; i += 2)
                sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
            sum = (sum & 0xffff) + (sum >> 16);
            ip[10] = (uint8_t)(~sum >> 8);
            ip[11] = (uint8_t)~sum;
        }
        segment_expect(dissolver_program(&d), "it does not fit", &in, &out);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_too_big), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(errors_reach_the_sender_with_what_it_sent),
        TEST(other_messages_and_quotes_pass),
        TEST(errors_are_dropped_at_the_last_hop),
        TEST(packets_too_big_are_answered),
    };

    return lab_impossible() ? 77 : cmocka_run_group_tests_name("dissolve program, errors", tests, NULL, NULL);
}
