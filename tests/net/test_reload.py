# SPDX-License-Identifier: Apache-2.0
"""Reloading (HUP): a configuration applies whole or not at all, cuts nothing, and says what has changed."""
import socket

import pytest

from daemon import DISSOLVED, Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6, hostport
from load import client, serve_all, start_client
from peers import converse, expect_refused, expect_reset, receive, receive_all, scripted_server

VIP_MORE = "203.0.113.26"


def config(lab, engine, backends=None, listeners=None, **settings):
    return configuration([pool(backends if backends is not None else backend_lines(lab.backends), **engine.pool, **settings)],
                         listeners=listeners)


def listener(*addresses):
    return [{"name": "mx", "address": [hostport(a, 25) for a in addresses], "pool": "inbound"}]


def greeted(lab, server, engine, postern, vip=VIP4):
    """A session that has found its engine: the client's socket and the backend's."""
    s = lab.connect(vip)
    backend, _ = server.accept()
    engine.settle(postern, s, backend)
    return s, backend


def speaks(s, backend):
    s.sendall(b"NOOP\r\n")
    assert receive(backend, 6) == b"NOOP\r\n"
    backend.sendall(b"250 ok\r\n")
    assert receive(s, 8) == b"250 ok\r\n"


def close_both(s, backend):
    s.close()
    assert receive_all(backend) == b""
    backend.close()


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_backends_come_and_go_and_the_sessions_of_those_that_go_live_on(lab, engine):
    first, second = (backend_lines([b]) for b in lab.backends)
    with Postern(lab, config(lab, engine, first)) as postern, \
            scripted_server(lab.backends[0]) as old, scripted_server(lab.backends[1]) as new:
        kept = greeted(lab, old, engine, postern)
        line, changes = postern.reload(config(lab, engine, second))
        names = [b.label for b in lab.backends]
        assert changes == [f"pools.inbound.backends.{names[0]}: backend -> ", f"pools.inbound.backends.{names[1]}:  -> backend"]
        assert line["changes"] == "2"
        fresh = greeted(lab, new, engine, postern)
        speaks(*kept)
        speaks(*fresh)
        close_both(*kept)
        close_both(*fresh)
        lines = postern.wait_sessions(2)
        assert sorted(s["backend"] for s in lines) == names
        assert {s["reason"] for s in lines} == {"client_fin"}
        engine.assert_carried(lines)
        assert postern.wait(event="left")["backends"] == "1"


@pytest.mark.topology(backends=2)
def test_a_backend_that_comes_back_finds_its_sessions_counted(lab, engine):
    """Least-sessions goes by the counts: it sends the next session to the other backend."""
    one, both = backend_lines(lab.backends[:1]), backend_lines(lab.backends)
    with Postern(lab, config(lab, engine, one, slow_start="0s")) as postern, \
            scripted_server(lab.backends[0]) as a, scripted_server(lab.backends[1]) as b:
        kept = greeted(lab, a, engine, postern)
        postern.reload(config(lab, engine, both[1:], slow_start="0s"))
        postern.reload(config(lab, engine, both, slow_start="0s"))
        fresh = greeted(lab, b, engine, postern)
        close_both(*kept)
        close_both(*fresh)
        postern.wait_sessions(2)


@pytest.mark.topology(backends=1)
def test_a_bad_configuration_changes_nothing_and_is_named(lab, engine):
    good = config(lab, engine)
    with Postern(lab, good) as postern, scripted_server(lab.backends[0]) as server:
        kept = greeted(lab, server, engine, postern)
        line, changes = postern.reload(good.replace("source: client", "source: nobody"), event="reload_refused")
        assert line["reason"] == "the configuration has errors, see above" and not changes
        assert any(":" in text and "source" in text and "error" in text for text in postern.log.read())
        speaks(*kept)
        fresh = greeted(lab, server, engine, postern)
        close_both(*kept)
        close_both(*fresh)
        postern.wait_sessions(2)


@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])
@pytest.mark.topology(backends=1)
def test_addresses_come_and_go_and_sessions_on_those_that_go_live_on(lab, engine, vip):
    other = VIP6 if vip == VIP4 else VIP4
    with Postern(lab, config(lab, engine, listeners=listener(vip))) as postern, \
            scripted_server(lab.backends[0]) as v4, scripted_server(lab.backends[0], family=socket.AF_INET6) as v6:
        servers = {VIP4: v4, VIP6: v6}
        kept = greeted(lab, servers[vip], engine, postern, vip)
        _, changes = postern.reload(config(lab, engine, listeners=listener(other)))
        assert changes == [f"listeners.mx.address: {prefix(vip)} -> ", f"listeners.mx.address:  -> {prefix(other)}"]
        expect_refused(lambda: lab.connect(vip))  # while a session of it lives, the address is still the gateway's
        fresh = greeted(lab, servers[other], engine, postern, other)
        speaks(*kept)
        close_both(*kept)
        close_both(*fresh)
        postern.wait_sessions(2)
        postern.wait(event="left", vips="1")
        assert address(vip) not in lab.gateway.run("ip", "-6" if ":" in vip else "-4", "route", "show", "table", "local").stdout


