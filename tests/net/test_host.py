# SPDX-License-Identifier: Apache-2.0
"""What postern does to the host is visible and undone; what is not its own passes it untouched."""
import contextlib
import socket

import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6, attached_programs, hostport
from load import CLIENTS4, CLIENTS6, client, serve_all, start_client
from peers import converse, receive, smtp_session


def plain(lab, **settings):
    return configuration([pool(backend_lines(lab.backends), **settings)])


def words(plan):
    """The first word of each line of a plan: add, keep, remove, note."""
    return [line.split()[0] for line in plan.splitlines()]


# Every interface may lead to a client or a backend of a dissolved session; answers to the relay come from backends only.
EVERY, TOWARDS_BACKENDS = ["dissolve"], ["dissolve", "return_path"]


def test_the_plan_shows_everything_and_does_nothing(lab):
    postern = Postern(lab, plain(lab))
    before = lab.host_state()
    done = postern.run("--plan")
    assert done.returncode == 0, done.stderr
    assert lab.host_state() == before
    assert set(words(done.stdout)) == {"add"}
    for part in ("ip rule add", "ip -6 rule add", f"local {VIP4}", f"local {VIP6}", "tcx ingress on b0", "tcx ingress on b1",
                 "tcx ingress on c0, pinned", f"pinned: {lab.gateway.pins()}", "sk_lookup"):
        assert part in done.stdout, f"{part} is missing in the plan:\n{done.stdout}"


def test_what_the_plan_shows_is_what_the_daemon_adds(lab):
    """Each command of the plan, run by hand, must leave exactly what the daemon leaves."""
    postern = Postern(lab, plain(lab))
    plan = postern.run("--plan").stdout
    before = lab.host_state()
    with postern:
        running = lab.host_state()
    commands = [line.split("#")[0].split()[1:] for line in plan.splitlines() if line.split()[1] == "ip"]
    assert len(commands) == 6
    for command in commands:
        lab.gateway.run(*command)
    by_hand = lab.host_state()
    assert {k: v for k, v in by_hand.items() if "ip" in k} == {k: v for k, v in running.items() if "ip" in k}
    assert by_hand != before
    assert running["bpf"] == {"sk_lookup": ["catch_lookup"], "b0 ingress": TOWARDS_BACKENDS, "b1 ingress": TOWARDS_BACKENDS,
                              "c0 ingress": EVERY}
    assert plan.count("bpf link: ") == sum(map(len, running["bpf"].values())), plan
    assert len({line.split("/")[0] for line in running["pins"]}) == plan.count("  pinned: ") == 1
    assert not by_hand["pins"] and not by_hand["bpf"]


def test_without_dissolving_nothing_is_pinned_and_only_the_return_path_attached(lab):
    postern = Postern(lab, plain(lab, dissolve="off"))
    assert "pinned" not in postern.run("--plan").stdout
    with postern:
        running = lab.host_state()
    assert running["bpf"] == {"sk_lookup": ["catch_lookup"], "b0 ingress": ["return_path"], "b1 ingress": ["return_path"]}
    assert running["pins"] == []


def test_leftovers_of_a_kill_are_found_reused_and_removed(lab):
    serve_all(lab)
    with Postern(lab, plain(lab)) as postern:
        s = lab.connect()
        converse(s, "", "220")
        postern.kill()
        left = lab.host_state()
        assert left != postern.before and left["bpf"] == dict.fromkeys(("b0 ingress", "b1 ingress", "c0 ingress"), EVERY)
        with pytest.raises(ConnectionRefusedError):
            lab.connect()
        plan = postern.run("--plan").stdout
        assert words(plan).count("keep") == 6 + 3 + 1, plan  # rules and routes, pinned links, the table
        postern.start()
        assert postern.lines(event="host_set_up")[0] | {"added": "0", "found": "6", "removed": "0"} == \
            postern.lines(event="host_set_up")[0]
        with lab.connect() as again:
            smtp_session(again)
        s.close()


