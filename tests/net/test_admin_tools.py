# SPDX-License-Identifier: Apache-2.0
"""The admin socket under the tools that operators run against HAProxy, and beside HAProxy itself."""
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import urllib.request

import pytest

from admin import AdminPostern, ask, parse_stat
from daemon import DEADLINE, backend_lines, configuration, pool, wait_readable
from load import serve_all
from peers import converse, smtp_session
from test_checks import checked, smtp_servers, wait_state

DOWN, F10 = "\x1bOB", "\x1b[21~"  # of an xterm
BOTH_COUNT = ("pxname", "svname", "status", "weight", "act", "bck", "pid", "mode", "algo", "type", "scur", "smax")
HAPROXY = """
global
  stats socket {socket} level admin
defaults
  mode tcp
  timeout connect 4s
  timeout client 60s
  timeout server 60s
frontend mx
  bind 127.0.0.1:2525
  default_backend inbound
backend inbound
  balance leastconn
  server mta1 10.2.0.11:25 weight 100
  server mta2 10.2.0.12:25 weight 100
"""


def config(lab):
    return configuration([pool(backend_lines(lab.backends), slow_start="0s")])


@contextlib.contextmanager
def program(namespace, *command, ready, **kw):
    """A program in the namespace, once ready() holds; ended afterwards."""
    process = namespace.popen(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
    try:
        end = time.monotonic() + DEADLINE
        while not ready():
            assert process.poll() is None and time.monotonic() < end, f"{command[0]} does not begin"
            select.select([], [], [], 0.02)
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE)


def answers(path):
    try:
        return ask(path, "show version")
    except OSError:
        return ""


SAME = [
    "get weight inbound/mta1", "get weight inbound/none", "get weight none/mta1", "get weight",
    "set weight inbound/mta1", "set weight inbound/mta1 257", "set weight inbound/mta1 -1%", "set weight inbound 5",
    "set weight inbound/mta1 50%;get weight inbound/mta1;set weight inbound/mta1 100",
    "set server inbound/mta1", "set server inbound/mta1 state", "set server inbound/mta1 state on", "set server x",
    "set maxconn server inbound/mta1", "set timeout cli", "set timeout cli x", "set timeout x", "set severity-output x",
    "set severity-output number;get weight inbound/none;get weight inbound/mta1", "set severity-output string;get weight a/b",
    "show backend", "show cli level", "show servers state none", "show stat none 4 -1", "show table none",
    "user;set weight inbound/mta1 5;show cli level;operator", "operator;clear counters all;clear counters;show cli level",
    "enable health inbound/mta1", "enable server inbound/none", "disable server inbound/mta1;enable server inbound/mta1",
    "shutdown session", "shutdown session 0xdead", "shutdown session x", "shutdown sessions server inbound/mta1",
    "shutdown sessions server inbound", "shutdown sessions server none/mta1", "shutdown sessions server",
    "show sess 0xdead", "operator;shutdown session 0xdead", "user;show sess",
    "set severity-output number;shutdown session 0xdead;show sess 0xdead;shutdown session",
    "set maxconn frontend", "set maxconn frontend none 3", "set maxconn frontend mx", "set maxconn frontend mx -1",
    "set maxconn frontend mx 5", "enable agent inbound/mta1", "disable agent inbound/mta1", "enable agent inbound/none",
    "show servers conn none", "set server inbound/mta1 addr", "set server inbound/mta1 addr 10.2.0.11",
    "set server inbound/mta1 addr 10.2.0.11 port 25", "set server inbound/mta1 addr 10.2.0.11 port x",
    "set server inbound/mta1 addr name", "set server inbound/mta1 addr 10.2.0.99 port 26",
    "set server inbound/mta1 addr 10.2.0.11", "set server inbound/mta1 addr 10.2.0.11 port 25", "set server inbound/none addr x",
    "add server inbound/mta3", "add server none/mta3 10.2.0.50:25", "add server inbound/mta1 10.2.0.50:25",
    "add server inbound/mta3 10.2.0.50:25 weight 300", "add server inbound/mta3 10.2.0.50:25 nonsense",
    "add server inbound/mta3 10.2.0.50:25 weight 20 maxconn 3 enabled", "get weight inbound/mta3",
    "add server inbound/mta3 10.2.0.50:25", "del server inbound/mta3", "disable server inbound/mta3;get weight inbound/mta3",
    "del server none/mta3", "del server inbound/none", "del server inbound/mta3", "del server inbound/mta3",
    "user;add server inbound/mta3 10.2.0.50:25;del server inbound/mta1;set maxconn frontend mx 3",
    "prompt;show backend", "prompt\nget weight inbound/none\nquit", "quit", "show backend # and more",
]


