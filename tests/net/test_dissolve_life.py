# SPDX-License-Identifier: Apache-2.0
"""A dissolved session is TCP from end to end: how it closes, stalls, is silent, and makes room for the next."""
import collections
import errno
import select
import socket
import time

import pytest

from daemon import DEADLINE, DISSOLVED
from dissolving import Dissolving, Session, plain, servers
from lab import VIP4, VIP6, family_of
from load import client, serve_all
from peers import Stream, close_last, expect_dead, expect_reset, receive, receive_all, reset, scripted_server

BOTH_FAMILIES = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])
EITHER_SIDE = pytest.mark.parametrize("side", ["client", "backend"])
MEBI = 1 << 20
TCP_REPAIR = 19


def far_end(s, side):
    """(the end that acts, the other one) of a session."""
    return (s.client, s.backend) if side == "client" else (s.backend, s.client)


def nstat(namespace, name):
    """One of the kernel's own counters in a namespace."""
    return int(namespace.run("nstat", "-asz", name).stdout.split(name)[1].split()[0])


def vanish(s):
    """The socket goes without a word to its peer, as with a host that has lost its power."""
    s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    s.close()


@BOTH_FAMILIES
@EITHER_SIDE
@pytest.mark.topology(backends=1)
def test_a_half_close_passes_and_a_megabyte_still_flows_the_other_way(lab, side, vip):
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        s = Session(lab, server, vip).dissolve(postern)
        closing, other = far_end(s, side)
        closing.sendall(b"last words")
        closing.shutdown(socket.SHUT_WR)
        assert receive_all(other) == b"last words"
        sending, receiving = Stream(other, MEBI), Stream(closing, MEBI, receiving=True)
        sending.join()
        receiving.join()
        assert receiving.sum == Stream.checksum(MEBI)
        s.close()
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["reason"], line["end"]) == ("yes", f"{side}_fin", side)
        more = (10, MEBI) if side == "client" else (MEBI, 10)
        assert (int(line["bytes_in"]) - s.sent, int(line["bytes_out"]) - s.received) == more


@BOTH_FAMILIES
@EITHER_SIDE
@pytest.mark.topology(backends=1)
def test_a_reset_arrives_as_a_reset_within_a_second(lab, side, vip):
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        s = Session(lab, server, vip).dissolve(postern)
        acting, other = far_end(s, side)
        reset(acting)
        assert expect_reset(other, 1) < 1
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["reason"], line["end"]) == ("yes", f"{side}_reset", side)
        assert postern.counters()["sessions"] == 0


@pytest.mark.topology(backends=1)
def test_keepalives_are_answered_by_the_other_side_and_keep_the_session_from_being_idle(lab):
    with servers(lab) as (v4, v6), Dissolving(lab, plain(lab, timeouts={"idle": "2s"})) as postern:
        sessions = Session(lab, v4), Session(lab, v6, VIP6)
        postern.wait_dissolved(2)
        for end in (end for s in sessions for end in s.ends):
            for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 1)):
                end.setsockopt(socket.IPPROTO_TCP, option, value)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # One probe without an answer would end the connection with ETIMEDOUT, and two silent seconds the session.
        sessions[0].client.settimeout(3.5)
        with pytest.raises(TimeoutError) as silence:
            sessions[0].client.recv(1)
        assert silence.value.errno != errno.ETIMEDOUT
        for s in sessions:
            s.say()
            s.close()
        assert {line["bytes_in"] for line in postern.wait_sessions(2, dissolved="yes")} == {str(sessions[0].sent)}


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_a_reader_that_stops_holds_its_writer_back_and_nothing_is_held_in_between(lab, vip, long):
    """One session whose client does not read, one whose backend does not."""
    total = (1024 if long else 96) * MEBI
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        sessions = [Session(lab, server, vip) for _ in range(2)]
        postern.wait_dissolved(2)
        memory = postern.memory()
        ways = sessions[0].ends, sessions[1].ends[::-1]  # reader, writer
        for _, writer in ways:
            writer.settimeout(None)
        sending = [Stream(writer, total) for _, writer in ways]
        for s in sending:
            assert s.wait_stalled(quiet=0.7) < 32 * MEBI, "more was taken than windows hold, though nobody reads"
        end = time.monotonic() + DEADLINE
        while not all(nstat(namespace, "TcpExtTCPWinProbe") for namespace in (lab.client, lab.backends[0])):
            assert time.monotonic() < end, "nobody asks whether there is a window again"
        receiving = [Stream(reader, total, receiving=True) for reader, _ in ways]
        for s in sending + receiving:
            s.join()
        assert {s.sum for s in receiving} == {Stream.checksum(total)}
        assert postern.memory() - memory < 4 * MEBI
        for s in sessions:
            s.close()
        postern.wait_sessions(2, dissolved="yes")


