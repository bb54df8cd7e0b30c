/* SPDX-License-Identifier: Apache-2.0 */
/* The devices behind device.h. A failed step fails the test that runs. */
#include "device.h"

#include "base/clock.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define DEADLINE_MS 5000

int device_open(const char *name, int flags)
{
    struct ifreq request = {.ifr_flags = (short)(flags | IFF_NO_PI)};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        print_message("no /dev/net/tun here\n");
        skip();
    }
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    lab_run(LAB_GATEWAY, "ip link set %s up", name);
    return fd;
}

void device_attach_return(const struct fixture *f, const char *name)
{
    assert_int_equal(bpf_return_attach(f->bpf, (int)if_nametoindex(name)), 0);
}

static uint64_t marked_so_far(const struct fixture *f)
{
    return fixture_returned(f, RETURN_MARKED) + fixture_returned(f, RETURN_MARKED_ERROR);
}

void device_expect_marked(const struct fixture *f, int device, const struct iovec *parts, size_t n)
{
    uint64_t wanted = marked_so_far(f) + 1;
    ssize_t len = 0;

    for (size_t i = 0; i < n; i++)
        len += (ssize_t)parts[i].iov_len;
    assert_int_equal(writev(device, parts, (int)n), len);
    /* The kernel may take the packet in a moment later. */
    for (uint64_t end = clock_now_ms() + DEADLINE_MS; marked_so_far(f) < wanted && clock_now_ms() < end;)
        ;
    assert_int_equal(marked_so_far(f), wanted);
}
