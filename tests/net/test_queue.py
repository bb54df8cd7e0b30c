# SPDX-License-Identifier: Apache-2.0
"""max_sessions is exact over all workers; who finds all backends full waits in line, for a while."""
import signal

import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6
from load import client, serve_all
from peers import converse, expect_reset, expect_unavailable, receive, reset, scripted_server, smtp_session


def limited(lab, engine=None, workers=2, **settings):
    return configuration([pool(backend_lines(lab.backends), **(engine.pool if engine else {}), **settings)],
                         gateway={"workers": workers})


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_two_hundred_clients_over_two_workers_share_ten_places_and_all_are_served(lab, engine):
    servers = serve_all(lab, "--greet-delay", 10)
    with Postern(lab, limited(lab, engine, max_sessions=5)) as postern:
        result = client(lab, "sessions", "--count", 2000, "--concurrency", 200)
        assert result["ok"] == 2000 and not result["errors"], result
        lines = postern.wait_sessions(2000)
        assert {s["reason"] for s in lines} <= {"client_fin", "backend_fin"}
        counters = postern.counters()
        assert counters["queued"] > 1000 and not counters["connect_retries"], counters
        assert max(float(s["duration"]) for s in lines) < 20, "nobody is starved"
    assert [s.stop()["open_max"] for s in servers] == [5, 5]


@pytest.mark.topology(backends=1)
def test_who_waits_is_served_in_order_as_places_become_free(lab):
    with Postern(lab, limited(lab, workers=1, max_sessions=1)) as postern, scripted_server(lab.backends[0]) as server:
        held = lab.connect()
        backend, _ = server.accept()
        backend.sendall(b"220 mx\r\n")
        assert receive(held, 8) == b"220 mx\r\n"
        waiting = []
        for n in range(1, 6):
            waiting.append(lab.connect())
            postern.wait_counter(queued=n)
        for s in waiting:
            held.close()
            backend.close()
            held = s
            backend, address = server.accept()
            assert address[:2] == s.getsockname()[:2]
        held.close()
        backend.close()
        postern.wait_sessions(6)


@pytest.mark.topology(backends=1)
def test_a_full_queue_and_a_long_wait_end_with_a_last_word(lab):
    config = limited(lab, max_sessions=1, queue_length=1, queue_timeout="3s")
    with Postern(lab, config) as postern, scripted_server(lab.backends[0]) as server:
        held = lab.connect()
        backend, _ = server.accept()
        waiting = lab.connect()
        postern.wait_counter(queued=1)
        expect_unavailable(lab.connect())
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["smtp_code"], line["backend"]) == ("queue_full", "421", "-")
        expect_unavailable(waiting)
        line = postern.wait_sessions(2)[1]
        assert (line["reason"], line["end"], line["smtp_code"]) == ("queue_timeout", "timeout", "421")
        assert 2.9 <= float(line["duration"]) < 10
        backend.sendall(b"220 mx\r\n")
        assert receive(held, 8) == b"220 mx\r\n"
        held.close()
        backend.close()


@pytest.mark.topology(backends=1)
def test_a_queue_of_length_zero_tells_at_once(lab):
    with Postern(lab, limited(lab, max_sessions=1, queue_length=0)) as postern, scripted_server(lab.backends[0]) as server:
        held = lab.connect()
        backend, _ = server.accept()
        expect_unavailable(lab.connect())
        assert postern.wait_sessions(1)[0]["reason"] == "queue_full"
        held.close()
        backend.close()


@pytest.mark.parametrize("leave, reason", [(reset, "client_reset"), (lambda s: s.close(), "client_left")], ids=["reset", "fin"])
@pytest.mark.topology(backends=1)
def test_a_client_that_leaves_the_queue_is_noticed_and_gives_up_its_place_in_line(lab, leave, reason):
    with Postern(lab, limited(lab, max_sessions=1)) as postern, scripted_server(lab.backends[0]) as server:
        held = lab.connect()
        backend, _ = server.accept()
        waiting = lab.connect()
        postern.wait_counter(queued=1)
        leave(waiting)
        assert postern.wait_sessions(1)[0]["reason"] == reason
        following = lab.connect()
        postern.wait_counter(queued=2)
        held.close()
        backend.close()
        backend, address = server.accept()
        assert address[:2] == following.getsockname()[:2]
        following.close()
        backend.close()


@pytest.mark.topology(backends=1)
def test_a_place_that_becomes_free_at_one_worker_serves_those_who_wait_at_another(lab, engine):
    """Sixteen sessions hold every place, whichever workers they came to; as they end, sixteen others take them."""
    serve_all(lab)
    with Postern(lab, limited(lab, engine, max_sessions=16)) as postern:
        held = [lab.connect() for _ in range(16)]
        for s in held:
            converse(s, "", "220")
        waiting = [lab.connect() for _ in range(16)]
        postern.wait_counter(queued=16)
        for s in held:
            s.close()
        for s in waiting:
            smtp_session(s)
            s.close()
        assert len({int(s["session"][:2], 16) for s in postern.wait_sessions(32)}) == 2, "both workers had some"


@pytest.mark.topology(backends=2)
def test_a_full_family_does_not_keep_the_other_waiting(lab):
    backends = backend_lines(lab.backends[:1], families=(6,)) + backend_lines(lab.backends[1:], families=(4,))
    config = configuration([pool(backends, max_sessions=1)], gateway={"workers": 1})
    serve_all(lab)
    with Postern(lab, config) as postern:
        held = lab.connect(VIP6)
        converse(held, "", "220")
        waiting = lab.connect(VIP6)
        postern.wait_counter(queued=1)
        for _ in range(5):
            with lab.connect(VIP4) as s:
                assert "mta2" in smtp_session(s)
        held.close()
        assert "mta1" in smtp_session(waiting)
        waiting.close()
        postern.wait_sessions(7)


@pytest.mark.topology(backends=2)
def test_a_held_reply_is_passed_when_all_others_are_full(lab):
    config = configuration([pool(backend_lines(lab.backends), balance="round-robin", max_sessions=1)], gateway={"workers": 1})
    with Postern(lab, config) as postern, scripted_server(lab.backends[0]) as first, scripted_server(lab.backends[1]) as second:
        busy, held = lab.connect(), lab.connect()
        one, _ = first.accept()
        two, _ = second.accept()
        one.sendall(b"421 4.3.2 busy\r\n")
        assert receive(busy, 16) == b"421 4.3.2 busy\r\n"
        for s in (busy, held, one, two):
            s.close()
        assert {s["retries"] for s in postern.wait_sessions(2)} == {"0"}


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_daemon_told_to_end_at_once_leaves_nobody_waiting(lab):
    """One session before its greeting, one in the queue, one that has just been told: all end with the daemon."""
    with Postern(lab, limited(lab, max_sessions=1, queue_length=1)) as postern, scripted_server(lab.backends[0]) as server:
        held = lab.connect()
        backend, _ = server.accept()
        waiting = lab.connect()
        postern.wait_counter(queued=1)
        told = lab.connect()
        postern.wait_counter(told_unavailable=1)
        postern.send(signal.SIGINT)
        postern.wait_end()
        reasons = sorted(s["reason"] for s in postern.sessions())
        assert reasons == ["shutdown"] * 3
        expect_reset(held)
        expect_reset(waiting)
        expect_unavailable(told)
        backend.close()