def known_of(line, s):
    """What both say of a session, whoever has the client's socket s."""
    host, port = s.getsockname()[:2]
    assert re.match(r"0x[0-9a-f]+: ", line), line
    return dict(word.split("=", 1) for word in line.replace(f"{host}:{port}", "CLIENT").split()
                if re.match("(proto|src|fe|be|srv|source|frontend|backend|server)=", word))


@pytest.mark.topology(backends=1)
def test_haproxy_lists_a_session_in_the_same_words(lab):
    with AdminPostern(lab, config(lab)) as postern:
        theirs = postern.run_directory / "haproxy.sock"
        file = postern.run_directory / "haproxy.cfg"
        file.write_text("\n".join(line for line in HAPROXY.format(socket=theirs).split("\n") if "mta2" not in line))
        serve_all(lab)
        with program(lab.gateway, "haproxy", "-f", file, "-db", ready=lambda: answers(theirs)), \
                lab.gateway.connect("127.0.0.1", 2525) as a, lab.connect() as b:
            found = []
            for s, path in (a, theirs), (b, postern.socket):
                converse(s, "", "220")
                line = next(x for x in ask(path, "show sess").split("\n") if " fe=mx " in x)
                whole = ask(path, f"show sess {line.split(':')[0]}")
                found.append((known_of(line, s), known_of(whole, s)))
            assert found[0] == found[1]
            assert found[0][0] == {"proto": "tcpv4", "src": "CLIENT", "fe": "mx", "be": "inbound", "srv": "mta1"}


def values(text):
    """{(owner, name): the rest of what is said of it} of an answer in JSON."""
    rows = json.loads(text)
    rows = rows if isinstance(rows[0], list) else [rows]
    return {(v.get("objType"), v.get("proxyId"), v.get("id"), v["field"]["name"]): v for row in rows for v in row}


def assert_same_json(theirs, own, other):
    """Each value that both have is of one kind; in those of `other` ours differ for a pool. Keys stand in one order."""
    theirs, own = values(theirs), values(own)
    assert len(own.keys() & theirs.keys()) > 20
    for key in own.keys() & theirs.keys():
        a, b = theirs[key], own[key]
        assert list(a) == list(b) and list(a["value"]) == list(b["value"]), key
        if key[0] == "Backend" and key[3] in other:
            continue
        assert a["tags"] == b["tags"], key
        if key[0]:  # what a process has, has other positions
            assert (a["field"], a["value"]["type"]) == (b["field"], b["value"]["type"]), key


@contextlib.contextmanager
def beside_haproxy(lab):
    """postern, and the socket of a HAProxy that is configured like it."""
    with AdminPostern(lab, config(lab)) as postern:
        theirs = postern.run_directory / "haproxy.sock"
        file = postern.run_directory / "haproxy.cfg"
        file.write_text(HAPROXY.format(socket=theirs))
        with program(lab.gateway, "haproxy", "-f", file, "-db", ready=lambda: answers(theirs)):
            yield postern, theirs


def version_of(socket_path):
    """HAProxy's, the first number."""
    return int(re.search(r"^Version: (\d+)", ask(socket_path, "show info"), re.M)[1])


@pytest.mark.topology(backends=2)
def test_haproxy_gives_the_same_answers(lab):
    with beside_haproxy(lab) as (postern, theirs):
        newer = version_of(theirs) >= 3  # than 2.6, whose words are ours
        different = {}
        for command in SAME:
            if newer and command.startswith("add server"):
                command = command.removesuffix(" enabled")  # which it refuses
            expected = ask(theirs, command, half_close=True)
            own = ask(postern.socket, command, half_close=True)
            if command.startswith("set server inbound/mta1") and expected.startswith("usage"):
                assert own.startswith("usage: set server <backend>/<server> ")
                continue
            if command.startswith(("add server", "del server")):
                own, expected = own.rstrip("\n."), expected.rstrip("\n.")  # some of theirs have no empty line
            if own != expected:
                different[command] = (own, expected)
        assert not [c for c in different if not (newer and c.startswith("set server inbound/mta1 addr "))], different
        postern.wait(event="admin", command="disable server inbound/mta1")
        postern.wait(event="admin", command="enable server inbound/mta1")


