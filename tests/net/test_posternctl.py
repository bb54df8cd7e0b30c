# SPDX-License-Identifier: Apache-2.0
"""posternctl against the running daemon: each command, what it prints, and what it exits with."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest
import wcwidth

from admin import AdminPostern
from daemon import DEADLINE, backend_lines, build_directory, configuration, listener, pool
from lab import VIP4, Lab
from load import serve_all
from mta import PROXY, Postfix
from peers import expect_reset, receive_line, scripted_server
from terminal import Terminal
from test_checks import QUICK, checked, smtp_servers, wait_state
from test_discovery import a_records, dns_in
from test_discovery import config as discovering
from test_upgrade import Ordered

GOOD, FAILED, WRONG, USAGE, UNREACHABLE, NO_PERMISSION = 0, 1, 2, 64, 69, 77
SANITIZER = re.compile("Sanitizer|runtime error")
HOSTILE = b"421 4.3.2 \x1b[31mred\x1b]0;title\x07 \xe2\x80\xae\xf0\x9f\x98\x88 \xff\xfe wide \xe6\xbc\xa2\r\n"


def posternctl():
    return build_directory() / "tools" / "posternctl" / "posternctl"


def ctl(postern, *args, **kw):
    """Runs posternctl with its output piped: nothing there moves a cursor."""
    program = posternctl()
    if "user" in kw:  # who may not enter the directory of the build
        program = shutil.copy(program, postern.socket.parent)
    done = subprocess.run([program, "-s", postern.socket, *args], capture_output=True, text=True, timeout=DEADLINE,
                          stdin=subprocess.DEVNULL, **kw)
    assert all(c.isprintable() or c == "\n" for c in done.stdout + done.stderr), done
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


def good(postern, *args, **kw):
    done = ctl(postern, *args, **kw)
    assert done.returncode == GOOD and done.stderr == "", (args, done)
    return done.stdout


def bad(postern, status, *args, **kw):
    """What it says when it fails."""
    done = ctl(postern, *args, **kw)
    assert done.returncode == status and done.stderr.startswith("posternctl"), (args, done)
    return done.stderr


def config(lab, **settings):
    return configuration([pool(backend_lines(lab.backends), slow_start="0s", **settings)])


def rows(text, title):
    """The rows below a title, as {first cell: {column: cell}}; cells stand where their titles do."""
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if line.split()[:1] == [title])
    names = lines[at].split()
    found = {}
    for line in lines[at + 1:]:
        if not line.strip():
            break
        cells = line.split()
        found[cells[0]] = dict(zip(names, cells))
    return found


@contextlib.contextmanager
def greeted(lab, count):
    """So many sessions that have been greeted, one after the other: so backends have the same number each."""
    with contextlib.ExitStack() as stack:
        sessions = []
        for _ in range(count):
            sessions.append(stack.enter_context(lab.connect()))
            assert receive_line(sessions[-1]).startswith("220")
        yield sessions


# ---- looking ----------------------------------------------------------------------------------------------------------------


@pytest.mark.topology(backends=2)
def test_status_shows_all_that_there_is(lab):
    one, two = lab.backends
    settings = configuration([pool(backend_lines(lab.backends, zone=["near", "far"]), slow_start="0s", zones="prefer-local")],
                             gateway={"zone": "near"})
    serve_all(lab)
    with AdminPostern(lab, settings) as postern, greeted(lab, 3):
        text = good(postern, "status")
        assert text.startswith("postern ") and "on gw1 in zone near, serving" in text and str(postern.file) in text
        assert "3 of 8000 sessions" in text and "nothing is wrong" in text
        assert rows(text, "LISTENER")["mx"]["SESSIONS"] == "3" and "203.0.113.25 port 25" in text
        backends = rows(text, "BACKEND")
        assert backends[one.label]["SESS"] == "3" and backends[two.label]["SESS"] == "0"
        assert backends[one.label]["NEW"] == "100%" and backends[one.label]["P50"].isdigit()
        assert "in reserve" in next(line for line in text.split("\n") if line.startswith(f"  {two.label}"))
        assert re.search(r"^near +1 of 1 +3 +100% +this gateway's$", text, re.M)
        good(postern, "weight", f"inbound/{one.label}", "30")
        text = good(postern, "status")
        assert re.search(rf"^inbound/{one.label} +weight +30 +100$", text, re.M)
        assert "sessions (gateway.max_sessions)" in good(postern, "limits")
        assert json.loads(good(postern, "json"))["sessions"]["now"] == 3
        assert good(postern, "backends") == f"inbound/{one.label} unchecked\ninbound/{two.label} unchecked\n"


@pytest.mark.topology(backends=4)
def test_status_says_why_a_backend_is_down_and_what_to_do(lab, tmp_path):
    up, refused, silent, hostile = lab.backends
    lab.drop_tcp_to_port(silent, 25)
    with smtp_servers(up, hostile) as (_, sick), AdminPostern(lab, checked(lab)) as postern:
        sick.act = lambda server, connection: connection.sendall(HOSTILE)
        for b in (refused, silent, hostile):
            wait_state(postern, b, "down")
        done = ctl(postern, "status")
        assert done.returncode == WRONG and done.stderr == ""
        wrong = done.stdout[done.stdout.index("WHAT IS WRONG"):done.stdout.index("LISTENER")]
        for b, why, act in ((refused, "connection refused", "runs, and listens at its address"),
                            (silent, "no connection in 1s", "can be reached from this gateway"),
                            (hostile, "421 4.3.2", "see its log and its load")):
            said = re.search(rf"warning backend inbound/{b.label}: it is down.*\n +why: (.*)\n +do: (.*)\n", wrong)
            assert said and why in said[1] and act in said[2] and b.label in said[2], wrong
        assert f"inbound/{up.label}:" not in wrong
        assert rows(done.stdout, "BACKEND")[hostile.label]["STATE"] == "down"
        assert "error pool" not in wrong
        good(postern, "drain", f"inbound/{up.label}")
        assert "error pool inbound: nobody can take a session" in ctl(postern, "status").stdout


def test_status_explains_a_postfix_that_expects_a_header(tmp_path):
    with Lab(backends=1) as lab, Postfix(lab.backends[0], tmp_path):
        settings = configuration([pool(backend_lines(lab.backends, port=PROXY), check={"interval": "30s", "fast_interval": "30s", "timeout": "29s"})])
        with AdminPostern(lab, settings) as postern:
            wait_state(postern, lab.backends[0], "down")
            done = ctl(postern, "status")
            assert done.returncode == WRONG and "Server local error" in done.stdout
            assert "smtpd_upstream_proxy_protocol" in done.stdout


@pytest.mark.topology(backends=2)
def test_names_of_any_length_keep_the_tables_aligned(lab):
    long = "x" * 64
    backend, _ = backend_lines(lab.backends)
    entries = [{**backend, "name": "a", "zone": long}, {"name": long, "address": f"{lab.backends[1].v4}:25", "zone": "b"}]
    settings = configuration([pool(entries, name=long)], [listener(name=long, to=long)], {"zone": "b"})
    with AdminPostern(lab, settings) as postern:
        text = good(postern, "status")
        lines = [line for line in text.split("\n") if re.match(r"  (BACKEND|a|x+) ", line)]
        assert len(lines) == 3 and lines[2].startswith(f"  {long}  b ")
        column = lines[0].index("STATE")
        assert all(line[column:].startswith(("STATE", "unchecked")) for line in lines), text
        for columns in (80, 40, 200):
            with Terminal([posternctl(), "-s", postern.socket, "status"], columns, 60) as terminal:
                status, written = terminal.end()
            assert status == GOOD
            plain = re.sub(r"\x1b\[[0-9;]*m", "", written).replace("\r", "")
            assert columns < 80 or max(map(len, plain.split("\n"))) <= columns, plain


@pytest.mark.topology(backends=1)
def test_colours_are_for_terminals_that_want_them(lab):
    with AdminPostern(lab, config(lab)) as postern:
        for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            with Terminal([posternctl(), "-s", postern.socket, "status"], **environment) as terminal:
                status, written = terminal.end()
            assert status == GOOD and ("\x1b[" in written) == coloured, environment


class Impostor:
    """Answers each question at a socket with the same status document."""

    def __init__(self, directory, document):
        self.socket = directory / "admin.sock"
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(self.socket))
        self.listening.listen()
        self.answer = json.dumps(document).encode() + b"\n\n"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                with self.listening.accept()[0] as connection:
                    connection.recv(1000)
                    connection.sendall(self.answer)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.thread.join(DEADLINE)
        self.listening.close()


def test_wide_and_unprintable_names_keep_the_table_aligned(tmp_path):
    names = ["plain", "漢字漢字", "e\u0301", "\u202eabc", "tab\tand\x1b[31m", "x" * 200, "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")]
    backends = [{"name": name, "state": "up", "why": name, "share": 0.1, "greeting_ms": {"p50": None}} for name in names]
    with Impostor(tmp_path, {"pools": [{"name": "漢" * 30, "backends": backends}], "listeners": [], "trouble": []}) as postern:
        for locale in ("C.UTF-8", "C"):
            text = good(postern, "status", env=os.environ | {"LC_ALL": locale})
            lines = text.split("\n")
            at = next(i for i, line in enumerate(lines) if line.startswith("  BACKEND"))
            column = lines[at].index("STATE")
            for line in lines[at + 1:at + 1 + len(names)]:
                before = line[:re.search(r" up +0s", line).start() + 1]
                assert wcwidth.wcswidth(before) == column, (locale, text)
            assert ("漢字" in text) == (locale == "C.UTF-8")
            with Terminal([posternctl(), "-s", postern.socket, "top"], LC_ALL=locale) as terminal:
                terminal.wait("q quit")
                rows_shown = terminal.text.split("\n")[4:4 + len(names)]
                assert len({wcwidth.wcswidth(row[:row.index(" up ")]) for row in rows_shown}) == 1, terminal.text
                terminal.press("q")
                assert terminal.end()[0] == GOOD


# ---- sessions ---------------------------------------------------------------------------------------------------------------


@pytest.mark.topology(backends=2, clients=2)
def test_sessions_are_found_by_each_filter(lab):
    one, two = lab.backends
    serve_all(lab)
    with AdminPostern(lab, config(lab)) as postern, greeted(lab, 3):
        other = lab.clients[1].connect(VIP4, 25, lab.clients[1].v4)
        receive_line(other)
        listed = [json.loads(line) for line in good(postern, "sessions", "--json").splitlines()]
        assert len(listed) == 4 and set(rows(good(postern, "sessions"), "ID")) == {s["id"] for s in listed}

        def ids(*filters):
            found = set(rows(good(postern, "sessions", *filters), "ID"))
            assert found == {json.loads(line)["id"] for line in good(postern, "sessions", *filters, "--json").splitlines()}
            return found

        assert ids("--client", lab.clients[1].v4) == {s["id"] for s in listed if lab.clients[1].v4 in s["client"]}
        assert len(ids("--client", lab.clients[0].prefix4)) == 3
        assert ids("-b", f"inbound/{one.label}") == {s["id"] for s in listed if s["backend"] == one.label}
        assert ids("--state", "relayed") | ids("--state", "dissolved") == ids() and not ids("--state", "queued")
        assert not ids("--older", "1h") and not ids("--idle", "1h") and len(ids("--older", "0s")) == 4
        assert "state=odd" in bad(postern, USAGE, "sessions", "--state", "odd")
        assert "state=odd" in bad(postern, USAGE, "sessions", "--state", "odd", "--json")
        assert "No such server" in bad(postern, USAGE, "sessions", "-b", "inbound/none")
        assert "no blank" in bad(postern, USAGE, "sessions", "--client", "10.0.0.0/8;shutdown session 1")
        other.close()


@pytest.mark.topology(backends=1)
def test_sources_are_found_by_each_filter_and_their_limits_shown(lab):
    serve_all(lab)
    partners = {"partners": {"prefixes": ["198.51.9.0/24"], "limits": {"sessions": 9, "rate": "off"}}}
    text = configuration([pool(backend_lines(lab.backends))], sources=partners, limits={"sessions": 2})
    with AdminPostern(lab, text) as postern, greeted(lab, 2), contextlib.ExitStack() as stack:
        for source in ("198.51.9.1", "198.51.9.1", "198.51.8.1"):
            receive_line(stack.enter_context(lab.connect(source=source)))
        with lab.connect() as refused:
            assert receive_line(refused).startswith("421")
        me, partner, third = f"{lab.client.v4}/32", "198.51.9.1/32", "198.51.8.1/32"
        found = rows(good(postern, "sources"), "SOURCE")
        assert list(found) == [me, partner, third]
        assert found[me] == {"SOURCE": me, "CLASS": "other", "SESS": "2", "MAX": "2", "/MIN": "2", "MAX/MIN": "600", "TRIED": "3",
                             "REFUSED": "1"}
        assert found[partner] | {"CLASS": "partners", "SESS": "2", "MAX": "9", "MAX/MIN": "none"} == found[partner]
        for words, wanted in ((("--over",), [me]), (("--class", "partners"), [partner]), (("--class", "other"), [me, third]),
                              (("--client", "198.51.8.0/23"), [partner, third]), (("--client", "192.0.2.1"), [])):
            assert list(rows(good(postern, "sources", *words), "SOURCE")) == wanted, words
            listed = [json.loads(line)["source"] for line in good(postern, "sources", *words, "--json").splitlines()]
            assert listed == wanted
        assert "source=odd" in bad(postern, USAGE, "sources", "--client", "odd")
        assert "source=odd" in bad(postern, USAGE, "sources", "--client", "odd", "--json")
        assert "no blank" in bad(postern, USAGE, "sources", "--class", "a b")
        limits = good(postern, "limits")
        assert re.search(r"^sessions of a client in partners +2 +9 +22%$", limits, re.M), limits
        assert re.search(r"^sessions of a client in other +2 +2 +100%$", limits, re.M), limits
        assert re.search(r"^new sessions a minute of a client in partners +2 +none$", limits, re.M), limits


@pytest.mark.topology(backends=2)
def test_kill_resets_what_was_named_and_asks_before_a_filter(lab, engine):
    one, two = lab.backends
    serve_all(lab)
    with AdminPostern(lab, config(lab, **engine.pool)) as postern, greeted(lab, 6) as clients:
        sessions = {f"[{s.getsockname()[0]}]:{s.getsockname()[1]}": s for s in clients}
        listed = [json.loads(line) for line in good(postern, "sessions", "--json").splitlines()]
        first = next(s for s in listed if s["backend"] == one.label)
        assert good(postern, "kill", first["id"]) == "1 ended\n"
        expect_reset(sessions.pop(first["client"]))
        assert "nobody's" in bad(postern, FAILED, "kill", first["id"])
        assert "no id" in bad(postern, USAGE, "kill", "x;help")
        assert "either ids" in bad(postern, USAGE, "kill")
        assert "either ids" in bad(postern, USAGE, "kill", first["id"], "--backend", f"inbound/{one.label}")
        assert "3 sessions would be reset" in bad(postern, FAILED, "kill", "--backend", f"inbound/{two.label}")
        command = [posternctl(), "-s", postern.socket, "kill", "--backend", f"inbound/{two.label}"]
        with Terminal(command) as terminal:
            terminal.wait("Reset 3 sessions")
            terminal.press("n\r")
            assert terminal.end()[0] == FAILED
        assert len(rows(good(postern, "sessions"), "ID")) == 5
        assert good(postern, *command[3:], "--yes") == "3 ended, 0 had ended by themselves\n"
        for s in listed:
            if s["backend"] == two.label:
                expect_reset(sessions.pop(s["client"]))
        assert len(rows(good(postern, "sessions"), "ID")) == len(sessions) == 2
        postern.wait(event="admin", command=f"shutdown session {first['id']}")


# ---- changing ---------------------------------------------------------------------------------------------------------------


@pytest.mark.topology(backends=2)
def test_each_change_shows_before_and_after(lab):
    one, two = (f"inbound/{b.label}" for b in lab.backends)
    with AdminPostern(lab, config(lab)) as postern:
        assert good(postern, "drain", one, two) == f"{one}: unchecked -> drain, 0 sessions\n{two}: unchecked -> drain, 0 sessions\n"
        assert good(postern, "ready", one) == f"{one}: drain -> unchecked, 0 sessions\n"
        assert good(postern, "maint", two) == f"{two}: drain -> maint, 0 sessions\n"
        assert good(postern, "ready", two) == f"{two}: maint -> unchecked, 0 sessions\n"
        assert good(postern, "weight", one, "50%") == f"{one}: weight 100 -> 50, 50% -> 33% of new sessions\n"
        assert "between 0 and 256" in bad(postern, FAILED, "weight", one, "257")
        assert "no backend inbound/none" in bad(postern, FAILED, "drain", "inbound/none")
        done = ctl(postern, "drain", "inbound/none", two)
        assert done.returncode == FAILED and "drain" in done.stdout, "the others are changed all the same"
        as_member = {"user": 65534, "group": 0, "extra_groups": []}
        assert "Permission denied" in bad(postern, NO_PERMISSION, "ready", two, **as_member)
        assert good(postern, "backends", **as_member) == f"{one} unchecked\n{two} drain\n"


@pytest.mark.topology(backends=2)
def test_drain_may_wait_for_the_last_session(lab):
    one, two = lab.backends
    with AdminPostern(lab, config(lab)) as postern, scripted_server(one) as server:
        good(postern, "maint", f"inbound/{two.label}")
        client = lab.connect()
        there, _ = server.accept()
        with subprocess.Popen([posternctl(), "-s", postern.socket, "drain", "--wait", f"inbound/{one.label}"],
                              stdout=subprocess.PIPE, text=True) as waiting:
            assert waiting.stdout.readline() == f"inbound/{one.label}: unchecked -> drain, 1 session\n"
            assert waiting.stdout.readline() == "1 session left\n" and waiting.poll() is None
            client.close()
            there.close()
            assert waiting.stdout.readline() == "0 sessions left\n" and waiting.wait(DEADLINE) == GOOD
        assert "no backend" in bad(postern, FAILED, "drain", "--wait", "inbound/none")


@pytest.mark.topology(backends=2)
def test_waiting_ends_when_somebody_undoes_the_drain(lab):
    one, _ = lab.backends
    with AdminPostern(lab, config(lab)) as postern, scripted_server(one) as server:
        good(postern, "maint", f"inbound/{lab.backends[1].label}")
        client = lab.connect()
        there, _ = server.accept()
        with subprocess.Popen([posternctl(), "-s", postern.socket, "drain", "--wait", f"inbound/{one.label}"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
            waiting.stdout.readline()
            waiting.stdout.readline()
            good(postern, "ready", f"inbound/{one.label}")
            assert waiting.wait(DEADLINE) == FAILED and "somebody has changed it" in waiting.stderr.read()
        client.close()
        there.close()


# ---- the daemon -------------------------------------------------------------------------------------------------------------


@pytest.mark.topology(backends=1)
def test_plan_shows_what_postern_itself_would(lab):
    with AdminPostern(lab, config(lab)) as postern:
        assert good(postern, "plan") == postern.run("--plan").stdout


@pytest.mark.topology(backends=1)
def test_reload_tells_the_verdict_and_the_place_of_each_error(lab):
    with AdminPostern(lab, config(lab)) as postern:
        assert good(postern, "reload") == "reload: the configuration is applied\n"
        postern.file.write_text(postern.config.replace("source: client", "source: nobody"))
        done = ctl(postern, "reload")
        assert done.returncode == FAILED and done.stdout == ""
        *error, verdict = done.stderr.splitlines()
        assert error[0].startswith(f"{postern.file}:") and '"nobody"' in error[0]
        assert error[1].index("nobody") == error[2].index("^")
        assert verdict.startswith("posternctl: not reloaded: ")
        told = ctl(postern, "status")
        assert told.returncode == WRONG and "error configuration: the last reload was refused" in told.stdout
        assert "Permission denied" in bad(postern, NO_PERMISSION, "reload", user=65534, group=0, extra_groups=[])
        postern.file.write_text(postern.config)
        good(postern, "reload")
        assert "nothing is wrong" in good(postern, "status")


@pytest.mark.topology(backends=1)
def test_upgrade_waits_for_its_end(lab):
    with Ordered(lab, config(lab)) as postern:
        for _ in range(2):
            since = len(postern.log.read())
            done = good(postern, "upgrade").splitlines()
            postern.follow(since)
            assert done[-1] == f"process {postern.pid} serves now: postern {version(postern)}"
            postern.wait_old()
        postern.install("#!/bin/sh\nexit 3\n")
        told = bad(postern, FAILED, "upgrade")
        assert f"process {postern.pid} goes on: " in told and "status 3" in told
        postern.program.unlink()
        assert "no upgrade: cannot start" in bad(postern, FAILED, "upgrade")
        postern.install()


def version(postern):
    return json.loads(good(postern, "json"))["version"]


@pytest.mark.topology(backends=1)
def test_who_cannot_be_reached_is_told_why(lab):
    postern = AdminPostern(lab, config(lab))
    assert "there is no such socket" in bad(postern, UNREACHABLE, "status")
    with postern:
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        assert "permission denied" in bad(postern, NO_PERMISSION, "status", **nobody)
        postern.send(signal.SIGSTOP)
        assert "it does not answer" in bad(postern, UNREACHABLE, "status")
        postern.send(signal.SIGCONT)
        postern.kill()
        for command in ("status", "top", "sessions", "limits", "json", "backends", "plan", "reload", "upgrade"):
            if command != "top":  # which wants a terminal first
                assert "is postern running" in bad(postern, UNREACHABLE, command)
        assert "needs a terminal" in bad(postern, FAILED, "top")
        with Terminal([posternctl(), "-s", postern.socket, "top"]) as terminal:
            status, written = terminal.end()
        assert status == UNREACHABLE and "is postern running" in written
        postern.start()


@pytest.mark.topology(backends=1)
def test_what_is_no_postern_is_told(lab):
    postern = AdminPostern(lab, config(lab))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(postern.socket))
        other.listen()
        with subprocess.Popen([posternctl(), "-s", postern.socket, "status"], stderr=subprocess.PIPE, text=True) as asking:
            connection, _ = other.accept()
            with connection:
                assert connection.recv(100) == b"show status\n"
                connection.sendall(b'["\x1b[31m"]\n\n')
            assert asking.wait(DEADLINE) == UNREACHABLE and "is no status document" in asking.stderr.read()


def test_bad_usage_is_told_before_anybody_is_asked():
    class Nobody:
        socket = pathlib.Path("/nonexistent/admin.sock")

    assert "a command is missing" in bad(Nobody, USAGE)
    assert "no command 'nonsense'" in bad(Nobody, USAGE, "nonsense")
    assert "POOL/BACKEND" in bad(Nobody, USAGE, "drain")
    assert "unexpected argument 'x'" in bad(Nobody, USAGE, "status", "x")
    assert "unrecognized option" in bad(Nobody, USAGE, "status", "--wait")
    assert "does-not-exist" not in bad(Nobody, UNREACHABLE, "status")
    for command in re.findall(r"^  (\w+) ", ctl(Nobody, "--help").stdout, re.M):
        done = ctl(Nobody, command, "--help")
        assert done.returncode == GOOD and done.stdout.startswith(f"Usage: posternctl {command} "), command


def test_the_manual_has_each_command_and_option():
    page = (pathlib.Path(__file__).resolve().parents[2] / "man" / "posternctl.8.scd").read_text(encoding="utf-8")

    class Nobody:
        socket = "x"

    commands = re.findall(r"^  (\w+) ", ctl(Nobody, "--help").stdout, re.M)
    assert len(commands) > 14
    for command in commands:
        section = re.search(rf"^\*{command}\*.*\n(?:\t.*\n|\n(?=\t))+", page, re.M)
        assert section, f"posternctl(8) lacks {command}"
        for option in re.findall(r"--(\w+)", ctl(Nobody, command, "--help").stdout):
            if option not in ("help", "usage", "version"):
                assert f"*--{option}*" in section[0] or f"*--{option}*" in page[page.index("# DOCTOR"):], (command, option)
    for check in ctl(Nobody, "doctor", "--list").stdout.splitlines():
        assert f"*{check.split()[0]}*" in page, check


@pytest.mark.topology(backends=3)
def test_bash_completes_commands_and_names(lab, tmp_path):
    """A real one, at a terminal. The DNS names backends after their endpoint, and bash parts words at colons."""
    script = pathlib.Path(__file__).resolve().parents[2] / "tools" / "posternctl" / "completion.bash"
    (tmp_path / "posternctl").symlink_to(posternctl())
    with dns_in(lab) as (dns, (one, two)):
        dns.set(*a_records(one, two))
        with AdminPostern(lab, discovering(dns)) as postern, \
                Terminal(["bash", "--norc", "-i"], columns=200, PATH=f"{tmp_path}:{os.environ['PATH']}", PS1="$ ") as bash:
            postern.wait(event="discovered")
            socket_at = tmp_path / "s"
            socket_at.symlink_to(postern.socket)
            bash.press(f". {script}; clear\n")

            def complete(words, wanted):
                bash.press(f"\x15posternctl {words}\t.")  # the dot: whatever was to come has come
                bash.wait(rf"\$ posternctl {re.escape(wanted)} ?\.$")

            complete("dr", "drain")
            complete("re", "re")
            bash.press("\x15posternctl re\t\t")
            bash.wait(r"^ready +reload *$")
            complete(f"-s {socket_at} drain ", f"-s {socket_at} drain inbound/10.2.0.1")
            for typed in ("1", "1:", "1:2"):
                complete(f"-s {socket_at} weight inbound/10.2.0.1{typed}", f"-s {socket_at} weight inbound/{one.v4}:25")
            complete(f"-s {socket_at} sessions -b inbound/{two.v4}:", f"-s {socket_at} sessions -b inbound/{two.v4}:25")
            complete(f"-s {socket_at} sessions --s", f"-s {socket_at} sessions --state")
            complete(f"-s {socket_at} sessions --state re", f"-s {socket_at} sessions --state relayed")
            complete("-s /nonexistent drain ", "-s /nonexistent drain ")
            complete("doctor --o", "doctor --only")
            complete("doctor --only rp", "doctor --only rp-filter")


@pytest.mark.topology(backends=3)
def test_status_tells_what_discovery_and_operators_have_done(lab, tmp_path):
    one, two, three = lab.backends
    file = tmp_path / "backends.yaml"
    settings = configuration([pool(backend_lines([one]), discover={"file": str(file)})])
    with AdminPostern(lab, settings) as postern:
        postern.wait(event="discovery_kept")
        done = ctl(postern, "status")
        assert done.returncode == WRONG and "discovery fails: the 0 backends that are known are kept" in done.stdout
        assert str(file) in done.stdout
        file.write_text(f"- {{name: {two.label}, address: {two.v4}:25}}\n")
        postern.wait(event="discovered")
        assert set(rows(good(postern, "status"), "BACKEND")) == {one.label, two.label}
        assert "New server registered." in postern.ask(f"add server inbound/new {three.v4}:25")
        good(postern, "maint", f"inbound/{one.label}")
        text = good(postern, "status")
        assert re.search(r"^inbound/new +added +yes +no$", text, re.M), text
        assert re.search(rf"^inbound/{one.label} +state +maint +ready$", text, re.M)
