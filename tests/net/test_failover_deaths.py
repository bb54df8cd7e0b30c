# SPDX-License-Identifier: Apache-2.0
"""
Backends die in every way and in every phase of a session. Before the greeting no client may notice; after it those alone
that were in flight on the dead backend.
"""
import contextlib
import signal
import subprocess
import sys

import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6
from load import serve, serve_all, start_client
from peers import converse, smtp_session

CLIENTS = 20

# Takes connections, says so many bytes to each, then nothing. It reads nothing either: what a client has said makes the kernel
# reset the connection when the process is killed.
DOOMED = """
import select, socket, sys
port, words, *hosts = sys.argv[1:]
held = []
listening = [socket.create_server((h, int(port)), family=socket.AF_INET6 if ":" in h else socket.AF_INET, backlog=64) for h in hosts]
print("ready", flush=True)
while True:
    for s in select.select(listening, [], [])[0]:
        c = s.accept()[0]
        c.sendall(words.encode().decode("unicode_escape").encode())
        held.append(c)
        print("accepted", flush=True)
"""

PHASES = {"connected": "", "held": "421 4.3.2 al", "half_a_code": "4", "greeted": "220 doomed\\r\\n"}


class Doomed:
    def __init__(self, backend, words):
        self.backend = backend
        self.process = backend.popen(sys.executable, "-c", DOOMED, "25", words, backend.v4, backend.v6, stdout=subprocess.PIPE)
        self.expect("ready")

    def expect(self, word):
        assert self.process.stdout.readline().decode().strip() == word

    def die(self, lab, how):
        if how in ("killed", "reset"):
            self.process.kill()
            self.process.wait()
        elif how == "stopped":
            self.process.send_signal(signal.SIGSTOP)
        else:
            lab.drop_tcp_to_port(self.backend, 25)


def doomed_configuration(lab, engine):
    timeouts = {"connect": "500ms", "greeting": "2s", "half_closed": "2s"}  # those with the living are idle for a while
    return configuration([pool(backend_lines(lab.backends), balance="round-robin", timeouts=timeouts, **engine.pool)])


def greeted_by_the_living(sessions):
    for s in sessions:
        assert smtp_session(s).split()[1] == "mta2"
        s.close()


