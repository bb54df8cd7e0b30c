# SPDX-License-Identifier: Apache-2.0
"""Sessions as operators see them at the admin socket, and end them."""
import contextlib
import ipaddress
import json
import re
import resource
import signal
import socket
import subprocess

import pytest

from admin import AdminPostern
from daemon import DEADLINE, SANITIZER_ENVIRONMENT, backend_lines, configuration, pool
from dissolving import Dissolving, Session, servers
from lab import VIP4, VIP6, endpoint
from load import client, serve_all, start_client
from peers import Stream, converse, expect_reset, receive, receive_all, receive_line, scripted_server
from test_transfer import MEMORY_SLACK

HELD4, HELD6 = "198.51.128.0/20", "2001:db8:c:1::/116"
KEYS = ["id", "client", "upstream", "vip", "source", "backend_address", "listener", "pool", "backend", "zone", "worker", "state",
        "age_ms", "idle_ms", "bytes_in", "bytes_out", "retries"]


def config(lab, engine=None, workers=2, gateway=None, **settings):
    zones = [f"zone{b.index}" for b in lab.backends]
    return configuration([pool(backend_lines(lab.backends, zone=zones), zones="off", **(engine.pool if engine else {}),
                               **settings)],
                         gateway={"workers": workers, "zone": "zone0", **(gateway or {})})


def listed(postern, words=""):
    """What `show sessions` says: one object a line, each with all keys in their order, and the end."""
    text = postern.ask(f"show sessions {words}")
    assert text.endswith("\n")
    rows = [json.loads(line) for line in text[:-1].split("\n") if line]
    assert all(list(row) == KEYS for row in rows), rows[:1]
    return rows


def connections(namespace):
    """{(local, remote)} of the namespace's established connections, as the log writes addresses."""
    found = set()
    for family in "-4", "-6":
        for line in namespace.run("ss", family, "-Htn", "state", "established").stdout.splitlines():
            local, remote = line.split()[2:4]
            found.add((bracketed(local), bracketed(remote)))
    return found


def bracketed(text):
    host, port = text.rsplit(":", 1)
    return endpoint(str(ipaddress.ip_address(host.strip("[]").split("%")[0])), port)


def name_of(s):
    return endpoint(*s.getsockname()[:2])


