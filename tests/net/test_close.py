# SPDX-License-Identifier: Apache-2.0
"""How sessions end: FIN as FIN, RST as RST, silence by its timeout; each with its reason in the session line."""
import socket

import pytest

from daemon import DISSOLVED, Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6, family_of, hostport
from load import client, serve_all
from peers import expect_reset, expect_unavailable, receive, receive_all, reset, scripted_server

SO_SNDBUFFORCE = 32
BOTH_FAMILIES = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])


def plain(lab, engine, **settings):
    return configuration([pool(backend_lines(lab.backends), **engine.pool, **settings)])


def control(lab):
    """mailload's second connection, past the gateway: it asks the server how sessions ended there."""
    return ["--control", hostport(lab.backends[0].v4, 25)]


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.topology(backends=1)
def test_two_thousand_sessions_half_close_and_data_still_flows_the_other_way(lab, engine, side):
    serve_all(lab)
    with Postern(lab, plain(lab, engine)) as postern:
        result = client(lab, "halfclose", "--connections", 2000, "--side", side, *control(lab))
        assert result["ok"] == 2000 and not result["errors"], result
        lines = postern.wait_sessions(2000)
        engine.assert_carried(lines, 0.9)
        assert {s["reason"] for s in lines} == {"client_fin" if side == "client" else "backend_fin"}


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.topology(backends=1)
def test_a_reset_from_either_side_arrives_as_a_reset_within_a_second(lab, engine, side):
    serve_all(lab)
    with Postern(lab, plain(lab, engine)) as postern:
        result = client(lab, "reset", "--connections", 500, "--side", side, *control(lab))
        assert result["ok"] == 500 and not result["errors"], result
        assert result["max_ms"] < 1000, result
        lines = postern.wait_sessions(500)
        engine.assert_carried(lines, 0.9)
        assert {s["reason"] for s in lines} == {"client_reset" if side == "client" else "backend_reset"}


@BOTH_FAMILIES
@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_client_that_half_closes_still_gets_its_answer(lab, engine, vip):
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0], family=family_of(vip)) as server:
        s = lab.connect(vip)
        backend, _ = server.accept()
        sent, received = engine.settle(postern, s, backend)
        s.sendall(b"QUIT\r\n")
        s.shutdown(socket.SHUT_WR)
        assert receive_all(backend) == b"QUIT\r\n"
        backend.sendall(b"221 bye\r\n")
        assert receive(s, 9) == b"221 bye\r\n"
        backend.close()
        assert receive_all(s) == b""
        s.close()
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["end"]) == ("client_fin", "client")
        assert (line["bytes_in"], line["bytes_out"]) == (str(sent + 6), str(received + 9))
        engine.assert_carried([line])


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_a_client_that_half_closes_before_the_greeting_still_gets_its_answer(lab, vip):
    """Never quiet: it is relayed to its end, and the line says why."""
    with Postern(lab, plain(lab, DISSOLVED)) as postern, scripted_server(lab.backends[0], family=family_of(vip)) as server:
        s = lab.connect(vip)
        backend, _ = server.accept()
        s.sendall(b"QUIT\r\n")
        s.shutdown(socket.SHUT_WR)
        assert receive_all(backend) == b"QUIT\r\n"
        backend.sendall(b"221 bye\r\n")
        assert receive(s, 9) == b"221 bye\r\n"
        backend.close()
        assert receive_all(s) == b""
        s.close()
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["end"], line["relayed"]) == ("client_fin", "client", "early_end")
        assert (line["bytes_in"], line["bytes_out"]) == ("6", "9")


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_a_backend_that_half_closes_still_hears_the_client(lab, engine, vip):
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0], family=family_of(vip)) as server:
        s = lab.connect(vip)
        backend, _ = server.accept()
        engine.settle(postern, s, backend)
        backend.sendall(b"421 closing\r\n")
        backend.shutdown(socket.SHUT_WR)
        assert receive_all(s) == b"421 closing\r\n"
        s.sendall(b"late words")
        s.close()
        assert receive_all(backend) == b"late words"
        backend.close()
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["smtp_code"]) == ("backend_fin", "220")
        engine.assert_carried([line])


