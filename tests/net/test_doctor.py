# SPDX-License-Identifier: Apache-2.0
"""
posternctl doctor: a right setup has no finding; of a planted mistake it names the first cause, and the commands that it gives mend
it. Mistakes of this host are here.
"""
import contextlib
import dataclasses
import json
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
import typing

import pytest

from daemon import DEADLINE, backend_lines, build_directory, configuration, listener, pool
from doctor import GOOD, NO_PERMISSION, SENDING, USAGE, WRONG, Doctor, detach_program, plain
from lab import VIP4, hostport
from load import serve_all
from test_checks import checked, wait_state

SYS_IO_URING_SETUP = 425


def on_host(*args, **kw):
    return Doctor(*args, sends=False, **kw)


def by_proxy(lab):
    return configuration([pool(backend_lines(lab.backends), source="gateway", proxy_protocol="v2")])


def by_links(lab):
    """A VIP on the link of the clients, a network of VIPs, sources, limits."""
    settings = configuration([pool(backend_lines(lab.backends))],
                             [listener(["100.64.0.77:25", "203.0.113.0/28:587", "[fd00:c::77]:25"])])
    return "sources: {google: {prefixes: [192.0.2.0/24]}}\n" + settings


def without_dissolving(lab):
    return plain(lab, dissolve="off")


def dropping(lab):
    return configuration([pool(backend_lines(lab.backends))], limits={"sessions": 50, "action": "drop"})


@pytest.mark.parametrize("runs", [True, False], ids=["running", "before"])
@pytest.mark.parametrize("config", [plain, without_dissolving, by_proxy, by_links, dropping], ids=lambda f: f.__name__)
def test_a_right_setup_has_no_finding_and_nothing_is_changed(lab, runs, config):
    serve_all(lab)
    doctor = on_host(lab, config(lab))
    with doctor.postern if runs else contextlib.nullcontext():
        before = lab.host_state()
        found = doctor.look(status=GOOD)
        assert not doctor.wrong(), doctor.run().stdout
        assert lab.host_state() == before
        assert found["running"] is runs


GATE = """table inet gate {
    set mail { type inet_service; elements = { 25, 465, 587 } }
    set known { type ipv4_addr; flags dynamic; elements = { 192.0.2.1 } }
    chain raw { type filter hook prerouting priority raw; tcp dport 25 notrack; tcp sport 25 notrack; }
    chain out { type filter hook output priority raw; tcp dport 25 notrack; tcp sport 25 notrack; }
    chain marks { type filter hook prerouting priority mangle; meta mark 0 meta mark set ct mark; meta mark set meta mark or 0x100; }
    chain input {
        type filter hook input priority 0; policy drop;
        iif lo accept
        meta l4proto { icmp, ipv6-icmp } accept
        ct state invalid drop
        ct state established,related,untracked accept
        ip saddr @known drop
        tcp dport @mail jump mail
        tcp dport 25 reject
    }
    chain mail { ip saddr 192.0.2.0/24 drop; tcp dport 465 drop; accept; }
    chain forward { type filter hook forward priority 0; policy drop; tcp dport 25 drop; }
    chain block { type filter hook output priority 0; meta skuid != 0 tcp dport 25 drop; }
}
"""


def test_a_firewall_that_is_right_has_no_finding(lab):
    """It drops much, but nothing that postern needs."""
    serve_all(lab)
    doctor = on_host(lab, plain(lab))
    lab.gateway.run("nft", "-f", "-", input=GATE)
    with doctor.postern, lab.connect() as s:
        assert s.recv(4) == b"220 "
        assert not doctor.wrong(), doctor.run().stdout


