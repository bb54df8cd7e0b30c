# SPDX-License-Identifier: Apache-2.0
"""
How it ends: TERM waits for the relayed sessions, a second TERM or INT does not, and the host is left as it was; dissolved
sessions go on, on what they need of it, until --flush.
"""
import re
import signal

import pytest

from daemon import RELAY, Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6
from load import serve_all, start_client
from peers import converse, expect_reset, receive_all, smtp_session

LAST_OF_HANDSHAKE = "tcp flags & (syn | ack) == ack"


def plain(lab, engine):
    return configuration([pool(backend_lines(lab.backends), **engine.pool)])


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_term_refuses_new_sessions_and_waits_for_the_relayed_ones(lab):
    serve_all(lab)
    with Postern(lab, plain(lab, RELAY)) as postern:
        s = lab.connect()
        converse(s, "", "220")
        postern.send(signal.SIGTERM)
        postern.wait(event="drain")
        for vip in (VIP4, VIP6):
            with pytest.raises(ConnectionRefusedError):
                lab.connect(vip)
        for _ in range(10):
            converse(s, "NOOP", "250")
        assert postern.process.poll() is None
        converse(s, "QUIT", "221")
        s.close()
        postern.wait_end()
        postern.check_left_nothing()
        assert postern.sessions()[0]["reason"] in ("backend_fin", "client_fin")
        assert postern.last_counters()["sessions_ended"] == 1
        assert postern.lines(event="stop")


@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT),
                                           (None, signal.SIGINT)], ids=["term-term", "term-int", "int"])
@pytest.mark.topology(backends=1)
def test_a_second_term_or_an_int_ends_the_relayed_sessions_at_once(lab, first, second):
    servers = serve_all(lab)
    with Postern(lab, plain(lab, RELAY)) as postern:
        sessions = [lab.connect(vip) for vip in (VIP4, VIP6) * 20]
        for s in sessions:
            converse(s, "", "220")
        if first:
            postern.send(first)
            postern.wait(event="drain")
        postern.send(second)
        postern.wait_end(10)
        postern.check_left_nothing()
        for s in sessions:
            expect_reset(s)
        assert {s["reason"] for s in postern.sessions()} == {"shutdown"}
        assert len(postern.sessions()) == 40
    assert servers[0].stop()["resets"] == 40


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_an_int_in_the_middle_of_heavy_traffic_leaves_nothing_behind_but_dissolved_sessions(lab, engine):
    serve_all(lab)
    with Postern(lab, plain(lab, engine)) as postern:
        bulk = start_client(lab, "bulk", "--connections", 20, "--bytes", "10G", "--direction", "both")
        postern.wait_counter(**({"sessions_dissolved": 20} if engine.dissolves else {"splices_started": 20}))  # all of them
        mail = start_client(lab, "sessions", "--count", 1_000_000, "--concurrency", 50)
        postern.wait_counter(**({"dissolved": 500} if engine.dissolves else {}), sessions_ended=500)
        postern.send(signal.SIGINT)
        postern.wait_end(10)
        counters = postern.last_counters()
        assert counters["sessions"] == counters["sessions_dissolved"]
        assert counters["sessions_accepted"] == counters["sessions_ended"] + counters["sessions"]
        if engine.dissolves:
            left = int(postern.lines(event="left_behind")[0]["dissolved"])
            assert left >= 20  # a mail may yet have ended since the counters were read, the bulk not
            cut = int(re.search(r"cutting (\d+) dissolved sessions", postern.flush()).group(1))
            assert 20 <= cut <= left
        postern.check_left_nothing()
        for program in (bulk, mail):
            program.process.kill()


@pytest.mark.topology(backends=1)
def test_term_while_a_backend_does_not_answer_ends_when_that_session_is_over(lab, engine):
    lab.drop_tcp_to_port(lab.backends[0], 25)
    config = configuration([pool(backend_lines(lab.backends), timeouts={"connect": "1s"}, **engine.pool)])
    with Postern(lab, config) as postern:
        s = lab.connect()
        postern.wait_counter(sessions=1)
        postern.send(signal.SIGTERM)
        assert receive_all(s).startswith(b"421 4.3.2 ")
        s.close()
        postern.wait_end()
        postern.check_left_nothing()
        assert postern.sessions()[0]["reason"] == "connect_timeout"


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_handshake_under_way_at_term_becomes_a_session(lab):
    serve_all(lab)
    with Postern(lab, plain(lab, RELAY)) as postern:
        lab.drop_tcp_to_port(lab.gateway, 25, LAST_OF_HANDSHAKE)
        sessions = [lab.connect(vip) for vip in (VIP4, VIP6)]
        postern.send(signal.SIGTERM)
        postern.wait(event="drain")
        lab.stop_dropping(lab.gateway)
        for s in sessions:
            s.sendall(b"NOOP\r\n")  # it acknowledges the SYN-ACK, too
        for s in sessions:
            converse(s, "", "220")
            converse(s, "", "250")
            converse(s, "QUIT", "221")
            s.close()
        postern.wait_end()
        postern.check_left_nothing()
        assert postern.last_counters()["sessions_ended"] == 2


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_connections_that_wait_to_be_accepted_at_term_become_sessions(lab):
    serve_all(lab)
    with Postern(lab, plain(lab, RELAY)) as postern:
        with postern.workers_held():
            sessions = [lab.connect(vip) for vip in (VIP4, VIP6) * 20]
            postern.send(signal.SIGTERM)
            postern.wait(event="drain")
        for s in sessions:
            smtp_session(s)
            s.close()
        postern.wait_end()
        postern.check_left_nothing()
        assert postern.last_counters()["sessions_ended"] == 40


@pytest.mark.topology(backends=1)
def test_a_handshake_that_never_ends_holds_up_the_end_for_seconds_only(lab):
    with Postern(lab, plain(lab, RELAY)) as postern:
        lab.drop_tcp_to_port(lab.gateway, 25, LAST_OF_HANDSHAKE)
        with lab.connect():  # the kernel keeps its half of it for a minute
            postern.send(signal.SIGTERM)
            postern.wait_end(20)
            postern.check_left_nothing()
