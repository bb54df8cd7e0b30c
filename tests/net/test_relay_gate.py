# SPDX-License-Identifier: Apache-2.0
"""What follows from relay tests: gates that open and shut, warnings, and what hostile or hesitant servers cannot bring about."""
import contextlib
import re
import threading

import pytest

from admin import AdminPostern
from daemon import backend_lines, configuration, pool
from lab import Lab
from mta import PROXY
from mta_stage import GATEWAY
from peers import converse, receive, receive_all
from test_checks import SmtpServer, banners, reset, smtp_servers
from test_relay_test import RECIPIENT, STRANGER, TRUSTED, asked, postfix, verdicts
from test_status import backend, status
from upgrading import Upgrading
from wire import watched

NO, YES, LATER = b"554 5.7.1 Relay access denied", b"250 2.1.5 Ok", b"450 4.2.0 Greylisted"
PATIENT = {"type": "off", "timeout": "30s"}  # servers that do answer may be slow on a busy host
QUICK = {"type": "off", "timeout": "1s"}  # of those that do not


def answering(stranger=NO, trusted=YES):
    """A server that tells by the address whom it relays for."""
    def act(server, connection):
        peer = connection.getpeername()[0]
        server.peers.append(peer)
        connection.sendall(b"220 %s ESMTP\r\n" % server.name.encode())
        for line in connection.makefile("rb"):
            server.lines.append(line)
            reply = b"221 bye" if line.startswith(b"QUIT") else b"250 ok"
            if line.startswith(b"RCPT"):
                reply = trusted if peer in TRUSTED else stranger
            connection.sendall(reply + b"\r\n")
            if line.startswith(b"QUIT"):
                return
    return act


@contextlib.contextmanager
def servers(*backends, acts):
    with smtp_servers(*backends) as found:
        for server, act in zip(found, acts):
            server.peers, server.lines, server.act = [], [], act
        yield found


def gated(lab, mode="gate", trusted=TRUSTED, backends=None, interval="1s", **settings):
    pools = [pool(backend_lines(backends or lab.backends), slow_start="0s", **{"check": PATIENT, **settings})]
    return asked(configuration(pools), mode, trusted, interval=interval)


def wait_verdict(postern, b, verdict, since=0, **fields):
    return postern.wait(event="relay_test", backend=b.label, verdict=verdict, since=since, **fields)


def wait_both(postern, b, verdict, since=0):
    for clients in ("ipv4", "ipv6"):
        wait_verdict(postern, b, verdict, since, clients=clients)


@pytest.mark.tsan
def test_a_gate_lets_only_those_in_who_are_right(lab):
    one, two = lab.backends
    with servers(one, two, acts=[answering(), answering(stranger=YES)]) as (right, opened):
        with AdminPostern(lab, gated(lab)) as postern:
            wait_both(postern, one, "right")
            wait_both(postern, two, "open")
            assert banners(lab) == {one.label}
            state = backend(status(postern), two.label)
            assert state["state"] == "down" and state["why"] == "it is an open relay: " + YES.decode()
            assert state["relay"]["gated"] and state["relay"]["verdict"] == "open" and state["effective_weight"] == 0
            rows = postern.stat()
            assert [rows["inbound", b.label]["status"] for b in lab.backends] == ["no check", "DOWN"]
            trouble = [t for t in status(postern)["trouble"] if t["about"].endswith(two.label)]
            assert [t["severity"] for t in trouble] == ["error"] * 2 and "open relay" in trouble[0]["what"]
        assert set(STRANGER + TRUSTED) <= set(right.peers) and not set(TRUSTED) & set(opened.peers)
        assert not any(line.startswith(b"DATA") for line in right.lines + opened.lines)


