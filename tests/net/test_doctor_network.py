# SPDX-License-Identifier: Apache-2.0
"""
posternctl doctor, the checks that send: each mistake that is planted is found, the right one is named first with what mends it,
and a right setup has no finding.
"""
import contextlib
import json

import pytest

from daemon import Postern, backend_lines, build_directory, configuration, listener, pool
from lab import VIP4, VIP6, Lab, hostport
from mta import DIRECT, DOMAIN, PROXY, Dovecot, Exim, Haraka, OpenSmtpd, Postfix
from nsd import Nsd

GOOD, WRONG = 0, 2
SENDING = "return-path,proxy-protocol,proxy-strangers,gateway-trust,relay,path-mtu"
QUICK = {"check": {"timeout": "7s"}, "timeouts": {"connect": "2s"}}
GATEWAY4, GATEWAY6 = "10.2.0.1", "2001:db8:2::1"
STRANGER4 = "198.51.100.25"
pytestmark = pytest.mark.together


class Patient:
    """A gateway with a configuration, in which doctor looks around; it must leave the gateway as it found it."""

    def __init__(self, lab, directory):
        self.lab, self.file = lab, directory / "postern.yaml"

    def configure(self, *pools, gateway=None):
        listeners = [listener([hostport(VIP4, 25 + n), hostport(VIP6, 25 + n)], name=p["name"], to=p["name"])
                     for n, p in enumerate(pools)]
        self.file.write_text(configuration(pools, listeners, gateway))

    def doctor(self, *options, only=SENDING, file=None):
        program = build_directory() / "tools" / "posternctl" / "posternctl"
        before = self.lab.host_state()
        done = self.lab.gateway.run(program, "doctor", "-f", file or self.file, "--json", "--only", only, *options,
                                    check=False, timeout=120)
        assert done.stderr == "" and done.returncode in (GOOD, WRONG), done
        assert self.lab.host_state() == before
        report = json.loads(done.stdout)
        assert (report["first"] is None) == (done.returncode == GOOD), report
        return report

    def assert_well(self, **kw):
        report = self.doctor(**kw)
        assert not grave(report), report["findings"]
        return report


def grave(report):
    return [f for f in report["findings"] if f["verdict"] in ("failed", "warning")]


def text(finding, part):
    return "\n".join(finding[part])


def inbound(backends, port=DIRECT, families=(4, 6), name="inbound", **settings):
    return pool(backend_lines(backends, port=port, families=families), name=name, **{**QUICK, **settings})


@pytest.fixture(scope="module")
def lab():
    with Lab(backends=2) as made:
        yield made


@pytest.fixture(scope="module")
def postfix(lab, tmp_path_factory):
    with Postfix(lab.backends[0], tmp_path_factory.mktemp("mta")) as mta:
        yield mta


@pytest.fixture
def patient(lab, tmp_path):
    return Patient(lab, tmp_path)


@contextlib.contextmanager
def firewall(namespace, *rules, hook="input"):
    """Rules of a host's own firewall, in the table and chain that Debian's nftables.conf has."""
    namespace.run("nft", "-f", "-", input="\n".join([
        "add table inet filter", f"add chain inet filter {hook} {{ type filter hook {hook} priority filter; }}",
        *(f"add rule inet filter {hook} {rule}" for rule in rules), ""]))
    try:
        yield
    finally:
        namespace.run("nft", "delete", "table", "inet", "filter")


@contextlib.contextmanager
def changed(namespace, do, undo):
    namespace.ip(*do)
    try:
        yield
    finally:
        namespace.ip(*undo)


# ---- the way to the backends, and back ----------------------------------------------------------------------------------------


def no_default_route(lab, v6=False):
    b = lab.backends[0]
    ip, host, gateway = ("-6 ", b.v6, GATEWAY6) if v6 else ("", b.v4, GATEWAY4)
    return changed(b, [f"{ip}route del default"], [f"{ip}route replace default via {gateway} src {host}"])


def other_default_route(lab):
    b = lab.backends[0]
    return changed(b, ["link add other type dummy", "link set other up", "route replace default dev other"],
                   ["link del other", f"route replace default via {GATEWAY4} src {b.v4}"])


@contextlib.contextmanager
def second_cable(lab):
    """The backend's answers come by a second link, to which the gateway knows no route."""
    b, gateway = lab.backends[0], lab.gateway
    gateway.ip(f"link add b9 type veth peer name eth9 netns {b.name}", "link set b9 up", "addr add 10.2.9.1/24 dev b9")
    b.ip("link set eth9 up", "addr add 10.2.9.2/24 dev eth9", f"route replace default via 10.2.9.1 src {b.v4}")
    gateway.wait_links()
    try:
        yield
    finally:
        gateway.ip("link del b9")
        b.ip(f"route replace default via {GATEWAY4} src {b.v4}")


