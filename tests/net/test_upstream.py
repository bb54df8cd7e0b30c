# SPDX-License-Identifier: Apache-2.0
"""An upstream balancer names the client in a PROXY header: it is believed to the letter, or not at all; nobody else is."""
import contextlib
import json
import select
import socket
import time

import pytest

from admin import AdminPostern
from daemon import DEADLINE, Postern, backend_lines, configuration, listener, pool, wait_readable
from dissolving import Dissolving
from lab import VIP4, VIP6, endpoint, family_of
from peers import converse, expect_refused, expect_reset, receive, receive_all, reset, scripted_server
from proxy_headers import SIGNATURE, header

UPSTREAM4, UPSTREAM6 = "198.51.200.1", "2001:db8:c:ff::1"
PREFIXES = ["198.51.200.0/24", f"{UPSTREAM6}/128"]
STRANGER4, STRANGER6 = "198.51.101.7", "2001:db8:c:1::7"
NAMED4, NAMED6 = ("192.0.2.77", 4711), ("2001:db8:77::7", 4712)
PUBLIC4, PUBLIC6 = "203.0.113.99", "2001:db8:99::25"  # what the client had connected to, at the upstream
EARLY = b"EHLO early.example\r\n"
VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])


def upstream_of(vip):
    return UPSTREAM6 if ":" in vip else UPSTREAM4


def introduced(lab, prefixes=(), engine=None, gateway=None, listeners=None, **settings):
    """The configuration of a gateway that stands behind balancers."""
    mx = {**listener(), "accept_proxy_from": list(prefixes or PREFIXES)}
    return configuration([pool(backend_lines(lab.backends), **(engine.pool if engine else {}), **settings)],
                         listeners=listeners or [mx], gateway=gateway)


def announce(lab, vip, words, source=None):
    """A connection of the upstream that begins with these words."""
    s = lab.connect(vip, source=source or upstream_of(vip))
    s.sendall(words)
    return s


def wait_read(lab, count, port=25):
    """Until so many connections of upstreams are established at the VIPs, and all that has come on them was read."""
    end = time.monotonic() + DEADLINE
    while True:
        queues = []
        with lab.gateway.entered():
            for name in ("tcp", "tcp6"):
                with open(f"/proc/thread-self/net/{name}", encoding="ascii") as f:
                    rows = [line.split() for line in f][1:]
                queues += [int(r[4].split(":")[1], 16) for r in rows
                           if r[3] == "01" and int(r[1].split(":")[1], 16) == port]
        if len(queues) == count and not any(queues):
            return
        assert time.monotonic() < end, f"{len(queues)} of {count} connections, unread: {queues}"
        time.sleep(0)


WAYS = [("v1", VIP4, NAMED4, PUBLIC4), ("v2", VIP6, NAMED6, PUBLIC6), ("v1", VIP6, NAMED4, PUBLIC4),
        ("v2", VIP4, NAMED6, PUBLIC6)]