def test_with_warn_an_open_relay_is_told_and_served(lab):
    one, two = lab.backends
    with servers(one, two, acts=[answering(), answering(stranger=YES)]):
        with AdminPostern(lab, gated(lab, "warn")) as postern:
            assert wait_verdict(postern, two, "open")["level"] == "error"
            wait_both(postern, one, "right")
            assert banners(lab) == {one.label, two.label}
            trouble = [t for t in status(postern)["trouble"] if t["about"].endswith(two.label)]
            assert {t["severity"] for t in trouble} == {"error"} and "strangers can send mail" in trouble[0]["what"]


def after(event, act):
    def wait(server, connection):
        assert event.wait(20)
        act(server, connection)
    return wait


@pytest.mark.topology(backends=1)
def test_clients_wait_for_the_first_test_and_are_told_at_once_what_has_come_of_it(lab):
    b, = lab.backends
    for stranger, greeted in ((NO, b"220 "), (YES, b"421 ")):
        tested = threading.Event()
        with servers(b, acts=[after(tested, answering(stranger))]), AdminPostern(lab, gated(lab)) as postern:
            with lab.connect() as s:
                postern.wait_counter(queued=1)
                tested.set()
                assert receive(s, 4) == greeted
            assert float(postern.wait_sessions(1)[0]["duration"]) < 8  # else nobody has told that the wait was over


def test_without_anybody_who_is_right_clients_are_sent_elsewhere(lab):
    with servers(*lab.backends, acts=[answering(stranger=YES), answering(stranger=LATER)]):
        with AdminPostern(lab, gated(lab)) as postern:
            wait_both(postern, lab.backends[0], "open")
            wait_both(postern, lab.backends[1], "inconclusive")
            with lab.connect() as s:
                assert receive_all(s).startswith(b"421 4.3.2")
            assert not any(t["severity"] != "error" for t in status(postern)["trouble"] if t["about"].startswith("backend"))


def test_a_postfix_that_becomes_an_open_relay_is_out_within_an_interval_and_its_session_goes_on(tmp_path):
    """Its operator errs, and mends it: new sessions go elsewhere meanwhile, and nobody is cut."""
    def networks(b, *more):
        path = tmp_path / b.label / "conf" / "networks"
        path.with_suffix(".new").write_text("".join(f"{n} permit\n" for n in ("127.0.0.0/8", *TRUSTED, *more)))
        path.with_suffix(".new").rename(path)

    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab(backends=2))
        one, two = lab.backends
        for b in lab.backends:
            (tmp_path / b.label / "conf").mkdir(parents=True)
            networks(b)
            mta = postfix(b, tmp_path / b.label, name=b.label, settings="max_use = 1\n")  # each process reads them again
            mta.mynetworks = "cidr:/mta/conf/networks"
            stack.enter_context(mta)
        wire = stack.enter_context(watched(one))
        with AdminPostern(lab, gated(lab)) as postern:
            wait_both(postern, one, "right")
            wait_both(postern, two, "right")
            while f" {one.label}." not in (banner := converse(held := lab.connect(), "", "220")):
                held.close()
            with held:
                end, since = held.getsockname(), len(postern.log.read())
                networks(one, "0.0.0.0/0", "::/0")
                wait_both(postern, one, "open", since)
                assert banners(lab) == {f"{two.label}.example.test"}
                converse(held, "EHLO client.example", "250")
                converse(held, "QUIT", "221")
            since = len(postern.log.read())
            networks(one)
            wait_both(postern, one, "right", since)
            assert banners(lab, 16) == {f"{b.label}.example.test" for b in lab.backends}, banner
            # Before postern ends, which may cut a test short.
            held_end, = (c for c in wire.read() if c.key[:2] == end)
            assert held_end.over and held_end.said.endswith(b"QUIT\r\n"), held_end
            assert not wire.resets(), wire.resets()
            assert any(b"MAIL FROM" in c.said for c in wire.read()) and not any(b"DATA" in c.said for c in wire.read())


