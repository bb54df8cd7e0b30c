# SPDX-License-Identifier: Apache-2.0
"""Who has most sessions, and who begins most: at the socket, in HAProxy's words and as JSON."""
import json
import re

import pytest

from admin import AdminPostern
from daemon import DISSOLVED, RELAY, backend_lines, configuration, pool
from dissolving import settle_all
from lab import VIP6
from load import serve_all
from peers import receive_all
from test_source_classes import close_all, greeted

LOUD4, QUIET4 = "198.51.1.1", "198.51.1.2"
LOUD6, NEIGHBOUR6 = "2001:db8:c:1::1", "2001:db8:c:1:2:3:4:5"
ENTRY = re.compile(r"0x[0-9a-f]+: key=([0-9a-f:.]+) use=(\d+) exp=(\d+) gpc0=(\d+) conn_cnt=(\d+) conn_rate\(60000\)=(\d+) "
                   r"conn_cur=(\d+)")


def text(lab, engine=RELAY, sources=None, **limits):
    return configuration([pool(backend_lines(lab.backends), **engine.pool)], sources=sources, limits=limits)


def sources(postern, words=""):
    """{source: what is said of it}, in the order in which it is told."""
    return {one["source"]: one for one in map(json.loads, postern.ask(f"show sources {words}").split("\n")[:-2])}


def table(postern, words=""):
    """{key: (use, gpc0, conn_cnt, conn_rate, conn_cur)}"""
    head, *entries = postern.ask(f"show table sources {words}").rstrip("\n").split("\n")
    assert re.fullmatch(r"# table: sources, type: ipv6, size:\d+, used:\d+", head)
    found = [ENTRY.fullmatch(entry) for entry in entries]
    assert all(found), entries
    assert all(0 < int(m.group(3)) <= 120000 for m in found)
    return {m.group(1): tuple(int(m.group(i)) for i in (2, 4, 5, 6, 7)) for m in found}


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_who_has_most_stands_first_with_what_he_has_and_may_have(lab, engine):
    serve_all(lab)
    named = {"office": {"prefixes": ["198.51.1.2/32"], "limits": {"sessions": 7, "rate": "90/min"}}}
    with AdminPostern(lab, text(lab, engine, named, sessions=3)) as postern:
        crowd = [greeted(lab, LOUD4) for _ in range(3)] + [greeted(lab, QUIET4)]
        crowd += [greeted(lab, LOUD6, VIP6), greeted(lab, NEIGHBOUR6, VIP6)]
        settle_all(postern, engine, crowd)
        for _ in range(2):
            with lab.connect(source=LOUD4) as refused:
                assert receive_all(refused).startswith(b"421 4.7.0 ")
        postern.wait_sessions(2, reason="source_sessions")
        told = sources(postern)
        assert list(told) == [f"{LOUD4}/32", "2001:db8:c:1::/64", f"{QUIET4}/32"]
        assert told[f"{LOUD4}/32"] == {
            "source": f"{LOUD4}/32", "class": "other", "sessions": 3, "sessions_limit": 3, "per_minute": 3,
            "per_minute_limit": told[f"{LOUD4}/32"]["per_minute_limit"], "begun": 5, "error": 0, "refused": 2, "over": True}
        assert told["2001:db8:c:1::/64"]["sessions"] == 2 and not told["2001:db8:c:1::/64"]["over"]
        office = told[f"{QUIET4}/32"]
        assert (office["class"], office["sessions_limit"], office["per_minute_limit"]) == ("office", 7, 90)
        assert list(sources(postern, "over")) == list(sources(postern, "source=198.51.1.0/31")) == [f"{LOUD4}/32"]
        assert list(sources(postern, "class=office")) == [f"{QUIET4}/32"]
        close_all(crowd)
        postern.wait_idle()
        assert {one["sessions"] for one in sources(postern).values()} == {0}
        assert sources(postern)[f"{LOUD4}/32"]["begun"] == 5  # it is remembered for a while


@pytest.mark.topology(backends=1)
def test_a_quiet_session_is_seen_for_as_long_as_it_lives_and_over_a_kill(lab):
    """What the minutes have forgotten is there still, because it has sessions: also where another process has begun them."""
    serve_all(lab)
    with AdminPostern(lab, configuration([pool(backend_lines(lab.backends))])) as postern:
        crowd = [greeted(lab, LOUD4) for _ in range(2)]
        settle_all(postern, DISSOLVED, crowd)
        postern.kill()
        postern.start()
        assert sources(postern)[f"{LOUD4}/32"] | {"sessions": 2, "begun": 0, "per_minute": 0} == sources(postern)[f"{LOUD4}/32"]
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_it_is_a_stick_table_for_tools(lab):
    serve_all(lab)
    with AdminPostern(lab, text(lab, sessions=2)) as postern:
        assert re.fullmatch(r"# table: sources, type: ipv6, size:\d+, used:0\n\n", postern.ask("show table"))
        crowd = [greeted(lab, LOUD4), greeted(lab, LOUD4), greeted(lab, LOUD6, VIP6)]
        with lab.connect(source=LOUD4) as refused:
            receive_all(refused)
        postern.wait_sessions(1, reason="source_sessions")
        mapped = f"::ffff:{LOUD4}"
        whole = {mapped: (2, 1, 3, 2, 2), "2001:db8:c:1::": (1, 0, 1, 1, 1)}
        assert table(postern) == whole
        assert re.fullmatch(r"# table: sources, type: ipv6, size:\d+, used:2\n\n", postern.ask("show table"))
        for words, keys in (("data.conn_cur gt 1", [mapped]), ("data.conn_cur ge 1", list(whole)), ("data.gpc0 eq 0", [LOUD6[:-1]]),
                            ("data.conn_cnt lt 2 data.conn_rate le 1", [LOUD6[:-1]]), ("data.conn_cur ne 2", [LOUD6[:-1]]),
                            (f"key {LOUD4}", [mapped]), (f"key {NEIGHBOUR6}", [LOUD6[:-1]]), ("key 192.0.2.9", [])):
            assert list(table(postern, words)) == keys, words
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_what_is_asked_wrongly_is_answered_as_haproxy_does(lab):
    """The texts are those of HAProxy 2.6."""
    with AdminPostern(lab, text(lab)) as postern:
        for question, answer in {
            "show table nope": "No such table",
            "clear table": 'Required arguments: <table> "data.<store_data_type>" <operator> <value> or <table> key <key>',
            "clear table nope": "No such table",
            "show table sources key x": "Invalid key",
            "show table sources data.foo gt 1": "Filter entry #1: Unknown data type",
            "show table sources data.conn_cur gt 1 data.gpc1 gt 0": "Filter entry #2: Data type not stored in this table",
            "show table sources data.conn_cur":
                'Filter entry #1: Require and operator among "eq", "ne", "le", "ge", "lt", "gt"',
            "show table sources data.conn_cur gt x": "Filter entry #1: Require a valid integer value to compare against",
            "show table sources bar": 'Optional argument only supports "data.<store_data_type>" <operator> <value> and key <key>',
            "user; show table sources": "\nPermission denied",
            "user; show sources": "\nPermission denied",
        }.items():
            assert postern.ask(question) == answer + "\n\n", question
        assert "two minutes" in postern.ask("clear table sources")
        assert "'colour=red' is not understood: use source=PREFIX" in postern.ask("show sources colour=red")
