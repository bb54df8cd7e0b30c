# SPDX-License-Identifier: Apache-2.0
"""Backends that come from the DNS, or from a file: they follow it, and no answer, however bad, takes the last ones away."""
import collections
import contextlib
import os
import socket

import pytest

from daemon import Postern, backend_lines, configuration, pool, yaml_flow
from dns import BROKEN_ZONE, ZONE, Knot
from lab import VIP4, VIP6, hostport
from load import client, serve, serve_all, start_client
from peers import expect_unavailable, scripted_server, smtp_session
from test_balance import banner_backend
from test_reload import close_both, greeted, speaks
from test_upgrade import Ordered

NAME = f"mx.{ZONE}"
ADDRESSES = {"dns": NAME, "port": 25}
SERVERS = {"dns": f"_smtp._tcp.{ZONE}", "type": "srv"}


def config(dns, discover=None, backends=(), resolver=None, workers=1, **settings):
    """One worker takes turns exactly, so that each backend of a pool is seen to take part."""
    settings = {"balance": "round-robin", "slow_start": "0s", **settings}
    return configuration([pool(list(backends), discover=discover or ADDRESSES, **settings)],
                         gateway={"resolver": resolver or dns.resolver, "workers": workers})


def name_of(backend, family=4, port=25):
    return hostport(backend.v4 if family == 4 else backend.v6, port)


def takers(lab, count=12, to=VIP4):
    """Who takes so many sessions, one after the other."""
    found = collections.Counter()
    for _ in range(count):
        with lab.connect(to) as s:
            found[banner_backend(smtp_session(s))] += 1
    return found


@contextlib.contextmanager
def dns_in(lab):
    """The last backend of the lab is the DNS server; yields it, and the others."""
    *others, host = lab.backends
    with Knot(host, host.v4) as dns:
        yield dns, others


def a_records(*backends):
    return [f"mx A {b.v4}" for b in backends]


def again(postern):
    """HUP without a change: postern looks again at once."""
    postern.reload(postern.config)


# ---- the DNS -------------------------------------------------------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.topology(backends=4)
def test_addresses_of_a_name_become_backends_and_those_that_go_keep_their_sessions(lab, engine):
    with dns_in(lab) as (dns, (a, b, c)), contextlib.ExitStack() as stack:
        dns.set(f"mx A {a.v4}", f"mx AAAA {a.v6}")
        old = stack.enter_context(scripted_server(a))
        postern = stack.enter_context(Postern(lab, config(dns, **engine.pool)))
        assert postern.wait(event="discovered")["backends"] == "2"
        kept = greeted(lab, old, engine, postern)
        dns.set(f"mx A {b.v4}", f"mx AAAA {b.v6}", f"mx A {c.v4}")
        line = postern.wait(event="discovered", count=2)  # no HUP: its records' time was over
        assert (line["pool"], line["backends"], line["before"]) == ("inbound", "3", "2")
        serve(b), serve(c)
        assert set(takers(lab)) == {b.label, c.label}
        assert set(takers(lab, to=VIP6)) == {b.label}
        speaks(*kept)
        close_both(*kept)
        lines = postern.wait_sessions(25)
        assert {s["backend"] for s in lines} == {name_of(a), name_of(b), name_of(c), name_of(b, 6)}
        postern.log.wait(lambda _: sum(int(line["backends"]) for line in postern.lines(event="left")) == 2, "both have left")


@pytest.mark.topology(backends=4)
def test_servers_come_with_port_weight_and_priority(lab):
    with dns_in(lab) as (dns, (a, b, c)):
        dns.set(*[f"{x.label} A {x.v4}" for x in (a, b, c)])
        dns.set(f"_smtp._tcp SRV 10 30 2525 {a.label}", f"_smtp._tcp SRV 10 10 25 {b.label}", f"_smtp._tcp SRV 20 99 25 {c.label}")
        first = [serve(a, port=2525), serve(b)]
        serve(c)
        with Postern(lab, config(dns, SERVERS)) as postern:
            assert postern.wait(event="discovered")["backends"] == "3"
            assert takers(lab, 16) == {a.label: 12, b.label: 4}
            for server in first:
                server.stop()
            assert takers(lab, 4) == {c.label: 4}  # in reserve, at once
            names = {s["backend"] for s in postern.wait_sessions(20)}
            assert names == {name_of(a, port=2525), name_of(b), name_of(c)}