# ---- mistakes ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Mistake:
    """`plant` makes it; then the check `check` is the first to find something, which says `seen`. """
    name: str
    check: str
    seen: str
    plant: typing.Callable = lambda lab, doctor: None
    config: typing.Callable = plain
    runs: bool = True   # the daemon does, when it is planted
    mends: bool = True  # the commands mend it, as they stand
    stays: str = ""     # a check that still finds something when that is mended
    wrapper: tuple = ()
    daemon: dict = dataclasses.field(default_factory=dict)


def ip(*lines):
    return lambda lab, doctor: lab.gateway.ip(*lines)


def sysctl(name, value):
    return lambda lab, doctor: lab.gateway.sysctl(name, value)


def nft(rules):
    return lambda lab, doctor: lab.gateway.run("nft", "-f", "-", input=rules)


def chain(hook, *rules, kind="filter", policy="accept", more=""):
    return nft(f"table inet gate {{ {more}\nchain {hook} {{ type {kind} hook {hook} priority 0; policy {policy};\n" +
               "\n".join(rules) + "\n}\n}\n")


def listen_everywhere(lab, doctor):
    lab.defer(lab.gateway.listen("0.0.0.0").close)


def have_the_vip_too(lab, doctor):
    lab.client.ip("addr add 100.64.0.77/32 dev lo")


def have_the_vip_of_ipv6_too(lab, doctor):
    lab.client.ip("-6 addr add fd00:c::77/128 dev c0 nodad")


def vip_on_the_link(lab):
    return configuration([pool(backend_lines(lab.backends))], [listener(["100.64.0.77:25", "[fd00:c::77]:25"])])


def backend_that_is_the_gateway(lab):
    return configuration([pool([{"name": "mta1", "address": "10.2.0.1:25"}])], [listener([f"{VIP4}:25"])])


def unplug(lab, doctor):
    lab.backends[0].ip("link set eth0 down")


def detach(interface, name):
    return lambda lab, doctor: detach_program(lab.gateway, interface, name)


def remove_the_socket(lab, doctor):
    os.unlink(doctor.postern.socket)


def change_later(lab, doctor):
    """In another second than that in which it was loaded: files and the status count in these."""
    loaded = doctor.status()["config"]["loaded_at"]
    while int(time.time()) <= loaded:
        select.select([], [], [], 0.02)
    doctor.postern.file.write_text(doctor.postern.config + "# changed\n")


def refuse_a_reload(lab, doctor):
    good = doctor.postern.config
    doctor.postern.reload(good + "unknown: 1\n", event="reload_refused")
    doctor.postern.config = good
    doctor.postern.file.write_text(good)
    os.utime(doctor.postern.file, (1, 1))


def with_state_file(lab, doctor):
    """Its directory goes away while postern runs."""
    shutil.rmtree(doctor.postern.run_directory / "state")


def with_list(text):
    def plant(lab, doctor):
        path = doctor.postern.directory / "list"
        if text is not None:
            path.write_text(text)
        settings = f"sources: {{google: {{file: {path}}}}}\n" + doctor.postern.config
        doctor.postern.file.write_text(settings)
    return plant


def in_zones(own, zones, *listed):
    gateway = {"zone": own, **({"zones": [{"name": name, "gateways": 1} for name in listed]} if listed else {})}
    return lambda lab: configuration([pool(backend_lines(lab.backends, zone=zones))], gateway=gateway)


def looked_up(lab):
    return configuration([pool([], discover={"dns": "mta.example.net", "port": 25})],
                         gateway={"resolver": hostport("127.0.0.1", 53)})


def advertise(lab, doctor):
    """A router's advertisement on c0, heeded, after which only hosts that do not forward would heed more of them."""
    lab.gateway.sysctl("net.ipv6.conf.c0.accept_ra", 2)
    with raw_icmp6(lab.client) as s:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        with lab.client.entered():
            index = socket.if_nametoindex("c0")
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, index))
        end = time.monotonic() + DEADLINE
        while "proto ra" not in lab.gateway.run("ip", "-6", "route", "show", "default").stdout:
            assert time.monotonic() < end
            select.select([], [], [], 0.02)
    lab.gateway.sysctl("net.ipv6.conf.c0.accept_ra", 1)


