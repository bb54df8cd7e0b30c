# SPDX-License-Identifier: Apache-2.0
"""Upgrade in place: another process takes over, and nobody notices; or it does not, and nobody notices either."""
import collections
import json
import os
import re
import signal
import socket

import pytest

from admin import AdminPostern
from daemon import RELAY, backend_lines, configuration, listener, pool
from dissolving import Message, Session, message_hash, plain
from lab import VIP4, VIP6, hostport
from load import serve_all
from peers import expect_refused, receive, receive_all, scripted_server
from test_checks import banners, checked, refusals, smtp_servers, wait_state
from upgrading import Storm, Successor, Upgrading

ENOUGH = 30  # sessions in which each of two idle backends is drawn at least once


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
        # A traced process cannot look for its leaks.
        postern.install("#!/bin/sh\nexport ASAN_OPTIONS=detect_leaks=0\nexec strace -D -f -qq "
                        f'-e trace={",".join(TRACED)} -o {trace} {postern.installed} "$@"\n')
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


# ---- what two processes share -------------------------------------------------------------------------------------------

@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_another_table_is_left_to_the_old_process_until_its_last_session_has_ended(lab):
    """Another max_sessions makes another table: the old process stays for its dissolved sessions, and logs them."""
    with Upgrading(lab, plain(lab, gateway={"max_sessions": 600})) as postern, \
            scripted_server(lab.backends[0]) as server:
        kept = Session(lab, server).dissolve(postern)
        small, = postern.layouts()
        postern.file.write_text(plain(lab, gateway={"max_sessions": 700}))
        postern.upgrade()
        assert len(postern.layouts()) == 2
        fresh = Session(lab, server).dissolve(postern)
        kept.say()
        assert postern.old[0].poll() is None
        kept.close()
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["bytes_in"]) == ("yes", str(kept.sent))
        postern.wait_old()
        assert small not in postern.layouts()
        fresh.say()
        fresh.close()
        postern.wait_idle()


@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])
@pytest.mark.topology(backends=1)
def test_what_the_old_process_still_needs_of_the_host_stays_until_it_has_ended(lab, vip):
    """The new configuration has neither its VIP nor its backend's pool any more."""
    other = VIP6 if vip == VIP4 else VIP4

    def config(*vips):
        return configuration([pool(backend_lines(lab.backends), **RELAY.pool)],
                             [listener([hostport(v, 25) for v in vips])])

    family = socket.AF_INET6 if vip == VIP6 else socket.AF_INET
    with Upgrading(lab, config(VIP4, VIP6)) as postern, scripted_server(lab.backends[0], family=family) as server:
        kept = Session(lab, server, vip)
        postern.file.write_text(config(other))
        postern.upgrade()
        expect_refused(lambda: lab.connect(vip))
        kept.say()
        assert vip in lab.gateway.run("ip", "-6" if vip == VIP6 else "-4", "route", "show", "table", "local").stdout
        since = len(postern.log.read())
        kept.close()
        postern.wait_old()
        postern.wait(since=since, event="predecessors_ended")
        postern.wait(since=since, event="host_set_up", removed="1")
        assert vip not in lab.gateway.run("ip", "-6" if vip == VIP6 else "-4", "route", "show", "table", "local").stdout


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_term_ends_the_new_process_alone_and_the_last_one_clears_the_host(lab):
    with scripted_server(lab.backends[0]) as server:
        postern = Upgrading(lab, configuration([pool(backend_lines(lab.backends), **RELAY.pool)])).start()
        kept = Session(lab, server)
        postern.upgrade()
        postern.send(signal.SIGTERM)
        postern.wait_end()
        kept.say()
        expect_refused(lab.connect)
        postern.process = postern.old.pop()
        postern.send(signal.SIGTERM)  # it drains already
        postern.wait(event="drain", pid=postern.pid, signal="TERM")
        kept.say()
        kept.close()
        postern.wait_end()
        postern.check_left_nothing()


@pytest.mark.topology(backends=1)
def test_the_new_process_may_die_and_a_fresh_one_start_while_the_old_one_drains(lab):
    with scripted_server(lab.backends[0]) as server:
        postern = Upgrading(lab, plain(lab)).start()
        dissolved = Session(lab, server).dissolve(postern)
        lab.client.sysctl("net.ipv4.tcp_timestamps", 0)
        relayed = Session(lab, server)
        lab.client.sysctl("net.ipv4.tcp_timestamps", 1)
        postern.upgrade()
        postern.kill()
        for s in (dissolved, relayed):
            s.say()
        log = postern.log
        postern.start()
        assert postern.wait(event="adopted")["dissolved"] == "1"
        for s in (dissolved, relayed):
            s.say()
            s.close()
        postern.wait_old()
        log.close()
        postern.wait_idle()
        postern.stop()