@pytest.mark.topology(backends=1)
def test_a_backend_that_closes_with_its_greeting_still_hears_the_client(lab):
    with Postern(lab, plain(lab, DISSOLVED)) as postern, scripted_server(lab.backends[0]) as server:
        s = lab.connect()
        backend, _ = server.accept()
        backend.sendall(b"421 closing\r\n")
        backend.shutdown(socket.SHUT_WR)
        assert receive_all(s) == b"421 closing\r\n"
        s.sendall(b"late words")
        s.close()
        assert receive_all(backend) == b"late words"
        backend.close()
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["smtp_code"]) == ("backend_fin", "421")


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_reset_before_the_greeting_is_passed_on_or_told(lab, engine):
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0]) as server:
        s = lab.connect()
        backend, _ = server.accept()
        reset(s)
        assert expect_reset(backend) < 1
        assert postern.wait_sessions(1)[0]["reason"] == "client_reset"
        s = lab.connect()
        backend, _ = server.accept()
        reset(backend)
        expect_unavailable(s)
        assert postern.wait_sessions(2)[1]["reason"] == "backend_reset"


@pytest.mark.topology(backends=1)
def test_data_sent_before_a_close_is_delivered_before_the_close(lab, engine):
    """A megabyte lies between the two when the sender closes: all of it must arrive, then FIN."""
    total = 1 << 20
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0]) as server:
        s = lab.connect()
        backend, _ = server.accept()
        _, received = engine.settle(postern, s, backend)
        backend.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2 * total)  # holds what no proxy takes
        backend.sendall(b"x" * total)
        backend.close()
        assert len(receive_all(s)) == total
        s.close()
        line = postern.wait_sessions(1)[0]
        assert line["bytes_out"] == str(received + total)
        engine.assert_carried([line])


def expect_cut(engine, s):
    """What a peer hears of a timeout: FIN from a socket of the relay's; RST where there is no socket any more."""
    if engine.dissolves:
        expect_reset(s)
    else:
        assert receive_all(s) == b""


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_an_idle_session_ends_after_the_idle_timeout_and_not_while_bytes_pass(lab, engine, vip):
    config = plain(lab, engine, timeouts={"idle": "2s"})
    with Postern(lab, config) as postern, scripted_server(lab.backends[0], family=family_of(vip)) as server:
        s = lab.connect(vip)
        backend, _ = server.accept()
        engine.settle(postern, s, backend)
        expect_cut(engine, s)
        expect_cut(engine, backend)
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["end"]) == ("idle", "timeout")
        assert 1.9 <= float(line["duration"]) < 10
        engine.assert_carried([line])
        assert postern.counters()["cut"] == engine.dissolves and not postern.counters()["cut_unsent"]


@pytest.mark.topology(backends=1)
def test_one_way_traffic_keeps_a_session_from_being_idle(lab, engine):
    with Postern(lab, plain(lab, engine, timeouts={"idle": "3s"})) as postern, scripted_server(lab.backends[0]) as server:
        s = lab.connect()
        backend, _ = server.accept()
        engine.settle(postern, s, backend)
        for _ in range(4):  # 4 s, paced by the backend's own time-out
            s.sendall(b".")
            receive(backend, 1)
            with pytest.raises(TimeoutError):
                backend.settimeout(1)
                backend.recv(1)
        assert not postern.sessions()
        s.close()
        assert receive_all(backend) == b""
        backend.close()
        line = postern.wait_sessions(1)[0]
        assert line["reason"] == "client_fin"
        engine.assert_carried([line])


@pytest.mark.topology(backends=1)
def test_a_half_closed_session_ends_after_its_own_timeout(lab, engine):
    config = plain(lab, engine, timeouts={"half_closed": "1s", "idle": "60s"})
    with Postern(lab, config) as postern, scripted_server(lab.backends[0]) as server:
        s = lab.connect()
        backend, _ = server.accept()
        engine.settle(postern, s, backend)
        s.shutdown(socket.SHUT_WR)
        assert receive_all(backend) == b""
        expect_cut(engine, s)
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["end"]) == ("half_closed", "timeout")
        assert 0.9 <= float(line["duration"]) < 10
        engine.assert_carried([line])