@pytest.mark.heavy
@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_of_thousands_of_sessions_every_line_is_true_while_others_come_and_go(lab, engine):
    room = min(10800, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 500)  # two descriptors a session
    count = room - 800
    with AdminPostern(lab, config(lab, engine, gateway={"max_sessions": room})) as postern:
        serve_all(lab)
        held = start_client(lab, "ping", "--connections", count, "--rounds", 3, "--on-cue", source=(HELD4, HELD6),
                            stdin=subprocess.PIPE)
        held.wait_said("ready")
        held.cue()
        held.wait_said("done")
        others = start_client(lab, "sessions", "--concurrency", 50, "--seconds", 10)
        networks = [ipaddress.ip_network(n) for n in (HELD4, HELD6)]
        known = {c for c in connections(lab.client)
                 if any(ipaddress.ip_address(c[0][1:].rsplit("]:", 1)[0]) in n for n in networks)}
        there = {remote: b for b in lab.backends for _, remote in connections(b)}
        assert len(known) == count
        mine, seen = {}, {}
        for _ in range(3):
            rows = listed(postern)
            now = [r for r in rows if (r["client"], r["vip"]) in known]
            assert len(now) == len({r["id"] for r in now}) == count, "each session that stays is listed once"
            assert len(rows) == len({r["id"] for r in rows}) < count + 1000
            seen |= {r["id"]: r["client"] for r in rows}
            for r in now:
                b = there[r["client"]]
                assert (r["source"], r["backend"], r["zone"]) == (r["client"], b.label, f"zone{b.index}"), r
                assert r["backend_address"] in (endpoint(b.v4, 25), endpoint(b.v6, 25)), r
                assert (r["listener"], r["pool"], r["bytes_in"], r["retries"]) == ("mx", "inbound", 3 * len("PING 0123456789012345\r\n"), 0), r
                assert r["state"] in ("relayed", "dissolved") and r["bytes_out"] > 0 and r["worker"] in (0, 1), r
            assert not mine or mine == {r["client"]: r["id"] for r in now}, "a session keeps its id"
            mine = {r["client"]: r["id"] for r in now}
        assert not others.wait()["errors"]
        held.cue()
        assert not held.wait()["errors"]
        dropped = postern.wait_idle().get("log_dropped", 0)
        postern.wait_sessions(postern.counters()["sessions_ended"] - dropped)
        ended = {s["session"]: s["client"] for s in postern.sessions()}
        missing = {i for i in seen if i not in ended}
        assert all(ended[i] == seen[i] for i in seen if i in ended) and len(missing) <= dropped, \
            f"the log knows them all by the same id, but for {dropped} dropped lines: {sorted(missing)[:5]}"


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_each_filter_means_what_it_says(lab, engine):
    one, two = lab.backends
    with AdminPostern(lab, config(lab, engine)) as postern, scripted_server(one) as first, \
            scripted_server(two, family=socket.AF_INET6) as second:
        postern.ask(f"disable server inbound/{two.label}")
        a, (at_a, _) = lab.connect(), first.accept()
        engine.settle(postern, a, at_a)
        postern.ask(f"enable server inbound/{two.label};disable server inbound/{one.label}")
        b, (at_b, _) = lab.connect(VIP6), second.accept()
        postern.wait_counter(connects_ok=2)
        names = {"a": name_of(a), "b": name_of(b)}
        state = "dissolved" if engine.dissolves else "relayed"

        def seen(words):
            return sorted(n for n, address in names.items() if address in {r["client"] for r in listed(postern, words)})

        assert {r["client"]: r["state"] for r in listed(postern)} == {names["a"]: state, names["b"]: "greeting"}
        for words, whom in (("", "ab"), ("client=198.51.0.0/16", "a"), (f"client={lab.client.v6}", "b"), ("client=::/0", "b"),
                            (f"backend=inbound/{one.label}", "a"), (f"backend=inbound/{two.label}", "b"),
                            (f"state={state}", "a"), ("state=greeting", "b"), ("state=queued", ""), ("older=1h", ""),
                            ("older=0s", "ab"), ("idle=1h", ""), ("idle=0ms", "ab"),
                            (f"client=0.0.0.0/0 state={state} backend=inbound/{one.label} older=1ms", "a"),
                            ("client=0.0.0.0/0 state=greeting", "")):
            assert seen(words) == list(whom), words
        age = next(r["age_ms"] for r in listed(postern) if r["client"] == names["a"])
        assert seen(f"older={age}ms")[:1] == ["a"] and seen(f"older={age + 600000}ms") == []
        for words, what in (("client=300.1.2.3", "an address or a prefix"), ("client=10.0.0.1/8", "an address or a prefix"),
                            ("backend=mta1", "backend=inbound/mta1"), ("state=up", "one of introducing, queued"), ("older=soon", "a duration"),
                            ("idle=", "a duration"), ("age=5s", "older=DURATION"), ("idle", "idle=DURATION"),
                            ("idle=1s idle=2s", "it once")):
            said = postern.ask(f"show sessions {words}")
            assert said.startswith(f"'{words.split()[-1]}' is not understood: use ") and what in said, said
        assert postern.ask("show sessions backend=inbound/nobody") == "No such server.\n\n"
        for s in (a, b, at_a, at_b):
            s.close()


@pytest.mark.topology(backends=1)
def test_show_sess_lists_as_haproxy_does(lab, engine):
    with AdminPostern(lab, config(lab, engine)) as postern, scripted_server(lab.backends[0]) as server:
        assert postern.ask("show sess") == "\n"
        s, (there, _) = lab.connect(), server.accept()
        passed = engine.settle(postern, s, there)
        host, port = s.getsockname()[:2]
        line = postern.ask("show sess")
        found = re.fullmatch(rf"(0x[0-9a-f]{{16}}): proto=tcpv4 src={host}:{port} fe=mx be=inbound srv=mta1 age=\d+s "
                             rf"idle=\d+s in={passed[0]} out={passed[1]} state=(relayed|dissolved)\n\n", line)
        assert found, line
        whole = postern.ask(f"show sess {found[1]}")
        assert whole.startswith(f"{found[1]}: [") and f"proto=tcpv4 source={host}:{port}\n" in whole
        assert f"  frontend=mx (id=2 mode=tcp) addr={VIP4}:25\n" in whole
        assert f"  server=mta1 (id=1) addr={lab.backends[0].v4}:25\n" in whole
        assert postern.ask("show sess all").split(": [")[0] == found[1]
        assert postern.ask("show sess 0xdead") == "Session not found.\n\n"
        assert postern.ask("show sess yesterday") == "Session pointer expected (use 'show sess').\n\n"
        assert postern.ask("operator;show sess") .startswith("\n0x") and "Permission denied" in postern.ask("user;show sess")
        s.close()
        there.close()


