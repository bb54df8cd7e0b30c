# SPDX-License-Identifier: Apache-2.0
"""The greeting's stage: a backend that fails before the client has had a byte is replaced, and the client sees one greeting."""
import contextlib
import re
import socket
import threading

import pytest

from daemon import Postern, backend_lines, configuration, pool, wait_readable
from lab import VIP4, VIP6, endpoint, family_of
from peers import expect_unavailable, receive, receive_all, reset, scripted_server
from wire import watched

FAMILIES = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])
GOOD = b"220 mx.example ESMTP\r\n"
BUSY = b"421 4.3.2 All server ports are busy\r\n"


def plain(lab, **settings):
    """Round-robin over the lab's backends, one worker: mta1 is tried first, then mta2, ..."""
    return configuration([pool(backend_lines(lab.backends), balance="round-robin", **settings)], gateway={"workers": 1})


@contextlib.contextmanager
def staged(lab, vip=VIP4, **settings):
    """The daemon and a scripted server in each backend."""
    with contextlib.ExitStack() as stack:
        postern = stack.enter_context(Postern(lab, plain(lab, **settings)))
        yield postern, [stack.enter_context(scripted_server(b, family=family_of(vip))) for b in lab.backends]


def expect_session(postern, client, backend, greeting=GOOD):
    """The backend greets, the client sees that and nothing else, and both talk to the end. Returns the session line."""
    before = len(postern.sessions())
    backend.sendall(greeting)
    assert receive(client, len(greeting)) == greeting
    client.sendall(b"QUIT\r\n")
    assert receive(backend, 6) == b"QUIT\r\n"
    backend.sendall(b"221 bye\r\n")
    backend.close()
    assert receive_all(client) == b"221 bye\r\n"
    client.close()
    return postern.wait_sessions(before + 1)[-1]


def say_busy(s):
    s.sendall(BUSY)
    s.close()