@pytest.mark.parametrize("how", ["killed", "reset", "stopped", "dropped"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.topology(backends=2)
def test_a_backend_that_dies_is_noticed_by_none_but_those_it_has_greeted(lab, engine, phase, how):
    serve(lab.backends[1])
    doomed = Doomed(lab.backends[0], PHASES[phase])
    with Postern(lab, doomed_configuration(lab, engine)) as postern:
        sessions = [lab.connect(vip) for vip in (VIP4, VIP6) * (CLIENTS // 2)]
        if how == "reset":
            for s in sessions:
                s.sendall(b"NOOP\r\n")
        postern.wait_counter(connects_ok=CLIENTS)
        if phase == "greeted":
            banners = [converse(s, "", "220") for s in sessions]
        doomed.die(lab, how)
        later = [lab.connect(vip) for vip in (VIP4, VIP6) * (CLIENTS // 2)]
        if phase != "greeted":
            for s in sessions if how != "reset" else ():
                assert smtp_session(s).split()[1] == "mta2"
            for s in sessions if how == "reset" else ():
                assert converse(s, "", "220").split()[1] == "mta2"
                converse(s, "", "250")
        else:
            living = [s for s, banner in zip(sessions, banners) if "doomed" not in banner]
            assert living
            for s in living:
                if how == "reset":
                    converse(s, "", "250")
                converse(s, "NOOP", "250")
        greeted_by_the_living(later)
        for s in sessions:
            s.close()
        lines = postern.wait_sessions(2 * CLIENTS)
        assert not [s for s in lines if s["backend"] == "mta1" and phase != "greeted"]
        assert not postern.counters()["told_unavailable"]
        if how == "dropped":
            lab.stop_dropping(lab.backends[0])


@pytest.mark.parametrize("how", ["killed", "stopped", "dropped"])
@pytest.mark.topology(backends=2)
def test_a_backend_that_was_dead_before_is_noticed_by_nobody(lab, engine, how):
    serve(lab.backends[1])
    doomed = Doomed(lab.backends[0], "220 doomed\\r\\n")
    with Postern(lab, doomed_configuration(lab, engine)) as postern:
        doomed.die(lab, how)
        greeted_by_the_living([lab.connect(vip) for vip in (VIP4, VIP6) * (CLIENTS // 2)])
        lines = postern.wait_sessions(CLIENTS)
        assert sum(s["retries"] == "1" for s in lines) >= CLIENTS // 4
        if how == "dropped":
            lab.stop_dropping(lab.backends[0])


@pytest.mark.topology(backends=2)
def test_a_backend_with_a_full_accept_queue_is_noticed_by_nobody(lab, engine):
    serve(lab.backends[1])
    with contextlib.ExitStack() as stack:
        for host in (lab.backends[0].v4, lab.backends[0].v6):
            stack.enter_context(lab.backends[0].listen(host, backlog=0))
            filler = stack.enter_context(lab.backends[0].connect(host, 25))
            assert filler.getpeername()[1] == 25
        postern = stack.enter_context(Postern(lab, doomed_configuration(lab, engine)))
        greeted_by_the_living([lab.connect(vip) for vip in (VIP4, VIP6) * (CLIENTS // 2)])
        assert {s["reason"] for s in postern.wait_sessions(CLIENTS)} <= {"client_fin", "backend_fin"}
        assert postern.counters()["retries_connect"] >= CLIENTS // 4


class Restarting:
    """A backend that is restarted: killed with whatever it has, gone for a moment, and back."""

    def __init__(self, backend):
        self.backend, self.server = backend, serve(backend)

    def kill(self):
        self.server.process.kill()
        self.server.process.wait()

    def restart(self):
        self.server = serve(self.backend)


@pytest.mark.heavy
@pytest.mark.limit(240)
@pytest.mark.topology(backends=3)
def test_ten_thousand_sessions_while_backends_restart_one_after_another_all_get_a_greeting(lab, engine):
    """Killed with SIGKILL: what was in flight on it after the greeting is lost, and nothing else."""
    backends = [Restarting(b) for b in lab.backends]
    config = configuration([pool(backend_lines(lab.backends), timeouts={"connect": "1s", "greeting": "2s"}, **engine.pool)])
    with Postern(lab, config) as postern:
        crowd = start_client(lab, "sessions", "--count", 10000, "--concurrency", 50)
        restarts = 0
        while crowd.process.poll() is None:
            one = backends[restarts % len(backends)]
            one.kill()
            before = postern.counters()["sessions_accepted"]
            with contextlib.suppress(AssertionError):  # the crowd may be through
                postern.wait_counter(sessions_accepted=before + 100, deadline=2)
            one.restart()
            before = postern.counters()["sessions_accepted"]
            with contextlib.suppress(AssertionError):
                postern.wait_counter(sessions_accepted=before + 100, deadline=2)
            restarts += 1
        result = crowd.wait(check=False)
        lines = postern.wait_sessions(10000)
        counters = postern.counters()
        assert restarts >= 6
        assert result["greeted"] == 10000, f"some clients saw no greeting: {result}"
        assert set(result["errors"]) <= {"reset", "early_end"}, result
        assert result["ok"] + result["failed"] == 10000 and result["failed"] <= 50 * restarts
        ungreeted = [s for s in lines if s["smtp_code"] != "220"]
        assert not ungreeted and not counters["told_unavailable"], ungreeted[:3]
        assert counters["connect_retries"] > 0


@pytest.mark.topology(backends=3)
def test_backends_that_are_drained_before_they_restart_cost_no_session(lab, engine):
    """New connections are rejected, those it has go on to their end: then every one of the clients is served."""
    serve_all(lab)
    config = configuration([pool(backend_lines(lab.backends), timeouts={"connect": "1s"}, **engine.pool)])
    with Postern(lab, config) as postern:
        crowd = start_client(lab, "sessions", "--count", 10000, "--concurrency", 50)
        rounds = 0
        while crowd.process.poll() is None:
            b = lab.backends[rounds % 3]
            b.run("nft", "-f", "-", input="add table inet closed\nadd chain inet closed in { type filter hook input priority 0; }\n"
                  "add rule inet closed in tcp dport 25 tcp flags & (syn | ack) == syn reject with tcp reset\n")
            before = postern.counters()["sessions_accepted"]
            with contextlib.suppress(AssertionError):  # the crowd may be through
                postern.wait_counter(sessions_accepted=before + 100, deadline=2)
            b.run("nft", "delete", "table", "inet", "closed")
            rounds += 1
        result = crowd.wait()
        assert result["ok"] == 10000 and not result["errors"] and rounds >= 3, (rounds, result)
        assert postern.counters()["retries_connect"] > 0
