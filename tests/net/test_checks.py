# SPDX-License-Identifier: Apache-2.0
"""Checks: a server that fails is found, takes no new session, and is found again; what agents say; who is asked, and how."""
import contextlib
import os
import signal
import socket
import subprocess
import threading

import pytest

from daemon import Postern, backend_lines, configuration, listener, pool
from lab import VIP4, VIP6, Lab, hostport
from mta import DIRECT, PROXY, Postfix
from mta_stage import GATEWAY
from peers import converse, reset, smtp_session
from wire import watched

QUICK = {"interval": "1s", "fast_interval": "100ms", "timeout": "1s"}
PATIENT = {**QUICK, "interval": "3s", "timeout": "3s"}  # a Postfix on a busy machine may take its time
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
SIGNATURE = LOCAL[:12]


class SmtpServer:
    """A small SMTP server in a backend, one thread a connection; `act` may be changed while it runs."""

    def __init__(self, backend, port=25, header=0):
        self.act, self.name, self.header = polite, backend.label, header
        self.sockets = [backend.listen(host, port) for host in (backend.v4, backend.v6)]
        for s in self.sockets:
            s.settimeout(None)
            threading.Thread(target=self._accept, args=(s,), daemon=True).start()

    def _accept(self, listening):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=listening.accept()[:1], daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(60)
            connection.recv(self.header, socket.MSG_WAITALL) if self.header else None
            self.act(self, connection)

    def close(self):
        for s in self.sockets:
            with contextlib.suppress(OSError):  # closed before
                s.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            s.close()


def polite(server, connection):
    connection.sendall(b"220 %s ESMTP\r\n" % server.name.encode())
    for line in connection.makefile("rb"):
        connection.sendall(b"221 bye\r\n" if line.startswith(b"QUIT") else b"250 ok\r\n")
        if line.startswith(b"QUIT"):
            return


def busy(server, connection):
    connection.sendall(b"421 4.3.2 all server ports are busy\r\n")


def bytewise(server, connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for text in (b"220-mx\r\n220 mx\r\n", b"250-mx\r\n250-STARTTLS\r\n250 HELP\r\n", b"221 bye\r\n"):
        for byte in text:
            connection.sendall(bytes([byte]))
        if not text.startswith(b"221"):
            connection.recv(100)


def endless(server, connection):
    connection.sendall(b"220 " + b"x" * (1 << 20))
    connection.recv(1)


def silent(server, connection):
    connection.recv(1)


def silent_after_ehlo(server, connection):
    connection.sendall(b"220 mx\r\n")
    while connection.recv(100):
        pass


def resetting(server, connection):
    connection.sendall(b"220 mx\r\n")
    connection.recv(100)
    reset(connection)


@contextlib.contextmanager
def smtp_servers(*backends, **kw):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(SmtpServer(b, **kw))) for b in backends]


def checked(lab, check=None, **settings):
    """A server that is back takes its full share at once."""
    return configuration([pool(backend_lines(lab.backends), check=check or QUICK, slow_start="0s", **settings)])


def wait_state(postern, backend, state, since=0):
    return postern.wait(event="health", backend=backend.label, state=state, since=since)


