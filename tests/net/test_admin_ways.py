# SPDX-License-Identifier: Apache-2.0
"""The ways to the admin socket: who may come by which, how they change while postern runs, and how many may."""
import contextlib
import grp
import os
import select
import signal
import socket
import stat
import subprocess
import time

import pytest

from admin import AdminPostern, ask, connect, receive_rest
from daemon import DEADLINE, backend_lines, configuration, pool
from load import client, serve_all
from peers import receive

TCP = "127.0.0.1:9999"
PLACES = 128


def config(lab):
    return configuration([pool(backend_lines(lab.backends), slow_start="0s")])


def connect_tcp(lab):
    return lab.gateway.connect("127.0.0.1", 9999)


def ask_tcp(lab, text):
    with connect_tcp(lab) as s:
        s.sendall(text.encode() + b"\n")
        return receive_rest(s)


def as_member(postern, command, group):
    return subprocess.run(["socat", "-t5", "-", f"UNIX-CONNECT:{postern.socket}"], input=command + "\n", text=True,
                          capture_output=True, user=65534, group=group, extra_groups=[], timeout=DEADLINE)


@pytest.mark.topology(backends=1)
def test_the_socket_belongs_to_the_group_that_is_configured(lab):
    mail = grp.getgrnam("mail").gr_gid
    with AdminPostern(lab, config(lab), admin={"group": "mail"}) as postern:
        assert os.stat(postern.socket).st_gid == mail and stat.S_IMODE(os.stat(postern.socket).st_mode) == 0o660
        assert as_member(postern, "show cli level", mail).stdout == "operator\n\n"
        assert as_member(postern, "show cli level", 65534).returncode != 0
        line, _ = postern.reload(postern.with_admin(config(lab), group="nobody-has-it"), event="reload_refused")
        assert "no group nobody-has-it; make it with" in line["reason"]
        assert os.stat(postern.socket).st_gid == mail
        postern.admin = {}
        _, changes = postern.reload(postern.with_admin(config(lab)))
        assert changes == ["admin.group: mail -> "] and os.stat(postern.socket).st_gid == os.getegid()
        assert postern.ask("show cli level") == "admin\n\n"


@pytest.mark.topology(backends=1)
def test_by_tcp_one_may_look_and_no_more(lab):
    with AdminPostern(lab, config(lab), admin={"tcp": TCP}) as postern:
        lab.gateway.ip("link set lo up")
        name = lab.backends[0].label
        assert ask_tcp(lab, "show cli level") == "user\n\n"
        assert ask_tcp(lab, "show stat").split("\n")[0] == postern.ask("show stat").split("\n")[0]
        for command in (f"disable server inbound/{name}", "operator", "clear counters", f"add server inbound/x 10.2.0.50:25",
                        f"set server inbound/{name} addr 10.2.0.50", "set maxconn frontend mx 1", "show cli sockets"):
            assert ask_tcp(lab, command) == "Permission denied\n\n", command
        assert f"unix@{postern.socket} admin all\n{TCP} user all\n" in postern.ask("show cli sockets")
        assert postern.stat()["inbound", name]["status"] == "no check"


@pytest.mark.topology(backends=1)
def test_tcp_beyond_loopback_is_an_error(lab):
    refused = AdminPostern(lab, config(lab), admin={"tcp": "0.0.0.0:9999"}).run()
    assert refused.returncode == 78 and "can be reached from other hosts" in refused.stderr


@pytest.mark.topology(backends=1)
def test_the_ways_change_with_a_reload_and_clients_stay(lab):
    with AdminPostern(lab, config(lab)) as postern, postern.connect() as kept:
        lab.gateway.ip("link set lo up")
        kept.sendall(b"prompt\n")
        assert receive(kept, 3) == b"\n> "
        first, second = postern.socket, postern.run_directory / "other.sock"
        postern.socket = second
        postern.reload(postern.with_admin(config(lab), tcp=TCP))
        assert not first.exists() and ask(second, "show cli level") == "admin\n\n"
        assert ask_tcp(lab, "show cli level") == "user\n\n"
        kept.sendall(b"show cli level\n")
        assert receive(kept, 9) == b"admin\n\n> "
        postern.reload(config(lab))  # no admin section
        assert not second.exists()
        with pytest.raises(ConnectionRefusedError):
            connect_tcp(lab)
        kept.sendall(b"show cli level\n")
        assert receive(kept, 9) == b"admin\n\n> "
        postern.reload(postern.with_admin(config(lab)))
        assert postern.ask("show cli level") == "admin\n\n"


@pytest.mark.topology(backends=1)
def test_a_way_that_cannot_be_opened_refuses_the_reload_whole(lab):
    with AdminPostern(lab, config(lab)) as postern:
        good, nowhere = postern.socket, postern.run_directory / "none" / "admin.sock"
        lab.gateway.ip("link set lo up")
        taken = lab.gateway.listen("127.0.0.1", 9999)
        for settings, why in (({"socket": str(nowhere)}, "no such directory"), ({"tcp": TCP}, "somebody listens there")):
            line, changes = postern.reload(postern.with_admin(config(lab).replace("name: gw1", "name: gw2"), **settings),
                                           event="reload_refused")
            assert why in line["reason"] and not changes
            assert ask(good, "show cli level") == "admin\n\n" and postern.info()["node"] == "gw1"
        taken.close()


