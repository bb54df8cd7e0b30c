# SPDX-License-Identifier: Apache-2.0
"""`action: drop`: the SYNs of a source over its limit get no answer, others do, and it is heard again."""
import pytest

from daemon import DISSOLVED, RELAY, Postern, backend_lines, configuration, pool
from dissolving import settle_all
from lab import VIP4, VIP6, attached_programs
from load import serve_all
from peers import converse, expect_refused
from upgrading import Upgrading

LOUD4 = "198.51.1.1"
FAMILIES = pytest.mark.parametrize("vip, loud, neighbour, other", [
    (VIP4, LOUD4, LOUD4, "198.51.1.2"),
    (VIP6, "2001:db8:c:1::1", "2001:db8:c:1:2:3:4:5", "2001:db8:c:2::1")], ids=["v4", "v6"])


def text(lab, engine=RELAY, **limits):
    return configuration([pool(backend_lines(lab.backends), **engine.pool)], limits=limits)


def greeted(lab, source=LOUD4, to=VIP4):
    s = lab.connect(to, source=source)
    converse(s, "", "220")
    return s


def close_all(sessions):
    while sessions:
        sessions.pop().close()


@FAMILIES
@pytest.mark.topology(backends=1)
def test_over_the_limit_a_syn_gets_no_answer_and_others_do(lab, engine, vip, loud, neighbour, other):
    serve_all(lab)
    with Postern(lab, text(lab, engine, sessions=2, action="drop")) as postern:
        crowd = [greeted(lab, loud, vip), greeted(lab, neighbour, vip)]
        settle_all(postern, engine, crowd)
        expect_refused(lambda: lab.connect(vip, source=loud))  # the one that tells; from now on:
        with pytest.raises(TimeoutError):
            lab.connect(vip, source=neighbour, timeout=1.5)
        counters = postern.counters()
        assert counters["admit_dropped"] >= 1 and counters["syn_drops_begun"] == 1
        assert len(postern.wait_sessions(1, reason="source_sessions")) == 1
        crowd.append(greeted(lab, other, vip))
        for s in crowd:  # whoever is in is not touched
            converse(s, "NOOP", "250")
        close_all(crowd)


@pytest.mark.topology(backends=1)
def test_a_source_that_has_room_again_is_heard_again(lab):
    """The client waits, as mail servers do: of the SYNs that its kernel repeats one comes late enough."""
    serve_all(lab)
    with Postern(lab, text(lab, sessions=1, action="drop")) as postern:
        crowd = [greeted(lab)]
        expect_refused(lambda: lab.connect(source=LOUD4))
        close_all(crowd)
        with lab.connect(source=LOUD4, timeout=60) as again:
            converse(again, "", "220")
        assert postern.counters()["admit_dropped"] >= 1


@pytest.mark.topology(backends=1)
def test_new_sessions_a_minute_can_be_dropped_too(lab):
    serve_all(lab)
    with Postern(lab, text(lab, rate="2/min", rate_action="drop")) as postern:
        for _ in range(2):
            greeted(lab).close()
        expect_refused(lambda: lab.connect(source=LOUD4))
        with pytest.raises(TimeoutError):
            lab.connect(source=LOUD4, timeout=1.5)
        assert postern.counters()["admit_dropped"] >= 1
        assert len(postern.wait_sessions(1, reason="source_rate")) == 1


@pytest.mark.topology(backends=1)
def test_the_program_is_attached_while_a_limit_asks_for_it_and_to_what_comes_later(lab):
    def carrying():
        return {where for where, names in attached_programs(lab.gateway).items() if "admit" in names}

    with Postern(lab, text(lab)) as postern:
        assert not carrying()
        dropping = text(lab, action="drop")
        assert Postern(lab, dropping).run("--plan").stdout.count("# SYNs of sources over a limit") == 2
        postern.reload(dropping)
        assert carrying() == {"b0 ingress", "c0 ingress"}
        lab.gateway.ip("link add late type veth peer name other")
        postern.wait(event="syn_drop", interface="late")
        postern.wait(event="syn_drop", interface="other")
        assert carrying() == {"b0 ingress", "c0 ingress", "late ingress", "other ingress"}
        lab.gateway.ip("link del late")
        postern.reload(text(lab, action="refuse"))
        assert not carrying()
        postern.reload(dropping)  # what is attached at the end goes with the process


@pytest.mark.topology(backends=1)
def test_an_upgrade_leaves_one_program_that_goes_on(lab):
    serve_all(lab)
    with Upgrading(lab, text(lab, DISSOLVED, sessions=1, action="drop")) as postern:
        crowd = [greeted(lab)]
        settle_all(postern, DISSOLVED, crowd)
        postern.upgrade()
        postern.wait_old()
        assert [names.count("admit") for names in attached_programs(lab.gateway).values()].count(1) == 2
        expect_refused(lambda: lab.connect(source=LOUD4))  # its session went over, and counts
        with pytest.raises(TimeoutError):
            lab.connect(source=LOUD4, timeout=1.5)
        assert postern.counters()["admit_dropped"] >= 1
        close_all(crowd)
