# SPDX-License-Identifier: Apache-2.0
"""The admin socket: what operators' tools ask and tell the running daemon, in HAProxy's words."""
import contextlib
import os
import re
import socket
import stat
import subprocess

import pytest

from admin import AdminPostern, ask, connect, parse_stat, receive_rest
from daemon import DEADLINE, backend_lines, configuration, listener, pool
from load import serve_all
from peers import receive, receive_all, scripted_server, smtp_session
from test_checks import checked, smtp_servers, wait_state


def config(lab, **settings):
    return configuration([pool(backend_lines(lab.backends), slow_start="0s", **settings)])


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_each_way_of_asking_is_answered_as_haproxy_does(lab):
    with AdminPostern(lab, config(lab)) as postern:
        version = postern.ask("show version")
        assert re.fullmatch(r"3\.0\.0-postern\.\d+\.\d+\.\d+\n\n", version)
        assert postern.ask("show version;show version") == version * 2
        assert postern.ask("show version\r\nshow version") == version * 2
        assert ask(postern.socket, "show version", half_close=True) == version
        assert postern.ask("  show   version  ; quit;show version") == version
        assert postern.ask("nonsense").startswith("Unknown command")
        with postern.connect() as s:  # half a line is no line
            s.sendall(b"show version")
            s.shutdown(socket.SHUT_WR)
            assert receive_rest(s) == ""
        with postern.connect() as s:
            s.sendall(b"prompt\n")
            assert receive(s, 3) == b"\n> "
            s.sendall(b"show version\n")
            assert receive(s, len(version) + 2).decode() == version + "> "
            s.sendall(b"set weight inbound/nobody 5;get weight inbound/mta1\nquit\n")
            assert receive_rest(s) == "No such server.\n\n> 100 (initial 100)\n\n> "
        blocks = postern.ask("show info;show stat").split("\n\n")
        assert len(blocks) == 3 and blocks[2] == ""


@pytest.mark.topology(backends=2)
def test_the_numbers_of_sessions_are_those_of_the_log(lab, engine):
    with AdminPostern(lab, config(lab, **engine.pool)) as postern:
        serve_all(lab)
        for _ in range(10):
            with lab.connect() as s:
                smtp_session(s)
        lines = postern.wait_sessions(10)
        rows = postern.stat()
        for b in lab.backends:
            row, own = rows["inbound", b.label], [s for s in lines if s["backend"] == b.label]
            assert int(row["stot"]) == int(row["lbtot"]) == len(own)
            assert int(row["bin"]) == sum(int(s["bytes_in"]) for s in own)
            assert int(row["bout"]) == sum(int(s["bytes_out"]) for s in own)
            assert row["scur"] == "0" and row["status"] == "no check" and row["type"] == "2"
        assert rows["mx", "FRONTEND"]["stot"] == rows["inbound", "BACKEND"]["stot"] == "10"
        assert rows["mx", "FRONTEND"]["status"] == "OPEN" and rows["inbound", "BACKEND"]["status"] == "UP"
        assert int(rows["mx", "FRONTEND"]["bin"]) == sum(int(s["bytes_in"]) for s in lines)
        assert int(rows["mx", "FRONTEND"]["bout"]) == sum(int(s["bytes_out"]) for s in lines)
        assert rows["mx", "FRONTEND"]["scur"] == "0" and rows["mx", "FRONTEND"]["conn_tot"] == "10"
        info = postern.info()
        assert info["CumConns"] == "10" and info["CurrConns"] == "0" and info["Name"] == "HAProxy"
        assert int(info["Pid"]) == postern.pid


@pytest.mark.topology(backends=2)
def test_rates_and_times_are_those_of_the_sessions(lab, engine):
    one, two = lab.backends
    with AdminPostern(lab, config(lab, **engine.pool)) as postern:
        serve_all(lab)
        assert postern.stat()["inbound", one.label]["lastsess"] == ""
        assert postern.ask(f"set server inbound/{two.label} state maint") == "\n"
        for _ in range(10):
            with lab.connect() as s:
                smtp_session(s)
        lines = postern.wait_sessions(10)
        longest = max(float(s["duration"]) for s in lines) * 1000
        every = [("mx", "FRONTEND"), ("inbound", "BACKEND"), ("inbound", one.label)]
        rows = postern.wait_stat(lambda rows: all(int(rows[key]["rate_max"]) > 0 for key in every))
        for key in every:
            assert 1 <= int(rows[key]["rate_max"]) <= 10 and int(rows[key]["rate"]) <= int(rows[key]["rate_max"])
        assert rows["inbound", two.label]["rate_max"] == "0" and rows["inbound", two.label]["lastsess"] == ""
        rows = postern.wait_stat(lambda rows: all(rows[key]["rate"] == "0" for key in every))
        for key in every[1:]:  # by now every session has been looked at to its end
            assert int(rows[key]["lastsess"]) < DEADLINE
            assert int(rows[key]["ctime"]) <= int(rows[key]["ttime"]) <= longest and rows[key]["qtime"] == "0"
        info = postern.info()
        assert info["SessRate"] == info["ConnRate"] == "0" and int(info["MaxSessRate"]) >= 1
        assert int(info["Idle_pct"]) <= 100
        assert postern.ask("clear counters") == "\n"
        assert postern.stat()["mx", "FRONTEND"]["rate_max"] == "0"