@pytest.mark.topology(backends=1)
def test_signals_during_an_upgrade_are_carried_out_after_it(lab):
    """HUP and TERM while the new process prepares: by the old one, for the new one fails; then HUP by the new one."""
    with Upgrading(lab, plain(lab)) as postern, scripted_server(lab.backends[0]) as server:
        postern.install("#!/bin/sh\nexec sleep 1000\n")
        postern.send(signal.SIGUSR2)
        new = int(postern.wait(event="upgrade")["new_pid"])
        postern.send(signal.SIGHUP)
        os.kill(new, signal.SIGKILL)
        postern.wait(event="upgrade_failed")
        postern.wait(event="reload")
        gate = postern.install_held()
        since = len(postern.log.read())
        postern.send(signal.SIGUSR2)
        postern.wait(since=since, event="upgrade")
        postern.send(signal.SIGHUP)
        assert postern.counters()  # the signal has been taken
        gate.write_text("go\n")
        postern.follow(since)
        postern.wait(since=since, event="reload")
        Session(lab, server).dissolve(postern).close()
        postern.wait_idle()


class Ordered(Upgrading, AdminPostern):
    """One that is asked and told at its admin socket."""


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_the_listening_sockets_of_operators_go_to_the_new_process_and_nobody_is_refused_there(lab):
    tcp, http = "127.0.0.1:9999", "127.0.0.1:9125"
    with Ordered(lab, plain(lab) + f"http: {{listen: {http}}}\n", admin={"tcp": tcp}) as postern:
        inode = postern.socket.stat().st_ino
        for _ in range(3):
            since = len(postern.log.read())
            assert postern.ask("upgrade").startswith("upgrade: process ")
            postern.follow(since)
            assert postern.info()["Pid"] == str(postern.pid)
            status = json.loads(postern.ask("show status"))
            assert (status["pid"], status["config"]["last_upgrade"]["ok"]) == (postern.pid, True)
            with lab.gateway.connect("127.0.0.1", 9999) as s:
                s.sendall(b"show info\n")
                assert f"Pid: {postern.pid}\n" in receive_all(s).decode()
            with lab.gateway.connect("127.0.0.1", 9125) as s:
                s.sendall(b"GET /healthz HTTP/1.1\r\nHost: gw\r\n\r\n")
                assert b"200" in receive_all(s).split(b"\r\n")[0]
            postern.wait_old()
        assert postern.socket.stat().st_ino == inode
        postern.stop()
        assert not postern.socket.exists()


@pytest.mark.topology(backends=1)
def test_orders_are_answered_with_what_came_of_them(lab):
    with Ordered(lab, plain(lab)) as postern:
        postern.file.write_text(postern.config.replace("source: client", "source: nobody"))
        answer = postern.ask("reload")
        assert '"nobody" is not known here' in answer and "^" in answer and "\nnot reloaded: " in answer, answer
        since = len(postern.log.read())
        assert postern.ask("upgrade").startswith("upgrade: ")
        postern.wait(since=since, event="upgrade_failed")
        status = json.loads(postern.ask("show status"))
        assert "refuses the configuration" in status["config"]["last_upgrade"]["error"]
        assert any("last upgrade failed" in t["what"] for t in status["trouble"]), status["trouble"]
        postern.file.write_text(postern.config)
        assert postern.ask("reload") == "reload: the configuration is applied\n\n"
        postern.program.unlink()
        assert postern.ask("upgrade").startswith("no upgrade: cannot start ")
        postern.install()


@pytest.mark.parametrize("setting", ["workers: 1", "max_sessions: 100"])
@pytest.mark.topology(backends=1)
def test_a_reload_that_needs_another_process_is_an_upgrade(lab, setting):
    name = setting.split(":")[0]
    with Ordered(lab, plain(lab)) as postern, scripted_server(lab.backends[0]) as server:
        kept = Session(lab, server)
        other = postern.config.replace("gateway: {", "gateway: {" + setting + ", ")
        since = len(postern.log.read())
        postern.file.write_text(other)
        postern.send(signal.SIGHUP)
        assert name in postern.wait(since=since, event="reload_upgrade")["reason"]
        postern.follow(since)
        assert name + "=" + setting.split(": ")[1] in next(line for line in postern.log.read()[::-1] if "event=start " in line)
        kept.say()
        postern.install("#!/bin/sh\nexit 1\n")  # from here on no process can take over: the reload is refused whole
        postern.file.write_text(postern.config)
        assert postern.ask("reload").startswith("reload: another process is to take over")
        assert "status 1" in postern.wait(event="reload_refused")["reason"]
        kept.say()
        kept.close()
        fresh = Session(lab, server)
        fresh.close()
        postern.wait_sessions(2)


@pytest.mark.topology(backends=1)
def test_sessions_may_begin_to_dissolve_by_a_reload(lab):
    """No pool had it, so there is no table: another process makes one."""
    with Upgrading(lab, plain(lab, dissolve="off")) as postern, scripted_server(lab.backends[0]) as server:
        kept = Session(lab, server)
        since = len(postern.log.read())
        postern.file.write_text(plain(lab))
        postern.send(signal.SIGHUP)
        postern.follow(since)
        Session(lab, server).dissolve(postern).close()
        kept.say()
        kept.close()
        assert sorted(s["dissolved"] for s in postern.wait_sessions(2)) == ["no", "yes"]


