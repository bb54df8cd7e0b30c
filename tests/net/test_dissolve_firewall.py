# SPDX-License-Identifier: Apache-2.0
"""The gateway's own firewall, connection tracking and captures: what they see of a dissolved session, and what not."""
import json
import socket
import time

import pytest

from dissolving import Dissolving, Session, plain
from lab import VIP4, VIP6, family_of
from peers import DEADLINE, Stream, close_last, receive, scripted_server

BOTH_FAMILIES = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])
MEBI = 1 << 20
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")

STATEFUL = """
table inet gate {
    chain input {
        type filter hook input priority 0; policy drop;
        iif lo accept
        meta l4proto { icmp, icmpv6 } accept
        ct state invalid counter drop
        ct state established,related accept
        tcp dport 25 ct state new accept
    }
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state invalid counter drop
        ct state established,related accept
    }
    chain output {
        type filter hook output priority 0;
        ct state invalid counter drop
    }
}
"""

UNTRACKED = STATEFUL.replace("established,related accept", "established,related,untracked accept") + """
table inet gate {
    chain raw_prerouting { type filter hook prerouting priority raw; tcp dport 25 notrack; tcp sport 25 notrack; }
    chain raw_output { type filter hook output priority raw; tcp dport 25 notrack; tcp sport 25 notrack; }
}
"""


def count_in_each_hook(gateway):
    rules = "table inet look {\n"
    for hook in HOOKS:
        rules += f"chain {hook} {{ type filter hook {hook} priority -200; meta l4proto tcp counter; }}\n"
    rules += "}\ntable netdev look {\n"
    for interface in ("c0", "b0"):
        for hook in ("ingress", "egress"):
            rules += (f"chain {hook}_{interface} {{ type filter hook {hook} device {interface} priority 0; "
                      "meta protocol { ip, ip6 } meta l4proto tcp counter; }\n")
    gateway.run("nft", "-f", "-", input=rules + "}\n")


def counted(gateway, table="look", families=("inet", "netdev")):
    """By chain: packets that its counters have seen."""
    found = {}
    listed = [gateway.run("nft", "-j", "list", "table", family, table).stdout for family in families]
    for item in (item for text in listed for item in json.loads(text)["nftables"]):
        for part in item.get("rule", {}).get("expr", []):
            if "counter" in part:
                chain = item["rule"]["chain"]
                found[chain] = found.get(chain, 0) + part["counter"]["packets"]
    return found


def tracked(gateway):
    with gateway.entered(), open("/proc/sys/net/netfilter/nf_conntrack_count", encoding="ascii") as f:
        return int(f.read())


def a_megabyte(sender, receiver):
    streams = [Stream(sender, MEBI), Stream(receiver, MEBI, receiving=True)]
    for stream in streams:
        stream.join()
    assert streams[1].sum == Stream.checksum(MEBI)


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_no_netfilter_hook_sees_a_dissolved_session_and_rules_set_later_do_not_stop_it(lab, vip):
    count_in_each_hook(lab.gateway)
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        descriptors = postern.descriptors()
        s = Session(lab, server, vip).dissolve(postern)
        postern.wait_descriptors(descriptors)  # its sockets may still acknowledge something
        before = counted(lab.gateway)
        assert before["input"] > 0 and before["ingress_c0"] > 0 and before["egress_b0"] > 0, before
        lab.gateway.run("nft", "-f", "-", input="table inet shut { chain f { type filter hook prerouting priority -300; "
                                                "meta l4proto tcp drop; }\n}\n")
        a_megabyte(*s.ends)
        a_megabyte(*s.ends[::-1])
        assert counted(lab.gateway) == before
        lab.gateway.run("nft", "delete", "table", "inet", "shut")
        s.close()
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["bytes_in"]) == ("yes", str(s.sent + MEBI))


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_a_blackhole_route_cuts_a_client_off_in_a_dissolved_session_too(lab, vip):
    """Routes count for every packet, also those that come later."""
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        s = Session(lab, server, vip).dissolve(postern)
        me = s.client.getsockname()[0]
        hole = f"-6 route %s blackhole {me}/128" if vip == VIP6 else f"route %s blackhole {me}/32"
        lab.gateway.ip(hole % "add")
        asked, question = 0, b"250 are you there?\r\n"
        end = time.monotonic() + DEADLINE
        while postern.counters()["program_no_route"] == 0:  # until the daemon has heard of it
            assert time.monotonic() < end, postern.tail()
            s.backend.sendall(question)
            asked += 1
        lab.gateway.ip(hole % "del")
        assert receive(s.client, asked * len(question)) == asked * question
        s.close()
        postern.wait_sessions(1, dissolved="yes")


@pytest.mark.parametrize("firewall", [STATEFUL, UNTRACKED], ids=["tracked", "untracked"])
@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_behind_a_stateful_firewall_sessions_dissolve_and_ports_come_back(lab, vip, firewall):
    """
    Connection tracking sees the beginning of a session only and takes it to be alive for days. When a port comes back, it
    calls some first packets invalid: they pass when repeated. With notrack there is no such delay, and nothing is kept.
    """
    tuple_of = {"source": "2001:db8:c::9" if vip == VIP6 else "198.51.100.9", "source_port": 4025}
    lab.gateway.run("nft", "-f", "-", input=firewall)
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        before = tracked(lab.gateway)
        for number in range(4):
            s = Session(lab, server, vip, **tuple_of).dissolve(postern, number + 1)
            s.backend.close()
            assert s.client.recv(1) == b""
            close_last(s.client)
        s = Session(lab, server, vip).dissolve(postern, 5)
        a_megabyte(*s.ends)
        s.close()
        assert {line["dissolved"] for line in postern.wait_sessions(5)} == {"yes"}
        if firewall == STATEFUL:
            assert tracked(lab.gateway) - before >= 4  # two tuples, each tracked on both sides
        else:
            assert tracked(lab.gateway) == before
            assert not any(counted(lab.gateway, "gate", ["inet"]).values())


class Capture:
    """What tcpdump would see: TCP packets with payload at an interface, by direction."""

    def __init__(self, namespace, interface):
        with namespace.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
            self.socket.bind((interface, 0x0003))
        self.socket.settimeout(20)

    def next(self, payload):
        """(comes in or goes out, source address) of the next packet that ends with the payload."""
        while True:
            packet, link = self.socket.recvfrom(1 << 16)
            if packet.endswith(payload):
                v4 = link[1] == 0x0800
                source = socket.inet_ntop(*(((socket.AF_INET, packet[12:16])) if v4 else (socket.AF_INET6, packet[8:24])))
                return "out" if link[2] == socket.PACKET_OUTGOING else "in", source

    def close(self):
        self.socket.close()


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_a_capture_on_the_gateway_sees_both_halves_of_a_dissolved_session(lab, vip):
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        s = Session(lab, server, vip).dissolve(postern)
        captures = [Capture(lab.gateway, interface) for interface in ("c0", "b0")]
        me, backend = s.client.getsockname()[0], lab.backends[0].address(family_of(vip))
        s.say(b"question\r\n", b"250 answer\r\n")
        for payload, wanted in ((b"question\r\n", [("in", me), ("out", me)]),
                                (b"250 answer\r\n", [("out", vip), ("in", backend)])):
            assert [capture.next(payload) for capture in captures] == wanted
        for capture in captures:
            capture.close()
        s.close()
        postern.wait_sessions(1, dissolved="yes")