@pytest.mark.topology(backends=1)
def test_sessions_of_each_listener_are_counted_apart(lab, engine):
    listeners = [listener(name="one", address=["203.0.113.25:25"]), listener(name="two", address=["203.0.113.25:587"])]
    pools = [pool(backend_lines(lab.backends), slow_start="0s", **engine.pool)]
    with AdminPostern(lab, configuration(pools, listeners)) as postern:
        serve_all(lab)
        for number, port in enumerate((25, 587, 587), 1):
            with lab.connect("203.0.113.25", port) as s:
                smtp_session(s)
            postern.wait_sessions(number)
        kept = lab.connect("203.0.113.25", 587)
        assert receive(kept, 4) == b"220 "
        rows = postern.stat()
        assert [rows["one", "FRONTEND"][c] for c in ("stot", "scur")] == ["1", "0"]
        assert [rows["two", "FRONTEND"][c] for c in ("stot", "scur", "smax")] == ["3", "1", "1"]
        # A session goes on counting for the listener that it came through.
        postern.reload(postern.with_admin(configuration(pools, [listener(name="one", address=["203.0.113.25:587"])])))
        with lab.connect("203.0.113.25", 587) as s:
            smtp_session(s)
        kept.close()
        lines = postern.wait_sessions(5)
        rows = postern.stat()
        assert [rows["one", "FRONTEND"][c] for c in ("stot", "scur")] == ["2", "0"]
        assert sorted(s["listener"] for s in lines) == ["one", "one", "two", "two", "two"]
        assert int(rows["one", "FRONTEND"]["bout"]) == sum(int(s["bytes_out"]) for s in lines if s["listener"] == "one")


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_a_drained_backend_keeps_its_session_and_gets_no_new_one(lab):
    one, two = lab.backends
    with AdminPostern(lab, config(lab)) as postern, scripted_server(one) as first, scripted_server(two) as second:
        assert postern.ask(f"set server inbound/{two.label} state maint") == "\n"
        kept = lab.connect()
        kept_there, _ = first.accept()
        assert postern.ask(f"set server inbound/{one.label} state drain;enable server inbound/{two.label}") == "\n\n"
        assert postern.stat()["inbound", one.label]["status"] == "DRAIN"
        assert postern.stat()["inbound", one.label]["scur"] == postern.stat()["inbound", one.label]["smax"] == "1"
        for _ in range(8):
            with lab.connect() as s:
                there, _ = second.accept()
                there.close()
                receive_all(s)
        kept_there.sendall(b"220 still here\r\n")
        assert receive(kept, 16) == b"220 still here\r\n"
        kept.close()
        assert receive_all(kept_there) == b""
        kept_there.close()
        line = postern.wait(event="admin", command=f"set server inbound/{one.label} state drain")
        assert line["level"] == "admin" and line["uid"] == "0"


@pytest.mark.topology(backends=2)
def test_what_was_set_outlives_a_reload_until_the_configuration_says_something_else(lab):
    one, two = lab.backends
    good = config(lab)
    with AdminPostern(lab, good) as postern:
        assert postern.ask(f"set weight inbound/{one.label} 50%;disable server inbound/{two.label}") == "\n\n"
        assert postern.ask(f"set maxconn server inbound/{one.label} 7") == "\n"
        postern.reload(postern.with_admin(good.replace("slow_start: 0s", "slow_start: 1s")))
        assert postern.ask(f"get weight inbound/{one.label}") == "50 (initial 100)\n\n"
        rows = postern.stat()
        assert rows["inbound", two.label]["status"] == "MAINT" and rows["inbound", one.label]["slim"] == "7"
        other = config(lab).replace(f"name: {one.label},", f"name: {one.label}, weight: 30,")
        postern.reload(postern.with_admin(other))
        assert postern.ask(f"get weight inbound/{one.label}") == "30 (initial 30)\n\n"
        assert postern.stat()["inbound", two.label]["status"] == "MAINT"
        assert postern.ask(f"set server inbound/{two.label} state ready") == "\n"
        assert postern.stat()["inbound", two.label]["status"] == "no check"


@pytest.mark.topology(backends=1)
def test_levels_go_by_who_one_is(lab):
    with AdminPostern(lab, config(lab)) as postern:
        assert stat.S_IMODE(os.stat(postern.socket).st_mode) == 0o660

        def as_member(command, group):
            return subprocess.run(["socat", "-t5", "-", f"UNIX-CONNECT:{postern.socket}"], input=command + "\n", text=True,
                                  capture_output=True, user=65534, group=group, extra_groups=[], timeout=DEADLINE)

        assert as_member("show cli level", 0).stdout == "operator\n\n"
        assert as_member(f"disable server inbound/{lab.backends[0].label}", 0).stdout == "Permission denied\n\n"
        refused = as_member("show cli level", 65534)
        assert refused.returncode != 0 and "Permission denied" in refused.stderr
        assert postern.ask("user;operator;show cli level;show cli sockets") == \
            "\nPermission denied\n\nuser\n\nPermission denied\n\n"
        assert postern.stat()["inbound", lab.backends[0].label]["status"] == "no check"


