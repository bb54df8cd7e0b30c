# SPDX-License-Identifier: Apache-2.0
"""Between networks: unequal MTUs, ICMP from routers, TTLs; and what is no session's passes as if nobody were there."""
import socket
import time

import pytest

from daemon import DEADLINE, backend_lines, configuration, pool
from dissolving import Dissolving, Session, plain
from lab import VIP4, VIP6, Namespace, family_of, hostport
from load import client, serve
from peers import Stream, receive, scripted_server
from test_transfer import far_behind_a_narrow_link

BOTH_FAMILIES = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])
MEBI = 1 << 20


def a_megabyte_each_way(s):
    streams = []
    for sender, receiver in (s.ends, s.ends[::-1]):
        streams += [Stream(sender, MEBI), Stream(receiver, MEBI, receiving=True)]
    for stream in streams:
        stream.join(20)
    assert streams[1].sum == streams[3].sum == Stream.checksum(MEBI)


@BOTH_FAMILIES
@pytest.mark.parametrize("narrow", ["client", "backend"])
@pytest.mark.topology(backends=1)
def test_a_link_of_smaller_mtu_on_either_side_is_no_obstacle(lab, narrow, vip):
    end, interface = (lab.client, "c0") if narrow == "client" else (lab.backends[0], "eth0")
    end.ip(f"link set {interface} mtu 1300")
    lab.gateway.ip(f"link set {'c0' if narrow == 'client' else 'b0'} mtu 1300")
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        s = Session(lab, server, vip).dissolve(postern)
        a_megabyte_each_way(s)
        s.close()
        postern.wait_sessions(1, dissolved="yes")
        counters = postern.counters()
        assert not [name for name in counters if name.startswith("program_no_")], counters
        assert counters["program_too_big"] == 0  # both sides have been told in time what fits


@BOTH_FAMILIES
@pytest.mark.parametrize("narrow", ["client", "backend"])
@pytest.mark.topology(backends=1)
def test_a_route_that_narrows_during_a_session_is_told_to_the_sender_by_the_gateway(lab, narrow, vip):
    """
    The gateway answers what does not fit any more with an ICMP error of its own, and the sender obeys. (An MTU that is not
    locked counts at the handshake only: bpf_fib_lookup does not know it.)
    """
    route = {("client", VIP4): f"route change {lab.client.prefix4} via 100.64.0.2",
             ("client", VIP6): f"-6 route change {lab.client.prefix6} via fd00:c::2",
             ("backend", VIP4): f"route change {lab.backends[0].v4}/32 dev b0",
             ("backend", VIP6): f"-6 route change {lab.backends[0].v6}/128 dev b0"}[narrow, vip]
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        s = Session(lab, server, vip).dissolve(postern)
        s.say()
        asked = postern.counters()["program_hop_asked"]
        lab.gateway.ip(route + " mtu lock 1300")
        end = time.monotonic() + DEADLINE
        while postern.counters()["program_hop_asked"] < asked + 2:  # both ways anew, once the daemon has heard of it
            assert time.monotonic() < end, postern.tail()
            s.say()
        a_megabyte_each_way(s)
        assert postern.counters()["program_too_big"] > 0
        lab.gateway.ip(route)
        s.close()
        postern.wait_sessions(1, dissolved="yes")


@BOTH_FAMILIES
@pytest.mark.topology(backends=2)
def test_a_router_before_the_backend_that_says_too_big_is_heard_by_the_client(lab, vip):
    far = far_behind_a_narrow_link(lab)
    far.address = lambda family: far.v6 if family == socket.AF_INET6 else far.v4
    with scripted_server(far, family=family_of(vip)) as server, \
            Dissolving(lab, configuration([pool(backend_lines([far]))])) as postern:
        s = Session(lab, server, vip).dissolve(postern)
        a_megabyte_each_way(s)
        s.close()
        postern.wait_sessions(1, dissolved="yes")
        assert postern.counters()["program_translated_error"] > 0