def kill(postern, **row):
    """Ends the one session that is listed with these values, by its id; what stood in its line."""
    found = [r for r in listed(postern) if all(r[k] == v for k, v in row.items())]
    assert len(found) == 1, found
    assert postern.ask(f"shutdown session {found[0]['id']}") == "\n"
    said = "No such session (use 'show sess').\n\n"
    line = postern.wait(event="session", session=found[0]["id"])
    assert (line["reason"], line["end"]) == ("killed", "operator"), line
    assert postern.ask(f"shutdown session 0x{found[0]['id']}") == said, "its id is stale now"
    return found[0]


def talking(lab, postern, engine, server, vip, count=1):
    """The session of this number, once its engine has it."""
    s = Session(lab, server, vip)
    return s.dissolve(postern, count) if engine.dissolves else s


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_a_session_that_is_ended_by_its_id_is_reset_on_both_sides(lab, engine, vip):
    with AdminPostern(lab, config(lab, engine)) as postern, servers(lab) as by_family:
        server = by_family[vip == VIP6]
        kept, s = [talking(lab, postern, engine, server, vip, n) for n in (1, 2)]
        row = kill(postern, client=name_of(s.client))
        assert row["state"] == ("dissolved" if engine.dissolves else "relayed")
        assert (row["bytes_in"], row["bytes_out"]) == (s.sent, s.received)
        for end in s.ends:
            expect_reset(end)
        kept.say()
        kept.close()


@pytest.mark.topology(backends=1)
@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_a_session_in_full_flow_is_ended_on_both_sides(lab, engine, vip):
    with AdminPostern(lab, config(lab, engine)) as postern, servers(lab) as by_family:
        s = talking(lab, postern, engine, by_family[vip == VIP6], vip)
        streams = [[Stream(end, 1 << 40, receiving) for receiving in (False, True)] for end in s.ends]
        for _, receiving in streams:
            receiving.wait(10 << 20)
        row = kill(postern, client=name_of(s.client))
        assert row["bytes_in"] > 1 << 20 and row["bytes_out"] > 1 << 20
        for both in streams:
            for stream in both:
                stream.thread.join(DEADLINE)
                assert not stream.thread.is_alive(), stream.done
            assert ConnectionResetError in [type(stream.error) for stream in both], "whichever the kernel tells of it"
        s.close()


class Surviving(AdminPostern, Dissolving):
    """A daemon with an admin socket that ends and starts again while dissolved sessions live."""


@pytest.mark.topology(backends=1)
def test_sessions_of_an_earlier_run_are_listed_by_the_same_ids_and_ended(lab):
    with servers(lab) as (server, _):
        postern = Surviving(lab, config(lab)).start()
        s, kept = [Session(lab, server).dissolve(postern, n) for n in (1, 2)]
        before = listed(postern)
        postern.kill()
        adopted, _ = postern.take_over()
        assert adopted["dissolved"] == "2"
        after = listed(postern)
        assert {r["id"] for r in after} == {r["id"] for r in before} and {r["state"] for r in after} == {"dissolved"}
        row = kill(postern, client=name_of(s.client))
        assert (row["bytes_in"], row["bytes_out"], row["backend"], row["listener"]) == (s.sent, s.received, "mta1", "mx")
        assert row["age_ms"] >= next(r["age_ms"] for r in before if r["id"] == row["id"])
        for end in s.ends:
            expect_reset(end)
        kept.say()
        kept.close()
        postern.stop()


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_session_without_a_greeting_or_a_backend_is_ended_too(lab):
    with AdminPostern(lab, config(lab, workers=1, max_sessions=1)) as postern, scripted_server(lab.backends[0]) as server:
        s, (there, _) = lab.connect(), server.accept()
        waiting = lab.connect()
        postern.wait_counter(queued=1)
        row = kill(postern, state="queued")
        assert (row["backend"], row["backend_address"], row["source"]) == (None, None, None)
        expect_reset(waiting)
        kill(postern, state="greeting")
        expect_reset(s)
        expect_reset(there)
    with AdminPostern(lab, config(lab)) as postern:
        lab.drop_tcp_to_port(lab.backends[0], 25)
        s = lab.connect()
        postern.wait_counter(sessions_accepted=1)
        kill(postern, state="connecting")
        expect_reset(s)
        lab.stop_dropping(lab.backends[0])


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_all_sessions_of_a_server_are_ended_and_no_others(lab, engine):
    one, two = lab.backends
    count = 200
    with AdminPostern(lab, config(lab, engine)) as postern, contextlib.ExitStack() as stack:
        serve_all(lab)
        clients = [stack.enter_context(lab.connect(VIP6 if i % 2 else VIP4)) for i in range(count)]
        homes = [converse(s, "", "220").split()[1] for s in clients]
        for s in clients:
            converse(s, "NOOP", "250")
        assert postern.ask(f"shutdown sessions server inbound/{one.label}") == "\n"
        for s, home in zip(clients, homes):
            if home == one.label:
                expect_reset(s)
            else:
                converse(s, "NOOP", "250")
        lines = postern.wait_sessions(homes.count(one.label), reason="killed")
        assert {s["backend"] for s in lines} == {one.label} and len(lines) == homes.count(one.label) > 50
        assert postern.wait(event="admin")["command"] == f"shutdown sessions server inbound/{one.label}"
        assert postern.ask(f"shutdown sessions server inbound/{one.label}") == "\n"
        assert postern.ask("shutdown sessions server nobody") == "Require 'backend/server'.\n\n"
        assert postern.ask("shutdown session") == "Session pointer expected (use 'show sess').\n\n"
        assert postern.ask("operator;shutdown session 1") == "\nPermission denied\n\n"