def test_what_was_proven_holds_while_a_test_proves_nothing(lab):
    one, two = lab.backends
    with servers(one, two, acts=[answering(), answering()]) as (server, _):
        with AdminPostern(lab, gated(lab)) as postern:
            wait_both(postern, one, "right")
            wait_both(postern, two, "right")
            for act in (answering(stranger=LATER), answering(trusted=NO)):
                since = len(postern.log.read())
                server.act = act
                assert wait_verdict(postern, one, "inconclusive", since)["holds"] == "right"
                wait_both(postern, one, "inconclusive", since)
                assert banners(lab) == {one.label, two.label}
                assert backend(status(postern), one.label)["relay"]["verdict"] == "right"
                trouble = next(t for t in status(postern)["trouble"] if t["about"].endswith(one.label))
                assert (trouble["severity"], trouble["what"]) == ("warning", "its relay test proves nothing")
                since = len(postern.log.read())
                server.act = answering()
                wait_both(postern, one, "right", since)


def says(*replies):
    """One reply after the other, whatever is asked; None: silence from here on."""
    def act(server, connection):
        for reply in replies:
            if reply is None:
                break
            connection.sendall(reply)
            if not connection.recv(1000):
                return
        while connection.recv(1000):
            pass
    return act


def resets(server, connection):
    connection.sendall(b"220 mx\r\n")
    connection.recv(100)
    reset(connection)


HELLO, OK = b"220 mx\r\n", b"250 ok\r\n"


@pytest.mark.parametrize("act, said", [
    (answering(stranger=LATER), "RCPT 450 4.2.0 Greylisted"),
    (answering(stranger=b"421 4.7.0 Too many"), "RCPT 421 4.7.0 Too many"),
    (says(None), "greeting: no reply in 1s"),
    (says(HELLO, OK, OK, None), "RCPT: no reply in 1s"),
    (says(b"554 5.7.1 Blocked\r\n"), "greeting 554 5.7.1 Blocked"),
    (says(b"220 " + b"x" * 100000), "greeting: a line is too long"),
    (says(b"220-x\r\n" * 200), "greeting: too many lines"),
    (says(HELLO, b"550 5.7.1 Helo command rejected\r\n", b"221 bye\r\n"), "EHLO 550 5.7.1 Helo command rejected"),
    (says(HELLO, OK, b"530 5.7.0 Must issue a STARTTLS command first\r\n", b"221 bye\r\n"), "MAIL 530 5.7.0 Must issue"),
    (says(HELLO + OK + OK + NO + b"\r\n"), "greeting: replies that nobody asked for"),
    (says(HELLO, OK, OK, b"354 go ahead\r\n"), "RCPT 354 go ahead"),
    (says(HELLO, OK, OK, b"\x00\xff\r\n"), "RCPT: not an SMTP reply"),
    (resets, "EHLO: connection reset"),
    (lambda server, connection: None, "greeting: connection closed"),
], ids=lambda value: re.sub(r"\W+", "-", value)[:40] if isinstance(value, str) else "")
@pytest.mark.topology(backends=1)
def test_what_is_no_answer_proves_nothing_and_opens_no_gate(lab, act, said):
    with servers(*lab.backends, acts=[act]), AdminPostern(lab, gated(lab, check=QUICK)) as postern:
        line = wait_verdict(postern, lab.backends[0], "inconclusive", clients="ipv6")
        assert line["stranger"].startswith(said) and line["trusted"] == "", line
        assert line["reason"] == "the stranger's question was not answered"
        with lab.connect() as s:
            assert receive_all(s).startswith(b"421 4.3.2")


@pytest.mark.topology(backends=1)
def test_an_answer_counts_however_the_farewell_goes(lab):
    replies = {address: (HELLO, OK, OK, reply + b"\r\n", None) for reply, addresses in ((NO, STRANGER), (YES, TRUSTED))
               for address in addresses}

    def act(server, connection):
        says(*replies.get(connection.getpeername()[0], ()))(server, connection)

    with servers(*lab.backends, acts=[act]), AdminPostern(lab, gated(lab, check=QUICK)) as postern:
        wait_both(postern, lab.backends[0], "right")


