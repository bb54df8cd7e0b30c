# SPDX-License-Identifier: Apache-2.0
"""The server speaks first: nothing waits for the client, nothing of either side is held back."""
import time

import pytest

from daemon import DISSOLVED, Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6, family_of
from load import client, serve
from peers import converse, receive, scripted_server

FAMILIES = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])


def plain(lab, engine=DISSOLVED):
    return configuration([pool(backend_lines(lab.backends), **engine.pool)])


@FAMILIES
@pytest.mark.topology(backends=1)
def test_a_silent_client_gets_its_banner_at_once(lab, vip):
    with Postern(lab, plain(lab)) as postern, scripted_server(lab.backends[0], family=family_of(vip)) as server:
        began = time.monotonic()
        s = lab.connect(vip)
        backend, _ = server.accept()
        backend.sendall(b"220 mx.example ESMTP\r\n")
        assert receive(s, 22) == b"220 mx.example ESMTP\r\n"
        assert time.monotonic() - began < 5
        s.close()
        backend.close()
        line = postern.wait_sessions(1)[0]
        assert line["smtp_code"] == "220" and int(line["banner_ms"]) < 5000


@FAMILIES
@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_client_that_talks_early_is_heard_before_the_greeting(lab, engine, vip):
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0], family=family_of(vip)) as server:
        s = lab.connect(vip)
        s.sendall(b"EHLO pregreeter\r\n")
        backend, _ = server.accept()
        assert receive(backend, 17) == b"EHLO pregreeter\r\n"
        s.sendall(b"MAIL FROM:<>\r\n")
        assert receive(backend, 14) == b"MAIL FROM:<>\r\n"
        engine.settle(postern, s, backend, b"554 you talk too early\r\n")
        s.close()
        backend.close()
        line = postern.wait_sessions(1)[0]
        assert line["smtp_code"] == "554"
        engine.assert_carried([line])


@pytest.mark.topology(backends=1)
def test_a_greeting_in_pieces_is_passed_on_piece_by_piece(lab, engine):
    """postscreen sends "220-" long before its last line; even half a code must not wait for its other half."""
    with Postern(lab, plain(lab, engine)) as postern, scripted_server(lab.backends[0]) as server:
        s = lab.connect()
        backend, _ = server.accept()
        for piece in (b"2", b"20", b"-mx.example\r", b"\n", b"220 mx.example\r\n"):
            backend.sendall(piece)
            assert receive(s, len(piece)) == piece
        s.close()
        backend.close()
        assert postern.wait_sessions(1)[0]["smtp_code"] == "220"


@pytest.mark.topology(backends=1)
def test_a_late_greeting_still_arrives(lab):
    serve(lab.backends[0], "--greet-delay", 1500)
    with Postern(lab, plain(lab)) as postern:
        with lab.connect() as s:
            converse(s, "", "220")
        assert 1400 <= int(postern.wait_sessions(1)[0]["banner_ms"]) < 5000


@pytest.mark.topology(backends=1)
def test_round_trips_pass_in_both_families(lab, engine):
    serve(lab.backends[0])
    with Postern(lab, plain(lab, engine)) as postern:
        result = client(lab, "ping", "--connections", 64, "--rounds", 200)
        assert result["round_trips"] == 64 * 200, result
        engine.assert_carried(postern.wait_sessions(64), 0.9)
