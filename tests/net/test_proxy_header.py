# SPDX-License-Identifier: Apache-2.0
"""PROXY headers, byte by byte: the whole header in one segment of its own, before anything of the client."""
import contextlib
import socket
import struct

import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6, endpoint, family_of
from load import VIPS, client, serve
from peers import receive, receive_all, scripted_server
from proxy_headers import header

SOURCES = pytest.mark.parametrize("source", ["client", "gateway"])
FAMILIES = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])


class Capture:
    """TCP segments with payload that come in for a port of a backend, in order."""

    def __init__(self, backend, port=25):
        self.port = port
        with backend.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
            self.socket.bind(("eth0", 0x0003))
        self.socket.settimeout(20)

    def next_payload(self):
        while True:
            packet, link = self.socket.recvfrom(1 << 16)
            if link[2] != socket.PACKET_OUTGOING and (payload := self._payload(packet, link[1])):
                return payload

    def _payload(self, packet, protocol):
        if protocol == 0x0800 and packet[9] == socket.IPPROTO_TCP:
            start, end = (packet[0] & 15) * 4, struct.unpack("!H", packet[2:4])[0]
        elif protocol == 0x86DD and packet[6] == socket.IPPROTO_TCP:
            start, end = 40, 40 + struct.unpack("!H", packet[4:6])[0]
        else:
            return b""
        tcp = packet[start:end]
        return tcp[(tcp[12] >> 4) * 4:] if struct.unpack("!H", tcp[2:4])[0] == self.port else b""

    def close(self):
        self.socket.close()


@pytest.mark.tsan
@FAMILIES
@SOURCES
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.topology(backends=1)
def test_the_header_is_byte_exact_alone_and_first(lab, engine, version, source, vip):
    config = configuration([pool(backend_lines(lab.backends), source=source, proxy_protocol=version, **engine.pool)])
    with Postern(lab, config) as postern, scripted_server(lab.backends[0], family=family_of(vip)) as server, \
            contextlib.closing(Capture(lab.backends[0])) as capture:
        s = lab.connect(vip)
        own = s.getsockname()
        s.sendall(b"EHLO early.example\r\n")
        backend, peer = server.accept()
        wanted = header(version, own, vip)
        assert capture.next_payload() == wanted
        assert receive(backend, len(wanted)) == wanted
        assert receive(backend, 20) == b"EHLO early.example\r\n"
        assert (peer[:2] == own[:2]) == (source == "client")
        sent, received = engine.settle(postern, s, backend)
        s.close()
        assert receive_all(backend) == b""
        backend.close()
        line = postern.wait_sessions(1)[0]
        engine.assert_carried([line])
        assert (line["bytes_in"], line["bytes_out"]) == (str(20 + sent), str(received)), "the header is none of the client's"
        assert line["client"] == endpoint(*own[:2]) and line["source"] == endpoint(*peer[:2])
        assert postern.counters()["headers_sent"] == 1


@SOURCES
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.topology(backends=2)
def test_thousands_of_sessions_carry_their_clients_address_in_the_header(lab, engine, long, version, source):
    count = 10_000 if long or engine.dissolves else 3000
    servers = [serve(b, "--proxy", version) for b in lab.backends]
    config = configuration([pool(backend_lines(lab.backends), source=source, proxy_protocol=version, **engine.pool)])
    with Postern(lab, config) as postern:
        result = client(lab, "sessions", "--count", count, "--concurrency", 50, to=VIPS)
        assert result["ok"] == count and not result["errors"], result
        engine.assert_carried(postern.wait_sessions(count), 0.95)
        assert postern.counters()["headers_sent"] == count
    for server in servers:
        assert server.stop()["bad_headers"] == 0


@pytest.mark.topology(backends=1)
def test_a_v6_client_reaches_a_v4_only_backend_of_a_gateway_pool_with_its_own_address_in_the_header(lab):
    config = configuration([pool(backend_lines(lab.backends, families=[4]), source="gateway", proxy_protocol="v2")])
    with Postern(lab, config), scripted_server(lab.backends[0]) as server:
        s = lab.connect(VIP6)
        own = s.getsockname()
        backend, peer = server.accept()
        assert peer[0] == "10.2.0.1"
        wanted = header("v2", own, VIP6)
        assert receive(backend, len(wanted)) == wanted
        s.close()
        backend.close()


@pytest.mark.topology(backends=2)
def test_each_pool_has_its_own_header(lab):
    listeners = [{"name": "plain", "address": [f"{VIP4}:25"], "pool": "off"},
                 {"name": "headed", "address": [f"{VIP4}:587"], "pool": "v1"}]
    pools = [pool(backend_lines(lab.backends[:1]), name="off"),
             pool(backend_lines(lab.backends[1:]), name="v1", proxy_protocol="v1")]
    with Postern(lab, configuration(pools, listeners)), scripted_server(lab.backends[0]) as bare, \
            scripted_server(lab.backends[1]) as headed:
        with lab.connect(VIP4, 25) as s:
            s.sendall(b"first words")
            with bare.accept()[0] as backend:
                assert receive(backend, 11) == b"first words"
        with lab.connect(VIP4, 587) as s:
            wanted = header("v1", s.getsockname(), VIP4, 587)
            with headed.accept()[0] as backend:
                assert receive(backend, len(wanted)) == wanted


@FAMILIES
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.topology(backends=1)
def test_a_v2_header_says_of_which_source_the_client_is(lab, version, vip):
    value = "partners of " + "x" * 52  # the longest there may be
    sources = "sources:\n" \
        f"  partners: {{prefixes: [198.51.200.0/24, '2001:db8:c:2::/64'], tlv: {{type: 0xE7, value: {value}}}}}\n" \
        "  near: {prefixes: [198.51.0.0/16, '2001:db8:c::/48'], tlv: {value: near}}\n" \
        "  office: {prefixes: [198.51.201.0/24, '2001:db8:c:3::/64']}\n"
    said = {("198.51.200.7", "2001:db8:c:2::7"): b"\xe7\x00\x40" + value.encode(),
            ("198.51.101.7", "2001:db8:c:1::7"): b"\xe0\x00\x04near", ("198.51.201.7", "2001:db8:c:3::7"): b""}
    config = configuration([pool(backend_lines(lab.backends), source="gateway", proxy_protocol=version)])
    with Postern(lab, sources + config) as postern, scripted_server(lab.backends[0], family=family_of(vip)) as server:
        for hosts, tlv in said.items():
            with lab.connect(vip, source=hosts[vip == VIP6]) as s:
                s.sendall(b"QUIT\r\n")
                wanted = header(version, s.getsockname(), vip, tlvs=tlv) + b"QUIT\r\n"
                with server.accept()[0] as backend:
                    assert receive(backend, len(wanted)) == wanted
        postern.reload(config)
        with lab.connect(vip, source=hosts[vip == VIP6]) as s:
            s.sendall(b"QUIT\r\n")
            wanted = header(version, s.getsockname(), vip) + b"QUIT\r\n"
            with server.accept()[0] as backend:
                assert receive(backend, len(wanted)) == wanted
