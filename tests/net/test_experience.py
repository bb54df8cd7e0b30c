# SPDX-License-Identifier: Apache-2.0
"""What sessions meet at their backends becomes limits and weights, where a pool asks for it."""
import select

import pytest

from admin import AdminPostern
from daemon import Postern, backend_lines, configuration, pool
from load import client, serve
from peers import receive_all, scripted_server

BUSY = b"421 4.3.2 All server ports are busy\r\n"


def complain(lab, servers, times):
    """So many sessions, each told by both servers that they are busy; the sender gets what the last one said."""
    one, two = servers
    for _ in range(times):
        s = lab.connect()
        for _ in servers:
            ready, _, _ = select.select([one.socket, two.socket], [], [], 20)
            with (one if one.socket in ready else two).accept()[0] as backend:
                backend.sendall(BUSY)
        assert receive_all(s) == BUSY
        s.close()


def config(backends, brake):
    return configuration([pool(backend_lines(backends), overload_brake=brake, retries=1)])


@pytest.mark.topology(backends=2)
def test_a_backend_that_says_that_it_is_busy_may_have_fewer_sessions_until_nobody_asks_for_that_any_more(lab):
    """Both of them say it again and again, and the brake takes hold; a configuration without a brake lets it go."""
    servers = [scripted_server(b) for b in lab.backends]
    labels = {b.label for b in lab.backends}
    with AdminPostern(lab, config(lab.backends, "on")) as postern, servers[0] as one, servers[1] as two:
        complain(lab, (one, two), 6)
        line = postern.wait(event="brake", count=2)
        assert line["pool"] == "inbound" and line["max_sessions"] == "1" and "busy" in line["text"]
        assert {b["backend"] for b in postern.lines(event="brake")} == labels
        assert {postern.stat()["inbound", b]["slim"] for b in labels} == {"1"}
        postern.reload(postern.with_admin(config(lab.backends, "off")))
        assert {postern.stat()["inbound", b]["slim"] for b in labels} == {""}


@pytest.mark.topology(backends=2)
def test_what_an_added_backend_says_counts_from_its_first_session_on(lab):
    one, two = lab.backends
    servers = [scripted_server(b) for b in lab.backends]
    with AdminPostern(lab, config([one], "on")) as postern, servers[0] as first, servers[1] as second:
        assert postern.ask(f"add server inbound/new {two.v4}:25 enabled") == "New server registered.\n\n"
        complain(lab, (first, second), 6)
        assert postern.wait(event="brake", backend="new")["max_sessions"] == "1"


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
