# SPDX-License-Identifier: Apache-2.0
"""What sessions meet at their backends becomes limits and weights, where a pool asks for it."""
import select

import pytest

from daemon import Postern, backend_lines, configuration, pool
from load import client, serve
from peers import receive_all, scripted_server

BUSY = b"421 4.3.2 All server ports are busy\r\n"


@pytest.mark.topology(backends=2)
def test_a_backend_that_says_that_it_is_busy_may_have_fewer_sessions_for_a_while(lab):
    """Both of them do, again and again; the sender gets what the last one said, and the brake takes hold."""
    config = configuration([pool(backend_lines(lab.backends), overload_brake="on", retries=1)])
    servers = [scripted_server(b) for b in lab.backends]
    with Postern(lab, config) as postern, servers[0] as one, servers[1] as two:
        for _ in range(6):
            s = lab.connect()
            for _ in range(2):
                ready, _, _ = select.select([one.socket, two.socket], [], [], 20)
                with (one if one.socket in ready else two).accept()[0] as backend:
                    backend.sendall(BUSY)
            assert receive_all(s) == BUSY
            s.close()
        line = postern.wait(event="brake")
        assert line["pool"] == "inbound" and line["max_sessions"] == "1" and "busy" in line["text"]
        assert {b["backend"] for b in postern.lines(event="brake")} <= {b.label for b in lab.backends}


@pytest.mark.heavy
@pytest.mark.topology(backends=3)
def test_a_backend_that_greets_far_later_than_the_others_loses_weight(lab):
    """One window of comparison is a minute."""
    for number, b in enumerate(lab.backends):
        serve(b, *(["--greet-delay", 1500] if number == 0 else []))
    config = configuration([pool(backend_lines(lab.backends), outlier="on", balance="round-robin")])
    with Postern(lab, config) as postern:
        result = client(lab, "sessions", "--concurrency", 20, "--count", 200)
        assert result["ok"] == 200 and not result["errors"], result
        line = postern.wait(event="outlier", deadline=80)
        assert line["backend"] == lab.backends[0].label and int(line["weight_percent"]) <= 10
        before = len(postern.sessions())
        result = client(lab, "sessions", "--concurrency", 5, "--count", 100)
        assert result["ok"] == 100
        late = [s for s in postern.wait_sessions(before + 100)[before:] if s["backend"] == lab.backends[0].label]
        assert len(late) <= 8