@pytest.mark.topology(backends=2)
def test_what_operators_have_set_holds_on_after_an_upgrade(lab):
    with Ordered(lab, plain(lab)) as postern, scripted_server(lab.backends[1]) as server:
        postern.ask("set server inbound/mta1 state drain")
        postern.ask("set weight inbound/mta2 7")
        for _ in range(2):
            postern.upgrade()
            assert postern.ask("get weight inbound/mta2") == "7 (initial 100)\n\n"
            session = Session(lab, server)  # nobody else takes one
            session.close()
            postern.wait_old()


@pytest.mark.topology(backends=2)
def test_who_was_down_stays_down_until_checks_of_the_new_process_find_otherwise(lab):
    one, two = lab.backends
    with smtp_servers(two), Upgrading(lab, checked(lab)) as postern:
        assert wait_state(postern, one, "down")["reason"] in refusals(one)
        for _ in range(2):
            since = len(postern.log.read())
            postern.upgrade()
            assert banners(lab, 8) == {two.label}  # before its first checks have ended
            line = wait_state(postern, one, "down", since)
            assert line["reason"] in refusals(one)
        with smtp_servers(one):
            assert wait_state(postern, one, "up", since)["reason"] == "2 checks passed"
            assert banners(lab, ENOUGH) == {one.label, two.label}
            postern.wait_idle()
        assert not [s for s in postern.sessions() if s["retries"] != "0"]  # nobody has met the server that was gone


@pytest.mark.topology(backends=2)
def test_who_was_down_takes_sessions_where_nobody_is_checked_any_more(lab):
    one, two = lab.backends
    with smtp_servers(two), Upgrading(lab, checked(lab)) as postern:
        wait_state(postern, one, "down")
        postern.file.write_text(checked(lab, {"type": "off"}))
        with smtp_servers(one):
            postern.upgrade()
            assert banners(lab, ENOUGH) == {one.label, two.label}


@pytest.mark.topology(backends=2)
def test_what_an_agent_has_said_holds_on_after_an_upgrade(lab):
    """It does not repeat all of it: who is to be drained was said once."""
    one, two = lab.backends
    words = [b"drain #reboot at noon\n"]
    config = checked(lab, agent={"port": 9999, "interval": "100ms"})
    with smtp_servers(one, two), smtp_servers(one, port=9999) as (asked,), Upgrading(lab, config) as postern:
        asked.act = lambda server, connection: connection.sendall(words[0])
        postern.wait(event="agent", backend=one.label, state="drain")
        words[0] = b"50%\n"
        postern.wait(event="agent", backend=one.label, percent="50")
        for _ in range(2):
            since = len(postern.log.read())
            postern.upgrade()
            assert banners(lab, 8) == {two.label}
            line = postern.wait(since=since, event="agent", backend=one.label)
            assert (line["state"], line["percent"]) == ("drain", "50")
        words[0] = b"ready 100%\n"
        postern.wait(event="agent", backend=one.label, state="up")
        assert banners(lab, ENOUGH) == {one.label, two.label}
        since = len(postern.log.read())
        words[0] = b"drain\n"
        postern.wait(event="agent", backend=one.label, state="drain", since=since)
        postern.file.write_text(checked(lab))
        postern.upgrade()
        assert banners(lab, ENOUGH) == {one.label, two.label}  # nobody asks it any more


@pytest.mark.topology(backends=1)
def test_the_old_process_may_die_in_the_middle_and_nobody_is_refused(lab):
    """The new one has been given the listening sockets and the link by then: clients wait there until it is ready."""
    with Upgrading(lab, plain(lab)) as postern, scripted_server(lab.backends[0]) as server:
        dissolved = Session(lab, server).dissolve(postern)
        gate = postern.install_held()
        postern.send(signal.SIGUSR2)
        new = Successor(int(postern.wait(event="upgrade")["new_pid"]))
        assert postern.counters()  # all has been given
        postern.kill()
        postern.process = new
        waiting = lab.connect()
        dissolved.say()
        gate.write_text("go\n")
        postern.wait(event="predecessor_died")
        backend, _ = server.accept()
        speak(waiting, backend)
        assert postern.wait(event="adopted")["dissolved"] == "1"
        for s in (waiting, backend):
            s.close()
        dissolved.close()
        postern.wait_idle()


@pytest.mark.topology(backends=1)
def test_no_descriptor_is_left_over_from_upgrade_to_upgrade(lab):
    with Ordered(lab, plain(lab)) as postern:
        def descriptors_after_an_upgrade():
            postern.upgrade()
            postern.wait_old()
            postern.wait(event="predecessors_ended", pid=postern.pid)
            postern.counters()  # what it does at that event is done
            return postern.descriptors()

        before = descriptors_after_an_upgrade()
        assert [descriptors_after_an_upgrade() for _ in range(3)] == [before] * 3