@pytest.mark.tsan
@pytest.mark.parametrize("source,proxy", [("client", "off"), ("gateway", "v2")], ids=["transparent", "header"])
@pytest.mark.parametrize("version,vip,named,public", WAYS, ids=["v1-of-4", "v2-of-6", "v1-of-4-over-6", "v2-of-6-over-4"])
@pytest.mark.topology(backends=1)
def test_whom_the_header_names_is_the_client_for_backend_header_and_line(lab, engine, version, vip, named, public, source, proxy):
    config = "sources: {partners: {prefixes: [192.0.2.0/24, \"2001:db8:77::/48\"]}}\n" + \
        introduced(lab, engine=engine, source=source, proxy_protocol=proxy)
    with Postern(lab, config) as postern, scripted_server(lab.backends[0]) as v4, \
            scripted_server(lab.backends[0], family=socket.AF_INET6) as v6:
        s = announce(lab, vip, header(version, named, public) + EARLY)
        backend, peer = (v6 if ":" in named[0] else v4).accept()
        assert source == "gateway" or peer[:2] == named
        sent_on = header(proxy, named, public) if proxy != "off" else b""
        assert receive(backend, len(sent_on)) == sent_on
        assert receive(backend, len(EARLY)) == EARLY
        stays = "mixed_family" if family_of(vip) != family_of(named[0]) else "named_twice" if source == "gateway" else None
        if stays:
            backend.sendall(b"220 hello\r\n")
            sent, received = 0, len(receive(s, 11))
        else:
            sent, received = engine.settle(postern, s, backend)
        own = endpoint(*s.getsockname()[:2])
        s.close()
        assert receive_all(backend) == b""
        backend.close()
        line = postern.wait_sessions(1)[0]
        assert (line["client"], line["upstream"], line["vip"]) == (endpoint(*named), own, endpoint(vip, 25))
        assert (line["bytes_in"], line["bytes_out"]) == (str(len(EARLY) + sent), str(received)), "the header is none of the client's"
        assert (line["class"], line["source"]) == ("partners", endpoint(*peer[:2]))
        assert postern.counters()["headers_read"] == 1
        if stays:
            assert line["relayed"] == (stays if engine.dissolves else "off")
        else:
            engine.assert_carried([line])


@VERSIONS
@pytest.mark.topology(backends=1)
def test_a_header_may_come_in_any_two_pieces_and_no_byte_behind_it_is_lost(lab, engine, version):
    tlvs = b"\x04\x00\x03abc" if version == "v2" else b""

    def named(n):
        return f"192.0.2.{n}", 5000 + n

    def words(n):
        return header(version, named(n), PUBLIC4, tlvs=tlvs) + EARLY

    count = len(words(0))
    with Postern(lab, introduced(lab, engine=engine)) as postern, scripted_server(lab.backends[0]) as server:
        cut = [(n, announce(lab, VIP4, words(n)[:n])) for n in range(1, len(words(0)) - len(EARLY))]
        wait_read(lab, len(cut))
        assert postern.counters()["headers_read"] == 0
        for n, s in cut:
            s.sendall(words(n)[n:])
        cut += [(n, announce(lab, VIP4, words(n)[:n])) for n in range(len(words(0)) - len(EARLY), count)]
        for n, s in cut[-len(EARLY):]:
            s.sendall(words(n)[n:])
        seen = {}
        for _ in cut:
            backend, peer = server.accept()
            assert receive(backend, len(EARLY)) == EARLY
            backend.sendall(b"220 hello\r\n")
            seen[peer[:2]] = backend
        assert seen.keys() == {named(n) for n, _ in cut}
        for n, s in cut:
            assert receive(s, 11) == b"220 hello\r\n"
            s.close()
            assert receive_all(seen[named(n)]) == b""
            seen[named(n)].close()
        assert {s["bytes_in"] for s in postern.wait_sessions(len(cut))} == {str(len(EARLY))}


@pytest.mark.topology(backends=2)
def test_what_comes_right_behind_the_header_is_whole_whatever_its_size_and_whoever_gets_it_in_the_end(lab, engine):
    config = configuration([pool(backend_lines(lab.backends), balance="round-robin", proxy_protocol="v1", **engine.pool)],
                           [{**listener(), "accept_proxy_from": PREFIXES}])
    sent_on = header("v1", NAMED4, PUBLIC4)
    with Postern(lab, config) as postern, scripted_server(lab.backends[0]) as one, scripted_server(lab.backends[1]) as two:
        for size, tries in ((3000, 2), (100_000, 1)):
            words = bytes(i * 7 % 251 for i in range(size))
            s = announce(lab, VIP4, header("v2", NAMED4, PUBLIC4) + words)
            for left in range(tries - 1, -1, -1):
                ready, _, _ = select.select([one.socket, two.socket], [], [], DEADLINE)
                backend, peer = next(server for server in (one, two) if server.socket in ready).accept()
                assert peer[:2] == NAMED4 and receive(backend, len(sent_on) + size) == sent_on + words
                if left:
                    backend.close()  # before its greeting: another one hears all of it again
            backend.sendall(b"220 hello\r\n")
            assert receive(s, 11) == b"220 hello\r\n"
            s.close()
            assert receive_all(backend) == b""
            backend.close()
            line = postern.wait(event="session", bytes_in=size)
            assert (line["client"], line["retries"]) == (endpoint(*NAMED4), str(tries - 1))