@pytest.mark.heavy
@pytest.mark.topology(backends=4)
def test_no_error_of_the_server_takes_backends_away(lab):
    with dns_in(lab) as (dns, (a, b, c)):
        dns.set(*a_records(a, b, c))
        serve_all(lab)
        with Postern(lab, config(dns)) as postern:
            postern.wait(event="discovered")
            dns.clear("mx")  # NXDOMAIN
            again(postern)
            line = postern.wait(event="discovery_kept", reason="no backend in it")
            assert (line["pool"], line["backends"]) == ("inbound", "3")
            assert len(takers(lab)) == 3
            dns.set("mx CNAME mx2", "mx2 CNAME mx")
            again(postern)
            assert "SERVFAIL" in postern.wait(event="discovery_kept", count=2)["reason"]
            assert len(takers(lab)) == 3
            dns.set("mx2 NONE", "mx TXT nothing-here")  # the name exists, and has no address
            again(postern)
            postern.wait(event="discovery_kept", reason="no backend in it", count=2)
            dns.stop()
            again(postern)
            postern.wait(event="discovery_kept", reason="no answer in time")
            assert len(takers(lab)) == 3
            assert len(postern.lines(event="discovered")) == 1
            dns.start()
            dns.set(*a_records(a, b))
            line = postern.wait(event="discovered", count=2)  # it asks again by itself
            assert (line["backends"], line["before"]) == ("2", "3")


@pytest.mark.topology(backends=2)
def test_a_server_that_fails_is_told_once(lab):
    with dns_in(lab) as (dns, (a,)):
        serve(a)
        with Postern(lab, config(dns, {"dns": f"mx.{BROKEN_ZONE}", "port": 25}, backend_lines([a]))) as postern:
            assert "SERVFAIL" in postern.wait(event="discovery_kept")["reason"]
            again(postern)
            assert set(takers(lab)) == {a.label}
            assert len(postern.lines(event="discovery_kept")) == 1


@pytest.mark.heavy
@pytest.mark.topology(backends=5)
def test_a_set_that_is_halved_is_held_back_until_it_is_confirmed(lab):
    with dns_in(lab) as (dns, (a, b, c, d)):
        dns.set(*a_records(a, b, c, d))
        serve_all(lab)
        with Postern(lab, config(dns)) as postern:
            postern.wait(event="discovered")
            dns.set(*a_records(a, b))
            line = postern.wait(event="discovery_held")
            assert (line["backends"], line["found"]) == ("4", "2")
            assert len(takers(lab)) == 4
            again(postern)
            line = postern.wait(event="discovered", count=2)
            assert (line["backends"], line["before"]) == ("2", "4")
            assert set(takers(lab)) == {a.label, b.label}
            assert len(postern.lines(event="discovery_held")) == 1


@pytest.mark.topology(backends=3)
def test_a_lying_server_cannot_send_sessions_to_this_host_or_nowhere(lab):
    with dns_in(lab) as (dns, (a, b)):
        lies = ["127.0.0.1", "0.0.0.0", "224.0.0.25", "255.255.255.255", "169.254.1.1", VIP4]
        dns.set(f"mx A {a.v4}", *[f"mx A {lie}" for lie in lies], "mx AAAA ::1", f"mx AAAA {VIP6.strip('[]')}", "mx AAAA ff02::1")
        serve_all(lab)
        with Postern(lab, config(dns)) as postern:
            assert postern.wait(event="discovered")["backends"] == "1"
            assert postern.wait(event="discovery_refused")["addresses"] == str(len(lies) + 3)
            assert set(takers(lab)) == {a.label}
            dns.set(f"mx A {VIP4}")  # nothing but lies
            again(postern)
            postern.wait(event="discovery_kept", reason="no backend in it")
            assert set(takers(lab)) == {a.label}


@pytest.mark.topology(backends=2)
def test_more_addresses_than_a_pool_takes_are_no_answer(lab):
    """So many do not fit into a datagram either: they are asked for again over TCP."""
    with dns_in(lab) as (dns, (a,)):
        dns.set(*a_records(a))
        serve(a)
        with Postern(lab, config(dns)) as postern:
            postern.wait(event="discovered")
            dns.set(*[f"mx A 10.3.{i // 100}.{i % 100 + 1}" for i in range(257)])
            again(postern)
            assert postern.wait(event="discovery_kept")["reason"] == "more than 256 addresses"
            assert set(takers(lab)) == {a.label}


