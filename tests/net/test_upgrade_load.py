# SPDX-License-Identifier: Apache-2.0
"""Upgrades in place under load: reloads and upgrades beside sessions in the middle of their messages and a storm of new ones."""
import re

import pytest

from daemon import RELAY, backend_lines, configuration, listener, pool
from lab import VIP4, VIP6, hostport
from load import serve, serve_all, start_client
from mta import DIRECT, DOMAIN, Postfix
from peers import converse
from upgrading import Storm, Upgrading

POSTFIX_PORT = 2525
BODY = b"Subject: a letter\r\n\r\n" + b"Dear user, this is a line of the letter.\r\n" * 20


class Letter:
    """A client in the middle of DATA; its sender is its own, so that it can be counted where it arrives."""

    def __init__(self, lab, number, port=25, vip=VIP4):
        self.sender = f"letter{number}@sender.example"
        self.socket = lab.connect(vip, port, source=f"198.51.{number // 200}.{1 + number % 200}" if vip == VIP4
                                  else f"2001:db8:c::{1 + number:x}")
        converse(self.socket, "", "220")
        for command, code in (("EHLO sender.example", "250"), (f"MAIL FROM:<{self.sender}>", "250"),
                              (f"RCPT TO:<user@{DOMAIN}>", "250"), ("DATA", "354")):
            converse(self.socket, command, code)
        self.write()

    def write(self):
        self.socket.sendall(BODY)

    def finish(self):
        self.write()
        converse(self.socket, ".", "250")
        converse(self.socket, "QUIT", "221")
        assert self.socket.recv(1) == b""
        self.socket.close()


def letters(lab, count, **where):
    return [Letter(lab, n, vip=VIP6 if n % 2 else VIP4, **where) for n in range(count)]


def storm_config(lab, weight=100):
    """Sinks at port 25; Postfix, in the first backend, at a port of its own, a part of its sessions relayed."""
    sinks = pool(backend_lines(lab.backends[1:], weight=weight))
    postfix = pool(backend_lines(lab.backends[:1], port=DIRECT, weight=weight), name="postfix")
    vips = {name: [hostport(VIP4, port), hostport(VIP6, port)] for name, port in (("mx", 25), ("letters", POSTFIX_PORT))}
    return configuration([sinks, postfix], [listener(vips["mx"]), listener(vips["letters"], "letters", "postfix")])


@pytest.mark.heavy
@pytest.mark.limit(300)
@pytest.mark.topology(backends=3)
def test_ten_reloads_and_three_upgrades_lose_cut_and_double_nothing(lab, tmp_path):
    """Beside 1,000 sessions in DATA and a storm of new ones; what arrives is counted where it arrives."""
    count, real = 1000, 50
    servers = [serve(b) for b in lab.backends[1:]]
    with Postfix(lab.backends[0], tmp_path) as postfix, Upgrading(lab, storm_config(lab)) as postern:
        written = letters(lab, count)
        real_ones = letters(lab, real, port=POSTFIX_PORT)
        with Storm(lab, concurrency=30) as storm:
            for n in range(10):
                postern.reload(storm_config(lab, weight=90 + n))
                storm.wait(30)
                if n % 3 == 1:
                    postern.upgrade()
                    for letter in written[n::10] + real_ones[n::10]:
                        letter.write()
                    storm.wait(100)
        for letter in written + real_ones:
            letter.finish()
        postern.wait_old()
        ended = postern.wait_sessions(count + real + storm.ok)
        print(f"{storm.ok} sessions of the storm, {collections_of(ended)}")
        assert not storm.errors, storm.errors
        assert len(ended) == len({s["session"] for s in ended}) == count + real + storm.ok
        assert {s["reason"] for s in ended} <= {"client_fin", "backend_fin"}, collections_of(ended)
        postfix.log.wait_for(r": to=<user@.* status=sent", count=real)
        arrived = [m[1] for line in postfix.log.lines() if (m := re.search(r": from=<(letter\d+@.*)>, size=", line))]
        assert sorted(arrived) == sorted(letter.sender for letter in real_ones)
        postern.stop()
    results = [s.stop() for s in servers]
    assert sum(r["messages"] for r in results) == count + storm.ok
    assert not any(r["resets"] for r in results), results


def collections_of(lines):
    kinds = [(s["dissolved"], s.get("relayed"), s["reason"]) for s in lines]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds), key=str)}


@pytest.mark.heavy
@pytest.mark.limit(240)
@pytest.mark.topology(backends=2)
def test_a_thousand_dissolved_and_a_thousand_relayed_sessions_are_counted_once(lab):

    config = configuration(
        [pool(backend_lines(lab.backends)), pool(backend_lines(lab.backends), name="slow", **RELAY.pool)],
        [listener(), listener([hostport(VIP4, 2526)], "slow", "slow")], {"max_sessions": 4000})
    serve_all(lab)
    with Upgrading(lab, config) as postern:
        written = letters(lab, 1000)
        slow = [Letter(lab, 1000 + n, port=2526) for n in range(1000)]
        postern.wait_dissolved(1000)
        old = postern.pid
        postern.upgrade()
        counters = postern.counters()
        assert (counters["sessions"], counters["sessions_dissolved"], counters["adopted"]) == (1000, 1000, 1000)
        for letter in written + slow:
            letter.finish()
        postern.wait_old()
        lines = postern.wait_sessions(2000)
        assert len(lines) == len({s["session"] for s in lines}) == 2000
        assert collections_of(lines).keys() == {("yes", None, "backend_fin"), ("no", "off", "backend_fin")}
        last = next(line for line in postern.lines(event="counters", pid=old)[::-1])
        assert (last["handed_over"], last["sessions_ended"], last["sessions"]) == ("1000", "1000", "0"), last
        assert postern.wait_idle()["sessions_ended"] == 1000


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_an_upgrade_may_change_the_number_of_workers(lab):
    """2 -> 1 -> 4 -> 2, each time beside a storm; what waits in sockets that nobody needs any more is served."""
    serve_all(lab)

    def config(workers):
        return configuration([pool(backend_lines(lab.backends))], gateway={"workers": workers})

    with Upgrading(lab, config(2)) as postern:
        kept = letters(lab, 20)
        with Storm(lab) as storm:
            for workers in (1, 4, 2):
                storm.wait(50)
                postern.file.write_text(config(workers))
                postern.upgrade()
                assert postern.lines(event="start")[-1]["workers"] == str(workers)
            storm.wait(50)
        assert not storm.errors, storm.errors
        for letter in kept:
            letter.finish()


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_upgrades_one_upon_the_other_while_old_processes_still_drain(lab):
    serve_all(lab)
    with Upgrading(lab, configuration([pool(backend_lines(lab.backends), **RELAY.pool)])) as postern:
        kept = []
        with Storm(lab) as storm:
            for n in range(3):
                kept.append(Letter(lab, n))
                postern.upgrade()
        assert not storm.errors, storm.errors
        assert len(postern.old) == 3 and all(p.poll() is None for p in postern.old)
        for n in (1, 0, 2):
            kept[n].finish()
        postern.wait_old()
        assert postern.wait(event="predecessors_ended", pid=postern.pid)