V4_ENDS = header("v2", NAMED4, PUBLIC4)[16:]
BAD = {
    "garbage": (b"EHLO mail.example.org\r\n", "not_a_header"),
    "a_megabyte_without_an_end": (b"PROXY TCP4 " + b"1" * (1 << 20), "line_too_long"),
    "a_line_that_ends_in_lf": (b"PROXY TCP4 192.0.2.77 203.0.113.99 4711 25\n", "line_end"),
    "leading_zeros": (b"PROXY TCP4 192.0.2.077 203.0.113.99 4711 25\r\n", "address"),
    "a_length_that_is_too_short": (SIGNATURE + b"\x21\x11\x00\x04" + V4_ENDS, "too_short"),
    "a_length_beyond_all_measure": (SIGNATURE + b"\x21\x11\xff\xff" + V4_ENDS, "too_long"),
    "an_extension_beyond_the_length": (SIGNATURE + b"\x21\x11\x00\x0f" + V4_ENDS + b"\x04\x00\x09", "tlv"),
    "a_wrong_checksum": (SIGNATURE + b"\x21\x11\x00\x13" + V4_ENDS + b"\x03\x00\x04\x00\x00\x00\x00", "checksum"),
    "udp": (SIGNATURE + b"\x21\x12\x00\x0c" + V4_ENDS, "protocol"),
    "another_version": (SIGNATURE + b"\x31\x11\x00\x0c" + V4_ENDS, "version"),
    "a_loopback_client": (header("v1", ("127.0.0.1", 4711), PUBLIC4), "client_not_unicast"),
    "a_multicast_client": (header("v2", ("ff02::1", 4711), PUBLIC6), "client_not_unicast"),
    "another_balancer_as_the_client": (header("v1", ("198.51.200.2", 4711), PUBLIC4), "client_is_upstream"),
    "a_balancer_of_the_other_family": (header("v2", (UPSTREAM6, 4711), PUBLIC6), "client_is_upstream"),
}


@pytest.mark.topology(backends=1)
def test_what_is_no_exact_header_is_reset_and_named_and_nothing_of_it_reaches_a_backend(lab):
    with Postern(lab, introduced(lab)) as postern, scripted_server(lab.backends[0]):
        for name, (words, violation) in BAD.items():
            s = lab.connect(VIP4, source=UPSTREAM4)
            own = endpoint(*s.getsockname())
            with s, contextlib.suppress(ConnectionResetError, BrokenPipeError):  # while it still talks
                s.sendall(words)
                expect_reset(s)
            line = postern.wait(event="session", upstream=own)
            assert (line["reason"], line["header"], line["end"], line["client"]) == \
                ("header_refused", violation, "client", "-"), (name, line)
        s = announce(lab, VIP4, header("v1", NAMED4, PUBLIC4)[:20])
        s.shutdown(socket.SHUT_WR)
        expect_reset(s)
        assert postern.wait(event="session", header="cut_off")["reason"] == "header_refused"
        counters = postern.counters()
        assert counters["closed_header_refused"] == len(BAD) + 1 and not counters["headers_read"], counters
        assert not counters["connects_ok"] and not counters["bytes_from_clients"], counters