@pytest.mark.topology(backends=2)
def test_haproxy_shows_the_same_tables(lab):
    with beside_haproxy(lab) as (postern, theirs):
        def asked(command):
            return [ask(path, command) for path in (theirs, postern.socket)]

        both = [parse_stat(text) for text in asked("show stat")]
        assert list(both[0]) == list(both[1])
        ours = list(both[1]["inbound", "mta1"])
        assert ours[:83] == list(both[0]["inbound", "mta1"])[:83]
        for key, row in both[0].items():
            for column in BOTH_COUNT:
                if row[column] and both[1][key][column]:
                    assert both[1][key][column] == row[column], (key, column)
        state = [text.split("\n") for text in asked("show servers state")]
        assert state[0][0] == state[1][0] and state[1][1].startswith(state[0][1]) and len(state[0]) == len(state[1])
        for a, b in zip(state[0][2:4], state[1][2:4]):
            fields = [line.split(" ") for line in (a, b)]
            assert len(fields[0]) == 25 and len(fields[1]) == len(state[1][1].split(" ")) - 1  # ours stand behind theirs
            for i in (1, 2, 3, 4, 5, 6, 7, 8, 18):  # names, address, states, weights, port
                assert fields[0][i] == fields[1][i], (i, a, b)
        conns = [text.split("\n") for text in asked("show servers conn inbound")]
        assert conns[0][0] == conns[1][0] and len(conns[0]) == len(conns[1])
        for a, b in zip(conns[0][1:3], conns[1][1:3]):
            assert a.split()[:5] == b.split()[:5] and len(a.split()) == len(b.split())


@pytest.mark.topology(backends=2)
def test_haproxy_gives_its_values_the_same_kinds(lab):
    # A server's and a listener's have other tags than a pool's; ours have those of the former everywhere.
    other = {"act", "bck", "rate", "rate_max"}

    def kinds(lines):  # by letter and name: the tags and the type
        return {(k.split(".")[0], k.split(".")[4]): v.split(":")[:2] for k, v in lines.items()}

    with beside_haproxy(lab) as (postern, theirs):
        def asked(command):
            return [ask(path, command) for path in (theirs, postern.socket)]

        typed = [dict(line.split(":", 1) for line in text.strip().split("\n")) for text in asked("show stat typed")]
        their, own = map(kinds, typed)
        differ = {k for k, v in own.items() if k in their and v != their[k]}
        assert differ in ({("B", name) for name in other}, {("B", name) for name in other - {"rate"}})  # 2.6, 3.0
        assert_same_json(*asked("show stat json"), other)
        assert_same_json(*asked("show info json"), other=set())


@pytest.mark.topology(backends=2)
def test_the_prometheus_exporter_reads_it(lab):

    def metrics():
        with lab.gateway.entered():
            try:
                return urllib.request.urlopen("http://127.0.0.1:9101/metrics", timeout=DEADLINE).read().decode()
            except OSError:
                return ""

    with AdminPostern(lab, config(lab)) as postern:
        serve_all(lab)
        lab.gateway.ip("link set lo up")
        for _ in range(6):
            with lab.connect() as s:
                smtp_session(s)
        postern.wait_sessions(6)
        assert postern.ask("disable server inbound/mta2") == "\n"
        with program(lab.gateway, "prometheus-haproxy-exporter", f"--haproxy.scrape-uri=unix:{postern.socket}",
                     "--web.listen-address=127.0.0.1:9101", ready=metrics):
            text = metrics()
        value = {m[1]: float(m[2]) for m in re.finditer(r"^(haproxy_\S+) (\S+)$", text, re.M)}
        assert value["haproxy_up"] == 1 and value["haproxy_exporter_csv_parse_failures_total"] == 0
        assert value['haproxy_backend_up{backend="inbound"}'] == 1
        assert value['haproxy_server_up{backend="inbound",server="mta2"}'] == 0
        assert value['haproxy_frontend_sessions_total{frontend="mx"}'] == 6
        assert sum(value[f'haproxy_server_sessions_total{{backend="inbound",server="mta{i}"}}'] for i in (1, 2)) == 6


class Terminal:
    """A program on a terminal of 132x40; `seen` is all that it has written."""

    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 132, 0, 0))
            os.environ.update(TERM="xterm")
            os.execvp(command[0], command)
        self.seen = ""

    def wait(self, what):
        end = time.monotonic() + DEADLINE
        while not re.search(what, self.seen):
            ready = wait_readable(self.fd, end - time.monotonic())
            assert ready, f"never seen: {what}\n{self.seen[-3000:]}"
            self.seen += os.read(self.fd, 65536).decode(errors="replace")

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def close(self):
        os.kill(self.pid, signal.SIGTERM)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.mark.topology(backends=2)
