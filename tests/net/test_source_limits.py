# SPDX-License-Identifier: Apache-2.0
"""What one source may have: sessions at a time and a minute; who is told, refused, exempt; and that every session gives back."""
import re

import pytest

from admin import AdminPostern
from daemon import DISSOLVED, RELAY, Postern, backend_lines, configuration, listener, pool
from dissolving import Dissolving, settle_all
from lab import VIP4, VIP6
from load import serve_all
from peers import converse, expect_refused, receive_all, reset
from upgrading import Upgrading

CROWD4, OTHER4 = "198.51.1.1", "198.51.1.2"
CROWD6, NEIGHBOUR6, OTHER6 = "2001:db8:c:1::1", "2001:db8:c:1:2:3:4:5", "2001:db8:c:2::1"
TOLD = re.compile(rb"421 4\.7\.0 [\w.-]+ too many sessions from your address, try again later\r\n")


def config(lab, engine, sources=None, gateway=None, **limits):
    serve_all(lab)
    return text(lab, engine, sources, gateway, **limits)


def text(lab, engine, sources=None, gateway=None, **limits):
    return configuration([pool(backend_lines(lab.backends), **engine.pool)], sources=sources, gateway=gateway, limits=limits)


def greeted(lab, source=CROWD4, to=VIP4):
    """A session that has been let in."""
    s = lab.connect(to, source=source)
    converse(s, "", "220")
    return s


def expect_told(lab, source=CROWD4, to=VIP4):
    """A session beyond the limit: postern's own word, whole, and FIN."""
    with lab.connect(to, source=source) as s:
        said = receive_all(s)
        assert TOLD.fullmatch(said), said


def close_all(sessions):
    while sessions:
        sessions.pop().close()


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_the_51st_session_of_a_source_is_told_so_and_everybody_else_is_served(lab, engine):
    """Nothing is configured: this is the product's own limit."""
    with Postern(lab, config(lab, engine)) as postern:
        crowd = [greeted(lab) for _ in range(50)]
        settle_all(postern, engine, crowd)
        for _ in range(3):
            expect_told(lab)
        greeted(lab, OTHER4).close()
        greeted(lab, CROWD6, VIP6).close()
        lines = postern.wait_sessions(3, reason="source_sessions")
        assert {(s["end"], s["smtp_code"], s["backend"], s["listener"], s["pool"]) for s in lines} == \
            {("error", "421", "-", "mx", "inbound")}, lines
        assert all(s["client"].startswith(f"[{CROWD4}]:") for s in lines)
        counters = postern.counters()
        assert (counters["closed_source_sessions"], counters["told_limited"], counters["told_unavailable"]) == (3, 3, 0)
        crowd.pop().close()
        postern.wait_sessions(6)
        crowd.append(greeted(lab))
        expect_told(lab)
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_action_refuse_resets_at_once(lab, engine):
    with Postern(lab, config(lab, engine, sessions=2, action="refuse")) as postern:
        crowd = [greeted(lab) for _ in range(2)]
        for _ in range(2):
            expect_refused(lambda: lab.connect(source=CROWD4))
        greeted(lab, OTHER4).close()
        assert {s["smtp_code"] for s in postern.wait_sessions(2, reason="source_sessions")} == {"-"}
        assert postern.counters()["told_limited"] == 0
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_action_observe_lets_in_and_counts(lab, engine):
    with Postern(lab, config(lab, engine, sessions=2, action="observe")) as postern:
        crowd = [greeted(lab) for _ in range(5)]
        assert postern.counters()["source_sessions_observed"] == 3
        close_all(crowd)
        postern.wait_sessions(5)
        assert not postern.sessions(reason="source_sessions")


