# SPDX-License-Identifier: Apache-2.0
"""
posternctl doctor, the checks that send: of a way to a backend, or back from it, it tells what is lost where; names, and what it leaves
on the host. Each planted mistake is the first to be named, with what mends it.
"""
import contextlib
import signal
import subprocess
import time

import pytest

from daemon import DEADLINE, build_directory
from lab import VIP4, VIP6
from mta import DOMAIN
from nsd import Nsd
from patient import GATEWAY4, GATEWAY6, Patient, changed, firewall, grave, inbound, lab, postfix, text  # noqa: F401

pytestmark = [pytest.mark.together, pytest.mark.heavy]


# ---- the way to the backends, and back ----------------------------------------------------------------------------------------


def no_default_route(lab, v6=False):
    b = lab.backends[0]
    ip, host, gateway = ("-6 ", b.v6, GATEWAY6) if v6 else ("", b.v4, GATEWAY4)
    return changed(b, [f"{ip}route del default"], [f"{ip}route replace default via {gateway} src {host}"])


def other_default_route(lab):
    b = lab.backends[0]
    return changed(b, ["link add other type veth peer name end", "link set other up", "link set end up", "route replace default dev other"],
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
def marks_are_martians(lab):
    """What wg-quick sets, beside what systemd sets."""
    lab.gateway.sysctl("net.ipv4.conf.all.src_valid_mark", 1)
    lab.gateway.sysctl("net.ipv4.conf.b0.rp_filter", 2)
    try:
        yield
    finally:
        lab.gateway.sysctl("net.ipv4.conf.all.src_valid_mark", 0)
        lab.gateway.sysctl("net.ipv4.conf.b0.rp_filter", 0)


def rule_before(lab):
    return changed(lab.gateway, ["rule add pref 5 lookup main"], ["rule del pref 5"])


def no_route(lab):
    return changed(lab.gateway, [f"route del {lab.backends[0].v4}/32"], [f"route add {lab.backends[0].v4}/32 dev b0"])


def prohibited(lab):
    return changed(lab.gateway, [f"route replace prohibit {lab.backends[0].v4}/32"],
                   [f"route replace {lab.backends[0].v4}/32 dev b0"])


@contextlib.contextmanager
def no_neighbour(lab):
    b = lab.backends[0]
    with changed(b, [f"addr del {b.v4}/32 dev eth0"],
                 [f"addr add {b.v4}/32 dev eth0", f"route replace {GATEWAY4}/32 dev eth0", f"route replace default via {GATEWAY4} src {b.v4}"]):
        lab.gateway.ip(f"neigh flush to {b.v4}")
        yield
    lab.gateway.ip(f"neigh flush to {b.v4}")


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
    "marks-are-martians": (marks_are_martians, "src_valid_mark is on", "sysctl -w net.ipv4.conf.all.src_valid_mark=0"),
    "rule-before-ours": (rule_before, "the rules of this host lead it on", "ip rule show"),
    "gateway-drops-answers": (lambda lab: firewall(lab.gateway, "iifname b0 ip version 4 tcp sport 25 drop"), "disappeared on this host",
                              "nft list ruleset"),
    "no-route": (no_route, "unreachable", "ip route add 10.2.0.11 dev INTERFACE"),
    "prohibited": (prohibited, "ermission denied", "ip route get 10.2.0.11"),
    "no-neighbour": (no_neighbour, "nobody on the link answers", "ip neigh show to 10.2.0.11"),
}


@pytest.mark.parametrize("planted", WAYS_LOST)
def test_a_way_that_is_lost_is_told_by_its_cause(lab, postfix, planted):
    plant, seen, mend = WAYS_LOST[planted]
    # The kernel takes three seconds to know that nobody on the link answers.
    patient = Patient(lab, inbound(lab.backends[:1], timeouts={"connect": "4s" if plant is no_neighbour else "2s"}))
    with plant(lab):
        report = patient.report()
    assert [f["check"] for f in grave(report)] == ["return-path"], report["findings"]
    assert seen in text(report["first"], "seen") and mend in text(report["first"], "mend"), report["first"]
    patient.assert_well()


def test_several_gateways_are_named_where_answers_may_go_to_another(lab, postfix):
    zones = [{"name": "a", "gateways": 2}]
    patient = Patient(lab, inbound(lab.backends[:1], families=(4,)), gateway={"zone": "a", "zones": zones})
    with no_default_route(lab):
        first = patient.report()["first"]
    assert "with several gateways each needs its own address" in text(first, "mend"), first
    assert "ip rule add from 10.2.0.11 lookup 100" in first["mend"]


def test_a_server_that_does_not_run_is_not_taken_for_a_lost_way(lab, postfix):
    first = Patient(lab, inbound(lab.backends[:1], port=2525)).report()["first"]
    assert "RST" in text(first, "seen") and "ss -ltn 'sport = :2525'" in first["mend"]


def test_beside_a_daemon_its_own_return_path_is_proved(lab, postfix):
    patient = Patient(lab, inbound(lab.backends[:1]))
    with patient.postern as postern:
        report = patient.assert_well()
        assert not any("set up for the time of the test" in text(f, "seen") for f in report["findings"])
        with changed(lab.gateway, ["rule del fwmark 0x706f7374 pref 112"], []):
            broken = patient.report()
        assert "disappeared" in text(broken["first"], "seen") or "lead it on" in text(broken["first"], "seen"), broken["first"]
        postern.before = None