@pytest.mark.topology(backends=1)
def test_a_second_header_is_the_clients_own_words(lab):
    with Postern(lab, introduced(lab)), scripted_server(lab.backends[0]) as server:
        second = header("v1", ("10.2.0.1", 1), PUBLIC4)
        with announce(lab, VIP4, header("v1", NAMED4, PUBLIC4) + second) as s:
            backend, peer = server.accept()
            assert peer[:2] == NAMED4 and receive(backend, len(second)) == second
            s.close()
            backend.close()


@pytest.mark.topology(backends=1)
def test_silence_and_a_slow_drip_are_reset_after_five_seconds(lab):
    with Postern(lab, introduced(lab)) as postern:
        began = time.monotonic()
        silent, drip = lab.connect(VIP4, source=UPSTREAM4), lab.connect(VIP6, source=UPSTREAM6)
        words = iter(header("v1", NAMED6, PUBLIC6))
        with contextlib.suppress(ConnectionResetError):  # while it still talks
            while not wait_readable(drip.fileno(), 0.3):
                drip.sendall(bytes([next(words)]))
            expect_reset(drip)
        expect_reset(silent)
        for s in (silent, drip):
            s.close()
        assert 4.9 < time.monotonic() - began < 10
        lines = postern.wait_sessions(2)
        assert {(s["reason"], s["end"], s["client"]) for s in lines} == {("header_missing", "timeout", "-")}
        assert all(4.9 < float(s["duration"]) < 10 for s in lines)
        assert not postern.counters()["connects_ok"]


@pytest.mark.topology(backends=1)
def test_a_balancer_that_holds_its_header_back_is_named_until_it_sends_one(lab):
    with AdminPostern(lab, introduced(lab, gateway={"workers": 1})) as postern, \
            scripted_server(lab.backends[0]) as server, \
            scripted_server(lab.backends[0], family=socket.AF_INET6) as server6:
        def about_it():
            status = json.loads(postern.ask("show status"))
            return status["upstreams"], [t for t in status["trouble"] if "PROXY header" in t["what"]]

        for count in (2, 1):
            assert about_it() == ([], []) and not postern.lines(event="upstream_holds_header")
            held = [lab.connect(VIP4, source=UPSTREAM4) for _ in range(count)] + [lab.connect(VIP6, source=UPSTREAM6)]
            with announce(lab, VIP6, header("v1", NAMED6, PUBLIC6)), server6.accept()[0]:  # the other one does
                for s in held:
                    expect_reset(s)
                    s.close()
                with announce(lab, VIP6, header("v1", (NAMED6[0], 4713), PUBLIC6)), server6.accept()[0]:
                    pass
        line = postern.wait(event="upstream_holds_header")
        assert (line["upstream"], line["listener"], line["connections"], line["level"]) == (UPSTREAM4, "mx", "3", "warning")
        holding, trouble = about_it()
        assert [(u["address"], u["listener"], u["silent"]) for u in holding] == [(UPSTREAM4, "mx", 3)]
        assert [(t["severity"], t["about"]) for t in trouble] == [("warning", "listener mx")]
        with announce(lab, VIP4, header("v1", NAMED4, PUBLIC4)), server.accept()[0]:
            pass
        assert postern.wait(event="upstream_holds_no_more")["upstream"] == UPSTREAM4
        assert about_it() == ([], []) and len(postern.lines(event="upstream_holds_header")) == 1


CHECKS = (SIGNATURE + b"\x20\x00\x00\x00", SIGNATURE + b"\x20\x11\x00\x0c" + V4_ENDS, SIGNATURE + b"\x21\x00\x00\x00",
          b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 192.0.2.77 203.0.113.99 4711 25\r\n",
          header("v1", (UPSTREAM4, 4711), VIP4), b"")


