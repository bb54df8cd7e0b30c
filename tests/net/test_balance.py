# SPDX-License-Identifier: Apache-2.0
"""Which backend takes a session, and what happens when it cannot."""
import collections
import contextlib
import time

import pytest

from daemon import Postern, backend_lines, configuration, pool
from dissolving import settle_all
from lab import VIP4, VIP6
from load import client, serve, serve_all
from peers import converse, expect_refused, expect_unavailable, receive, scripted_server, smtp_session


def banner_backend(banner):
    """Who has greeted: mailload's banner names it."""
    return banner.split()[1]


def begun(lab, count, to=VIP4):
    """So many sessions, one after the other (two workers that choose at once may take the same backend), and who took each."""
    sessions, takers = [], []
    for _ in range(count):
        sessions.append(lab.connect(to))
        takers.append(banner_backend(converse(sessions[-1], "", "220")))
    return sessions, takers


@contextlib.contextmanager
def held(postern, engine, count, to=VIP4):
    """So many open sessions, settled; yields who took each."""
    sessions, takers = begun(postern.lab, count, to)
    try:
        settle_all(postern, engine, sessions)
        yield takers
    finally:
        for s in sessions:
            s.close()


@pytest.mark.topology(backends=3)
def test_round_robin_gives_each_backend_exactly_its_weight(lab):
    serve_all(lab)
    config = configuration([pool(backend_lines(lab.backends, weight=[5, 3, 1]), balance="round-robin")],
                           gateway={"workers": 1})
    with Postern(lab, config):
        order = []
        for _ in range(90):
            with lab.connect() as s:
                order.append(banner_backend(smtp_session(s)))
        for turn in range(0, 90, 9):
            assert collections.Counter(order[turn:turn + 9]) == {"mta1": 5, "mta2": 3, "mta3": 1}


@pytest.mark.topology(backends=4)
def test_least_sessions_spreads_held_sessions_by_weight(lab, engine):
    serve_all(lab)
    config = configuration([pool(backend_lines(lab.backends, weight=[100, 100, 200, 0]), **engine.pool)])
    with Postern(lab, config) as postern, held(postern, engine, 80) as takers:
        assert collections.Counter(takers) == {"mta1": 20, "mta2": 20, "mta3": 40}


@pytest.mark.topology(backends=2)
def test_least_sessions_fills_the_backend_that_became_free(lab, engine):
    serve_all(lab)
    with Postern(lab, configuration([pool(backend_lines(lab.backends), **engine.pool)])) as postern:
        sessions, takers = begun(lab, 20)
        assert collections.Counter(takers) == {"mta1": 10, "mta2": 10}
        settle_all(postern, engine, sessions)
        for s, taker in zip(sessions, takers):
            if taker == "mta1":
                s.close()
        engine.assert_carried(postern.wait_sessions(10))
        again, takers = begun(lab, 10)
        assert set(takers) == {"mta1"}
        for s in sessions + again:
            s.close()


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_a_refusing_backend_is_replaced_without_the_client_noticing(lab):
    serve(lab.backends[1])
    config = configuration([pool(backend_lines(lab.backends), balance="round-robin")])
    with Postern(lab, config) as postern:
        for vip in (VIP4, VIP6) * 10:
            with lab.connect(vip) as s:
                assert banner_backend(smtp_session(s)) == "mta2"
        lines = postern.wait_sessions(20)
        retried = [s for s in lines if s["retries"] == "1"]
        assert 8 <= len(retried) <= 12
        counters = postern.counters()
        assert counters["connect_retries"] == counters["connects_failed"] == len(retried)


@pytest.mark.topology(backends=2)
def test_a_backend_that_swallows_connections_is_replaced_after_the_connect_timeout(lab):
    serve_all(lab)
    lab.drop_tcp_to_port(lab.backends[0], 25)
    config = configuration([pool(backend_lines(lab.backends), balance="round-robin", timeouts={"connect": "300ms"})])
    with Postern(lab, config) as postern:
        for _ in range(6):
            with lab.connect() as s:
                s.sendall(b"")
                assert banner_backend(smtp_session(s)) == "mta2"
        lines = postern.wait_sessions(6)
        late = [s for s in lines if s["retries"] == "1"]
        assert late and all(300 <= int(s["connect_ms"]) < 4000 for s in late)  # 4 s is the default


@pytest.mark.topology(backends=2)
def test_early_client_bytes_survive_the_change_of_backend(lab):
    lab.drop_tcp_to_port(lab.backends[0], 25)
    config = configuration([pool(backend_lines(lab.backends), balance="round-robin", timeouts={"connect": "300ms"})])
    with Postern(lab, config), scripted_server(lab.backends[1]) as server:
        for _ in range(2):
            with lab.connect() as s:
                s.sendall(b"EHLO impatient.example\r\n")
                with server.accept()[0] as backend:
                    assert receive(backend, 24) == b"EHLO impatient.example\r\n"


@pytest.mark.topology(backends=3)
def test_no_more_than_the_configured_retries_are_made(lab):
    config = configuration([pool(backend_lines(lab.backends), retries=1)])
    with Postern(lab, config) as postern:
        expect_unavailable(lab.connect())
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["end"], line["retries"]) == ("connect_failed", "error", "1")
        counters = postern.counters()
        assert (counters["connects_failed"], counters["closed_connect_failed"]) == (2, 1)


@pytest.mark.topology(backends=2)
def test_a_client_is_told_when_no_backend_answers_in_time(lab):
    for b in lab.backends:
        lab.drop_tcp_to_port(b, 25)
    config = configuration([pool(backend_lines(lab.backends), timeouts={"connect": "300ms"})])
    with Postern(lab, config) as postern:
        began = time.monotonic()
        expect_unavailable(lab.connect())
        assert time.monotonic() - began < 5
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["retries"]) == ("connect_timeout", "1")


@pytest.mark.topology(backends=2)
def test_a_pool_whose_weights_are_all_zero_tells_its_clients(lab):
    serve_all(lab)
    config = configuration([pool(backend_lines(lab.backends, weight=0))])
    with Postern(lab, config) as postern:
        expect_unavailable(lab.connect())
        assert postern.wait_sessions(1)[0]["reason"] == "no_backend"


@pytest.mark.topology(backends=2)
def test_a_v6_client_of_a_v4_only_transparent_pool_is_refused_and_counted_never_readdressed(lab):
    servers = serve_all(lab)
    config = configuration([pool(backend_lines(lab.backends, families=[4]))])
    with Postern(lab, config) as postern:
        for _ in range(5):
            expect_refused(lambda: lab.connect(VIP6))
        with lab.connect(VIP4) as s:
            smtp_session(s)
        lines = postern.wait_sessions(5, reason="no_family")
        assert {s["end"] for s in lines} == {"error"} and {s["source"] for s in lines} == {"-"}
        assert postern.counters()["closed_no_family"] == 5
    assert sum(s.stop()["connections"] for s in servers) == 1


@pytest.mark.topology(backends=1)
def test_sessions_beyond_the_limit_are_refused_until_others_end(lab, engine):
    serve_all(lab)
    config = configuration([pool(backend_lines(lab.backends), **engine.pool)], gateway={"max_sessions": 10})
    with Postern(lab, config) as postern:
        with held(postern, engine, 10):
            for _ in range(3):
                expect_refused(lab.connect)
            assert len(postern.wait_sessions(3, reason="session_limit")) == 3
        postern.wait_sessions(13)
        result = client(lab, "sessions", "--count", 50, "--concurrency", 5)
        assert result["ok"] == 50, result
        assert postern.counters()["closed_session_limit"] == 3
