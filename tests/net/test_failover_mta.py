# SPDX-License-Identifier: Apache-2.0
"""Real servers that have no room: Postfix in its two ways, Exim in its own words; the client gets another one's greeting."""
import contextlib

import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6
from mta import DIRECT, DOMAIN, SCREEN, Exim, Postfix
from peers import converse, receive_line, smtp_session

FAMILIES = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])


class BusyPostscreen(Postfix):
    """A postscreen that looks at few clients at a time, for long: others hear "421 4.3.2"."""

    def __init__(self, namespace, directory):
        super().__init__(namespace, directory, "busy", screen=True)

    def configure(self):
        super().configure()
        with open(self.conf / "main.cf", "a", encoding="ascii") as f:
            f.write("postscreen_pre_queue_limit = 10\npostscreen_greet_wait = 60s\n")

    @contextlib.contextmanager
    def filled(self):
        """Clients past the gateway, until there is no room for more."""
        with contextlib.ExitStack() as stack:
            words = ""
            for _ in range(20):
                s = stack.enter_context(self.namespace.connect(self.namespace.v4, SCREEN))
                words = receive_line(s)
                if not words.startswith("220-"):
                    break
            assert words.startswith("421 4.3.2 All screening ports are busy")
            yield


class BusyExim(Exim):
    """An Exim that takes one connection: others hear "421 Too many concurrent SMTP connections"."""

    def configure(self):
        super().configure()
        path = self.conf / "exim4.conf"
        path.write_text("smtp_accept_max = 1\n" + path.read_text())


class SmallPostfix(Postfix):
    """One smtpd: connections beyond the first are accepted by the kernel, and nobody speaks."""

    def configure(self):
        super().configure()
        path = self.conf / "master.cf"
        path.write_text(path.read_text().replace(f"{DIRECT}     inet  n  -  n  -  -  smtpd", f"{DIRECT}     inet  n  -  n  -  1  smtpd"))


@contextlib.contextmanager
def two_servers(lab, tmp_path, busy, port, **settings):
    """The busy one first, by its weight; a Postfix with room beside it."""
    backends = backend_lines(lab.backends[:1], port=port, weight=200) + backend_lines(lab.backends[1:], port=DIRECT, weight=100)
    with busy(lab.backends[0], tmp_path / "busy") as first, Postfix(lab.backends[1], tmp_path / "idle", "idle"), \
            Postern(lab, configuration([pool(backends, balance="round-robin", **settings)], gateway={"workers": 1})) as postern:
        yield postern, first


@FAMILIES
@pytest.mark.topology(backends=2)
def test_a_postscreen_without_room_is_replaced_unseen(lab, tmp_path, vip):
    with two_servers(lab, tmp_path, BusyPostscreen, SCREEN) as (postern, first):
        with first.filled():
            for _ in range(3):
                with lab.connect(vip) as s:
                    assert f"idle.{DOMAIN}" in smtp_session(s)
        first.log.wait_for(r"reject: connect from .*: all screening ports busy")
        lines = postern.wait_sessions(3)
        assert {x["smtp_code"] for x in lines} == {"220"} and "1" in {x["retries"] for x in lines}
        assert postern.counters()["retries_reply"] >= 1


@FAMILIES
@pytest.mark.topology(backends=2)
def test_an_exim_without_room_is_replaced_unseen_when_the_table_knows_its_words(lab, tmp_path, vip):
    table = [{"reply": "421 too many concurrent smtp connections*", "then": "retry"}]
    with two_servers(lab, tmp_path, lambda *a: BusyExim(*a, "busy"), DIRECT, greeting=table) as (postern, _):
        s = lab.connect(vip)
        assert f"busy.{DOMAIN}" in converse(s, "", "220")
        for _ in range(3):
            with lab.connect(vip) as other:
                assert f"idle.{DOMAIN}" in smtp_session(other)
        postern.wait_sessions(3)
        assert postern.counters()["retries_reply"] >= 1
        s.close()


@pytest.mark.topology(backends=2)
def test_exims_words_reach_the_client_when_the_table_does_not_know_them(lab, tmp_path):
    with two_servers(lab, tmp_path, lambda *a: BusyExim(*a, "busy"), DIRECT) as (postern, _):
        held = [s for s in (lab.connect() for _ in range(2)) if "busy" in receive_line(s)]
        said = []
        for _ in range(3):
            with lab.connect() as s:
                said.append(receive_line(s))
        assert any(line.startswith("421 Too many concurrent SMTP connections") for line in said), said
        for s in held:
            s.close()
        assert not postern.counters()["retries_reply"]


@pytest.mark.topology(backends=2)
def test_a_postfix_whose_only_smtpd_is_taken_is_replaced_after_the_greeting_timeout(lab, tmp_path):
    with two_servers(lab, tmp_path, lambda *a: SmallPostfix(*a, "busy"), DIRECT, timeouts={"greeting": "3s"}) as (postern, _):
        s = lab.connect()
        assert f"busy.{DOMAIN}" in converse(s, "", "220")
        for _ in range(3):
            with lab.connect() as other:
                assert f"idle.{DOMAIN}" in smtp_session(other)
        postern.wait_sessions(3)
        assert postern.counters()["retries_silent"] >= 1
        s.close()