@pytest.mark.topology(backends=1)
def test_an_upstreams_checks_end_in_order_without_a_greeting_and_are_no_alarm(lab):
    rounds = 13  # times seven checks: more than 64
    with Postern(lab, introduced(lab, gateway={"workers": 1})) as postern, scripted_server(lab.backends[0]):
        for _ in range(rounds):
            for words in CHECKS:
                with announce(lab, VIP4, words) as s:
                    if not words:
                        s.shutdown(socket.SHUT_WR)
                    assert receive_all(s) == b""
        s = lab.connect(VIP4, source=UPSTREAM4)
        postern.wait_counter(sessions=1)
        reset(s)
        reset(lab.connect(VIP4, source=UPSTREAM4))  # gone before it was accepted, perhaps
        counters = postern.wait_counter(sessions_ended=len(CHECKS) * rounds + 2)
        assert counters["closed_upstream_check"] == len(CHECKS) * rounds + 2, counters
        assert not counters["connects_ok"] and not counters["headers_read"], counters
        lines = postern.wait_sessions(2)
        assert [(s["reason"], s["end"], s["sample"]) for s in lines] == [("upstream_check", "client", "64")] * 2
        assert not postern.lines(level="warning")


@VERSIONS
@pytest.mark.topology(backends=1)
def test_a_strangers_header_is_the_strangers_own_words(lab, version):
    with Postern(lab, introduced(lab)) as postern, scripted_server(lab.backends[0]) as v4, \
            scripted_server(lab.backends[0], family=socket.AF_INET6) as v6:
        for vip, stranger, server, fake in ((VIP4, STRANGER4, v4, ("10.2.0.1", 25)), (VIP6, STRANGER6, v6, ("2001:db8:2::1", 25))):
            words = header(version, fake, vip)
            with announce(lab, vip, words, source=stranger) as s:
                own = s.getsockname()[:2]
                backend, peer = server.accept()
                assert peer[:2] == own and receive(backend, len(words)) == words
                backend.close()
                s.close()
            line = postern.wait(event="session", client=endpoint(*own))
            assert "upstream" not in line and "header" not in line
        assert not postern.counters()["headers_read"]


@pytest.mark.topology(backends=1)
def test_a_reload_changes_who_is_believed_from_the_next_connection_on(lab):
    with Postern(lab, introduced(lab, ["198.51.201.0/24"])) as postern, scripted_server(lab.backends[0]) as server:
        words = header("v1", NAMED4, PUBLIC4)
        with announce(lab, VIP4, words) as s, server.accept()[0] as backend:
            assert receive(backend, len(words)) == words
            _, changes = postern.reload(introduced(lab))
            assert changes == ["listeners.mx.accept_proxy_from: 1 entries -> 2 entries"]
            s.sendall(b"more")
            assert receive(backend, 4) == b"more"
        with announce(lab, VIP4, words) as s:
            backend, peer = server.accept()
            assert peer[:2] == NAMED4
            postern.reload(configuration([pool(backend_lines(lab.backends))]))
            s.close()
            assert receive_all(backend) == b""
            backend.close()
        with announce(lab, VIP4, words) as s, server.accept()[0] as backend:
            assert receive(backend, len(words)) == words


@pytest.mark.topology(backends=1)
def test_routes_and_limits_go_by_the_named_client(lab):
    mx = {**listener(to="other"), "accept_proxy_from": PREFIXES, "route": [{"from": "partners", "pool": "inbound"}]}
    pools = [pool(backend_lines(lab.backends, families=[4])),
             pool(backend_lines(lab.backends, port=26, families=[4]), name="other")]
    config = configuration(pools, [mx], sources={"partners": {"prefixes": "192.0.2.0/25"}}, limits={"sessions": 2})
    with Postern(lab, config) as postern, scripted_server(lab.backends[0]) as server, \
            scripted_server(lab.backends[0], 26) as other:
        with announce(lab, VIP4, header("v1", NAMED4, PUBLIC4)), server.accept()[0], \
                announce(lab, VIP4, header("v1", (NAMED4[0], 4712), PUBLIC4)), server.accept()[0], \
                announce(lab, VIP4, header("v1", ("192.0.2.200", 4711), PUBLIC4)), other.accept()[0]:
            with announce(lab, VIP4, header("v1", (NAMED4[0], 4713), PUBLIC4)) as s:
                converse(s, "", "421")
        assert postern.wait(event="session", reason="source_sessions")["client"] == endpoint(NAMED4[0], 4713)
        postern.wait_idle()