@pytest.mark.topology(backends=1)
def test_without_a_trusted_address_only_an_open_relay_is_proven(lab):
    with servers(*lab.backends, acts=[answering()]) as (server,):
        with AdminPostern(lab, gated(lab, "warn", trusted=())) as postern:
            line = wait_verdict(postern, lab.backends[0], "inconclusive")
            assert "no trusted address of this family is configured" in line["reason"]
            assert line["stranger"] == NO.decode() and line["trusted"] == ""
            since = len(postern.log.read())
            server.act = answering(stranger=YES)
            wait_both(postern, lab.backends[0], "open", since)
            refused = gated(lab, trusted=())
            line, _ = postern.reload(postern.with_admin(refused), "reload_refused")
            assert banners(lab) == {lab.backends[0].label}


@pytest.mark.topology(backends=1)
def test_a_family_alone_shuts_the_gate_for_both(lab):
    """Weights are a backend's: who relays for strangers over IPv6 has no session over IPv4 either."""
    def act(server, connection):
        answering(stranger=YES if ":" in connection.getpeername()[0] else NO)(server, connection)

    with servers(*lab.backends, acts=[act]), AdminPostern(lab, gated(lab)) as postern:
        wait_verdict(postern, lab.backends[0], "right", clients="ipv4")
        wait_verdict(postern, lab.backends[0], "open", clients="ipv6")
        with lab.connect() as s:
            assert receive_all(s).startswith(b"421 4.3.2")


@pytest.mark.topology(backends=1)
def test_a_backend_that_is_not_there_yet_is_tested_as_soon_as_it_is_up(lab):
    check = {"type": "smtp", "interval": "4s", "fast_interval": "100ms", "timeout": "4s"}
    with AdminPostern(lab, gated(lab, interval="1h", check=check)) as postern:
        one = lab.backends[0]
        line = wait_verdict(postern, one, "inconclusive")
        assert line["stranger"] == "connection refused"
        postern.wait(event="health", backend=one.label, state="down")
        with servers(one, acts=[answering()]):
            postern.wait(event="health", backend=one.label, state="up")
            wait_both(postern, one, "right")
            assert banners(lab) == {one.label}
            postern.wait_idle()


def test_who_is_added_or_moved_by_an_operator_has_to_prove_it_first(lab):
    one, two = lab.backends
    with servers(one, two, acts=[answering(), answering(stranger=YES)]) as (_, opened):
        with AdminPostern(lab, gated(lab, backends=[one])) as postern:
            wait_both(postern, one, "right")
            assert "new" not in postern.ask("show relay")
            postern.ask(f"add server inbound/new {two.v4}:25 enabled")
            assert postern.wait(event="relay_test", backend="new", verdict="open")
            assert banners(lab) == {one.label}
            since = len(postern.log.read())
            opened.act = answering()
            postern.wait(event="relay_test", backend="new", verdict="right", since=since)
            assert banners(lab) == {one.label, two.label}
            since = len(postern.log.read())
            opened.act = answering(stranger=YES)
            postern.wait(event="relay_test", backend="new", verdict="open", since=since)
            assert banners(lab) == {one.label}


def test_a_gate_that_is_set_by_a_reload_goes_by_what_a_warning_has_shown(lab):
    one, two = lab.backends
    with servers(one, two, acts=[answering(), answering(stranger=YES)]) as (right, _):
        with AdminPostern(lab, gated(lab, "warn", interval="1h")) as postern:
            wait_both(postern, one, "right")
            wait_both(postern, two, "open")
            tests = len(right.peers)
            postern.reload(postern.with_admin(gated(lab, "gate", interval="1h")))
            assert banners(lab) == {one.label}
            assert not set(right.peers[tests:]) & set(STRANGER + TRUSTED)  # nothing new was to be asked
            since = len(postern.log.read())
            postern.reload(postern.with_admin(gated(lab, "off", interval="1h")))
            assert banners(lab) == {one.label, two.label}
            assert not postern.log.read()[since:] or not postern.lines(event="relay_test", verdict="inconclusive")