@contextlib.contextmanager
def reverse_path_filter(lab):
    """A rule that leads away from the backend what would answer it; and a filter that minds."""
    with changed(lab.gateway, ["route add default dev c0 table 77", "rule add pref 99 from 198.51.100.0/24 ipproto tcp sport 25 lookup 77"],
                 ["rule del pref 99", "route del default table 77"]):
        lab.gateway.sysctl("net.ipv4.conf.b0.rp_filter", 1)
        try:
            yield
        finally:
            lab.gateway.sysctl("net.ipv4.conf.b0.rp_filter", 0)


def rule_before(lab):
    return changed(lab.gateway, ["rule add pref 5 lookup main"], ["rule del pref 5"])


def no_route(lab):
    return changed(lab.gateway, [f"route del {lab.backends[0].v4}/32"], [f"route add {lab.backends[0].v4}/32 dev b0"])


def prohibited(lab):
    return changed(lab.gateway, [f"route replace prohibit {lab.backends[0].v4}/32", f"route del {lab.backends[0].v4}/32 dev b0"],
                   [f"route del prohibit {lab.backends[0].v4}/32", f"route add {lab.backends[0].v4}/32 dev b0"])


def no_neighbour(lab):
    b = lab.backends[0]
    return changed(b, [f"addr del {b.v4}/32 dev eth0"],
                   [f"addr add {b.v4}/32 dev eth0", f"route replace default via {GATEWAY4} src {b.v4}"])


def backend_firewall(*rules):
    return lambda lab: firewall(lab.backends[0], *rules)


ONLY_NEIGHBOURS = "ip saddr != 10.2.0.0/24 tcp dport 25"

# What is planted; what is seen, and a part of what mends it.
WAYS_LOST = {
    "no-default-route": (no_default_route, "not even the answer to a ping", "ip route replace default via 10.2.0.1"),
    "no-default-route-v6": (lambda lab: no_default_route(lab, v6=True), "not even the answer to a ping",
                            "ip -6 route replace default via 2001:db8:2::1"),
    "other-default-route": (other_default_route, "not even the answer to a ping", "ip route replace default via 10.2.0.1"),
    "backend-drops-strangers": (backend_firewall(f"{ONLY_NEIGHBOURS} drop"), "a ping from 198.51.100.25 was answered",
                                "nft insert rule inet filter input tcp dport 25 accept"),
    "backend-resets-strangers": (backend_firewall(f"{ONLY_NEIGHBOURS} reject with tcp reset"), "RST",
                                 "nft insert rule inet filter input tcp dport 25 accept"),
    "backend-forbids-strangers": (backend_firewall(f"{ONLY_NEIGHBOURS} reject with icmpx admin-prohibited"), "a firewall forbids it",
                                  "nft insert rule inet filter input tcp dport 25 accept"),
    "backend-drops-all": (backend_firewall("ip saddr 0.0.0.0/0 tcp dport 25 drop"), "the SYN was not answered", "nft list ruleset"),
    "second-cable": (second_cable, "its answer came in by b9", "ip route replace 10.2.0.11 dev b9"),
    "reverse-path-filter": (reverse_path_filter, "a reverse path filter dropped", "sysctl -w net.ipv4.conf.b0.rp_filter=0"),
    "rule-before-ours": (rule_before, "this host sent it on by c0", "ip rule show"),
    "gateway-drops-answers": (lambda lab: firewall(lab.gateway, "iifname b0 ip version 4 tcp sport 25 drop"), "disappeared on this host",
                              "nft list ruleset"),
    "no-route": (no_route, "unreachable", "ip route add 10.2.0.11 dev INTERFACE"),
    "prohibited": (prohibited, "ermission denied", "ip route get 10.2.0.11"),
    "no-neighbour": (no_neighbour, "o route to host", "ip neigh show to 10.2.0.11"),
}


@pytest.mark.parametrize("planted", WAYS_LOST)
def test_a_way_that_is_lost_is_told_by_its_cause(lab, postfix, patient, planted):
    plant, seen, mend = WAYS_LOST[planted]
    patient.configure(inbound(lab.backends[:1], timeouts={"connect": "4s"}))
    with plant(lab):
        report = patient.doctor()
    found = grave(report)
    assert [f["check"] for f in found] == ["return-path"] * len(found) and found, report["findings"]
    first = report["first"]
    assert seen in text(first, "seen") and mend in text(first, "mend"), first
    assert len(found) == (2 if planted == "rule-before-ours" and "-6" in planted else 1), found
    patient.assert_well()