def raw_icmp6(namespace):
    with namespace.entered():
        return socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)


WITHOUT_BPFFS = ("unshare", "--mount", "sh", "-c", 'umount -l /sys/fs/bpf && exec "$@"', "sh")
WITHOUT_IO_URING = (sys.executable, os.path.join(os.path.dirname(__file__), "without_syscall.py"),
                    str(SYS_IO_URING_SETUP), "--")
STALE = """# domain: google.com
# looked: 2020-01-01T00:00:00Z
# ttl: 300
# serial: 1
192.0.2.0/24
"""
RESTORED_MARK = "meta mark set ct mark"
CONTAINER = "chain docker { iifname != docker0 tcp dport 25 dnat ip to 172.17.0.2:25; }"

MISTAKES = [
    Mistake("a word of the configuration that there is not", "config", "unknown key",
            lambda lab, d: d.postern.file.write_text(d.postern.config.replace("gateway:", "gatway:")), runs=False, mends=False),
    Mistake("a configuration that everybody may change", "access", "everybody on this host",
            lambda lab, d: os.chmod(d.postern.file, 0o666)),
    Mistake("no rings", "io-uring", "a seccomp filter", runs=False, mends=False, wrapper=WITHOUT_IO_URING),
    Mistake("no BPF file system", "bpf", "it is none", runs=False, mends=False, wrapper=WITHOUT_BPFFS),
    Mistake("more sessions than descriptors", "descriptors", "need",
            config=lambda lab: plain(lab, gateway={"max_sessions": 1000000}), runs=False, mends=False),
    Mistake("a process with few descriptors", "descriptors", "need",
            lambda lab, d: d.postern.limit_descriptors(100), mends=False),
    Mistake("no loopback", "loopback", "it is down", ip("link set lo down"), runs=False),
    Mistake("a loopback without IPv6", "loopback", "1", sysctl("net.ipv6.conf.lo.disable_ipv6", 1), runs=False),
    Mistake("a mail server of the gateway", "listeners", "another program does, on [0.0.0.0]:25", listen_everywhere,
            runs=False, mends=False),
    Mistake("no admin socket", "admin-socket", "no such socket", remove_the_socket, mends=False),
    Mistake("changed since", "loaded", "it was changed since", change_later),
    Mistake("a reload that was refused", "loaded", "it was refused", refuse_a_reload),
    Mistake("a capability short", "capabilities", "CAP_NET_RAW is missing", mends=False,
            daemon={"wrapper": ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw", "--"]}),
    Mistake("a VIP that ends nowhere", "plan", f"local {VIP4}", ip(f"route del local {VIP4} dev lo table local")),
    Mistake("no rule", "plan", "ip -6 rule add", ip("-6 rule del pref 112")),
    Mistake("a route in the table of postern", "plan", "another route sits in table", ip(
        "route add 198.51.0.0/16 dev c0 table 28783")),
    Mistake("a neighbour with the VIP", "duplicates", "says that it does", have_the_vip_too, vip_on_the_link, mends=False),
    Mistake("a neighbour with the VIP of IPv6", "duplicates", "says that it does", have_the_vip_of_ipv6_too, vip_on_the_link,
            mends=False),
    Mistake("no route to a backend", "routes", "there is no route to it", ip("route del 10.2.0.11"), runs=False, mends=False),
    Mistake("a backend in a black hole", "routes", "of type blackhole", ip("-6 route replace blackhole 2001:db8:2::12"),
            runs=False, mends=False),
    Mistake("a backend that is the gateway", "routes", "this very host", config=backend_that_is_the_gateway, runs=False,
            mends=False),
    Mistake("an unplugged backend", "routes", "no carrier", unplug, mends=False),
    Mistake("a strict reverse path filter", "rp-filter", "1", sysctl("net.ipv4.conf.b1.rp_filter", 1)),
    Mistake("wg-quick was here", "rp-filter", "1", sysctl("net.ipv4.conf.all.src_valid_mark", 1)),
    Mistake("a rule before ours", "rules", "takes it before", ip(
        "route add default via 100.64.0.2 table 100", "rule add pref 50 from 10.2.0.0/24 lookup 100")),
    Mistake("a rule that will be before ours", "rules", "takes it before", ip(
        "-6 route add default via fd00:c::2 table 100", "-6 rule add pref 50 from 2001:db8:2::/64 lookup 100"), runs=False),
    Mistake("a rule that forbids", "rules", "takes it before", ip("rule add pref 60 fwmark 0x70000000/0xf0000000 prohibit")),
    Mistake("the return program detached", "programs", '"return_path"', detach("b0", "return_path")),
    Mistake("the dissolve program detached", "programs", '"dissolve"', detach("c0", "dissolve")),
    Mistake("the admit program detached", "programs", '"admit"', detach("c0", "admit"), dropping),
    Mistake("port 25 redirected", "firewall", "is sent to another", chain(
        "prerouting", "tcp dport 25 redirect to :2525", kind="nat"), stays="conntrack"),
    Mistake("port 25 of a container", "firewall", "is sent to another", chain(
        "prerouting", "fib daddr type local jump docker", kind="nat", more=CONTAINER), stays="conntrack"),
    Mistake("port 25 dropped", "firewall", "is dropped", chain("input", "tcp dport { 25, 110 } drop")),
    Mistake("nothing let in", "firewall", "is dropped", chain("input", "iif lo accept", "tcp dport 22 accept",
                                                             "tcp sport 25 accept", policy="drop")),
    Mistake("port 25 outwards", "firewall", "is dropped", chain("output", "meta skuid 105 accept", f"ip daddr 10.2.0.0/24 tcp dport 25 reject")),
    Mistake("iptables", "firewall", "is dropped", lambda lab, d: lab.gateway.run(
        "nft", "add table ip filter; add chain ip filter INPUT { type filter hook input priority 0; }; "
               f"add rule ip filter INPUT ip daddr {VIP4} tcp dport 25 counter drop")),
    Mistake("marks overwritten", "firewall", "loses the mark", chain("prerouting", RESTORED_MARK)),
    Mistake("advertisements that count no more", "router-adverts", "1", advertise),
    Mistake("no forwarding", "forwarding", "0", sysctl("net.ipv4.ip_forward", 0)),
    Mistake("no forwarding of IPv6", "forwarding", "0", sysctl("net.ipv6.conf.all.forwarding", 0)),
    Mistake("no timestamps", "tcp", "0", sysctl("net.ipv4.tcp_timestamps", 0)),
    Mistake("no cookies", "tcp", "0", sysctl("net.ipv4.tcp_syncookies", 0)),
    Mistake("a short backlog", "tcp", "128", sysctl("net.core.somaxconn", 128)),
    Mistake("connections of other ports tracked", "conntrack", "they are tracked", chain("forward", "ct state invalid drop"), by_links),
    Mistake("connections tracked", "conntrack", "they are tracked", chain("forward", "ct state invalid drop")),
    Mistake("a zone mistyped", "config", "no backend stands in the zone", config=in_zones("wset", ["west", "east"]), runs=False,
            mends=False),
    Mistake("all in one zone", "zones", "all 2 stand in east", config=in_zones("west", ["east", "east"], "west", "east"),
            mends=False),
    Mistake("a resolver that is silent", "resolver", "", config=looked_up, runs=False, mends=False),
    Mistake("a list that is not there", "sources", "No such file", with_list(None), runs=False, mends=False),
    Mistake("a list of names", "sources", "more than a tenth of its lines", with_list("google.com\nexample.net\n"), runs=False, mends=False),
    Mistake("a list that nobody keeps", "sources", "hours ago", with_list(STALE), runs=False, mends=False),
    Mistake("no place for what operators set", "state-file", "No such file", with_state_file),
]


def commands(doctor, finding):
    """What it gives to mend it, as a shell would take it: with remarks."""
    tool = build_directory() / "tools" / "posternctl" / "posternctl"
    return "\n".join(finding["mend"]).replace("posternctl ", f"{tool} -s {doctor.postern.socket} ")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name.replace(" ", "-"))
def test_a_planted_mistake_is_named_first_and_mended_by_its_commands(lab, mistake):
    serve_all(lab)
    doctor = on_host(lab, mistake.config(lab), **mistake.daemon)
    if mistake.check == "state-file":
        (doctor.postern.run_directory / "state").mkdir()
        doctor.postern.config = doctor.postern.with_admin(mistake.config(lab), state_file=str(
            doctor.postern.run_directory / "state" / "postern"))
        doctor.postern.file.write_text(doctor.postern.config)
    if mistake.runs:
        doctor.postern.start()
        doctor.postern.before = None  # the story itself changes the host
        doctor.status()  # by now it has seen the routes that it has made itself, and looks at nothing by itself
    mistake.plant(lab, doctor)
    done = doctor.run("--json", wrapper=mistake.wrapper)
    wrong = doctor.grave(json.loads(done.stdout))
    assert wrong and wrong[0]["check"] == mistake.check, doctor.run(wrapper=mistake.wrapper).stdout
    assert mistake.seen in "\n".join(wrong[0]["seen"]), wrong[0]
    assert all(wrong[0][part] for part in ("tried", "seen", "why", "mend")), wrong[0]
    assert done.returncode == (WRONG if any(f["verdict"] == "failed" for f in wrong) else GOOD), done
    if mistake.mends:
        for finding in wrong:
            if finding["check"] == mistake.check:
                lab.gateway.run("sh", "-ec", commands(doctor, finding))
        assert not [f for f in doctor.wrong() if f["check"] != mistake.stays], doctor.run().stdout


# ---- what it prints, and exits with -----------------------------------------------------------------------------------------


PARTS = ["tried", "seen", "why", "mend"]


def test_the_document_has_what_the_manual_says(lab):
    doctor = on_host(lab, plain(lab))
    lab.gateway.sysctl("net.ipv4.tcp_syncookies", 0)
    doctor.run("--strict", status=WRONG)
    found = doctor.look(status=GOOD)
    assert set(found) == {"format", "version", "now", "file", "gateway", "running", "pid", "verdict", "counts", "first", "findings"}
    assert (found["format"], found["gateway"], found["running"], found["pid"], found["verdict"]) == (1, "gw1", False, 0, "warning")
    assert abs(found["now"] - time.time()) < DEADLINE and found["file"] == str(doctor.postern.file)
    listed = [line.split()[0] for line in doctor.run("--list", status=GOOD).stdout.splitlines()]
    assert list(dict.fromkeys(f["check"] for f in found["findings"])) == [c for c in listed if c not in SENDING]
    for f in found["findings"]:
        assert list(f) == ["check", "verdict", "about", *PARTS]
        assert all(isinstance(line, str) for part in PARTS for line in f[part])
    for verdict, count in found["counts"].items():
        assert count == sum(f["verdict"] == verdict for f in found["findings"])
    assert found["first"] in found["findings"] and found["first"]["check"] == "tcp"


def test_the_text_is_for_a_ticket_and_says_what_to_mend_first(lab):
    doctor = on_host(lab, plain(lab))
    lab.gateway.ip("link set lo down")
    lab.gateway.sysctl("net.ipv4.tcp_timestamps", 0)
    text = doctor.run(status=WRONG).stdout
    head, *_ = text.split("\n")
    assert re.fullmatch(r"postern doctor [\d.]+ at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", head)
    assert "gateway gw1" in text and str(doctor.postern.file) in text and "postern does not run" in text
    assert "\033" not in text and text.isascii()
    assert text.endswith("Mend this first: loopback, interface lo\n    ip link set lo up\n")
    assert text.index("failed   loopback") < text.index("warning  tcp")


def test_chosen_checks_run_alone_and_unknown_ones_are_refused(lab):
    doctor = on_host(lab, plain(lab))
    found = doctor.look("--only", "tcp,loopback", status=GOOD)
    assert [f["check"] for f in found["findings"]] == ["loopback", "tcp"]
    assert "no check 'lopback'" in doctor.run("--only", "lopback", status=USAGE).stderr


def test_without_root_it_says_what_it_could_not_look_at(lab):
    doctor = on_host(lab, plain(lab))
    os.chmod(doctor.postern.directory, 0o755)
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
    found = doctor.look(wrapper=nobody, status=NO_PERMISSION)
    skipped = [f["check"] for f in found["findings"] if "only root" in "".join(f["seen"])]
    assert "firewall" in skipped and "routes" not in skipped
    doctor.run("--only", "routes", wrapper=nobody, status=GOOD)


def test_a_file_to_come_is_looked_at_beside_a_running_postern(lab, tmp_path):
    """What it needs and what is not there yet is no mistake; what would keep it from working is."""
    serve_all(lab)
    doctor = on_host(lab, plain(lab))
    file = tmp_path / "new.yaml"
    file.write_text(doctor.postern.config.replace(VIP4, "203.0.113.99"))
    with doctor.postern:
        assert not doctor.wrong(file=file), doctor.run(file=file).stdout
        file.write_text(doctor.postern.config.replace("10.2.0.11", "10.9.9.9"))
        assert [f["check"] for f in doctor.wrong(file=file)] == ["routes"]


def test_backends_that_were_found_are_looked_at_too(lab, tmp_path):
    """They stand in no configuration: only the running postern knows them."""
    serve_all(lab)
    here, away = lab.backends
    file = tmp_path / "backends.yaml"
    file.write_text(f"- {{name: {away.label}, address: [\"{away.v4}:25\", \"[{away.v6}]:25\"]}}\n")
    doctor = on_host(lab, configuration([pool(backend_lines([here]), discover={"file": str(file)})]))
    with doctor.postern:
        doctor.postern.wait(event="discovered")
        assert not doctor.wrong(), doctor.run().stdout
        detach_program(lab.gateway, away.interface, "return_path")
        finding, = doctor.wrong()
        assert (finding["check"], finding["about"]) == ("programs", f"interface {away.interface}")


def test_a_log_without_room_and_a_clock_that_nobody_keeps_are_told(lab):
    doctor = on_host(lab, plain(lab))
    small = doctor.postern.directory
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "none", small], check=True)
    lab.defer(subprocess.run, ["umount", "-l", small])
    doctor.postern.file.write_text(doctor.postern.config)
    with doctor.postern:
        log, clock = doctor.look("--only", "log,clock")["findings"]
        assert log["verdict"] == "warning" and log["seen"][0].endswith("KiB"), log
        done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
        assert (clock["verdict"] == "ok") == (done.stdout.strip() == "kept"), clock


KEPT = """
import ctypes
t = (ctypes.c_int * 128)()  # struct timex; the status is its sixth word of eight bytes
print("lost" if ctypes.CDLL(None).adjtimex(t) == 5 or t[10] & 0x40 else "kept")
"""


def test_what_the_running_postern_finds_wrong_is_told_last(lab):
    doctor = on_host(lab, checked(lab))
    with doctor.postern:
        for b in lab.backends:
            wait_state(doctor.postern, b, "down")
        wrong = doctor.wrong()
        assert {f["check"] for f in wrong} == {"trouble"} and any("inbound" in f["about"] for f in wrong), wrong