def say_busy_slowly(s):
    """Every byte in a segment of its own; the client of this connection has said that it has it."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(BUSY)):
        s.sendall(BUSY[i:i + 1])
    s.close()


def say_busy_and_reset(s):
    s.sendall(BUSY)
    reset(s)


def say_busy_unfinished(s):
    s.sendall(BUSY[:-2])
    s.close()


def say_half_a_code(s):
    s.sendall(b"42")
    s.close()


def say_half_a_code_and_reset(s):
    s.sendall(b"421 4.")
    reset(s)


def say_busy_in_lines(s):
    s.sendall(BUSY.replace(b"421 ", b"421-") + BUSY)
    s.close()


FAILURES = {
    "closes": (socket.socket.close, "retries_closed"),
    "resets": (reset, "retries_reset"),
    "is_busy": (say_busy, "retries_reply"),
    "is_busy_slowly": (say_busy_slowly, "retries_reply"),
    "is_busy_unfinished": (say_busy_unfinished, "retries_reply"),
    "says_half_a_code": (say_half_a_code, "retries_closed"),
    "says_half_a_code_and_resets": (say_half_a_code_and_reset, "retries_reset"),
    "is_busy_in_lines": (say_busy_in_lines, "retries_reply"),
    "is_busy_and_resets": (say_busy_and_reset, None),  # whichever is seen first
}


@FAMILIES
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.topology(backends=2)
def test_a_backend_that_fails_before_its_greeting_is_replaced_unseen(lab, vip, failure):
    fail, counter = FAILURES[failure]
    with staged(lab, vip) as (postern, (first, second)):
        before = postern.descriptors()
        s = lab.connect(vip)
        failing, from_first = first.accept()
        fail(failing)
        backend, from_second = second.accept()
        assert from_first[:2] == from_second[:2] == s.getsockname()[:2], "the client's own port, both times"
        line = expect_session(postern, s, backend)
        assert (line["backend"], line["retries"], line["smtp_code"], line["reason"]) == ("mta2", "1", "220", "backend_fin")
        counters = postern.counters()
        assert counters["connect_retries"] == 1 and (not counter or counters[counter] == 1), counters
        assert not counters["connects_failed"]
        postern.wait_descriptors(before)


@pytest.mark.topology(backends=2)
def test_a_silent_backend_is_replaced_after_the_greeting_timeout(lab):
    with staged(lab, timeouts={"greeting": "2s"}) as (postern, (first, second)):
        s = lab.connect()
        silent, _ = first.accept()
        backend, _ = second.accept()
        assert receive_all(silent) == b""
        line = expect_session(postern, s, backend)
        assert (line["backend"], line["retries"]) == ("mta2", "1") and int(line["banner_ms"]) >= 2000
        assert postern.counters()["retries_silent"] == 1


@pytest.mark.topology(backends=2)
def test_a_greeting_that_came_in_time_counts_though_the_worker_stood_still(lab):
    with staged(lab, timeouts={"greeting": "2s"}) as (postern, (first, _)):
        s = lab.connect()
        backend, _ = first.accept()
        postern.wait_counter(connects_ok=1)
        with postern.workers_held():
            backend.sendall(GOOD)
            assert not wait_readable(s.fileno(), 2.5)
        assert receive(s, len(GOOD)) == GOOD
        line = expect_session(postern, s, backend, b"")
        assert (line["backend"], line["retries"]) == ("mta1", "0") and int(line["banner_ms"]) >= 2000


@pytest.mark.parametrize("said, counter", [(BUSY[:12], "retries_reply"), (BUSY[:2], "retries_silent"), (b"450 4.7.1 not", None)],
                         ids=["busy", "half_a_code", "verdict"])
@pytest.mark.topology(backends=2)
def test_a_reply_that_stays_unfinished_is_judged_when_the_time_to_greet_is_over(lab, said, counter):
    with staged(lab, timeouts={"greeting": "2s"}) as (postern, (first, second)):
        s = lab.connect()
        unfinished, _ = first.accept()
        unfinished.sendall(said)
        if counter:
            line = expect_session(postern, s, second.accept()[0])
            assert line["retries"] == "1" and postern.counters()[counter] == 1
        else:
            assert receive(s, len(said)) == said
            unfinished.sendall(b" you\r\n")
            assert receive(s, 6) == b" you\r\n"
            s.close()
            unfinished.close()
            line = postern.wait_sessions(1)[0]
            assert (line["retries"], line["smtp_code"]) == ("0", "450")
        assert int(line["banner_ms"]) >= 2000
        unfinished.close()


PASSED = {
    "greeting": GOOD,
    "first_of_two_lines": b"220-wait\r\n",
    "half_a_code": b"22",
    "verdict_521": b"521 5.7.1 blocked\r\n",
    "verdict_554": b"554 5.7.1 blocked\r\n",
    "half_a_verdict": b"5",
    "client_421": b"421 4.7.0 too many connections from you\r\n",
    "other_421": b"421 too many connections\r\n",
    "client_450": b"450 4.3.2 try later\r\n",
    "empty_line": b"\r\n",
    "odd": b"SSH-2.0-x",
    "nul": b"\0\0",
    "nul_in_4xx": b"4\0\0\r\n",
    "long_4xx": b"4" + b"x" * 999,
}


@pytest.mark.parametrize("reply", PASSED)
@pytest.mark.topology(backends=2)
def test_what_is_no_sign_of_trouble_reaches_the_client_at_once_and_unchanged(lab, reply):
    with staged(lab) as (postern, (first, second)):
        s = lab.connect()
        backend, _ = first.accept()
        backend.sendall(PASSED[reply])
        assert receive(s, len(PASSED[reply])) == PASSED[reply]
        s.sendall(b"still here")
        assert receive(backend, 10) == b"still here"
        s.close()
        backend.close()
        code = re.match(rb"[2-5]\d\d", PASSED[reply])
        line = postern.wait_sessions(1)[0]
        assert (line["retries"], line["smtp_code"]) == ("0", code[0].decode() if code else "-")


@pytest.mark.topology(backends=2)
def test_a_megabyte_without_a_line_end_passes_through_a_bounded_buffer(lab):
    flood = b"4" + bytes(range(32, 127)) * 11000
    with staged(lab) as (postern, (first, _)):
        s = lab.connect()
        backend, _ = first.accept()
        before = postern.memory()
        sender = threading.Thread(target=lambda: (backend.sendall(flood), backend.close()))
        sender.start()
        assert receive_all(s) == flood
        sender.join()
        assert postern.memory() < before + (4 << 20)
        s.close()
        assert postern.wait_sessions(1)[0]["bytes_out"] == str(len(flood))


TABLE = [{"reply": "421 too many *", "then": "retry"}, {"reply": "421 4.3.*", "then": "pass"}, {"reply": "44? *", "then": "retry"}]


@pytest.mark.parametrize("reply, retried", [
    (b"421 Too Many concurrent SMTP connections; please try again later.\r\n", True),
    (b"421-too many\r\n", False),  # the pattern wants a word after it
    (b"421-too many now\r\n421 too many\r\n", True),
    (BUSY, False),
    (b"441 x\r\n", True),
    (b"451 x\r\n", False),
    (b"554 421 too many x\r\n", False),
], ids=range(7))
@pytest.mark.topology(backends=2)
def test_the_pools_own_table_decides_and_its_first_match_counts(lab, reply, retried):
    with staged(lab, greeting=TABLE) as (postern, (first, second)):
        s = lab.connect()
        backend, _ = first.accept()
        backend.sendall(reply)
        if retried:
            line = expect_session(postern, s, second.accept()[0])
        else:
            assert receive(s, len(reply)) == reply
            s.close()
            backend.close()
            line = postern.wait_sessions(1)[0]
        assert line["retries"] == ("1" if retried else "0")


@pytest.mark.topology(backends=2)
def test_a_held_reply_reaches_the_client_as_it_is_when_nobody_is_left(lab):
    with staged(lab) as (postern, servers):
        s = lab.connect()
        say_busy(servers[0].accept()[0])
        last = BUSY.replace(b"421 ", b"421-last ") + b"421 4.3.2 of two lines\r\n"
        last = last.replace(b"-last 4.3.2", b"-4.3.2 last")
        backend, _ = servers[1].accept()
        backend.sendall(last)
        assert receive(s, len(last)) == last
        backend.close()
        assert receive_all(s) == b""
        s.close()
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["smtp_code"], line["retries"], line["backend"]) == ("backend_fin", "421", "1", "mta2")


@pytest.mark.topology(backends=1)
def test_a_reply_with_a_reset_behind_it_is_still_delivered(lab):
    """The reset of a server that has not read what an early client said must not take its reply away."""
    with staged(lab) as (postern, (server,)):
        for reply in (BUSY, b"554 5.7.1 go away\r\n", b"421 4.7.0 go away\r\n"):
            s = lab.connect()
            backend, _ = server.accept()
            with postern.workers_held():
                backend.sendall(reply)
                reset(backend)
            assert receive(s, len(reply)) == reply
            s.close()
        lines = postern.wait_sessions(3)
        assert [(x["reason"], x["smtp_code"]) for x in lines] == [("backend_reset", r) for r in ("421", "554", "421")]
        assert not postern.counters()["told_unavailable"]


@FAMILIES
@pytest.mark.topology(backends=3)
def test_early_words_and_an_early_end_are_said_again_to_each_backend(lab, vip):
    said = bytes(range(256)) * 16  # 4 KiB: all that is kept
    with staged(lab, vip) as (postern, servers):
        s = lab.connect(vip)
        s.sendall(said[:1000])
        first, _ = servers[0].accept()
        assert receive(first, 1000) == said[:1000]
        s.sendall(said[1000:])
        assert receive(first, len(said) - 1000) == said[1000:]
        s.shutdown(socket.SHUT_WR)
        assert receive_all(first) == b""
        say_busy(first)
        second, _ = servers[1].accept()
        assert receive_all(second) == said
        reset(second)
        third, _ = servers[2].accept()
        assert receive_all(third) == said
        third.sendall(GOOD)
        third.close()
        assert receive_all(s) == GOOD
        s.close()
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["retries"], line["bytes_in"], line["bytes_out"]) == ("client_fin", "2", "4096", str(len(GOOD)))


@pytest.mark.topology(backends=2)
def test_a_client_that_has_said_too_much_is_told_instead(lab):
    with staged(lab) as (postern, (first, _)):
        s = lab.connect()
        s.sendall(b"x" * 4097)
        backend, _ = first.accept()
        assert receive(backend, 4097) == b"x" * 4097
        backend.close()
        expect_unavailable(s)
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["retries"], line["smtp_code"]) == ("backend_no_greeting", "0", "421")
        assert postern.counters()["early_too_long"] == 1


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.topology(backends=2)
def test_the_proxy_header_is_written_anew_ahead_of_what_is_said_again(lab, version):
    with staged(lab, source="gateway", proxy_protocol=version) as (postern, (first, second)):
        s = lab.connect()
        s.sendall(b"EHLO early\r\n")
        seen = []
        for server, greet in ((first, say_busy), (second, None)):
            backend, _ = server.accept()
            size = 28 if version == "v2" else len(b"PROXY TCP4 %s %s %d 25\r\n" % (
                lab.client.v4.encode(), VIP4.encode(), s.getsockname()[1]))
            seen.append(receive(backend, size))
            assert receive(backend, 12) == b"EHLO early\r\n"
            if greet:
                greet(backend)
        me = lab.client.v4.encode() if version == "v1" else socket.inet_aton(lab.client.v4)
        assert seen[0] == seen[1] and me in seen[0]
        line = expect_session(postern, s, backend)
        assert line["retries"] == "1" and postern.counters()["headers_sent"] == 2


@pytest.mark.topology(backends=2)
def test_a_client_that_leaves_while_another_backend_is_tried_ends_the_session(lab):
    lab.drop_tcp_to_port(lab.backends[1], 25)
    with staged(lab, timeouts={"connect": "20s"}) as (postern, (first, _)):
        s = lab.connect()
        first.accept()[0].close()
        postern.wait_counter(connect_retries=1)
        reset(s)
        line = postern.wait_sessions(1, deadline=10)[0]
        assert (line["reason"], line["retries"]) == ("client_reset", "1")


@pytest.mark.topology(backends=3)
def test_all_backends_fail_and_the_client_is_told_once_with_the_last_reason(lab):
    with staged(lab, timeouts={"greeting": "1s"}) as (postern, servers):
        s = lab.connect()
        s.sendall(b"EHLO early\r\n")
        servers[0].accept()[0].close()
        reset(servers[1].accept()[0])
        silent, _ = servers[2].accept()
        assert receive(silent, 12) == b"EHLO early\r\n"
        expect_unavailable(s)
        line = postern.wait_sessions(1)[0]
        assert (line["reason"], line["end"], line["retries"], line["smtp_code"]) == ("backend_silent", "timeout", "2", "421")
        assert postern.counters()["told_unavailable"] == 1


@pytest.mark.topology(backends=1)
def test_a_last_word_survives_a_client_that_goes_on_talking(lab):
    """Bytes unread at a close would make the kernel reset the connection, and the reply could be lost."""
    with staged(lab) as (postern, (server,)):
        s = lab.connect()
        server.accept()[0].close()
        postern.wait_counter(told_unavailable=1)
        for _ in range(10):
            s.sendall(b"EHLO deaf\r\n" * 100)
        expect_unavailable(s)
        assert postern.wait_sessions(1)[0]["reason"] == "backend_no_greeting"


@pytest.mark.topology(backends=1)
def test_a_client_that_does_not_close_after_the_last_word_is_let_go_after_five_seconds(lab):
    with staged(lab) as (postern, (server,)):
        s = lab.connect()
        server.accept()[0].close()
        line = postern.wait_sessions(1)[0]
        assert 5 <= float(line["duration"]) < 15
        expect_unavailable(s)


@pytest.mark.topology(backends=1)
def test_the_last_word_names_the_configured_host(lab):
    config = configuration([pool(backend_lines(lab.backends))], gateway={"host_name": "mx1.example.org"})
    with Postern(lab, config) as postern:
        assert receive_all(s := lab.connect()) == b"421 4.3.2 mx1.example.org Service not available, try again later\r\n"
        s.close()
        assert endpoint(VIP4, 25) == postern.wait_sessions(1)[0]["vip"]


@pytest.mark.parametrize("said", [b"", BUSY, b"554 5.7.1 go away\r\n", GOOD], ids=["nothing", "busy", "verdict", "greeting"])
@pytest.mark.topology(backends=2)
def test_a_reset_that_comes_before_the_connect_was_seen_to_succeed_came_before_the_greeting(lab, said):
    """The handshake and its end happen while the worker stands still: the end of its connect reports the reset."""
    with staged(lab) as (postern, (first, second)), watched(lab.backends[0]) as wire:
        lab.drop_tcp_to_port(lab.backends[0], 25)
        s = lab.connect()
        wire.wait(len, "its first SYN")
        with postern.workers_held():
            lab.stop_dropping(lab.backends[0])
            backend, _ = first.accept()  # its SYN is repeated after a second
            backend.sendall(said)
            reset(backend)
        if said.startswith(b"554"):
            assert receive_all(s) == said
            s.close()
            line = postern.wait_sessions(1)[0]
            assert (line["reason"], line["smtp_code"], line["retries"]) == ("backend_reset", "554", "0")
        else:
            line = expect_session(postern, s, second.accept()[0])
            assert (line["retries"], line["smtp_code"]) == ("1", "220")
        counters = postern.counters()
        assert not counters["connects_failed"] and counters["retries_reset"] == (0 if said.startswith(b"554") else 1), counters