def test_leftovers_that_are_wanted_no_more_are_removed(lab):
    old = Postern(lab, configuration([pool(backend_lines(lab.backends))],
                                     [{"name": "mx", "address": ["203.0.113.99:25", f"{VIP4}:25"], "pool": "inbound"}]))
    old.start()
    before = old.before
    old.kill()
    with Postern(lab, plain(lab)) as postern:
        assert int(postern.lines(event="host_set_up")[0]["removed"]) == 1
        assert "203.0.113.99" not in lab.gateway.run("ip", "route", "show", "table", "all").stdout
        postern.before = before


def test_rules_and_routes_of_others_stay(lab):
    lab.gateway.ip("rule add fwmark 7 lookup 100 priority 100", "route add local default dev lo table 100",
                   "route add local 203.0.113.77 dev lo", "route add blackhole 192.0.2.0/24 proto 99")
    with Postern(lab, plain(lab)):
        pass  # leaving compares everything


def test_no_sysctl_is_touched_and_wrong_ones_are_named(lab):
    def sysctls():
        # Only what somebody sets; some values under net count things.
        return {line for line in lab.gateway.run("sysctl", "-a", "-r", r"^net\.(ipv4|ipv6|core)\.").stdout.splitlines()
                if "nf_conntrack" not in line and ".route.gc" not in line}

    for name, value in {"net.ipv4.conf.b0.rp_filter": 1, "net.ipv4.ip_forward": 0, "net.ipv4.tcp_timestamps": 0,
                        "net.ipv6.conf.all.forwarding": 0}.items():
        lab.gateway.sysctl(name, value)
    before = sysctls()
    with Postern(lab, plain(lab)) as postern:
        named = {line["name"]: line["command"] for line in postern.lines(event="sysctl")}
        assert named == {"net.ipv4.conf.b0.rp_filter": "sysctl -w net.ipv4.conf.b0.rp_filter=2",
                         "net.ipv4.ip_forward": "sysctl -w net.ipv4.ip_forward=1",
                         "net.ipv4.tcp_timestamps": "sysctl -w net.ipv4.tcp_timestamps=1",
                         "net.ipv6.conf.all.forwarding": "sysctl -w net.ipv6.conf.all.forwarding=1"}
        assert sysctls() == before
    assert sysctls() == before


@pytest.mark.topology(backends=2, clients=2)
def test_traffic_that_is_not_ours_passes_untouched_while_postern_runs(lab, engine):
    serve_all(lab)
    direct = [hostport(b.v4, 25) for b in lab.backends] + [hostport(b.v6, 25) for b in lab.backends]
    stranger = lab.clients[1]
    with Postern(lab, plain(lab, **engine.pool)) as postern:
        ours = start_client(lab, "sessions", "--count", 3000, "--expect-via", "client")
        # Strangers' sessions with the backends' own addresses are forwarded, from the same port 25 that we listen to.
        theirs = [start_client(lab, "sessions", "--count", 1000, to=direct, namespace=n,
                               source=[f"{n.prefix4.split('/')[0]}/20", f"{n.v6[:-1]}/116"]) for n in (lab.client, stranger)]
        outbound_mail(lab.backends[0], stranger, 200)
        own_connections(lab)
        datagrams(lab.backends[0], stranger)
        for program in (ours, *theirs):
            result = program.wait()
            assert not result["errors"], result
        assert postern.wait_counter(sessions_ended=3000)["sessions_accepted"] == 3000
        engine.assert_carried(postern.wait_sessions(3000), 0.95)
        assert postern.counters()["return_not_ours"] > 0


