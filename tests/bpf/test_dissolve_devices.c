/* SPDX-License-Identifier: Apache-2.0 */
/* The dissolve program on a device without a link header (tun): what comes in by it goes out by Ethernet, and
 * back. */
#include "dissolved.h"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TUN "tun9"
#define DEADLINE_MS 5000

static int open_tun(void)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = TUN};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        print_message("no /dev/net/tun here\n");
        skip();
    }
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    lab_run(LAB_GATEWAY, "ip link set " TUN " up");
    return fd;
}

/* All that comes to a host's interface, from the network header on. */
static int open_ear(enum lab_host host, int family)
{
    lab_enter(host);
    int fd =
        socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(family == IPV6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP));
    lab_enter(LAB_GATEWAY);
    assert_true(fd >= 0);
    return fd;
}

/* The packet must come, whatever else does. */
static void expect_packet(int fd, const struct bytes *wanted)
{
    const uint8_t *ip = wanted->at + sizeof(struct ether_header);
    size_t len = wanted->len - sizeof(struct ether_header);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    uint8_t got[SEGMENT_MAX];

    while (poll(&ready, 1, DEADLINE_MS) > 0) {
        ssize_t n = read(fd, got, sizeof(got));
        if (n == (ssize_t)len && memcmp(got, ip, len) == 0)
            return;
    }
    fail_msg("the packet did not come");
}

static void what_comes_without_a_link_header_goes_on(void **state)
{
    int tun = open_tun();

    dissolver_attach(&d, TUN);
    FOR_EACH_WAY(family, way)
    {
        struct segment s = segment_of(family, way), after = translated(family, way, s);
        struct bytes in = segment_write(&s), out = segment_write(&after);
        size_t ethernet = sizeof(struct ether_header);
        int ear = open_ear(way ? LAB_CLIENT : LAB_BACKEND, family);

        assert_int_equal(write(tun, in.at + ethernet, in.len - ethernet), in.len - ethernet);
        expect_packet(ear, &out);
        close(ear);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_translated), 4);
    close(tun);
}

static void what_goes_to_a_device_without_a_link_header_arrives(void **state)
{
    int tun = open_tun();

    dissolver_attach(&d, LAB_CLIENT_DEVICE);
    lab_run(LAB_GATEWAY,
        "ip route add " LAB_BACKEND_V4 " dev " TUN "; ip -6 route add " LAB_BACKEND_V6 " dev " TUN);
    for (int family = 0; family < FAMILIES; family++) {
        struct segment s = segment_of(family, 0), after = translated(family, 0, s);
        struct bytes in = segment_write(&s), out = segment_write(&after);

        lab_enter(LAB_CLIENT);
        int mouth = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
        struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("eth0")};
        ssize_t sent = sendto(mouth, in.at, in.len, 0, (struct sockaddr *)&to, sizeof(to));
        lab_enter(LAB_GATEWAY);
        assert_int_equal(sent, in.len);
        expect_packet(tun, &out);
        close(mouth);
    }
    close(tun);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_comes_without_a_link_header_goes_on),
        TEST(what_goes_to_a_device_without_a_link_header_arrives),
    };

    return lab_impossible() ? 77
                            : cmocka_run_group_tests_name("dissolve program, devices", tests, NULL, NULL);
}
