# SPDX-License-Identifier: Apache-2.0
"""Dissolved sessions outlive the daemon, however it ends; the next one takes them over and accounts for them."""
import signal
import subprocess
import time

import pytest

from daemon import backend_lines, configuration, pool
from dissolving import Dissolving, Message, Session, message_hash, plain, wait_passed
from lab import VIP4, VIP6, endpoint
from load import client, serve_all, start_client
from peers import expect_refused, expect_reset, receive, receive_all, reset, scripted_server

BLOCKS = 12  # of a message


def messages(lab, count):
    """So many clients in the middle of their messages, of both families, from addresses of their own."""
    return [Message(lab, BLOCKS, vip=VIP6 if i % 2 else VIP4,
                    source=f"2001:db8:c::{1 + i:x}" if i % 2 else f"198.51.{i // 200}.{1 + i % 200}")
            for i in range(count)]


def assert_logged(postern, sent):
    """One line a message, complete and right, though the daemon that writes it has not seen the beginning."""
    lines = {s["client"]: s for s in postern.sessions(dissolved="yes")}
    for m in sent:
        line = lines[endpoint(*m.endpoint)]
        assert (line["backend"], line["bytes_in"], line["bytes_out"]) == (m.backend, str(m.sent), str(m.received)), line
        assert (line["listener"], line["pool"], line["smtp_code"], line["source"]) == ("mx", "inbound", "220", line["client"])
        assert line["reason"] in ("client_fin", "backend_fin"), line
        assert "-" not in (line["connect_ms"], line["banner_ms"]), line
    assert len({s["session"] for s in lines.values()}) == len(lines)


@pytest.mark.limit(240)
@pytest.mark.topology(backends=2)
def test_kill_9_again_and_again_cuts_nothing_and_changes_no_byte(lab, long):
    """Messages and bulk in flight in every round; each new daemon counts, limits and finally logs them as its own."""
    count, streams, size, rounds = (1000, 10, "1G", 20) if long else (200, 4, "100M", 3)
    serve_all(lab)
    wanted = message_hash(lab, lab.backends[0], BLOCKS)
    postern = Dissolving(lab, plain(lab)).start()
    sent = messages(lab, count)
    times = []
    for number in range(rounds):
        bulk = start_client(lab, "bulk", "--connections", streams, "--bytes", size, "--direction",
                            ("to", "from", "both")[number % 3], "--on-cue", "--seed", number + 1, stdin=subprocess.PIPE)
        bulk.wait_said("ready")
        postern.wait_dissolved(count + streams)
        bulk.cue()
        wait_passed(lab, 10 << 20)
        postern.kill()
        assert b"done" not in bulk.said and bulk.process.poll() is None
        for m in sent[number % 3::3]:
            m.write(1)
        adopted, took = postern.take_over()
        times.append(took)
        assert postern.cpu_seconds() < 1
        assert (adopted["dissolved"], adopted["lost"]) == (str(count + streams), "0")
        bulk.wait_said("done")
        bulk.cue()
        result = bulk.wait()
        assert result["ok"] == streams and not result["errors"], result
        postern.wait_counter(sessions_ended=streams)
        counters = postern.counters()  # a line of counters is not of one moment
        assert counters["sessions"] == counters["sessions_dissolved"] == count, counters
        assert counters["adopted"] == count + streams
        result = client(lab, "sessions", "--count", 20)
        assert result["ok"] == 20, result
    print(f"{rounds} times {count} messages and {streams} x {size}, taken over within {max(times):.2f} s")
    assert min(times) < 1  # in other rounds the machine may have been busy
    assert {m.finish() for m in sent} == {wanted}
    postern.wait_sessions(streams + 20 + count)
    assert_logged(postern, sent)
    assert postern.counters()["sessions"] == 0
    postern.stop()
    assert postern.last_counters()["lost_half_way"] == 0


@pytest.mark.topology(backends=2)
def test_as_many_sessions_as_there_may_be_are_taken_over_within_a_second(lab, long):
    count = 8000 if long else 2000
    serve_all(lab)
    postern = Dissolving(lab, plain(lab, gateway={"max_sessions": count})).start()
    crowd = start_client(lab, "ping", "--connections", count, "--rounds", 3, "--on-cue", stdin=subprocess.PIPE)
    crowd.wait_said("ready")
    crowd.cue()
    crowd.wait_said("done")
    postern.wait_dissolved(count)
    times = []
    for _ in range(3):
        postern.kill()
        adopted, took = postern.take_over()
        assert adopted["dissolved"] == str(count) and postern.cpu_seconds() < 1
        times.append(took)
    print(f"{count} sessions taken over within {max(times):.2f} s")
    assert min(times) < 1, times  # the machine may be busy
    expect_refused(lab.connect)
    crowd.cue()
    result = crowd.wait()
    assert result["ok"] == count and not result["errors"], result
    postern.wait_sessions(count, dissolved="yes")
    assert postern.counters()["sessions"] == 0
    postern.stop()