def banners(lab, count=8):
    """The names that so many sessions are greeted with. All are open at once: where they come one by one, chance decides."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(lab.connect()) for _ in range(count)]
        found = {converse(s, "", "220").split()[1] for s in held}
        for s in held:
            converse(s, "QUIT", "221")
    return found


def refusals(backend):
    """Why it is down while nobody listens there: what is heard of first counts."""
    return [f"connection refused ([{a}]:25)" for a in (backend.v4, backend.v6)]


def test_a_server_that_is_gone_takes_no_session_until_it_is_back(lab):
    one, two = lab.backends
    with smtp_servers(two), Postern(lab, checked(lab)) as postern:
        line = wait_state(postern, one, "down")
        assert line["pool"] == "inbound" and line["reason"] in refusals(one)
        assert banners(lab) == {"mta2"}
        with smtp_servers(one):
            assert wait_state(postern, one, "up")["reason"] == "2 checks passed"
            assert banners(lab) == {"mta1", "mta2"}
            postern.wait_idle()
        assert not [s for s in postern.sessions() if s["retries"] != "0"]  # nobody has met the server that was gone


def test_a_server_that_answers_in_one_family_only_is_down(lab):
    one, two = lab.backends
    with smtp_servers(one, two), watched(one) as wire, Postern(lab, checked(lab)) as postern:
        wire.wait_over(2)  # the first check, which would decide alone
        one.run("nft", "-f", "-", input="table ip6 t {\n chain c {\n  type filter hook input priority 0\n"
                                        "  tcp dport 25 tcp flags & (syn | ack) == syn reject with tcp reset\n }\n}\n")
        assert wait_state(postern, one, "suspect")["reason"] == "connection refused ([2001:db8:2::11]:25)"
        assert wait_state(postern, one, "down")["reason"] == "3 checks failed: connection refused ([2001:db8:2::11]:25)"


@pytest.mark.parametrize("act, reason", [
    (busy, "greeting 421 4.3.2 all server ports are busy"),
    (endless, "greeting: a line is too long: 220 xxx"),
    (silent, "greeting: no reply in 1s"),
    (silent_after_ehlo, "EHLO: no reply in 1s"),
    (resetting, "EHLO: connection reset"),
], ids=lambda value: getattr(value, "__name__", ""))
def test_a_server_that_misbehaves_is_found_by_name_and_recovers(lab, act, reason):
    one, two = lab.backends
    with smtp_servers(one, two) as (server, _), watched(one) as wire, Postern(lab, checked(lab)) as postern:
        wire.wait_over(2)  # the first check, which would decide alone
        server.act = act
        assert reason in wait_state(postern, one, "suspect")["reason"]
        assert reason in wait_state(postern, one, "down")["reason"]
        assert banners(lab) == {"mta2"}
        server.act = bytewise
        wait_state(postern, one, "up")


def test_a_frozen_postfix_is_found_and_comes_back(lab, tmp_path):
    one, two = lab.backends
    with Postfix(one, tmp_path), smtp_servers(two), watched(one) as wire, Postern(lab, checked(lab)) as postern:
        wire.wait_over(2)  # no process is made for a check while we look who there is
        frozen = subprocess.run(["ip", "netns", "pids", one.name], capture_output=True, text=True).stdout.split()
        for pid in map(int, frozen):
            os.kill(pid, signal.SIGSTOP)
        assert "greeting: no reply in 1s" in wait_state(postern, one, "down")["reason"]
        assert banners(lab) == {"mta2"}
        for pid in map(int, frozen):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        wait_state(postern, one, "up")


def test_a_killed_postfix_is_found_and_comes_back(lab, tmp_path):
    one, two = lab.backends
    mta = Postfix(one, tmp_path)
    with mta, smtp_servers(two), watched(one) as wire, Postern(lab, checked(lab, PATIENT)) as postern:
        wire.wait_over(2)  # the first check, which would decide alone
        mta.stop()
        assert "connection refused" in wait_state(postern, one, "down")["reason"]
        assert banners(lab) == {"mta2"}
        mta.start()
        wait_state(postern, one, "up")
        assert banners(lab) == {"mta2", mta.name}


def test_bad_sessions_bring_the_check_forward(lab):
    one, two = lab.backends
    seldom = {"interval": "20s", "fast_interval": "20s", "timeout": "1s", "fall": 1}
    config = configuration([pool(backend_lines(lab.backends), check=seldom, balance="round-robin")])
    with smtp_servers(one, two) as (server, _), watched(one) as wire, Postern(lab, config) as postern:
        wire.wait_over(2)
        server.act = busy
        assert banners(lab, 20) == {"mta2"}
        suspect = postern.wait(event="health", backend="mta1", state="suspect")
        number, _, what = suspect["reason"].partition(" ")
        assert int(number) >= 5 and what == "bad sessions in a row"  # more where nobody has looked for a moment
        down = postern.wait(event="health", backend="mta1", state="down", deadline=10)
        assert "greeting 421 4.3.2" in down["reason"]


@pytest.mark.topology(backends=1)
def test_a_probe_says_local_and_a_session_never_does(lab, tmp_path):
    mta1 = lab.backends[0]
    config = configuration([pool(backend_lines([mta1], port=PROXY), source="gateway", proxy_protocol="v2", check=PATIENT)])
    with Postfix(mta1, tmp_path) as mta, watched(mta1) as wire, Postern(lab, config) as postern:
        wire.wait_over(4)
        for vip in (VIP4, VIP6) * 10:
            with lab.connect(vip) as s:
                smtp_session(s)
        sessions = postern.wait_sessions(20)
        wire.wait_over(28)
        own = {(s["source"].rpartition(":")[0].strip("[]"), int(s["source"].rpartition(":")[2])) for s in sessions}
        firsts = {c.key[:2]: c.first for c in wire.read()}
        assert own <= set(firsts)
        for end, first in firsts.items():
            if end in own:
                assert first[:13] == SIGNATURE + b"\x21" and len(first) in (28, 52), (end, first)
            else:
                assert first in (LOCAL, b"") and end[0] in GATEWAY.values(), (end, first)
        assert not wire.resets()
        for source in {s["client"] for s in sessions}:
            assert mta.log.wait_for(f"connect from unknown{source}".replace("[", r"\[").replace("]", r"\]"))


@pytest.mark.topology(backends=1)
def test_tcp_checks_say_nothing_and_off_asks_nobody(lab):
    mta1 = lab.backends[0]
    entries = backend_lines([mta1])
    pools = [pool(entries, name="tcp", check={**QUICK, "type": "tcp"}),
             pool(backend_lines([mta1], port=26), name="off", check={"type": "off"})]
    listeners = [listener([hostport(VIP4, 25)], name="a", to="tcp"), listener([hostport(VIP4, 26)], name="b", to="off")]
    with smtp_servers(mta1) as (server,), watched(mta1) as wire:
        with Postern(lab, configuration(pools, listeners)) as postern:
            assert {c.said for c in wire.wait_over(10)} == {b""}
            assert not wire.resets() and {c.key[2] for c in wire.read()} == {25}
            server.close()
            assert "connection refused" in wait_state(postern, mta1, "down")["reason"]


def test_an_agent_takes_its_server_out_and_brings_it_back(lab):
    one, two = lab.backends
    words = [b"up 100% ready\n"]

    def agent(server, connection):
        connection.sendall(words[0])

    config = checked(lab, agent={"port": 9999, "interval": "100ms"})
    with smtp_servers(one, two), smtp_servers(one, port=9999) as (asked,), Postern(lab, config) as postern:
        asked.act = agent
        assert postern.wait(event="agent_failed", backend="mta2")["reason"] == "connection refused"
        held = [lab.connect() for _ in range(4)]
        assert {converse(s, "", "220").split()[1] for s in held} == {"mta1", "mta2"}
        words[0] = b"drain #reboot at noon\n"
        line = postern.wait(event="agent", backend="mta1", state="drain")
        assert (line["percent"], line["reason"]) == ("100", "reboot at noon")
        assert banners(lab) == {"mta2"}
        assert postern.wait(event="backend_drain")["backend"] == "mta1"
        for s in held:
            s.close()
        assert postern.wait(event="backend_drained")["backend"] == "mta1"
        words[0] = b"ready\n"
        postern.wait(event="agent", backend="mta1", state="up")
        assert banners(lab) == {"mta1", "mta2"}
        words[0] = b"0%\n"
        postern.wait(event="agent", backend="mta1", percent="0")
        assert banners(lab) == {"mta2"}
        words[0] = b"50%\n"
        postern.wait(event="agent", backend="mta1", percent="50")
        words[0] = b"down\n"
        postern.wait(event="agent", backend="mta1", state="down")
        assert banners(lab) == {"mta2"}
        assert not postern.lines(event="health")


def test_a_reload_checks_who_is_new_and_leaves_who_is_gone_alone(lab):
    one, two = lab.backends
    only = [configuration([pool(backend_lines([b]), check=QUICK)]) for b in (one, two)]
    with smtp_servers(one, two), watched(one) as first, watched(two) as second, Postern(lab, only[0]) as postern:
        first.wait_over(4)
        assert not second.read()
        postern.file.write_text(only[1])
        postern.send(signal.SIGHUP)
        postern.wait(event="reload")
        second.wait_over(4)
        seen = len(first.read())
        second.wait_over(20)
        assert len(first.read()) == seen
        assert not postern.lines(event="health")
