# SPDX-License-Identifier: Apache-2.0
"""Bad backends, bad clients, bad luck: a counter and a log field for each, other sessions unharmed, nothing leaked."""
import contextlib
import socket
import time

import pytest

from daemon import DEADLINE, Postern, backend_lines, configuration, pool
from lab import VIP4
from load import VIPS, client, serve
from peers import converse, expect_unavailable, receive, receive_all, reset, scripted_server, smtp_session


def plain(lab, engine, **settings):
    return configuration([pool(backend_lines(lab.backends), **engine.pool, **settings)])


@contextlib.contextmanager
def bystander(postern, engine, server):
    """A session that must live through whatever happens beside it."""
    s = postern.lab.connect()
    backend, _ = server.accept()
    engine.settle(postern, s, backend, b"220 bystander\r\n")
    yield
    s.sendall(b"still here")
    assert receive(backend, 10) == b"still here"
    s.close()
    backend.close()


def assert_nothing_left(postern, before):
    """Sessions, operations and descriptors are what they were (a few pipes may wait for the next bulky session)."""
    postern.wait_counter(sessions_ended=postern.wait_idle()["sessions_accepted"])
    postern.wait_descriptors(before + 16)


def wait_accepted(lab):
    """Until nobody waits in a listening socket's queue."""
    end = time.monotonic() + DEADLINE
    while any(line.split()[1] != "0" for line in lab.gateway.run("ss", "-Hltn").stdout.splitlines()):
        assert time.monotonic() < end, "not all are accepted"


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_backend_that_never_speaks_is_given_up_after_the_greeting_timeout(lab, engine):
    with Postern(lab, plain(lab, engine, timeouts={"greeting": "2s"})) as postern, scripted_server(lab.backends[0]) as server, \
            bystander(postern, engine, server):
        before = postern.descriptors()
        s = lab.connect()
        backend, _ = server.accept()
        expect_unavailable(s)
        assert receive_all(backend) == b""
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["end"], line["banner_ms"], line["smtp_code"]) == ("backend_silent", "timeout", "-", "421")
        assert 1.9 <= float(line["duration"]) < 6
        assert postern.counters()["closed_backend_silent"] == 1
        postern.wait_descriptors(before)


@pytest.mark.topology(backends=1)
def test_garbage_from_a_backend_is_passed_on_and_counted(lab, engine):
    garbage = bytes(range(256)) * 4
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0]) as server, bystander(postern, engine, server):
        s = lab.connect()
        backend, _ = server.accept()
        backend.sendall(garbage)
        assert receive(s, len(garbage)) == garbage
        s.close()
        assert receive_all(backend) == b""
        backend.close()
        assert postern.wait_sessions(1)[0]["smtp_code"] == "-"
        assert postern.counters()["greetings_odd"] == 1


@pytest.mark.topology(backends=1)
def test_a_backend_that_closes_at_once_ends_the_session_with_its_reason(lab, engine):
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0]) as server, bystander(postern, engine, server):
        before = postern.descriptors()
        for n in range(1, 51):
            s = lab.connect()
            backend, _ = server.accept()
            backend.close()
            expect_unavailable(s)
            postern.wait_sessions(n)
        assert {s["reason"] for s in postern.sessions()} == {"backend_no_greeting"}
        postern.wait_descriptors(before)


@pytest.mark.topology(backends=1)
def test_a_backend_that_resets_at_once_ends_the_session_with_its_reason(lab, engine):
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0]) as server, bystander(postern, engine, server):
        s = lab.connect()
        backend, _ = server.accept()
        reset(backend)
        expect_unavailable(s)
        assert postern.wait_sessions(1)[0]["reason"] == "backend_reset"


@pytest.mark.topology(backends=1)
def test_clients_that_vanish_right_after_the_handshake_leave_nothing_behind(lab, engine):
    serve(lab.backends[0])
    with Postern(lab, plain(lab, engine)) as postern:
        before = postern.descriptors()
        for _ in range(300):
            reset(lab.connect())
        # A client that is gone before it was accepted is never seen; all others must have a line.
        postern.wait_counter(catch_caught=300, sessions_accepted=1)
        wait_accepted(lab)
        postern.wait_sessions(postern.wait_idle()["sessions_accepted"])
        assert_nothing_left(postern, before)