@pytest.mark.topology(backends=2)
def test_adopted_sessions_count_for_their_backend_and_for_the_limit(lab):
    """Six sessions on the first backend are known to the next daemon: the next six go to the second, and no more fit."""
    config = plain(lab, gateway={"max_sessions": 12, "workers": 2})
    only_first = configuration([pool(backend_lines(lab.backends[:1]))], gateway={"max_sessions": 12, "workers": 2})
    serve_all(lab)
    postern = Dissolving(lab, only_first).start()
    first = messages(lab, 6)
    postern.wait_dissolved(6)
    postern.kill()
    postern.file.write_text(config)
    postern.take_over()
    second = messages(lab, 6)
    postern.wait_dissolved(12)
    assert {m.backend for m in first} == {"mta1"} and {m.backend for m in second} == {"mta2"}
    expect_refused(lambda: lab.connect(VIP4))
    assert postern.wait_sessions(1, reason="session_limit")
    assert len({m.finish() for m in first + second}) == 1
    postern.wait_counter(sessions_ended=13)
    third = messages(lab, 2)
    assert {m.backend for m in third} == {"mta1", "mta2"}
    postern.wait_dissolved(2)
    for m in third:
        m.finish()
    postern.wait_sessions(14, dissolved="yes")
    assert_logged(postern, first + second + third)
    postern.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
@pytest.mark.topology(backends=1)
def test_an_ordinary_end_leaves_dissolved_sessions_to_the_next_start(lab, number):
    with scripted_server(lab.backends[0]) as server, scripted_server(lab.backends[0], family=10) as server6:
        postern = Dissolving(lab, plain(lab)).start()
        sessions = [Session(lab, server), Session(lab, server6, VIP6)]
        postern.wait_dissolved(2)
        began = time.monotonic()
        assert postern.leave(number)["dissolved"] == "2"
        assert time.monotonic() - began < 15, "it waited for sessions that need nobody"
        state = lab.host_state()
        assert state["bpf"].get("c0 ingress") and state["ip -4 rule"] != postern.before["ip -4 rule"]
        for s in sessions:
            s.say()
        expect_refused(lambda: lab.connect(VIP4))
        adopted, _ = postern.take_over()
        assert adopted["dissolved"] == "2"
        for s in sessions:
            s.say()
            s.close()
        for line in postern.wait_sessions(2, dissolved="yes"):
            assert (line["bytes_in"], line["bytes_out"]) == (str(sessions[0].sent), str(sessions[0].received))
        postern.stop()


@pytest.mark.topology(backends=1)
def test_sessions_that_end_while_no_daemon_runs_are_accounted_by_the_next(lab):
    with scripted_server(lab.backends[0]) as server:
        postern = Dissolving(lab, plain(lab)).start()
        closed, cut, alive = (Session(lab, server) for _ in range(3))
        postern.wait_dissolved(3)
        postern.kill()
        closed.backend.close()
        assert receive_all(closed.client) == b""
        closed.client.close()
        reset(cut.client)
        expect_reset(cut.backend)
        postern.take_over()
        reasons = [s["reason"] for s in postern.wait_sessions(2, dissolved="yes")]
        assert sorted(reasons) == ["backend_fin", "client_reset"]
        assert postern.counters()["sessions"] == 1
        alive.close()
        postern.wait_sessions(3)
        postern.stop()


@pytest.mark.topology(backends=1)
def test_a_session_that_was_logged_before_a_kill_9_is_not_logged_again(lab):
    with scripted_server(lab.backends[0]) as server:
        postern = Dissolving(lab, plain(lab)).start()
        ended, alive = Session(lab, server), Session(lab, server)
        postern.wait_dissolved(2)
        ended.close()
        postern.wait_sessions(1)
        postern.kill()
        adopted, _ = postern.take_over()
        assert adopted["dissolved"] == "1"
        alive.close()
        assert len(postern.wait_sessions(1)) == 1
        counters = postern.counters()
        assert (counters["adopted"], counters["sessions_ended"], counters["sessions"]) == (1, 1, 0), counters
        postern.stop()