def client_behind_a_narrow_link(lab):
    """A client two hops away: lab.client is the router towards it, over a link with an MTU of 1280."""
    far = lab.add(Namespace, "farclient")
    for family in ("ipv4", "ipv6"):
        lab.client.sysctl(f"net.{family}.conf.all.forwarding", 1)
    lab.client.ip(f"link add far type veth peer name eth0 netns {far.name}", "link set far mtu 1280 up",
                  "addr add 10.9.0.1/24 dev far", "-6 addr add 2001:db8:9::1/64 dev far nodad")
    far.ip("link set eth0 up", "addr add 10.9.0.2/24 dev eth0", "-6 addr add 2001:db8:9::2/64 dev eth0 nodad",
           "route add default via 10.9.0.1 mtu lock 1280 advmss 1460",
           "-6 route add default via 2001:db8:9::1 mtu lock 1280 advmss 1440")
    lab.gateway.ip("route add 10.9.0.0/24 via 100.64.0.2", "-6 route add 2001:db8:9::/64 via fd00:c::2")
    return far


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_a_router_before_the_client_that_says_too_big_is_heard_by_the_backend(lab, vip):
    far = client_behind_a_narrow_link(lab)
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        connect, lab.connect = lab.connect, lambda vip: far.connect(vip)
        s = Session(lab, server, vip).dissolve(postern)
        lab.connect = connect
        a_megabyte_each_way(s)
        s.close()
        postern.wait_sessions(1, dissolved="yes")
        assert postern.counters()["program_translated_error"] > 0


class HopWatch:
    """The TTLs (hop limits) of TCP packets with payload that come in at an interface."""

    def __init__(self, namespace, interface):
        with namespace.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
            self.socket.bind((interface, 0x0003))
        self.socket.settimeout(20)

    def next(self, payload):
        while True:
            packet, link = self.socket.recvfrom(1 << 16)
            if link[2] != socket.PACKET_OUTGOING and packet.endswith(payload):
                return packet[8] if link[1] == 0x0800 else packet[7]

    def close(self):
        self.socket.close()


def set_hops(s, hops):
    if s.family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
    else:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_each_packet_of_a_dissolved_session_has_lost_one_hop(lab, vip):
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        s = Session(lab, server, vip).dissolve(postern)
        for writer, reader, namespace, interface in ((s.client, s.backend, lab.backends[0], "eth0"),
                                                     (s.backend, s.client, lab.client, "c0")):
            watch = HopWatch(namespace, interface)
            set_hops(writer, 40)
            writer.sendall(b"forty hops\r\n")
            assert receive(reader, 12) == b"forty hops\r\n"
            assert watch.next(b"forty hops\r\n") == 39
            watch.close()
        set_hops(s.client, 1)
        s.client.sendall(b"one hop\r\n")
        postern.wait_counter(program_hop_limit=1)
        set_hops(s.client, 64)
        assert receive(s.backend, 9) == b"one hop\r\n"  # by retransmission
        s.close()
        postern.wait_sessions(1, dissolved="yes")


def udp_round_trip(lab, host):
    """What a datagram past the gateway looks like at the other end: (hops, payload)."""
    backend = lab.backends[0]
    server = backend.socket(family_of(host), socket.SOCK_DGRAM)
    server.bind((host, 5353))
    server.settimeout(20)
    with server, lab.client.socket(family_of(host), socket.SOCK_DGRAM) as s:
        s.settimeout(20)
        s.sendto(b"question", (host, 5353))
        data, peer = server.recvfrom(100)
        assert data == b"question"
        server.sendto(b"answer", peer)
        assert s.recv(100) == b"answer"


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_traffic_that_is_no_sessions_passes_as_if_postern_were_not_there(lab, vip):
    """TCP to the backend's own address and port, to another port, UDP, ping: beside a dissolved session."""
    backend = lab.backends[0]
    host = backend.address(family_of(vip))
    serve(backend, port=2525)
    with scripted_server(backend, family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        s = Session(lab, server, vip).dissolve(postern)
        before = postern.counters()
        watch = HopWatch(backend, "eth0")
        own = s.client.getsockname()
        with lab.client.connect(host, 25, own[0]) as direct:
            there, peer = server.accept()
            assert peer[:2] == direct.getsockname()[:2]
            direct.sendall(b"past the gateway\r\n")
            assert receive(there, 18) == b"past the gateway\r\n"
            assert watch.next(b"past the gateway\r\n") == 63
            there.close()
        watch.close()
        result = client(lab, "bulk", "--connections", 4, "--bytes", "1M", "--direction", "both", to=[hostport(host, 2525)])
        assert result["ok"] == 4 and not result["errors"], result
        udp_round_trip(lab, host)
        lab.client.run("ping", "-c", "1", "-W", "5", host)
        after = postern.counters()
        changed = {name: n - before[name] for name, n in after.items() if name.startswith("program_") and n != before[name]}
        # Thousands of packets have passed; the dissolved session may have had an acknowledgement to send, and have asked
        # for its way.
        own = {"program_translated", "program_hop_asked"}
        assert set(changed) <= own and max(changed.values(), default=0) <= 2, changed
        s.say()
        s.close()
        postern.wait_sessions(1, dissolved="yes")
