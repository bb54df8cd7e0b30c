# SPDX-License-Identifier: Apache-2.0
"""Sessions in numbers: each reaches a backend from its client's own address, whatever the number and the ports."""
import collections
import socket
import subprocess

import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6, endpoint
from load import VIPS, client, serve_all, start_client
from peers import converse, host_of, receive, scripted_server, smtp_session

MANY, VERY_MANY, MANY_RELAYED = 100_000, 1_000_000, 30_000


def plain(lab, engine):
    return configuration([pool(backend_lines(lab.backends), **engine.pool)])


def assert_sources_are_the_clients(lines):
    wrong = [s for s in lines if host_of(s["source"]) != host_of(s["client"])]
    assert not wrong, f"{len(wrong)} sessions from a foreign address: {wrong[:3]}"
    for s in lines:
        assert (s["source"] != s["client"]) == (s["port_changed"] == "yes"), s


@pytest.mark.heavy
@pytest.mark.limit(400)
@pytest.mark.topology(backends=4)
def test_a_hundred_thousand_sessions_reach_the_backends_from_their_clients_own_addresses(lab, engine, long):
    count = VERY_MANY if long else MANY if engine.dissolves else MANY_RELAYED
    servers = serve_all(lab)
    with Postern(lab, plain(lab, engine)) as postern:
        before = postern.descriptors()
        result = client(lab, "sessions", "--count", count, "--concurrency", 64, "--expect-via", "client", timeout=3600 if long else 360)
        assert result["ok"] == count and not result["errors"], result
        lines = postern.wait_sessions(count, deadline=60)
        assert_sources_are_the_clients(lines)
        engine.assert_carried(lines, 0.99)
        clients = {host_of(s["client"]) for s in lines}
        for v6 in (False, True):
            assert sum((":" in c) == v6 for c in clients) >= 1000
        assert {s["reason"] for s in lines} <= {"client_fin", "backend_fin"}
        counters = postern.wait_idle()
        assert counters["sessions_ended"] == counters["connects_ok"] == count
        # A port is changed when the client uses it for two sessions at once; these clients have ports enough.
        assert counters["source_port_changed"] == sum(s["port_changed"] == "yes" for s in lines) <= count / 1000
        assert counters["connects_failed"] == counters["log_dropped"] == 0
        postern.wait_descriptors(before + 16)  # what a worker keeps for the next sessions
    seen = [s.stop() for s in servers]
    assert sum(s["connections"] for s in seen) == count


@pytest.mark.topology(backends=4)
def test_one_client_address_holds_five_thousand_sessions_over_four_backends(lab, engine):
    serve_all(lab)
    with Postern(lab, plain(lab, engine)) as postern:
        crowd = start_client(lab, "hold", "--connections", 5000, "--until-stdin-eof", to=VIPS[:1],
                             source=["198.51.100.7/32"], stdin=subprocess.PIPE)
        crowd.wait_said("ready", deadline=120)
        assert postern.counters()["sessions"] == 5000
        crowd.close_stdin()
        result = crowd.wait()
        assert not result["errors"], result
        lines = postern.wait_sessions(5000)
        assert_sources_are_the_clients(lines)
        engine.assert_carried(lines, 0.95)
        share = collections.Counter(s["backend"] for s in lines)
        assert len(share) == 4 and max(share.values()) - min(share.values()) <= 8, share


@pytest.mark.heavy
@pytest.mark.topology(backends=1)
def test_a_client_reconnects_from_the_same_port_at_once_after_the_server_has_closed(lab, engine):
    serve_all(lab)
    with Postern(lab, plain(lab, engine)) as postern:
        for vip in (VIP4, VIP6):
            for _ in range(100):
                with lab.connect(vip, source_port=4242) as s:
                    smtp_session(s)
        lines = postern.wait_sessions(200)
        engine.assert_carried(lines, 0.9)
        assert_sources_are_the_clients(lines)
        assert {s["client"] for s in lines} == {endpoint(lab.client.v4, 4242), endpoint(lab.client.v6, 4242)}
        assert postern.counters()["connects_failed"] == 0


@pytest.mark.heavy
@pytest.mark.topology(backends=1)
def test_a_client_reconnects_from_the_same_port_at_once_after_it_has_closed_itself(lab, engine):
    lab.client.sysctl("net.ipv4.tcp_max_tw_buckets", 0)  # the client forgets at once; postern's own TIME_WAIT stays
    serve_all(lab)
    with Postern(lab, plain(lab, engine)) as postern:
        for n in range(1, 101):
            with lab.connect(VIP4, source_port=4242) as s:
                engine.settle_smtp(postern, s)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            postern.wait_sessions(n)
        lines = postern.sessions()
        engine.assert_carried(lines)
        assert_sources_are_the_clients(lines)
        assert {s["reason"] for s in lines} == {"client_fin"}
        assert {s["port_changed"] for s in lines} == {"no"}, "timestamps are on: TIME_WAIT is no obstacle"


@pytest.mark.topology(backends=1)
def test_without_timestamps_a_quick_reconnect_gets_another_port_of_the_same_address(lab, engine):
    lab.client.sysctl("net.ipv4.tcp_max_tw_buckets", 0)
    lab.gateway.sysctl("net.ipv4.tcp_timestamps", 0)
    serve_all(lab)
    with Postern(lab, plain(lab, engine)) as postern:
        for n in (1, 2):
            with lab.connect(VIP4, source_port=4242) as s:
                converse(s, "", "220")
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            postern.wait_sessions(n)
        assert_sources_are_the_clients(postern.sessions())
        assert [s["port_changed"] for s in postern.sessions()] == ["no", "yes"]


@pytest.mark.topology(backends=1)
def test_a_taken_source_port_is_replaced_by_another_port_of_the_same_address(lab, engine):
    listeners = [{"name": "mx", "address": [f"{VIP4}:25", f"{VIP4}:587"], "pool": "inbound"}]
    with Postern(lab, configuration([pool(backend_lines(lab.backends))], listeners)) as postern, \
            scripted_server(lab.backends[0]) as server:
        first = lab.connect(VIP4, 25, source_port=4242)
        first_peer, first_address = server.accept()
        second = lab.connect(VIP4, 587, source_port=4242)
        second_peer, second_address = server.accept()
        assert first_address[:2] == (lab.client.v4, 4242)
        assert second_address[0] == lab.client.v4 and second_address[1] != 4242
        for s, peer in ((first, first_peer), (second, second_peer)):
            peer.sendall(b"220 hello\r\n")
            assert receive(s, 11) == b"220 hello\r\n"
            s.close()
            peer.close()
        lines = postern.wait_sessions(2)
        assert sorted(s["port_changed"] for s in lines) == ["no", "yes"]
        assert_sources_are_the_clients(lines)
        assert postern.counters()["source_port_changed"] == 1