@pytest.mark.topology(backends=1)
def test_a_session_on_the_tuple_of_an_ended_one_outlives_a_kill_9(lab):
    """The entry of the ended one has not been swept when the next daemon looks at it: it must not take the tuple away."""
    tuple_of = {"source": "198.51.100.9", "source_port": 4025}
    with scripted_server(lab.backends[0]) as server:
        postern = Dissolving(lab, plain(lab)).start()
        first = Session(lab, server, **tuple_of)
        postern.wait_dissolved(1)
        reset(first.client)
        expect_reset(first.backend)
        second = Session(lab, server, **tuple_of)
        assert postern.wait_counter(dissolved=2, sessions_dissolved=1)["sessions_dissolved"] == 1
        postern.kill()
        postern.take_over()
        second.say()
        second.close()
        postern.wait_sessions(1, dissolved="yes")
        postern.stop()


@pytest.mark.topology(backends=1)
def test_sessions_that_had_not_dissolved_at_a_kill_9_are_reset_and_counted_as_lost(lab):
    """
    One before its greeting, and one after it that only waited for the packet that switches it (no packet does: its client
    has no timestamps, which the daemon has not learnt yet). A dissolved one lives.
    """
    with scripted_server(lab.backends[0]) as server:
        postern = Dissolving(lab, plain(lab)).start()
        dissolved = Session(lab, server)
        arms = postern.wait_dissolved(1)["dissolve_armed"]
        early = lab.connect()
        early_backend, _ = server.accept()
        lab.client.sysctl("net.ipv4.tcp_timestamps", 0)
        armed = lab.connect()
        armed_backend, _ = server.accept()
        armed_backend.sendall(b"220 hello\r\n")
        assert receive(armed, 11) == b"220 hello\r\n"
        postern.wait_counter(connects_ok=3, dissolve_armed=arms + 1)
        postern.kill()
        # Relayed: its sockets went with the process, and the kernel has told both sides.
        assert receive_all(early) == receive_all(early_backend) == b""
        early.close()
        early_backend.close()
        adopted, _ = postern.take_over()
        assert (adopted["dissolved"], adopted["lost"]) == ("1", "2")
        assert postern.counters()["lost_half_way"] == 2
        # Its sockets went in silence; both sides hear of it when they speak (or repeat what they have said).
        for end in (armed, armed_backend):
            with pytest.raises(ConnectionResetError):
                end.sendall(b"is anybody there?\r\n")
                receive_all(end)
        dissolved.say()
        dissolved.close()
        postern.wait_sessions(1, dissolved="yes")
        postern.stop()


@pytest.mark.topology(backends=1)
def test_another_max_sessions_starts_a_table_beside_and_removes_the_old_one_after_its_last_session(lab):
    with scripted_server(lab.backends[0]) as server:
        postern = Dissolving(lab, plain(lab, gateway={"max_sessions": 600})).start()
        old = [Session(lab, server) for _ in range(2)]
        postern.wait_dissolved(2)
        postern.kill()
        small, = postern.layouts()
        postern.file.write_text(plain(lab, gateway={"max_sessions": 700}))
        postern.start()
        assert postern.wait(event="other_table")["layout"] == small
        assert len(postern.layouts()) == 2
        new = Session(lab, server)
        postern.wait_dissolved(1)
        for s in (*old, new):
            s.say()
        old[0].close()
        new.say()
        assert not postern.lines(event="other_table_removed")
        old[1].say()
        old[1].close()
        postern.wait(event="other_table_removed")
        large, = postern.layouts()
        assert large != small
        new.say()
        new.close()
        postern.wait_sessions(1, dissolved="yes")
        postern.stop()


@pytest.mark.topology(backends=1)
def test_flush_says_how_many_it_cuts_and_removes_everything_but_not_under_a_running_daemon(lab):
    with scripted_server(lab.backends[0]) as server:
        postern = Dissolving(lab, plain(lab)).start()
        sessions = [Session(lab, server) for _ in range(3)]
        postern.wait_dissolved(3)
        done = postern.run("--flush")
        assert done.returncode == 1 and "another postern" in done.stderr, done
        for s in sessions:
            s.say()
        postern.leave()
        said = postern.flush()
        assert "cutting 3 dissolved sessions" in said, said
        assert lab.host_state() == postern.before and not postern.layouts()
        assert postern.flush() == ""
        postern.start()
        assert not postern.lines(event="adopted")
        postern.stop()
        for s in sessions:
            s.close()


@pytest.mark.topology(backends=1)
def test_an_end_without_sessions_removes_the_pins_too(lab):
    with scripted_server(lab.backends[0]) as server, Dissolving(lab, plain(lab)) as postern:
        assert postern.layouts()
        s = Session(lab, server)
        postern.wait_dissolved(1)
        s.close()
        postern.wait_sessions(1, dissolved="yes")
        postern.stop()  # while the entry has its afterlife
        assert not lab.gateway.pins().exists()