@pytest.mark.topology(backends=2)
def test_reloads_leave_no_resolver_behind(lab):
    with dns_in(lab) as (dns, (a,)):
        dns.set(*a_records(a))
        serve(a)
        with Postern(lab, config(dns)) as postern:
            postern.wait(event="discovered")
            tasks, descriptors = len(os.listdir(f"/proc/{postern.pid}/task")), postern.descriptors()
            for _ in range(30):
                again(postern)
            assert len(os.listdir(f"/proc/{postern.pid}/task")) <= tasks
            assert postern.descriptors() <= descriptors + 10  # questions under way have sockets
            assert set(takers(lab)) == {a.label}


@pytest.mark.topology(backends=2)
def test_a_server_that_speaks_nonsense_is_no_answer(lab):
    """Every datagram is answered with garbage, with the question itself, and with an answer that nobody asked for."""
    a, host = lab.backends
    serve(a)
    liar = host.socket(kind=socket.SOCK_DGRAM)
    liar.bind((host.v4, 53))
    with Postern(lab, config(None, ADDRESSES, backend_lines([a]), hostport(host.v4, 53))) as postern:
        liar.settimeout(20)
        for _ in range(3):
            question, sender = liar.recvfrom(4096)
            for answer in (os.urandom(512), question, question[:2] + b"\xff" * 300, b"\0" * 12,
                           bytes([question[0] ^ 1]) + question[1:2] + b"\x81\x80" + question[4:]):
                liar.sendto(answer, sender)
        liar.close()
        postern.wait(event="discovery_kept")
        assert set(takers(lab)) == {a.label}
        assert not postern.lines(event="discovered")


@pytest.mark.heavy
@pytest.mark.topology(backends=2)
def test_clients_of_a_pool_without_anybody_wait_a_while_and_are_told_421_until_somebody_is_found(lab):
    a, host = lab.backends
    with Knot(host, host.v4) as dns:
        dns.stop()
        serve(a)
        postern = Postern(lab, config(dns))
        assert postern.run("-c").returncode == 0
        plan = postern.run("--plan")
        assert plan.returncode == 0 and "# pool inbound discovers backends" in plan.stdout, plan
        with postern:
            expect_unavailable(lab.connect())
            line = postern.wait_sessions(1)[0]
            assert line["reason"] == "no_backend" and float(line["duration"]) > 5
            expect_unavailable(lab.connect())
            line = postern.wait_sessions(2)[1]
            assert line["reason"] == "no_backend" and float(line["duration"]) < 5
            postern.wait(event="discovery_kept", backends="0")
            dns.start()
            dns.set(*a_records(a))
            postern.wait(event="discovered", deadline=60)
            assert set(takers(lab)) == {a.label}


@pytest.mark.topology(backends=3)
def test_a_reload_keeps_what_is_discovered_even_while_the_server_is_dead(lab, engine):
    with dns_in(lab) as (dns, (a, b)):
        dns.set(*a_records(a))
        good = config(dns, **engine.pool)
        with Postern(lab, good) as postern, scripted_server(a) as server:
            postern.wait(event="discovered")
            kept = greeted(lab, server, engine, postern)
            dns.stop()
            postern.reload(config(dns, ADDRESSES, backend_lines([b], state="drain"), **engine.pool))
            fresh = greeted(lab, server, engine, postern)
            serve(b)
            _, changes = postern.reload(configuration([pool(backend_lines([b]), slow_start="0s", **engine.pool)],
                                                      gateway={"workers": 1}))
            assert f"pools.inbound.discover.dns: {NAME} -> " in changes
            assert set(takers(lab)) == {b.label}
            speaks(*kept)
            close_both(*kept)
            close_both(*fresh)
            postern.wait_sessions(14)


@pytest.mark.topology(backends=4)
def test_an_upgrade_keeps_what_is_discovered_even_while_the_server_is_dead(lab):
    """And what was set for it, and how many they were: what is found next is held back where it is too little."""
    with dns_in(lab) as (dns, (a, b, c)):
        serve_all(lab)
        dns.set(*a_records(a, b))
        with Ordered(lab, config(dns, backends=backend_lines([c]))) as postern:
            postern.wait(event="discovered", backends="2")
            postern.ask(f"set server inbound/{name_of(b)} state drain")
            dns.stop()
            for _ in range(2):
                postern.upgrade()
                assert set(takers(lab, 6)) == {a.label, c.label}  # from its first session on
                postern.wait_old()
            postern.ask(f"set server inbound/{name_of(b)} state ready")
            assert set(takers(lab, 6)) == {a.label, b.label, c.label}
            dns.start()
            dns.set(*a_records(a))
            line = postern.wait(event="discovery_held", deadline=60)
            assert (line["backends"], line["found"]) == ("2", "1")
            elsewhere = config(dns, backends=backend_lines([c]), discover={"dns": f"other.{ZONE}", "port": 25})
            postern.file.write_text(postern.with_admin(elsewhere))
            dns.set(f"other A {a.v4}")
            since = len(postern.log.read())
            postern.upgrade()
            # Of another name, so many are right. The old process may have confirmed its own meanwhile.
            assert postern.wait(event="discovered", since=since, before="0")["backends"] == "1"
            assert set(takers(lab, 6)) == {a.label, c.label}
            postern.wait_old()
            assert not postern.sessions(reason="no_backend") and postern.counters()["sessions_refused"] == 0