@pytest.mark.topology(backends=1)
def test_running_out_of_file_descriptors_is_counted_and_passes(lab, engine):
    serve(lab.backends[0])
    with Postern(lab, plain(lab, engine)) as postern:
        before = postern.descriptors()
        held = [lab.connect() for _ in range(5)]
        for s in held:
            converse(s, "", "220")
        lift_limit = postern.limit_descriptors(14)
        crowd = []
        for _ in range(60):
            with contextlib.suppress(ConnectionResetError):  # refused: no descriptor for its backend
                crowd.append(lab.connect())
        postern.wait_counter(closed_descriptors=1)
        for s in held:
            converse(s, "NOOP", "250")
        lift_limit()
        for s in crowd + held:
            s.close()
        with lab.connect() as s:
            smtp_session(s)
        result = client(lab, "sessions", "--count", 200, to=VIPS)
        assert result["ok"] == 200, result
        postern.wait_counter(sessions_ended=postern.counters()["sessions_accepted"])
        assert_nothing_left(postern, before)
        refused = postern.counters()["closed_descriptors"]
        assert len(postern.wait_sessions(refused, reason="descriptors")) == refused


@pytest.mark.topology(backends=2)
def test_a_backend_interface_that_goes_down_and_comes_back_harms_no_other_session(lab, engine):
    servers = [serve(b) for b in lab.backends]
    config = plain(lab, engine, balance="round-robin", timeouts={"connect": "500ms"})
    with Postern(lab, config) as postern:
        before = postern.descriptors()
        sessions = [lab.connect() for _ in range(4)]
        banners = [converse(s, "", "220") for s in sessions]
        assert {b.split()[1] for b in banners} == {"mta1", "mta2"}

        lab.gateway.ip(f"link set {lab.backends[0].interface} down")
        postern.wait(event="backend_unreachable", backend="mta1")
        for s, banner in zip(sessions, banners):
            if "mta2" in banner:
                converse(s, "NOOP", "250")
        for _ in range(10):
            with lab.connect() as s:
                assert "mta2" in smtp_session(s)

        lab.restore_backend_routes(lab.backends[0])
        postern.wait(event="backend_reachable", backend="mta1")
        for s, banner in zip(sessions, banners):
            converse(s, "NOOP", "250")  # those over the dead link too: TCP has waited for it
            s.close()
        result = client(lab, "sessions", "--count", 100, to=[f"{VIP4}:25"])
        assert result["ok"] == 100, result
        lines = postern.wait_sessions(114)
        assert {s["backend"] for s in lines[-50:]} == {"mta1", "mta2"}
        assert_nothing_left(postern, before)
    assert all(s.stop() for s in servers)


@pytest.mark.topology(backends=1)
def test_every_slot_and_buffer_comes_back(lab, engine):
    """With room for forty sessions, hundreds that end badly, and then forty at once that all have what they need."""
    serve(lab.backends[0])
    with Postern(lab, configuration([pool(backend_lines(lab.backends), **engine.pool)],
                                    gateway={"max_sessions": 40})) as postern:
        def ended():
            postern.wait_counter(sessions_ended=postern.counters()["sessions_accepted"])

        for _ in range(10):
            for words in (b"", b"EHLO x\r\n", b"SOURCE 10000000 1\r\n"):
                for leave in (reset, socket.socket.close):
                    s = lab.connect()
                    s.sendall(words)
                    leave(s)
            client(lab, "reset", "--connections", 30, "--side", "server")
            ended()
        result = client(lab, "bulk", "--connections", 40, "--bytes", "1M", "--direction", "both")
        assert result["ok"] == 40 and not result["errors"], result
        ended()
        counters = postern.counters()
        assert counters["sessions"] == counters["closed_session_limit"] == counters["buffers_short"] == 0


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_rounds_of_every_kind_of_session_leave_descriptors_and_memory_as_they_were(lab, engine):
    serve(lab.backends[0])
    with Postern(lab, plain(lab, engine)) as postern:
        def one_round():
            client(lab, "sessions", "--count", 500, "--concurrency", 50)
            client(lab, "bulk", "--connections", 20, "--bytes", "1M", "--direction", "both")
            client(lab, "halfclose", "--connections", 50, "--side", "client")
            client(lab, "reset", "--connections", 50, "--side", "server")
            total = postern.counters()["sessions_accepted"]
            postern.wait_counter(sessions_ended=total)
            return postern.memory()

        one_round()
        first, descriptors = one_round(), postern.descriptors()
        for _ in range(3):
            last = one_round()
        postern.wait_descriptors(descriptors)
        assert last <= first + (16 << 20)
        assert postern.counters()["sessions"] == 0
