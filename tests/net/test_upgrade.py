# SPDX-License-Identifier: Apache-2.0
"""Upgrade in place: another process takes over, and nobody notices; or it does not, and nobody notices either."""
import collections
import re

import pytest

from daemon import backend_lines, configuration, pool
from dissolving import Message, Session, message_hash, plain
from load import serve_all
from peers import receive, scripted_server
from upgrading import Storm, Upgrading


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


# ---- failures: the old process goes on ----------------------------------------------------------------------------------

def assert_goes_on(lab, postern, server, pid):
    """The same process serves as before: clients are accepted, and their sessions dissolve."""
    assert postern.pid == pid and postern.process.poll() is None
    dissolved = postern.counters()["dissolved"]
    session = Session(lab, server)
    session.dissolve(postern, dissolved + 1)
    session.close()


FAILURES = {
    "missing": (None, "cannot start"),
    "not a program": ("this is no program", "cannot start"),
    "exits at once": ("#!/bin/sh\nexit 3\n", "ended with status 3"),
    "crashes": ("#!/bin/sh\nkill -SEGV $$\n", "signal 11"),
    "does not know what is handed over": ("#!/bin/sh\nexec sleep 0\n", "ended with status 0"),
}


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_a_program_that_cannot_take_over_changes_nothing(lab):
    with Upgrading(lab, plain(lab)) as postern, scripted_server(lab.backends[0]) as server:
        kept, pid = Session(lab, server).dissolve(postern), postern.pid
        for name, (text, reason) in FAILURES.items():
            if text is None:
                postern.program.unlink()
            else:
                postern.install(text)
            assert reason in postern.fail_to_upgrade(), name
            kept.say()
            assert_goes_on(lab, postern, server, pid)
        postern.install()
        postern.upgrade()
        kept.say()
        kept.close()
        postern.wait_idle()


@pytest.mark.topology(backends=1)
def test_a_configuration_with_errors_is_named_and_the_old_process_goes_on(lab):
    with Upgrading(lab, plain(lab)) as postern, scripted_server(lab.backends[0]) as server:
        pid = postern.pid
        postern.file.write_text(postern.config.replace("source: client", "source: nobody"))
        assert "refuses the configuration" in postern.fail_to_upgrade()
        assert any(":" in text and "source" in text and "error" in text for text in postern.log.read())
        assert_goes_on(lab, postern, server, pid)
        postern.file.write_text(postern.config)
        postern.upgrade()
        assert_goes_on(lab, postern, server, postern.pid)


@pytest.mark.limit(120)
@pytest.mark.topology(backends=1)
def test_a_program_that_hangs_is_killed_and_the_old_process_goes_on(lab):
    with Upgrading(lab, plain(lab)) as postern, scripted_server(lab.backends[0]) as server:
        pid = postern.pid
        postern.install("#!/bin/sh\nexec sleep 1000\n")
        assert "not prepared in time" in postern.fail_to_upgrade(60)
        assert_goes_on(lab, postern, server, pid)


TRACED = "bpf", "clone3", "recvmsg", "sendmsg"
TOWARDS_THE_OLD = 3  # the new process's descriptor


def traced_calls(lab, config):
    """What the thread of a new process that takes over calls until it serves: [(call, the how manieth, descriptor)]."""
    with Upgrading(lab, config) as postern:
        trace = postern.directory / "trace"
        postern.install(f'#!/bin/sh\nexec strace -D -f -qq -e trace={",".join(TRACED)} -o {trace} {postern.installed} "$@"\n')
        pid = postern.upgrade()["pid"]
        postern.stop()
        lines = trace.read_text().splitlines()
    seen = collections.Counter()
    calls = []
    for line in lines:
        found = re.match(r"(\d+) +(\w+)\((\w*)", line)
        if found and found[1] == pid:
            seen[found[2]] += 1
            calls.append((found[2], seen[found[2]], found[3]))
    _, serving, *_ = (n for n, call in enumerate(calls) if call[0] == "sendmsg" and call[2] == str(TOWARDS_THE_OLD))
    return calls[:serving]  # with its second word it is the one that serves


def chosen(calls):
    """All that is said between the two, all threads that begin, and some of the work in between."""
    bpf = [c for c in calls if c[0] == "bpf"]
    some = {*bpf[::12], *bpf[-6:]}
    return [c for c in calls if c in some or c[0] == "clone3" or c[2] == str(TOWARDS_THE_OLD)]


@pytest.mark.heavy
@pytest.mark.limit(300)
@pytest.mark.topology(backends=2)
def test_kill_9_of_the_new_process_at_each_step_cuts_and_refuses_nobody(lab):
    """Beside a storm of sessions, and one in the middle of its message."""
    serve_all(lab)
    config = plain(lab, gateway={"workers": 2})
    steps = chosen(traced_calls(lab, config))
    with Upgrading(lab, config) as postern:
        kept, pid = Message(lab, len(steps) + 2), postern.pid
        with Storm(lab) as storm:
            for call, number, _ in steps:
                postern.install("#!/bin/sh\nexec strace -D -f -qq -o /dev/null "
                                f'-e trace={call} -e inject={call}:signal=KILL:when={number} {postern.installed} "$@"\n')
                assert "signal 9" in postern.fail_to_upgrade(), (call, number)
                assert postern.pid == pid
                kept.write(1)
                storm.wait(50)
            postern.install()
            postern.upgrade()
            storm.wait(50)
        print(f"killed at {len(steps)} steps, beside {storm.ok} sessions")
        assert not storm.errors, storm.errors
        assert kept.finish() == message_hash(lab, lab.backends[0], len(steps) + 2)