@pytest.mark.heavy
@pytest.mark.topology(backends=4)
def test_backends_of_the_dns_change_under_load_without_a_failed_session(lab):
    with dns_in(lab) as (dns, servers):
        dns.set(*a_records(*servers))
        serve_all(lab)
        with Postern(lab, config(dns, workers=2, balance="least-sessions", check={"type": "smtp", "interval": "1s", "fast_interval": "1s", "timeout": "1s"})) as postern:
            postern.wait(event="discovered")
            load = start_client(lab, "sessions", "--concurrency", 50, "--count", 30000, to=[hostport(VIP4, 25)])
            for number in range(6):
                dns.set(*a_records(*[s for i, s in enumerate(servers) if i != number % 4]))
                again(postern)
                postern.wait(event="discovered", count=number + 2)
            result = load.wait()
            assert result["ok"] == 30000 and not result["errors"], result
            lines = postern.wait_sessions(30000)
            assert {s["backend"] for s in lines} == {name_of(s) for s in servers}
            assert {s["reason"] for s in lines} <= {"client_fin", "backend_fin"}


# ---- a file --------------------------------------------------------------------------------------------------------------


class List:
    """A file of backends, written beside and renamed into place."""

    def __init__(self, directory):
        self.path = directory / "mta.list"

    @property
    def discover(self):
        return {"file": str(self.path)}

    def put(self, text):
        beside = self.path.with_suffix(".new")
        beside.write_text(text)
        beside.rename(self.path)

    def put_backends(self, backends, **extra):
        self.put("".join(f"- {yaml_flow(line)}\n" for line in backend_lines(backends, **extra)))


def file_config(mta_list, backends=(), workers=1, **settings):
    settings = {"balance": "round-robin", "slow_start": "0s", **settings}
    return configuration([pool(list(backends), discover=mta_list.discover, **settings)], gateway={"workers": workers})


@pytest.fixture
def mta_list(tmp_path):
    return List(tmp_path)


@pytest.mark.tsan
@pytest.mark.topology(backends=3)
def test_a_file_that_is_renamed_into_place_is_followed_at_once(lab, mta_list, engine):
    a, b, c = lab.backends
    mta_list.put_backends([a])
    with Postern(lab, file_config(mta_list, **engine.pool)) as postern, scripted_server(a) as server:
        assert postern.wait(event="discovered")["backends"] == "1"
        kept = greeted(lab, server, engine, postern)
        serve(b), serve(c)
        mta_list.put_backends([b, c], zone=["x", "y"])
        assert postern.wait(event="discovered", count=2)["before"] == "1"
        assert set(takers(lab)) == {b.label, c.label}
        mta_list.put_backends([b, c], state=["drain", "ready"])
        postern.wait(event="discovered", count=3)
        assert set(takers(lab)) == {c.label}
        speaks(*kept)
        close_both(*kept)
        assert {s["zone"] for s in postern.wait_sessions(25)} == {"-", "x", "y"}


@pytest.mark.topology(backends=2)
def test_a_file_that_is_wrong_changes_nothing_and_is_told_at_its_place_once(lab, mta_list):
    a, b = lab.backends
    serve_all(lab)
    mta_list.put_backends([a, b])
    with Postern(lab, file_config(mta_list)) as postern:
        postern.wait(event="discovered")
        for number, (bad, told) in enumerate([("- {name: a, adress: 10.2.0.11:25}\n", "mta.list:1:13: error: unknown key"),
                                              ("[]\n", "mta.list:1:1: error: \"backends\" is an empty list"),
                                              (f"- {{name: a, address: {hostport(VIP4, 25)}}}\n", "takes as its own")]):
            mta_list.put(bad)
            since = len(postern.log.read())
            postern.log.wait(lambda lines: [line for line in lines if told in line], told)
            assert set(takers(lab)) == {a.label, b.label}, (number, since)
        mta_list.path.unlink()
        postern.wait(event="discovery_kept", reason="No such file or directory")
        again(postern)
        assert set(takers(lab)) == {a.label, b.label}
        mta_list.put_backends([a, b], weight=[100, 0])
        postern.wait(event="discovered", count=2)
        assert set(takers(lab)) == {a.label}
        assert len(postern.lines(event="discovery_kept")) == 2