def address(vip):
    return vip.strip("[]")


def prefix(vip):
    return f"{address(vip)}/{128 if ':' in vip else 32}:25"


@pytest.mark.parametrize("state", ["drain", "maint"])
@pytest.mark.topology(backends=2)
def test_a_drained_backend_takes_no_session_and_keeps_those_it_has(lab, engine, state):
    ready, drained = backend_lines(lab.backends), backend_lines(lab.backends, state=[state, "ready"])
    with Postern(lab, config(lab, engine, ready[:1], slow_start="0s")) as postern, \
            scripted_server(lab.backends[0]) as a, scripted_server(lab.backends[1]) as b:
        kept = greeted(lab, a, engine, postern)
        _, changes = postern.reload(config(lab, engine, drained, slow_start="0s"))
        assert f"pools.inbound.backends.{lab.backends[1].label}:  -> backend" in changes
        fresh = [greeted(lab, b, engine, postern) for _ in range(4)]
        speaks(*kept)
        _, changes = postern.reload(config(lab, engine, ready, slow_start="0s"))
        assert changes == [f"pools.inbound.backends.{lab.backends[0].label}.state: {state} -> ready"]
        back = greeted(lab, a, engine, postern)
        for session in [kept, back, *fresh]:
            close_both(*session)
        postern.wait_sessions(6)


@pytest.mark.topology(backends=1)
def test_a_pool_changes_its_source_and_no_session_mixes_the_two(lab, engine):
    transparent = config(lab, engine)
    introduced = transparent.replace("source: client", "source: gateway\n    proxy_protocol: v1")
    with Postern(lab, transparent) as postern, scripted_server(lab.backends[0]) as server:
        kept = greeted(lab, server, engine, postern)
        postern.reload(introduced)
        s = lab.connect()
        backend, peer = server.accept()
        assert peer[0] != s.getsockname()[0]
        line = f"PROXY TCP4 {s.getsockname()[0]} {VIP4} {s.getsockname()[1]} 25\r\n".encode()
        assert receive(backend, len(line)) == line
        backend.sendall(b"220 hello\r\n")
        assert receive(s, 11) == b"220 hello\r\n"
        speaks(*kept)
        close_both(*kept)
        close_both(s, backend)
        assert {s["reason"] for s in postern.wait_sessions(2)} == {"client_fin"}


@pytest.mark.heavy
@pytest.mark.topology(backends=2, clients=2)
def test_a_hundred_reloads_under_load_cut_nothing(lab, engine):
    """Backends, weights and addresses change with every reload; each session must end as it would have without."""
    serve_all(lab)
    lines = backend_lines(lab.backends)
    configs = [config(lab, engine, lines),
               config(lab, engine, lines[:1]),
               config(lab, engine, lines[1:], listeners=listener(VIP4, VIP6, VIP_MORE)),
               config(lab, engine, backend_lines(lab.backends, weight=[1, 100]))]
    with Postern(lab, configs[0]) as postern:
        load = start_client(lab, "sessions", "--concurrency", 200, "--count", 20000)
        for number in range(100):
            postern.reload(configs[(number + 1) % len(configs)])
        result = load.wait()
        assert result["ok"] == 20000 and not result["errors"], result
        assert len(postern.lines(event="reload")) == 100
        postern.reload(configs[0])
        assert {s["reason"] for s in postern.wait_sessions(20000)} <= {"client_fin", "backend_fin"}


@pytest.mark.heavy
@pytest.mark.topology(backends=1)
def test_a_pool_without_anybody_refuses_connections_after_thirty_seconds_and_serves_again_at_once(lab):
    ready, drained = (config(lab, DISSOLVED, backend_lines(lab.backends, state=s)) for s in ("ready", "drain"))
    serve_all(lab)
    with Postern(lab, ready) as postern:
        postern.reload(drained)
        s = lab.connect()
        assert receive_all(s).startswith(b"421 4.3.2 ")
        s.close()
        line = postern.wait(event="vip", state="refused", count=2, deadline=45)
        assert line["listener"] == "mx"
        expect_refused(lambda: lab.connect(VIP4))
        expect_refused(lambda: lab.connect(VIP6))
        assert postern.counters()["catch_nobody"] >= 2
        postern.reload(ready)
        result = client(lab, "sessions", "--concurrency", 10, "--count", 100)
        assert result["ok"] == 100 and not result["errors"], result