@pytest.mark.topology(backends=1)
def test_operators_see_who_is_awaited_and_who_has_named_whom(lab):
    with AdminPostern(lab, introduced(lab)) as postern, scripted_server(lab.backends[0]) as server:
        waiting = announce(lab, VIP4, b"PROXY ")
        postern.wait_counter(sessions=1)
        text = postern.ask("show sessions state=introducing")
        assert f'"upstream":"{endpoint(*waiting.getsockname())}"' in text and '"client":null' in text, text
        with announce(lab, VIP4, header("v2", NAMED4, PUBLIC4)) as s, server.accept()[0]:
            text = postern.ask(f"show sessions client={NAMED4[0]}")
            assert f'"client":"{endpoint(*NAMED4)}"' in text and f'"upstream":"{endpoint(*s.getsockname())}"' in text, text
        ident = postern.ask("show sessions state=introducing").split('"id":"')[1][:16]
        postern.ask(f"shutdown session {ident}")
        expect_reset(waiting)
        assert postern.wait(event="session", reason="killed")["client"] == "-"


@pytest.mark.parametrize("proxy", ["off", "v1"])
@pytest.mark.topology(backends=1)
def test_a_dissolved_session_keeps_its_named_client_over_kill_9(lab, proxy):
    postern = Dissolving(lab, introduced(lab, proxy_protocol=proxy)).start()
    with scripted_server(lab.backends[0]) as server:
        s = announce(lab, VIP4, header("v2", NAMED4, PUBLIC4))
        own = endpoint(*s.getsockname())
        backend, _ = server.accept()
        receive(backend, len(header(proxy, NAMED4, PUBLIC4)) if proxy != "off" else 0)
        backend.sendall(b"220 hello\r\n")
        receive(s, 11)
        sent = 0
        while not postern.counters()["dissolved"]:
            s.sendall(b"NOOP\r\n")
            receive(backend, 6)
            backend.sendall(b"250 ok\r\n")
            receive(s, 8)
            sent += 6
        postern.kill()
        s.sendall(b"QUIT\r\n")
        assert receive(backend, 6) == b"QUIT\r\n"
        adopted, _ = postern.take_over()
        assert adopted["dissolved"] == "1"
        s.close()
        assert receive_all(backend) == b""
        backend.close()
    line = postern.wait_sessions(1)[0]
    assert (line["client"], line["upstream"], line["bytes_in"]) == (endpoint(*NAMED4), own, str(sent + 6))
    assert (line["dissolved"], line["listener"], line["pool"], line["port_changed"]) == ("yes", "mx", "inbound", "no")
    postern.stop()


@pytest.mark.topology(backends=1)
def test_a_client_without_a_port_gets_one(lab):
    with Postern(lab, introduced(lab)) as postern, scripted_server(lab.backends[0]) as server:
        with announce(lab, VIP4, header("v1", (NAMED4[0], 0), PUBLIC4)):
            backend, peer = server.accept()
            assert peer[0] == NAMED4[0] and peer[1] > 0
            backend.close()
        assert postern.wait_sessions(1)[0]["port_changed"] == "yes"


@pytest.mark.topology(backends=1)
def test_a_named_client_of_a_family_that_no_backend_has_is_refused(lab):
    config = configuration([pool(backend_lines(lab.backends, families=[4]))],
                           listeners=[{**listener(), "accept_proxy_from": PREFIXES}])
    with Postern(lab, config) as postern:
        expect_refused(lambda: announce(lab, VIP4, header("v1", NAMED6, PUBLIC6)))
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["client"]) == ("no_family", endpoint(*NAMED6))