@pytest.mark.topology(backends=1)
def test_it_says_its_own_name_where_that_is_wanted(lab):
    with AdminPostern(lab, config(lab), admin={"name": "postern"}) as postern:
        assert postern.info()["Name"] == "postern" and "haproxy" not in postern.ask("show info;show version").lower()
        assert postern.ask("show version").strip() == postern.info()["Version"]


def fill(stack, comes, count):
    """So many silent clients; those that were left already are among them."""
    return [stack.enter_context(comes()) for _ in range(count)]


def wait_left(clients, count):
    """Until so many of them have been left."""
    poll, left, end = select.poll(), 0, time.monotonic() + DEADLINE
    for s in clients:
        poll.register(s, select.POLLHUP | select.POLLIN | select.POLLRDHUP)
    while left < count:
        assert time.monotonic() < end, f"{left} of {count} were left"
        for fd, _ in poll.poll(1000):
            poll.unregister(fd)
            left += 1


@pytest.mark.topology(backends=1)
def test_a_thousand_silent_clients_are_bounded_and_the_operator_gets_in(lab):
    """Even with a timeout of a day, and whether they come by TCP or as root."""
    with AdminPostern(lab, config(lab), admin={"tcp": TCP}) as postern, contextlib.ExitStack() as stack:
        lab.gateway.ip("link set lo up")
        before = postern.descriptors()
        for comes in (lambda: connect_tcp(lab), postern.connect):
            clients = fill(stack, comes, PLACES)
            for s in clients:
                s.sendall(b"prompt;set timeout cli 1d\n")
                assert receive(s, 6) == b"\n> \n> "
            clients += fill(stack, comes, 1000 - PLACES)
            wait_left(clients, 1000 - PLACES)
            assert postern.descriptors() <= before + PLACES
            for _ in range(20):
                assert postern.ask("show cli level") == "admin\n\n"
            assert postern.ask("show info").startswith("Name: ")


@pytest.mark.topology(backends=1)
def test_a_user_gets_in_as_soon_as_another_one_has_been_silent_for_a_moment(lab):
    with AdminPostern(lab, config(lab), admin={"tcp": TCP}) as postern, contextlib.ExitStack() as stack:
        lab.gateway.ip("link set lo up")
        clients = fill(stack, lambda: connect_tcp(lab), PLACES)
        with postern.connect() as operator:  # takes the first one's place
            operator.sendall(b"prompt\n")
            assert receive(operator, 3) == b"\n> "
            wait_left(clients, 1)
            end = time.monotonic() + DEADLINE
            while ask_tcp_or_none(lab) is None:
                assert time.monotonic() < end
                select.select([], [], [], 0.05)
            operator.sendall(b"show cli level\n")  # nobody of a lower level displaces him
            assert receive(operator, 9) == b"admin\n\n> "


def ask_tcp_or_none(lab):
    """None: there was no place."""
    try:
        return ask_tcp(lab, "show cli level") or None
    except ConnectionError:
        return None


def greeted_us(lab):
    """Median and 99th percentile of the times to greeting of sessions one after the other."""
    result = client(lab, "sessions", "--count", 1000)
    assert result["ok"] == 1000 and result["failed"] == 0, result
    return result["banner_p50_us"], result["banner_p99_us"]


@contextlib.contextmanager
def bad_clients(postern):
    """Clients that flood, that take no answers, that are silent, slow and half-closed, for as long as this lasts."""
    with contextlib.ExitStack() as stack:
        for i in range(100):
            s = stack.enter_context(connect(postern.socket))
            if i % 4 == 0:
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    while True:
                        s.send(b"prompt\n" + b"show stat\n" * 1000)
            elif i % 4 == 1:
                s.sendall(b"show st")
            elif i % 4 == 2:
                s.sendall(b"show stat json\n" * 50)
                s.shutdown(socket.SHUT_WR)
        commands = f"while :; do yes 'show stat' | head -n 500 | socat -t1 - UNIX-CONNECT:{postern.socket}; done"
        flood = subprocess.Popen(["sh", "-c", commands], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        stack.callback(flood.wait)
        stack.callback(os.killpg, flood.pid, signal.SIGKILL)
        yield


@pytest.mark.topology(backends=1)
def test_bad_clients_leave_the_time_to_greeting_as_it_is(lab):
    """
    What is measured is whether a session waits for them. That the control thread and the clients themselves take processor
    time is another matter: the slack is a scheduler's, far above a turn of a worker, far below what a client notices.
    """
    with AdminPostern(lab, config(lab)) as postern:
        serve_all(lab)
        quiet = greeted_us(lab)
        with bad_clients(postern):
            busy = greeted_us(lab)
            assert postern.ask("show cli level") == "admin\n\n"
        quiet_again = greeted_us(lab)  # the machine may have become busier meanwhile
        for before, now, after, slack_us in zip(quiet, busy, quiet_again, (10_000, 100_000)):
            assert now <= 2 * max(before, after) + slack_us, f"{busy} us with bad clients, {quiet} and {quiet_again} us without"