@pytest.mark.topology(backends=1)
def test_what_is_to_be_ended_is_ended_though_the_operator_has_left(lab, engine):
    with AdminPostern(lab, config(lab, engine)) as postern, contextlib.ExitStack() as stack:
        serve_all(lab)
        clients = [stack.enter_context(lab.connect()) for _ in range(300)]
        for s in clients:
            converse(s, "", "220")
        with postern.connect() as s:
            s.sendall(b"shutdown sessions server inbound/mta1\n")
        for s in clients:
            expect_reset(s)
        assert len(postern.wait_sessions(300, reason="killed")) == 300
        assert postern.wait(event="admin")["command"] == "shutdown sessions server inbound/mta1"


@pytest.mark.heavy
@pytest.mark.topology(backends=2)
def test_who_stops_reading_a_long_list_holds_nothing_up_and_costs_one_piece(lab, engine):
    count = 6000
    options = {"ASAN_OPTIONS": SANITIZER_ENVIRONMENT["ASAN_OPTIONS"] + ":quarantine_size_mb=1"}  # it keeps what was freed
    with AdminPostern(lab, config(lab, engine), environment=options) as postern, contextlib.ExitStack() as stack:
        serve_all(lab)
        held = start_client(lab, "hold", "--connections", count, "--until-stdin-eof", source=(HELD4, HELD6),
                            stdin=subprocess.PIPE)
        held.wait_said("ready")
        whole = len(postern.ask("show sessions"))
        before = postern.memory()
        slow = [stack.enter_context(postern.connect()) for _ in range(60)]
        for s in slow:
            s.sendall(b"set timeout cli 1h;show sessions;show version\n")
            assert receive(s, 3) == b"\n{\""
        assert len(listed(postern)) == count
        result = client(lab, "sessions", "--count", 500, "--concurrency", 20)
        assert result["ok"] == 500 and not result["errors"]
        postern.wait_counter(sessions_ended=500)
        assert postern.memory() - before < MEMORY_SLACK < len(slow) * whole / 2
        rest = receive_all(slow[0]).decode()
        assert rest.count('id":"') == count, "who reads on gets the rest"
        assert "\n\n3.0.0-postern" in rest, "and then the next answer"
        for s in slow[1:]:
            s.close()
        assert postern.ask("show cli level") == "admin\n\n"
        held.close_stdin()
        held.wait()


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_gateway_that_ends_at_once_ends_those_who_read_a_list(lab, engine):
    with AdminPostern(lab, config(lab, engine)) as postern, contextlib.ExitStack() as stack:
        serve_all(lab)
        clients = [stack.enter_context(lab.connect()) for _ in range(1500)]
        for s in clients:
            receive_line(s)
        readers = [stack.enter_context(postern.connect()) for _ in range(10)]
        for s in readers:
            s.sendall(b"prompt\n" + b"show sessions\n" * 100)
            assert receive(s, 6) == b"\n> {\"i"
        with postern.connect() as s:
            s.sendall(b"shutdown sessions server inbound/mta1\n" * 10)
        postern.before = None  # dissolved sessions go on
        postern.send(signal.SIGINT)
        postern.wait_end(DEADLINE)
        for s in readers:
            with contextlib.suppress(ConnectionResetError):
                receive_all(s)
        postern.check_sanitizer_silent()
        stack.close()
        postern.flush()