def test_an_operator_may_have_it_tested_whatever_the_listeners_say(lab):
    one, two = lab.backends
    with servers(one, two, acts=[answering(), answering(stranger=YES)]) as (right, _):
        with AdminPostern(lab, gated(lab, "off")) as postern:
            assert {line["verdict"] for line in verdicts(postern).values()} == {"untested"} and not right.peers
            assert postern.ask("relay test nobody").strip() == "No such backend."
            assert postern.ask("relay test inbound/nobody").strip() == "No such server."
            lines = verdicts(postern, f"relay test inbound/{one.label}")
            assert {(name, line["verdict"]) for (name, _, _), line in lines.items()} == {(one.label, "right")} and len(lines) == 2
            assert postern.wait(event="admin")["command"] == f"relay test inbound/{one.label}"
            lines = verdicts(postern, "relay test inbound")
            assert {(name, line["verdict"]) for (name, _, _), line in lines.items()} == {(one.label, "right"), (two.label, "open")}
            assert verdicts(postern).keys() == lines.keys()
            assert banners(lab) == {one.label, two.label}


@pytest.mark.topology(backends=1)
def test_whoever_leaves_or_stays_while_a_test_is_under_way_is_no_trouble(lab):
    with servers(*lab.backends, acts=[says(None)]):
        with AdminPostern(lab, gated(lab)) as postern:
            gone = postern.connect()
            gone.sendall(b"relay test\n")
            postern.wait(event="admin", command="relay test")
            gone.close()
            stays = postern.connect()
            stays.sendall(b"relay test\n")
            postern.wait(event="admin", command="relay test", count=2)
            assert "mta1" in postern.ask("show relay")
        stays.close()  # postern has ended meanwhile, without waiting for the test


class Upgraded(Upgrading, AdminPostern):
    """With an admin socket."""


@pytest.mark.tsan
def test_what_was_proven_holds_over_an_upgrade_and_is_asked_again_after_it(lab):
    one, two = lab.backends
    with servers(one, two, acts=[answering(), answering(stranger=YES)]) as found:
        with Upgraded(lab, gated(lab, interval="1h")) as postern:
            wait_both(postern, one, "right")
            wait_both(postern, two, "open")
            for server in found:
                server.act = silent_to_strangers
            postern.upgrade()
            assert banners(lab) == {one.label}
            lines = verdicts(postern)
            assert {(name, line["verdict"], line["holds"]) for (name, _, _), line in lines.items()} == {
                (one.label, "untested", "right"), (two.label, "untested", "open")}
            postern.wait_idle()


def silent_to_strangers(server, connection):
    (says(None) if connection.getpeername()[0] in STRANGER else answering())(server, connection)


def way(name, b, port, proxy):
    return pool(backend_lines([b], port=port), name=name, source="gateway", proxy_protocol=proxy, check=PATIENT)


@pytest.mark.topology(backends=1)
@pytest.mark.parametrize("proxy", ["v1", "v2"])
def test_with_a_header_the_gateway_asks_and_the_header_names_the_stranger(lab, proxy, tmp_path):
    one = lab.backends[0]
    pools = [way("inbound", one, PROXY, proxy)]
    with postfix(one, tmp_path, relay_from=TRUSTED) as mta, watched(one) as wire:
        with AdminPostern(lab, asked(configuration(pools), "gate", interval="1h")) as postern:
            wait_both(postern, one, "right")
            for stranger in STRANGER:
                mta.log.wait_for(rf"NOQUEUE: reject: RCPT from unknown\[{stranger}\]:\d+: 554 5\.7\.1 <{RECIPIENT}>")
            wire.wait_over(4, port=PROXY)
            assert {c.key[0] for c in wire.read() if c.key[2] == PROXY} - {one.v4, one.v6} == set(GATEWAY.values())