def test_hatop_shows_it_and_takes_a_backend_out(lab):
    with AdminPostern(lab, config(lab)) as postern:
        terminal = Terminal(["hatop", "-s", str(postern.socket), "-i", "1"])
        try:
            terminal.wait("HAProxy Version")
            terminal.wait("mta1")
            terminal.wait("BACKEND")
            terminal.press(4 * DOWN + F10)  # mx, FRONTEND, a blank, inbound, mta1
            postern.wait(event="admin", command="disable server inbound/mta1")
            assert postern.stat()["inbound", "mta1"]["status"] == "MAINT"
        finally:
            terminal.close()


@pytest.mark.topology(backends=2)
def test_check_haproxy_stats_sees_what_is_wrong(lab):
    def check():
        done = subprocess.run(["/usr/lib/nagios/plugins/check_haproxy_stats", "-s", str(postern.socket), "-P", "-m"],
                              text=True, capture_output=True, timeout=DEADLINE)
        return done.returncode, done.stdout

    with smtp_servers(*lab.backends), AdminPostern(lab, checked(lab)) as postern:
        postern.wait_stat(lambda rows: all(rows["inbound", b.label]["check_status"] == "L7OK" for b in lab.backends))
        status, said = check()
        assert status == 0 and "OK - checked 4 proxies" in said and "mx-FRONTEND=0" in said, said
        assert postern.ask("set server inbound/mta1 health down;disable health inbound/mta1") == "\n\n"
        wait_state(postern, lab.backends[0], "down")
        status, said = check()
        assert status == 2 and "mta1" in said.split("|")[0] and "DOWN" in said, said


@pytest.mark.topology(backends=2)
def test_ansibles_module_drains_weighs_and_enables(lab):
    def play(**arguments):
        words = " ".join(f"{k}={v}" for k, v in {"backend": "inbound", "socket": postern.socket, **arguments}.items())
        done = subprocess.run(["ansible", "localhost", "-c", "local", "-m", "community.general.haproxy", "-a", words],
                              env={**os.environ, "HOME": str(postern.run_directory), "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
                                   "ANSIBLE_LOCALHOST_WARNING": "False"}, text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with smtp_servers(*lab.backends), AdminPostern(lab, checked(lab)) as postern:
        postern.wait_stat(lambda rows: all(rows["inbound", b.label]["check_status"] == "L7OK" for b in lab.backends))
        assert "CHANGED" in play(host="mta1", state="disabled", wait="yes")
        assert postern.stat()["inbound", "mta1"]["status"] == "MAINT"
        assert "CHANGED" in play(host="mta1", state="enabled", weight="50%", wait="yes")
        assert postern.stat()["inbound", "mta1"]["status"] == "UP"
        assert postern.ask("get weight inbound/mta1") == "50 (initial 100)\n\n"
        assert "CHANGED" in play(host="mta1", state="drain", wait="yes")
        assert postern.stat()["inbound", "mta1"]["status"] == "DRAIN"
        assert postern.stat()["inbound", "mta2"]["status"] == "UP"


ONE_LINERS = [  # as in many a blog and cron job; what the shell must print
    ("echo 'show stat' | socat stdio {} | cut -d, -f1,2,18 | grep mta1", "inbound,mta1,no check"),
    ("echo 'show stat' | socat unix-connect:{} stdio | awk -F, '$2 == \"BACKEND\" {{print $1, $18}}'", "inbound UP"),
    ("echo 'show info' | socat - UNIX-CONNECT:{} | grep -E '^(Name|CurrConns):'", "Name: HAProxy\nCurrConns: 0"),
    ("echo 'show servers state inbound' | socat stdio {} | awk 'NR>2 && NF {{print $4, $5, $6}}'",
     "mta1 10.2.0.11 2\nmta2 10.2.0.12 2"),
    ("echo 'disable server inbound/mta2' | socat stdio {}; echo 'show stat -1 4 -1' | socat stdio {} | awk -F, '/mta2/ {{print $18}}'",
     "\nMAINT"),
    ("printf 'set server inbound/mta2 state ready; set weight inbound/mta2 30%%; get weight inbound/mta2\\n' | socat stdio {}",
     "\n\n30 (initial 100)"),
    ("echo 'show stat json' | socat stdio {} | python3 -c 'import json,sys; print(len(json.load(sys.stdin)))'", "4"),
]


@pytest.mark.topology(backends=2)
def test_one_liners_with_socat_print_what_they_do_with_haproxy(lab):
    with AdminPostern(lab, config(lab)) as postern:
        for line, expected in ONE_LINERS:
            done = subprocess.run(["sh", "-c", line.format(postern.socket, postern.socket)], text=True, capture_output=True, timeout=DEADLINE)
            assert done.stdout.rstrip("\n") == expected and not done.stderr, (line, done)
