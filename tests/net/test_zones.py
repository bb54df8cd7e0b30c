# SPDX-License-Identifier: Apache-2.0
"""Zones: what stays in the gateway's own, and what goes where when that is not well. Sessions are held, so that shares show."""
import collections
import contextlib

import pytest

from daemon import Postern, backend_lines, configuration, pool
from load import serve, serve_all
from peers import converse, smtp_session


def zoned(lab, places, gateway=None, state="ready", **settings):
    """A configuration of one pool whose backends stand in these zones; the gateway stands in "a"."""
    return configuration([pool(backend_lines(lab.backends, zone=list(places), state=state), **settings)],
                         gateway={"zone": "a", **(gateway or {})})


@contextlib.contextmanager
def held(lab, count):
    """How many of so many open sessions each backend has, by its place."""
    with contextlib.ExitStack() as stack:
        names = [converse(stack.enter_context(lab.connect()), "", "220").split()[1] for _ in range(count)]
        taken = collections.Counter(names)
        yield [taken[b.label] for b in lab.backends]


@pytest.mark.topology(backends=8)
def test_prefer_local_spills_over_by_what_is_lost(lab):
    serve_all(lab)
    places = "aaaabbbb"
    with Postern(lab, zoned(lab, places)) as postern:
        with held(lab, 40) as taken:
            assert taken == [10, 10, 10, 10, 0, 0, 0, 0]
        postern.wait_sessions(40)
        for drained, at_home in ((1, 100), (2, 70), (4, 0)):
            state = ["drain"] * drained + ["ready"] * (8 - drained)
            postern.reload(zoned(lab, places, state=state))
            with held(lab, 100) as taken:
                assert sum(taken[:drained]) == 0
                assert abs(sum(taken[:4]) - at_home) <= 3
            postern.wait_sessions(40 + 100 * (1, 2, 4).index(drained) + 100)


@pytest.mark.topology(backends=3)
def test_a_session_that_finds_nobody_at_home_goes_to_another_zone_at_once(lab):
    """Nobody has noticed yet that both are gone, and by weight all stays at home."""
    serve(lab.backends[2])
    with Postern(lab, zoned(lab, "aab")) as postern:
        for _ in range(10):
            with lab.connect() as s:
                assert smtp_session(s).split()[1] == lab.backends[2].label
        assert {s["backend"] for s in postern.wait_sessions(10)} == {lab.backends[2].label}


@pytest.mark.topology(backends=3)
def test_what_a_full_zone_cannot_take_goes_to_another_one(lab):
    serve_all(lab)
    with Postern(lab, zoned(lab, "aab", max_sessions=5)), held(lab, 14) as taken:
        assert taken == [5, 5, 4]


@pytest.mark.topology(backends=3)
def test_balanced_and_off_load_every_backend_alike(lab):
    serve_all(lab)
    gateways = {"zones": [{"name": "a", "gateways": 1}, {"name": "b", "gateways": 0}]}
    with Postern(lab, zoned(lab, "abb", zones="off")) as postern:
        with held(lab, 30) as taken:
            assert taken == [10, 10, 10]
        postern.wait_sessions(30)
        postern.reload(zoned(lab, "abb", gateway=gateways, zones="balanced"))
        with held(lab, 30) as taken:
            assert taken == [10, 10, 10]
        postern.wait_sessions(60)
        gateways["zones"][1]["gateways"] = 2  # the two there take what is theirs
        postern.reload(zoned(lab, "abb", gateway=gateways, zones="balanced"))
        with held(lab, 30) as taken:
            assert taken == [30, 0, 0]


@pytest.mark.topology(backends=4)
def test_a_sender_comes_back_to_the_same_backend(lab):
    serve_all(lab)
    config = configuration([pool(backend_lines(lab.backends), balance="source-hash")])
    with Postern(lab, config) as postern:
        for _ in range(10):
            with lab.connect() as s:
                smtp_session(s)
            postern.wait_idle()  # its backend has nobody any more: with somebody it may have more than its share
        assert len({s["backend"] for s in postern.wait_sessions(10)}) == 1