def outbound_mail(backend, receiver, count):
    """A backend delivers mail to port 25 of a host outside, and is called back from there."""
    for host in (receiver.v4, receiver.v6):
        with receiver.listen(host, 25) as listening:
            for _ in range(count // 2):
                with backend.connect(host, 25) as s, listening.accept()[0] as peer:
                    assert peer.getpeername()[0] == backend.address(s.family)
                    peer.sendall(b"220 outside\r\n")
                    assert receive(s, 13) == b"220 outside\r\n"


def own_connections(lab):
    """The gateway's own clients of a backend's port 25, and its own server on that port."""
    for b in lab.backends:
        for host in (b.v4, b.v6):
            with lab.gateway.connect(host, 25) as s:
                smtp_session(s)
    for host in (f"{lab.client.link4}.1", f"{lab.client.link6}::1"):
        with lab.gateway.listen(host, 25) as listening, lab.client.connect(host, 25) as s, listening.accept()[0] as peer:
            peer.sendall(b"220 the gateway itself\r\n")
            assert receive(s, 24) == b"220 the gateway itself\r\n"


def datagrams(a, b):
    """UDP on port 25 through the gateway."""
    with contextlib.closing(a.socket(kind=socket.SOCK_DGRAM)) as one, \
            contextlib.closing(b.socket(kind=socket.SOCK_DGRAM)) as other:
        one.bind((a.v4, 25))
        other.bind((b.v4, 25))
        one.settimeout(20)
        other.settimeout(20)
        other.sendto(b"ping", (a.v4, 25))
        assert one.recvfrom(10) == (b"ping", (b.v4, 25))
        one.sendto(b"pong", (b.v4, 25))
        assert other.recvfrom(10) == (b"pong", (a.v4, 25))


@pytest.mark.topology(backends=1)
def test_a_route_moved_to_another_interface_is_followed_while_sessions_live(lab, engine):
    serve_all(lab)
    backend = lab.backends[0]
    lab.gateway.ip(f"link add b9 type veth peer name eth1 netns {backend.name}", "link set b9 up",
                   "addr add 10.2.0.1/32 dev b9", "-6 addr add 2001:db8:2::1/128 dev b9 nodad")
    backend.ip("link set eth1 up", f"-6 addr add {backend.v6}/128 dev eth1 nodad")
    with Postern(lab, plain(lab, **engine.pool)) as postern:
        sessions = [lab.connect(vip) for vip in (VIP4, VIP6)]
        for s in sessions:
            engine.settle_smtp(postern, s)
        lab.gateway.ip(f"route replace {backend.v4}/32 dev b9", f"-6 route del {backend.v6}/128",
                       f"-6 route add {backend.v6}/128 dev b9")
        postern.wait(event="return_path", interface="b9", change="attached")
        postern.wait(event="return_path", interface="b0", change="idle")  # it stays: answers may still come this way
        towards = TOWARDS_BACKENDS if engine.dissolves else ["return_path"]
        assert attached_programs(lab.gateway) == {"sk_lookup": ["catch_lookup"], "b0 ingress": towards, "b9 ingress": towards,
                                                  **({"c0 ingress": EVERY} if engine.dissolves else {})}
        backend.ip("route replace 10.2.0.1/32 dev eth1", f"route replace default via 10.2.0.1 dev eth1 src {backend.v4}",
                   "-6 route del 2001:db8:2::1/128 dev eth0", "-6 route add 2001:db8:2::1/128 dev eth1",
                   f"-6 route replace default via 2001:db8:2::1 dev eth1 src {backend.v6}")
        for s in sessions:
            converse(s, "NOOP", "250")
            converse(s, "QUIT", "221")
            s.close()
        engine.assert_carried(postern.wait_sessions(2))
        result = client(lab, "sessions", "--count", 200, source=[CLIENTS4, CLIENTS6])
        assert result["ok"] == 200, result
        postern.before = None  # the story itself has changed the routes


@pytest.mark.topology(backends=3, bridge=True)
def test_backends_behind_one_bridge_share_one_return_program(lab):
    serve_all(lab)
    with Postern(lab, plain(lab)) as postern:
        ports = (f"{interface} ingress" for interface in ("b0", "b1", "b2", "c0"))
        assert attached_programs(lab.gateway) == {"sk_lookup": ["catch_lookup"], "br0 ingress": TOWARDS_BACKENDS,
                                                  **dict.fromkeys(ports, EVERY)}
        result = client(lab, "sessions", "--count", 600, "--expect-via", "client")
        assert result["ok"] == 600, result
        assert {s["backend"] for s in postern.wait_sessions(600)} == {"mta1", "mta2", "mta3"}