@pytest.mark.topology(backends=1)
def test_clients_wait_for_the_first_backend_of_a_pool(lab, mta_list, engine):
    """As many as the queue takes."""
    a, = lab.backends
    serve(a)
    with Postern(lab, file_config(mta_list, queue_length=3, **engine.pool)) as postern:
        waiting = [lab.connect() for _ in range(3)]
        postern.wait_counter(queued=3)
        expect_unavailable(lab.connect())
        assert postern.wait_sessions(1)[0]["reason"] == "queue_full"
        mta_list.put_backends([a])
        for s in waiting:
            smtp_session(s)
            s.close()
        engine.assert_carried(postern.wait_sessions(4)[1:])


@pytest.mark.topology(backends=1)
def test_a_file_that_is_wrong_at_start_is_told_once_however_busy_its_directory(lab, mta_list):
    a, = lab.backends
    serve(a)
    mta_list.put("- {name: mta1}\n")
    with Postern(lab, file_config(mta_list, queue_length=0)) as postern:  # nobody waits
        postern.wait(event="discovery_kept", backends="0")
        for number in range(10):
            (mta_list.path.parent / f"another{number}").touch()
            expect_unavailable(lab.connect())
        postern.wait_sessions(10)
        mta_list.put_backends([a])
        postern.wait(event="discovered")
        assert set(takers(lab)) == {a.label}
        assert sum("mta.list:1:3: error:" in line for line in postern.log.read()) == 1


@pytest.mark.topology(backends=2)
def test_a_file_that_is_halved_is_held_back_until_it_is_confirmed(lab, mta_list):
    a, b = lab.backends
    serve_all(lab)
    mta_list.put_backends([a, b])
    with Postern(lab, file_config(mta_list)) as postern:
        postern.wait(event="discovered")
        mta_list.put_backends([b])
        assert postern.wait(event="discovery_held")["found"] == "1"
        assert set(takers(lab)) == {a.label, b.label}
        again(postern)
        assert postern.wait(event="discovered", count=2)["backends"] == "1"
        assert set(takers(lab)) == {b.label}


@pytest.mark.topology(backends=2)
def test_a_backend_that_cannot_be_reached_from_here_is_told_and_costs_no_session(lab, mta_list):
    a, b = lab.backends
    serve_all(lab)
    mta_list.put_backends([a])
    with Postern(lab, file_config(mta_list)) as postern:
        postern.wait(event="discovered")
        mta_list.put(f"- {{name: a, address: {hostport(a.v4, 25)}}}\n- {{name: nowhere, address: 192.0.2.200:25}}\n")
        postern.wait(event="backend_unreachable", backend="nowhere")
        assert set(takers(lab)) == {a.label}
        mta_list.put_backends([a, b])
        postern.wait(event="discovered", count=3)
        assert set(takers(lab)) == {a.label, b.label}


@pytest.mark.topology(backends=1)
def test_a_directory_and_a_pipe_in_place_of_a_file_do_not_stop_the_gateway(lab, mta_list):
    a, = lab.backends
    serve(a)
    os.mkfifo(mta_list.path)
    with Postern(lab, file_config(mta_list, backend_lines([a]))) as postern:
        postern.wait(event="discovery_kept", reason="it is no regular file")
        assert set(takers(lab)) == {a.label}
        mta_list.path.unlink()
        mta_list.path.mkdir()
        again(postern)
        assert set(takers(lab)) == {a.label}


@pytest.mark.heavy
@pytest.mark.topology(backends=3, clients=2)
def test_a_file_changes_a_hundred_times_under_load_without_a_failed_session(lab, mta_list):
    servers = lab.backends
    serve_all(lab)
    mta_list.put_backends(servers)
    with Postern(lab, file_config(mta_list, workers=2, balance="least-sessions")) as postern:
        postern.wait(event="discovered")
        load = start_client(lab, "sessions", "--concurrency", 100, "--count", 30000)
        for number in range(100):
            mta_list.put_backends([s for i, s in enumerate(servers) if number % 2 or i != number // 2 % 3])
            postern.wait(event="discovered", count=number + 2)
        result = load.wait()
        assert result["ok"] == 30000 and not result["errors"], result
        assert {s["reason"] for s in postern.wait_sessions(30000)} <= {"client_fin", "backend_fin"}
        assert client(lab, "sessions", "--count", 100)["ok"] == 100
