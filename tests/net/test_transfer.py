# SPDX-License-Identifier: Apache-2.0
"""Much data: byte-exact under loss, a reader that stops holds back its writer, and memory stays what it was."""
import threading

import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import Namespace
from load import VIPS, client, serve, serve_all, start_client
from peers import Stream, scripted_server

GIB = 1 << 30
MEMORY_SLACK = 48 << 20  # bytes that the daemon may grow under any load, a sanitizer's own book-keeping included


def plain(lab, engine, backends=None):
    return configuration([pool(backend_lines(backends or lab.backends), **engine.pool)])


class MemoryWatch:
    """Samples a daemon's resident memory until it is asked."""

    def __init__(self, postern):
        self.postern, self.before, self.most = postern, postern.memory(), 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.over.wait(0.1):
            self.most = max(self.most, self.postern.memory())

    def assert_flat(self):
        self.over.set()
        self.thread.join()
        grown = self.most - self.before
        assert grown < MEMORY_SLACK, f"memory grew by {grown >> 20} MiB, from {self.before >> 20} MiB"


@pytest.mark.heavy
@pytest.mark.limit(600)
@pytest.mark.topology(backends=2)
def test_ten_gigabytes_cross_both_ways_unchanged_with_loss_and_a_slow_reader(lab, engine, long):
    total = (100 if long else 2 if engine.dissolves else 10) * GIB
    serve_all(lab)
    lab.lose_packets(1)
    with Postern(lab, plain(lab, engine)) as postern:
        client(lab, "bulk", "--connections", 8, "--bytes", "64K", "--direction", "both")  # pages that stay
        watch = MemoryWatch(postern)
        slow = start_client(lab, "bulk", "--connections", 4, "--bytes", "16M", "--direction", "both",
                            "--slow-reader", "1M", timeout=300)
        fast = client(lab, "bulk", "--connections", 8, "--bytes", total // 8, "--direction", "both",
                      timeout=5400 if long else 540)
        slow = slow.wait()
        assert fast["ok"] == 8 and not fast["errors"], fast
        assert slow["ok"] == 4 and not slow["errors"], slow
        watch.assert_flat()
        assert lab.lost_packets() > 1000
        lines = postern.wait_sessions(20)
        assert {s["reason"] for s in lines} <= {"client_fin", "backend_fin"}
        engine.assert_carried(lines, 0.8)
        assert (postern.counters()["splices_started"] > 0) or engine.dissolves


@pytest.mark.topology(backends=1)
def test_a_client_that_sends_a_gigabyte_before_the_greeting_is_held_back_and_loses_no_byte(lab, engine):
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0]) as server:
        watch = MemoryWatch(postern)
        s = lab.connect(timeout=None)
        backend, _ = server.accept()
        sending = Stream(s, GIB)
        stalled = sending.wait_stalled()
        assert stalled < 64 << 20, f"{stalled >> 20} MiB were taken though the backend reads nothing"
        receiving = Stream(backend, GIB, receiving=True)
        sending.join()
        receiving.join()
        assert receiving.sum == Stream.checksum(GIB)
        sent, _ = engine.settle(postern, s, backend)  # now it may dissolve, counts and all
        watch.assert_flat()
        s.close()
        backend.close()
        line = postern.wait_sessions(1)[0]
        assert (line["bytes_in"], line["smtp_code"]) == (str(GIB + sent), "220")
        engine.assert_carried([line])


@pytest.mark.topology(backends=1)
def test_a_backend_that_floods_is_held_back_while_its_client_does_not_read(lab, engine):
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0]) as server:
        watch = MemoryWatch(postern)
        s = lab.connect()
        backend, _ = server.accept()
        engine.settle(postern, s, backend)
        s.settimeout(None)
        backend.settimeout(None)
        sending = Stream(backend, GIB)
        stalled = sending.wait_stalled()
        assert stalled < 64 << 20, f"{stalled >> 20} MiB were taken though the client reads nothing"

        other = lab.connect()
        other_backend, _ = server.accept()
        engine.settle(postern, other, other_backend, b"220 unharmed\r\n")

        receiving = Stream(s, GIB, receiving=True)
        sending.join()
        receiving.join()
        assert receiving.sum == Stream.checksum(GIB)
        watch.assert_flat()
        for peer in (s, backend, other, other_backend):
            peer.close()
        engine.assert_carried(postern.wait_sessions(2))


@pytest.mark.topology(backends=1)
def test_a_client_that_stops_reading_holds_nobody_else_back(lab, engine):
    serve_all(lab)
    with Postern(lab, plain(lab, engine)) as postern:
        stopped = [lab.connect() for _ in range(20)]
        for s in stopped:
            engine.settle_smtp(postern, s)
            s.sendall(b"SOURCE 100000000 1\r\n")
        result = client(lab, "sessions", "--count", 2000, "--concurrency", 16, to=VIPS)
        assert result["ok"] == 2000, result
        for s in stopped:
            s.close()
        engine.assert_carried(postern.wait_sessions(2020), 0.95)
        postern.wait_idle()


def far_behind_a_narrow_link(lab):
    """
    A backend two hops away: mta2 is a router towards it, over a link with an MTU of 1280 that the far end does not tell of
    (it announces segments for 1500). Only the router's ICMP errors tell, and they are addressed to the client.
    """
    router, far = lab.backends[1], lab.add(Namespace, "far")
    for family in ("ipv4", "ipv6"):
        router.sysctl(f"net.{family}.conf.all.forwarding", 1)
    router.ip(f"link add far type veth peer name eth0 netns {far.name}", "link set far mtu 1280 up",
              "addr add 10.9.0.1/24 dev far", "-6 addr add 2001:db8:9::1/64 dev far nodad")
    far.ip("link set eth0 up", "addr add 10.9.0.2/24 dev eth0", "-6 addr add 2001:db8:9::2/64 dev eth0 nodad",
           "route add default via 10.9.0.1 mtu lock 1280 advmss 1460",
           "-6 route add default via 2001:db8:9::1 mtu lock 1280 advmss 1440")
    lab.gateway.ip("route add 10.9.0.0/24 via 10.2.0.12 dev b1 onlink",
                   "-6 route add 2001:db8:9::/64 via 2001:db8:2::12 dev b1 onlink")
    far.v4, far.v6, far.label = "10.9.0.2", "2001:db8:9::2", "far"
    return far


@pytest.mark.parametrize("vip", VIPS, ids=["ipv4", "ipv6"])
@pytest.mark.topology(backends=2)
def test_a_narrow_link_on_the_way_to_a_backend_is_no_black_hole(lab, engine, vip):
    far = far_behind_a_narrow_link(lab)
    serve(far)
    with Postern(lab, plain(lab, engine, [far])) as postern:
        result = client(lab, "bulk", "--connections", 4, "--bytes", "4M", "--direction", "both", to=[vip], timeout=30)
        assert result["ok"] == 4 and not result["errors"], result
        engine.assert_carried(postern.wait_sessions(4))
    told = lab.backends[1].run("nstat", "-asz", "IcmpOutDestUnreachs", "Icmp6OutPktTooBigs").stdout
    assert any(int(line.split()[1]) > 0 for line in told.splitlines() if line.startswith("Icmp")), told
