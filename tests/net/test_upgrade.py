# SPDX-License-Identifier: Apache-2.0
"""Upgrade in place: another process takes over, and nobody notices; or it does not, and nobody notices either."""
import pytest

from daemon import backend_lines, configuration, pool
from dissolving import plain
from lab import VIP4, VIP6
from load import serve_all
from peers import converse, receive, scripted_server, smtp_session
from upgrading import Upgrading


def speak(s, backend):
    s.sendall(b"NOOP\r\n")
    assert receive(backend, 6) == b"NOOP\r\n"
    backend.sendall(b"250 ok\r\n")
    assert receive(s, 8) == b"250 ok\r\n"


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_session_outlives_an_upgrade_and_the_next_one_is_the_new_process_s(lab, engine):
    with Upgrading(lab, configuration([pool(backend_lines(lab.backends), **engine.pool)])) as postern, \
            scripted_server(lab.backends[0]) as server:
        kept = lab.connect()
        backend, _ = server.accept()
        engine.settle(postern, kept, backend)
        before = postern.pid
        line = postern.upgrade()
        assert line["from"] == str(before) != line["pid"]
        speak(kept, backend)
        fresh = lab.connect()
        fresh_backend, _ = server.accept()
        engine.settle(postern, fresh, fresh_backend)
        for s in (kept, backend, fresh, fresh_backend):
            s.close()
        lines = postern.wait_sessions(2)
        engine.assert_carried(lines)
        assert len({s["session"] for s in lines}) == 2
