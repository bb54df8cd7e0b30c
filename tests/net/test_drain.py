# SPDX-License-Identifier: Apache-2.0
"""A drain takes no new session and cuts nobody who says something; who is silent for too long is ended, after a limit."""
import signal

import pytest

from admin import AdminPostern
from daemon import DEADLINE, RELAY, backend_lines, configuration, pool
from dissolving import Session
from peers import expect_reset, receive_all, scripted_server

SHORT = {"drain": {"limit": "5s", "silent": "4s"}}  # a wait for the log looks up once a second


def config(lab, engine, **gateway):
    return configuration([pool(backend_lines(lab.backends), slow_start="0s", **engine.pool)],
                         gateway={"workers": 2, **(gateway or SHORT)})


def only(postern, wanted, others):
    """From now on new sessions go to this backend."""
    for b in others:
        postern.ask(f"set server inbound/{b.label} weight 0")
    postern.ask(f"set server inbound/{wanted.label} weight 100%")


def begun(postern, engine, server, number=1):
    """The so-manyth session of a story: dissolved before the next one begins, so that the counters tell which it was."""
    session = Session(postern.lab, server)
    return session.dissolve(postern, number) if engine.dissolves else session


def wait_line(postern, talker, **fields):
    """Talks until the log has such a line."""
    postern.log.wait(lambda _: talker.say() or postern.lines(**fields), str(fields))
    return postern.lines(**fields)[-1]


def expect_ended(session, engine):
    """In order, or where there are no sockets any more by a reset."""
    for end in session.ends:
        if engine.dissolves:
            expect_reset(end)
        else:
            assert receive_all(end) == b""
            end.close()


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_of_a_backend_that_drains_only_silent_sessions_are_ended_and_only_after_the_limit(lab, engine):
    one, two = lab.backends
    with AdminPostern(lab, config(lab, engine)) as postern, scripted_server(one) as first, scripted_server(two) as second:
        only(postern, two, [one])
        elsewhere = begun(postern, engine, second)
        only(postern, one, [two])
        silent, talker = begun(postern, engine, first, 2), begun(postern, engine, first, 3)
        only(postern, two, [])
        assert postern.ask(f"set server inbound/{one.label} state drain") == "\n"
        line = wait_line(postern, talker, event="backend_drain")
        assert (line["pool"], line["backend"], line["sessions"]) == ("inbound", one.label, "2")
        new = Session(lab, second)
        line = wait_line(postern, talker, event="session")
        assert (line["reason"], line["end"], line["backend"]) == ("drained", "timeout", one.label)
        assert line["client"].endswith(f":{silent.client.getsockname()[1]}") and float(line["duration"]) >= 2
        expect_ended(silent, engine)
        line = wait_line(postern, talker, event="drain_cut")
        assert (line["backend"], line["sessions"], line["silent_ms"]) == (one.label, "1", "4000")
        for s in (talker, elsewhere, new):
            s.say()
        talker.close()
        assert postern.wait(event="backend_drained")["backend"] == one.label
        elsewhere.close()
        new.close()


@pytest.mark.topology(backends=2)
def test_a_drain_that_is_taken_back_ends_nobody(lab, engine):
    one, two = lab.backends
    with AdminPostern(lab, config(lab, engine)) as postern, scripted_server(one) as first, scripted_server(two) as second:
        only(postern, one, [two])
        kept = Session(lab, first)
        only(postern, two, [one])
        cut = Session(lab, second)
        assert postern.ask(f"set server inbound/{one.label} state drain") == "\n"
        postern.wait(event="backend_drain", backend=one.label)
        assert postern.ask(f"set server inbound/{one.label} state ready") == "\n"
        assert postern.ask(f"set server inbound/{two.label} state maint") == "\n"
        assert postern.wait(event="session")["backend"] == two.label, "which began to drain later"
        for end in cut.ends:
            end.close()
        kept.say()
        kept.close()


@pytest.mark.topology(backends=2)
def test_a_backend_that_has_left_its_pool_drains_too_and_then_is_gone(lab, engine):
    one, two = lab.backends
    with AdminPostern(lab, config(lab, engine)) as postern, scripted_server(one) as first:
        only(postern, one, [two])
        silent = begun(postern, engine, first)
        lines = [line for line in config(lab, engine).split("\n") if f"name: {one.label}," not in line]
        postern.reload(postern.with_admin("\n".join(lines)))
        assert postern.wait(event="backend_drain")["backend"] == one.label
        line = postern.wait(event="session")
        assert (line["reason"], line["backend"]) == ("drained", one.label)
        expect_ended(silent, engine)
        assert postern.wait(event="left")["backends"] == "1"


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_gateway_that_drains_ends_silent_sessions_in_the_end_and_waits_for_the_others(lab):
    with AdminPostern(lab, config(lab, RELAY)) as postern, scripted_server(lab.backends[0]) as server:
        silent, talker = Session(lab, server), Session(lab, server)
        postern.send(signal.SIGTERM)
        line = wait_line(postern, talker, event="drain_cut")
        assert (line["backend"], line["sessions"]) == ("-", "1")
        expect_ended(silent, RELAY)
        assert postern.wait(event="session")["reason"] == "drained"
        talker.say()
        talker.client.close()
        assert receive_all(talker.backend) == b""
        talker.backend.close()
        postern.wait_end(DEADLINE)
        assert [s["reason"] for s in postern.sessions()] == ["drained", "client_fin"]