@pytest.mark.topology(backends=1)
def test_who_is_told_and_does_not_leave_cannot_take_all_places(lab):
    """Whoever is told holds a place until he leaves: as many of a source as its limit, no more."""
    with Postern(lab, config(lab, RELAY, sessions=4)) as postern:
        crowd = [greeted(lab) for _ in range(4)]
        stubborn = [lab.connect(source=CROWD4) for _ in range(4)]
        for s in stubborn:
            assert TOLD.fullmatch(receive_all(s))  # and stays
        for _ in range(3):
            expect_refused(lambda: lab.connect(source=CROWD4))
        postern.wait_sessions(3, reason="source_sessions")
        assert postern.counters()["sessions"] == 8
        greeted(lab, OTHER4).close()
        postern.wait_sessions(7, reason="source_sessions")  # those who stay are not waited for long
        close_all(stubborn)
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_a_network_s_addresses_are_one_source(lab, engine):
    with Postern(lab, config(lab, engine, sessions=2)) as postern:
        crowd = [greeted(lab, CROWD6, VIP6), greeted(lab, NEIGHBOUR6, VIP6)]
        for source in (CROWD6, NEIGHBOUR6, "2001:db8:c:1::99"):
            expect_told(lab, source, VIP6)
        greeted(lab, OTHER6, VIP6).close()
        close_all(crowd)
        postern.wait_idle()
        crowd = [greeted(lab, CROWD4), greeted(lab, CROWD4)]
        crowd += [greeted(lab, OTHER4), greeted(lab, OTHER4)]
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_prefixes_are_as_configured_and_another_length_is_for_another_process(lab):
    with Upgrading(lab, config(lab, RELAY, sessions=2, prefix_v4=24, prefix_v6=48)) as postern:
        crowd = [greeted(lab, CROWD4), greeted(lab, OTHER4), greeted(lab, CROWD6, VIP6), greeted(lab, OTHER6, VIP6)]
        expect_told(lab, "198.51.1.99")
        expect_told(lab, "2001:db8:c:3::1", VIP6)
        greeted(lab, "198.51.2.1").close()
        close_all(crowd)
        since = len(postern.log.read())
        line, _ = postern.reload(text(lab, RELAY, sessions=2, prefix_v4=32, prefix_v6=48), event="reload_upgrade")
        assert "prefix_v4" in line["reason"]
        postern.follow(since)
        crowd = [greeted(lab, source) for source in (CROWD4, CROWD4, OTHER4, OTHER4)]
        expect_told(lab, CROWD4)
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_a_class_has_its_own_limits_and_who_is_exempt_has_none(lab, engine):
    sources = {"bulk": {"prefixes": "198.51.0.0/16", "limits": {"sessions": 1}},
               "partners": {"prefixes": "198.51.3.0/24"},
               "big": {"prefixes": "198.51.2.0/24", "limits": {"sessions": 4}}}
    with Postern(lab, config(lab, engine, sources, sessions=2, exempt="partners")) as postern:
        crowd = []
        for source, to, limit in ((CROWD4, VIP4, 1), ("198.51.2.1", VIP4, 4), (CROWD6, VIP6, 2)):
            crowd += [greeted(lab, source, to) for _ in range(limit)]
            expect_told(lab, source, to)
        crowd += [greeted(lab, "198.51.3.1") for _ in range(10)]
        assert {(s["client"].split("]")[0][1:], s["class"]) for s in postern.wait_sessions(3, reason="source_sessions")} == \
            {(CROWD4, "bulk"), ("198.51.2.1", "big"), (CROWD6, "-")}
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_every_way_in_which_a_session_ends_gives_its_place_back(lab, engine):
    with AdminPostern(lab, config(lab, engine, sessions=6)) as postern:
        for ended in range(0, 30, 6):
            crowd = [greeted(lab) for _ in range(6)]
            settle_all(postern, engine, crowd)
            expect_told(lab)
            converse(crowd[0], "QUIT", "221")
            reset(crowd.pop(1))
            assert postern.ask("show sess").count("\n") >= 4
            postern.ask("shutdown sessions server inbound/mta1")
            close_all(crowd)
            postern.wait_sessions(ended + ended // 6 + 7)
        assert postern.counters()["closed_source_sessions"] == 5
        reasons = {s["reason"] for s in postern.sessions()}
        assert reasons >= {"client_reset", "killed", "source_sessions"}, reasons


@pytest.mark.topology(backends=1)
def test_adopted_sessions_count_at_their_source_until_they_end(lab):
    postern = Dissolving(lab, config(lab, DISSOLVED, sessions=3)).start()
    crowd = [greeted(lab) for _ in range(3)]
    settle_all(postern, DISSOLVED, crowd)
    for number in range(3):
        postern.kill()
        postern.take_over()
        expect_told(lab)
        greeted(lab, OTHER4).close()
        crowd.pop().close()
        postern.wait_sessions(3)  # this run's: who was told, the other, the one that has closed
        crowd.append(greeted(lab))
        settle_all(postern, DISSOLVED, crowd)
        expect_told(lab)
    close_all(crowd)
    postern.stop()


@pytest.mark.topology(backends=1)
def test_an_upgrade_takes_the_counts_of_dissolved_sessions_along(lab):
    with Upgrading(lab, config(lab, DISSOLVED, sessions=3)) as postern:
        crowd = [greeted(lab) for _ in range(3)]
        settle_all(postern, DISSOLVED, crowd)
        # Killed as its second worker begins: it has been given all, and the old process takes that back.
        postern.install("#!/bin/sh\nexec strace -D -f -qq -o /dev/null -e trace=clone3 "
                        f'-e inject=clone3:signal=KILL:when=3 {postern.installed} "$@"\n')
        assert "signal 9" in postern.fail_to_upgrade()
        expect_told(lab)
        assert postern.counters()["handed_over"] == 3
        postern.install()
        for _ in range(2):
            postern.upgrade()
            expect_told(lab)
        crowd.pop().close()
        postern.wait_counter(sessions_ended=2)
        crowd.append(greeted(lab))
        expect_told(lab)
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_whom_a_proxy_header_names_is_counted_not_who_names_him(lab, engine):
    serve_all(lab)
    mx = {**listener(), "accept_proxy_from": [f"{OTHER4}/32"]}
    with Postern(lab, configuration([pool(backend_lines(lab.backends), **engine.pool)], [mx], limits={"sessions": 2})) as postern:
        def introduced(host, port):
            s = lab.connect(source=OTHER4)
            s.sendall(f"PROXY TCP4 {host} 203.0.113.99 {port} 25\r\n".encode())
            return s

        crowd = [introduced(host, 4000 + n) for host in ("192.0.2.7", "192.0.2.8") for n in range(2)]
        for s in crowd:
            converse(s, "", "220")
        settle_all(postern, engine, crowd)
        with introduced("192.0.2.7", 4002) as s:
            assert TOLD.fullmatch(receive_all(s))
        close_all(crowd)
        postern.wait_idle()
        crowd = [introduced("192.0.2.7", 4010 + n) for n in range(2)]
        for s in crowd:
            converse(s, "", "220")
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_a_rate_is_observed_unless_it_is_to_be_held(lab, engine):
    with Postern(lab, config(lab, engine, rate="2/min")) as postern:
        close_all([greeted(lab) for _ in range(5)])
        assert postern.counters()["source_rate_observed"] == 3
        for action, expect in (("421", expect_told), ("refuse", lambda lab: expect_refused(lambda: lab.connect(source=CROWD4)))):
            postern.reload(text(lab, engine, rate="2/min", rate_action=action))
            ended = len(postern.sessions(reason="source_rate"))
            for _ in range(2):
                expect(lab)
            greeted(lab, OTHER4).close()
            postern.wait_sessions(ended + 2, reason="source_rate")
        postern.wait_idle()
        assert postern.counters()["source_rate_observed"] == 3


@pytest.mark.topology(backends=1)
def test_a_reload_changes_limits_at_once_and_cuts_nobody(lab, engine):
    with Postern(lab, config(lab, engine, sessions=2)) as postern:
        crowd = [greeted(lab) for _ in range(2)]
        expect_told(lab)
        _, changes = postern.reload(text(lab, engine, sessions=4))
        assert changes == ["source_limits.sessions: 2 -> 4"], changes
        crowd += [greeted(lab) for _ in range(2)]
        expect_told(lab)
        postern.reload(text(lab, engine, sessions=3, text="come back tomorrow"))
        with lab.connect(source=CROWD4) as s:
            assert receive_all(s).endswith(b" come back tomorrow\r\n")
        _, changes = postern.reload(text(lab, engine, sessions="off", action="refuse"))
        assert "source_limits.sessions: 3 -> off" in changes and "source_limits.action: 421 -> refuse" in changes, changes
        crowd += [greeted(lab) for _ in range(20)]
        for s in crowd:
            converse(s, "NOOP", "250")
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_an_exempt_source_that_is_not_there_is_named(lab):
    postern = Postern(lab, configuration([pool(backend_lines(lab.backends))], limits={"exempt": ["partner"]},
                                         sources={"partners": {"prefixes": "198.51.3.0/24"}}))
    done = postern.run("-c")
    assert done.returncode == 78 and 'there is no source "partner"; the nearest is "partners"' in done.stderr, done.stderr