def test_a_backend_that_the_daemon_does_not_know_yet_is_proved_before_the_reload(lab, postfix):
    """Its own return path is there for the time of the test, and the daemon's rule and route are left alone."""
    patient, later = Patient(lab, inbound(lab.backends[1:], families=(4,))), Patient(lab, inbound(lab.backends[:1], families=(4,)))
    with patient.postern:
        report = later.assert_well()
        assert any("set up for the time of the test" in text(f, "seen") for f in report["findings"])


def test_a_path_that_swallows_large_packets_is_found(lab, postfix):
    backend = lab.backends[0]
    patient = Patient(lab, inbound([backend]))
    with firewall(backend, "iifname eth0 ip version 4 meta length > 1300 drop", hook="prerouting"):
        found = grave(patient.report())
    assert [f["check"] for f in found] == ["path-mtu"], found
    assert "never got this one" in text(found[0], "seen") and "tracepath 10.2.0.11" in found[0]["mend"]
    patient.assert_well()


# ---- names ----------------------------------------------------------------------------------------------------------------------

REVERSE4, REVERSE6 = "113.0.203.in-addr.arpa", "5.2.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
VIP4_PTR = [(f"25.{REVERSE4}.", "PTR", f"mail.{DOMAIN}.")]
VIP6_PTR = [("5.2." + "0." * 18 + REVERSE6 + ".", "PTR", f"mail.{DOMAIN}.")]
MAIL = [(f"mail.{DOMAIN}.", "A", VIP4), (f"mail.{DOMAIN}.", "AAAA", VIP6)]
SERVER = [(f"mx.{DOMAIN}.", "A", "203.0.113.40")]
LIST_TEST = [("2.0.0.127.bl.test.", "A", "127.0.0.2")]
GOOD_NAMES = {REVERSE4: VIP4_PTR, REVERSE6: VIP6_PTR, DOMAIN: MAIL + SERVER, "bl.test": LIST_TEST}
NAMES_WRONG = {
    "no-ptr": ({REVERSE4: []}, "vip-names", "it has no name", "25.113.0.203.in-addr.arpa. IN PTR NAME."),
    "no-ptr-v6": ({REVERSE6: []}, "vip-names", "it has no name", "IN PTR NAME."),
    "not-confirmed": ({DOMAIN: MAIL[1:] + SERVER}, "vip-names", "does not lead back", f"mail.{DOMAIN}. IN A 203.0.113.25"),
    "greets-with-no-name": ({DOMAIN: MAIL}, "vip-names", f"mx.{DOMAIN} has no address", "myhostname"),
    "listed": ({"bl.test": [*LIST_TEST, ("25.113.0.203.bl.test.", "A", "127.0.0.4")]}, "dnsbl", "bl.test lists it: 127.0.0.4",
               "dig +short TXT 25.113.0.203.bl.test"),
}


def names(lab, **zones):
    return Nsd(lab.gateway, "127.0.0.1", {**GOOD_NAMES, **zones})


def asking(lab, dns):
    return Patient(lab, inbound(lab.backends[:1]), gateway={"resolver": dns.resolver})


@pytest.mark.parametrize("planted", NAMES_WRONG)
def test_a_name_that_is_not_right_is_found(lab, postfix, planted):
    zones, check, seen, mend = NAMES_WRONG[planted]
    with names(lab, **zones) as dns:
        report = asking(lab, dns).report("--dnsbl", "bl.test", only="vip-names,dnsbl")
    assert [f["check"] for f in grave(report)] == [check], report["findings"]
    assert seen in text(report["first"], "seen") and mend in text(report["first"], "mend"), report["first"]


def test_names_that_are_right_and_lists_that_cannot_be_asked_are_no_finding(lab, postfix):
    refusing = [("2.0.0.127.refusing.test.", "A", "127.255.255.254"), ("25.113.0.203.refusing.test.", "A", "127.255.255.254")]
    with names(lab, **{"refusing.test": refusing, "silent.test": [], "broken.test": None}) as dns:
        lists = "bl.test,refusing.test,silent.test,broken.test"
        report = asking(lab, dns).assert_well(only="vip-names,dnsbl", options=["--dnsbl", lists])
    skipped = {f["about"]: text(f, "seen") for f in report["findings"] if f["verdict"] == "skipped"}
    assert "127.255.255.x" in skipped["list refusing.test"] and "127.0.0.2" in skipped["list silent.test"], skipped
    assert set(skipped) == {"list refusing.test", "list silent.test", "list broken.test"}


# ---- what it leaves ------------------------------------------------------------------------------------------------------------


def test_a_doctor_that_is_stopped_takes_away_what_it_had_set_up(lab, postfix):
    patient = Patient(lab, inbound(lab.backends[:1], families=(4,), timeouts={"connect": "20s"}))
    program = build_directory() / "tools" / "posternctl" / "posternctl"
    before = lab.host_state()
    end = time.monotonic() + DEADLINE
    with firewall(lab.backends[0], "tcp dport 25 drop"):
        doctor = lab.gateway.popen(program, "doctor", "-f", patient.postern.file, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while lab.host_state() == before:
            assert time.monotonic() < end and doctor.poll() is None
        doctor.send_signal(signal.SIGTERM)
        said = doctor.communicate(timeout=DEADLINE)[0]
    assert doctor.returncode == -signal.SIGTERM and said == b"", said
    assert lab.host_state() == before


def test_what_a_killed_daemon_has_left_is_used_and_left_alone(lab, postfix):
    patient = Patient(lab, inbound(lab.backends[:1]))
    patient.postern.start()
    patient.postern.kill()
    patient.assert_well()  # which compares the host before and after
    patient.postern.flush()