@EITHER_SIDE
@pytest.mark.topology(backends=1)
def test_urgent_data_of_a_dissolved_session_arrives_as_urgent_data(lab, side):
    with scripted_server(lab.backends[0]) as server, Dissolving(lab, plain(lab)) as postern:
        s = Session(lab, server).dissolve(postern)
        acting, other = far_end(s, side)
        acting.send(b"before")
        acting.send(b"!", socket.MSG_OOB)
        acting.send(b"after")
        assert receive(other, 6) == b"before"
        urgent = select.poll()
        urgent.register(other, select.POLLPRI)
        assert urgent.poll(DEADLINE * 1000), "nothing urgent comes"
        assert other.recv(1, socket.MSG_OOB) == b"!"
        assert receive(other, 5) == b"after"
        s.say()
        s.close()
        postern.wait_sessions(1, dissolved="yes")


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_the_same_client_port_comes_back_at_once_a_hundred_times(lab, vip):
    """After a close by the backend (whose end is in TIME_WAIT: the client's is free), and after a reset, in turn."""
    tuple_of = {"source": "2001:db8:c::9" if vip == VIP6 else "198.51.100.9", "source_port": 4025}
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        for number in range(100):
            s = Session(lab, server, vip, **tuple_of).dissolve(postern, number + 1)
            assert s.source[:2] == (tuple_of["source"], 4025)
            if number % 2:
                reset(s.client)
                expect_reset(s.backend, 1)
            else:
                s.backend.close()
                assert receive_all(s.client) == b""
                close_last(s.client)
        lines = postern.wait_sessions(100)
        assert collections.Counter(s["reason"] for s in lines) == {"backend_fin": 50, "client_reset": 50}
        assert {(s["port_changed"], s["dissolved"]) for s in lines} == {("no", "yes")}
        assert postern.counters()["sessions"] == 0


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_a_client_that_reboots_and_reuses_its_port_gets_a_new_session(lab, vip):
    """Its SYN meets a live entry: the backend's challenge draws the reset that ends the old session."""
    tuple_of = {"source": "2001:db8:c::9" if vip == VIP6 else "198.51.100.9", "source_port": 4025}
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        old = Session(lab, server, vip, **tuple_of).dissolve(postern)
        vanish(old.client)
        began = time.monotonic()
        new = Session(lab, server, vip, **tuple_of)
        assert time.monotonic() - began < 5
        expect_reset(old.backend, 1)
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["reason"]) == ("yes", "client_reset")
        new.dissolve(postern, 2)
        assert postern.counters()["sessions"] == 1
        new.close()
        assert postern.wait_sessions(2)[1]["port_changed"] == "no"


@pytest.mark.topology(backends=1)
def test_a_silent_session_ends_after_the_idle_timeout_with_a_reset_on_both_sides(lab):
    with servers(lab) as (v4, v6), Dissolving(lab, plain(lab, timeouts={"idle": "2s"})) as postern:
        began = time.monotonic()
        sessions = Session(lab, v4), Session(lab, v6, VIP6)
        postern.wait_dissolved(2)
        for s in sessions:
            expect_reset(s.client)
            expect_reset(s.backend)
        assert 1.9 < time.monotonic() - began < 10
        for line in postern.wait_sessions(2):
            assert (line["dissolved"], line["reason"], line["end"]) == ("yes", "idle", "timeout")
            assert (line["bytes_in"], line["bytes_out"]) == (str(sessions[0].sent), str(sessions[0].received))
            assert 1.9 < float(line["duration"]) < 10
        counters = postern.counters()
        assert (counters["cut"], counters["cut_unsent"], counters["sessions"]) == (2, 0, 0)


@pytest.mark.topology(backends=1)
def test_a_half_closed_session_ends_after_its_own_timeout(lab):
    with scripted_server(lab.backends[0]) as server, \
            Dissolving(lab, plain(lab, timeouts={"half_closed": "1s", "idle": "60s"})) as postern:
        sessions = [Session(lab, server) for _ in range(3)]
        postern.wait_dissolved(3)
        for side, s in zip(("client", "backend"), sessions):
            closing, other = far_end(s, side)
            closing.shutdown(socket.SHUT_WR)
            assert receive_all(other) == b""
        for side, s in zip(("client", "backend"), sessions):
            closing, other = far_end(s, side)
            expect_reset(closing)
            expect_dead(other)
        for line in postern.wait_sessions(2):
            assert (line["dissolved"], line["reason"], line["end"]) == ("yes", "half_closed", "timeout")
            assert 0.9 <= float(line["duration"]) < 10
        sessions[2].say()
        sessions[2].close()
        postern.wait_sessions(1, reason="client_fin")


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_an_early_talker_dissolves_at_the_next_quiet_moment(lab, vip):
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        client_end = lab.connect(vip)
        sending = Stream(client_end, MEBI)
        backend, _ = server.accept()
        receiving = Stream(backend, MEBI, receiving=True)
        sending.join()
        receiving.join()
        assert receiving.sum == Stream.checksum(MEBI)
        sent, received = DISSOLVED.settle(postern, client_end, backend, b"220 at last\r\n")
        client_end.close()
        backend.close()
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["bytes_in"], line["bytes_out"]) == ("yes", str(MEBI + sent), str(received))


@pytest.mark.topology(backends=2)
def test_pipelining_clients_dissolve(lab):
    serve_all(lab)
    with Dissolving(lab, plain(lab)) as postern:
        result = client(lab, "sessions", "--count", 500, "--concurrency", 20, "--pipelining", "--size", "100K")
        assert result["ok"] == 500 and not result["errors"], result
        lines = postern.wait_sessions(500)
        why = collections.Counter(s.get("relayed", "") for s in lines)
        assert set(why) <= {"", "early_end"}, why  # a few may be over before there was a quiet moment
        assert why[""] >= 495, why
        assert len({(s["bytes_in"]) for s in lines}) == 1