@pytest.mark.topology(backends=1)
def test_a_dead_daemons_socket_is_replaced_and_anything_else_refused(lab):
    postern = AdminPostern(lab, config(lab))
    postern.socket.write_text("mine")
    refused = postern.run()
    assert refused.returncode == 1 and "is no socket" in refused.stderr and postern.socket.read_text() == "mine"
    postern.socket.unlink()
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(postern.socket))
        living.listen()
        refused = postern.run()
        assert refused.returncode == 1 and "somebody listens there" in refused.stderr
    assert postern.socket.exists()  # nobody listens any more
    with postern:
        assert postern.ask("show cli level") == "admin\n\n"
    assert not postern.socket.exists()


@pytest.mark.topology(backends=1)
def test_without_its_directory_postern_does_not_start(lab):
    postern = AdminPostern(lab, config(lab))
    postern.run_directory.rmdir()
    refused = postern.run()
    assert refused.returncode == 1 and "no such directory" in refused.stderr


def flood(path):
    """A client that asks without an end, and takes no answer."""
    s = connect(path)
    s.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            s.send(b"prompt\n" + b"show stat\n" * 1000)
    return s


@pytest.mark.topology(backends=1)
def test_bad_clients_delay_neither_mail_nor_other_clients(lab):
    with AdminPostern(lab, config(lab)) as postern, contextlib.ExitStack() as stack:
        serve_all(lab)
        for _ in range(20):
            stack.enter_context(connect(postern.socket))  # silent
            stack.enter_context(connect(postern.socket)).sendall(b"show st")  # slow
            stack.enter_context(flood(postern.socket))
        for _ in range(20):
            with lab.connect() as s:
                smtp_session(s)
            assert postern.ask("show cli level") == "admin\n\n"
        long = stack.enter_context(connect(postern.socket))
        with contextlib.suppress(ConnectionError):
            long.sendall(b"x" * 100000)
            assert receive_rest(long) == ""
        lines = postern.wait_sessions(20)
        assert max(int(s["connect_ms"]) for s in lines) < 1000


@pytest.mark.topology(backends=1)
def test_a_hundred_clients_at_once_are_all_answered(lab):
    with AdminPostern(lab, config(lab)) as postern, contextlib.ExitStack() as stack:
        before = postern.descriptors()
        clients = [stack.enter_context(connect(postern.socket)) for _ in range(100)]
        for s in clients:
            s.sendall(b"show stat\n")
        answers = {receive_rest(s) for s in clients}
        assert len(answers) == 1 and ("inbound", "BACKEND") in parse_stat(answers.pop())
        assert postern.ask("show cli level") == "admin\n\n" and postern.descriptors() <= before + 1


@pytest.mark.topology(backends=1)
def test_who_says_nothing_is_left_after_the_timeout_he_chose(lab):
    with AdminPostern(lab, config(lab)) as postern, postern.connect() as s:
        s.sendall(b"prompt;set timeout cli 100ms\n")
        assert receive_rest(s) == "\n> \n> "


@pytest.mark.topology(backends=2)
def test_a_backend_declared_down_stays_down_until_it_is_checked_again(lab):
    one, two = lab.backends
    with smtp_servers(one), AdminPostern(lab, checked(lab)) as postern:
        wait_state(postern, two, "down")
        row = postern.stat()["inbound", two.label]
        assert row["status"] == "DOWN" and row["chkdown"] == "1" and int(row["chkfail"]) >= 1
        assert row["check_status"] == "" and "connection refused" in row["last_chk"]
        assert postern.stat()["inbound", one.label]["status"] == "UP"
        assert postern.ask(f"disable health inbound/{one.label};set server inbound/{one.label} health down") == "\n\n"
        assert wait_state(postern, one, "down")["reason"] == "declared by an operator"
        rows = postern.stat()
        assert rows["inbound", one.label]["status"] == rows["inbound", "BACKEND"]["status"] == "DOWN"
        assert postern.ask(f"enable health inbound/{one.label}") == "\n"
        assert wait_state(postern, one, "up")["reason"] == "2 checks passed"
        row = postern.stat()["inbound", one.label]
        assert row["status"] == "UP" and row["check_status"] == "L7OK" and row["chkdown"] == "1" and row["last_chk"] == ""
        since = len(postern.log.read())
        assert postern.ask(f"set server inbound/{one.label} health stopping") == "\n"
        assert postern.wait(since=since, event="health", backend=one.label)["state"] == "down"


@pytest.mark.topology(backends=1)
def test_who_reads_late_gets_every_answer_whole(lab):
    with AdminPostern(lab, config(lab)) as postern, postern.connect() as s:
        one = postern.ask("help")
        s.sendall(b"help\n" * 1000)  # the answers are far more than a socket holds
        s.shutdown(socket.SHUT_WR)
        assert postern.ask("show cli level") == "admin\n\n"
        assert receive_rest(s) == one * 1000
