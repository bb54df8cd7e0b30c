# SPDX-License-Identifier: Apache-2.0
"""The real daemon in a lab's gateway: its configuration, its life, its log lines and counters, and what it must leave behind."""
import collections
import contextlib
import ctypes
import itertools
import os
import pathlib
import re
import resource
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

from lab import VIP4, VIP6, hostport
from peers import converse, receive

DEADLINE = 30  # seconds for anything that should take milliseconds: the machine may be busy, never that busy

SANITIZER_TRACES = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")
SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def build_directory():
    """Where the programs under test are: tests/run says so; else the newest build."""
    if "POSTERN_BUILD" in os.environ:
        return pathlib.Path(os.environ["POSTERN_BUILD"])
    root = pathlib.Path(__file__).parents[2]
    builds = [d for d in root.glob("build*") if (d / "postern").exists()]
    assert builds, "nothing is built yet: tests/run builds, or set POSTERN_BUILD"
    return max(builds, key=lambda d: (d / "postern").stat().st_mtime)


def yaml_flow(value):
    """A Python value as YAML on one line (JSON is YAML; bare words stay bare, for the reader of a log)."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {yaml_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(yaml_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if re.fullmatch(r"[A-Za-z0-9_./-][A-Za-z0-9_.:/-]*", text) and not text.endswith(":") else f'"{text}"'


def backend_lines(backends, port=25, families=(4, 6), **extra):
    """Entries of `backends:` for backends of a lab. `extra` may be per backend: weight=[3, 1]."""
    entries = []
    for i, b in enumerate(backends):
        addresses = [hostport(b.v4, port)] * (4 in families) + [hostport(b.v6, port)] * (6 in families)
        entry = {"name": b.label, "address": addresses}
        entry.update({k: v[i] if isinstance(v, (list, tuple)) else v for k, v in extra.items()})
        entries.append(entry)
    return entries


def pool(backends, name="inbound", source="client", **settings):
    """One pool; `backends` as backend_lines() makes them. Scripted servers see no checks unless the story asks for them."""
    return {"name": name, "source": source, "check": {"type": "off"}, **settings, "backends": backends}


class Engine:
    """What carries a session from its greeting on: the kernel (it dissolves, the default), or postern's relay."""

    def __init__(self, name, **pool_settings):
        self.name, self.pool = name, pool_settings

    def __repr__(self):
        return self.name

    @property
    def dissolves(self):
        return self is DISSOLVED

    def assert_carried(self, lines, share=1.0):
        """
        These session lines are of sessions that this engine carried: all of the relay's; of those that dissolve at least this
        share, less than all where sessions may end before the quiet moment that it takes.
        """
        own = [s for s in lines if s["dissolved"] == ("yes" if self.dissolves else "no")]
        assert lines and len(own) >= len(lines) * (share if self.dissolves else 1), \
            f"{len(own)} of {len(lines)}; the others: " + \
            str(collections.Counter(s.get("relayed") for s in lines if s not in own).most_common(5))
        assert self.dissolves or {s["relayed"] for s in lines} == {"off"}

    def settle(self, postern, client, backend, greeting=b"220 hello\r\n"):
        """
        The backend greets, and both talk until the session has found its engine for good. Returns the bytes so far, from the
        client and from the backend. One session at a time: it goes by the counters.
        """
        def round_trip():
            client.sendall(b"NOOP\r\n")
            assert receive(backend, 6) == b"NOOP\r\n"
            backend.sendall(b"250 ok\r\n")
            assert receive(client, 8) == b"250 ok\r\n"

        before = postern.counters()["dissolved"]
        backend.sendall(greeting)
        assert receive(client, len(greeting)) == greeting
        rounds = self._repeat(postern, round_trip, lambda: postern.counters()["dissolved"] > before)
        return 6 * rounds, len(greeting) + 8 * rounds

    def settle_smtp(self, postern, client):
        """
        The same with a real server. Returns the bytes that the client has sent. It may have greeted long ago, and the session
        have dissolved since: what tells is that the gateway has no socket of it.
        """
        def socket_left():
            return postern.lab.gateway.run("ss", "-Htn", "state", "established", "dst", hostport(*client.getsockname()[:2])).stdout

        converse(client, "", "220")
        return 6 * self._repeat(postern, lambda: converse(client, "NOOP", "250"), lambda: not socket_left())

    def _repeat(self, postern, round_trip, is_settled):
        for rounds in range(1, 100):
            round_trip()
            if not self.dissolves or is_settled():
                return rounds
        raise AssertionError(f"the session does not dissolve: {postern.counters()}")


DISSOLVED = Engine("dissolved")
RELAY = Engine("relay", dissolve="off")


def listener(address=None, name="mx", to="inbound"):
    return {"name": name, "address": address or [hostport(VIP4, 25), hostport(VIP6, 25)], "pool": to}


UNLIMITED = {"sessions": "off"}  # a story's many clients share a few addresses


def configuration(pools, listeners=None, gateway=None, sources=None, limits=None):
    """The text of a configuration file. Sources have no limits unless some are given; {}: those of the product."""
    limits = UNLIMITED if limits is None else limits
    lines = ["gateway: " + yaml_flow({"name": "gw1", **(gateway or {})})]
    lines += ["sources: " + yaml_flow(sources)] * bool(sources)
    lines += ["source_limits: " + yaml_flow(limits)] * bool(limits)
    lines += ["listeners:"]
    lines += ["  - " + yaml_flow(entry) for entry in listeners or [listener()]]
    lines += ["pools:"]
    for p in pools:
        settings = {k: v for k, v in p.items() if k != "backends"}
        first, *rest = [f"{k}: {yaml_flow(v)}" for k, v in settings.items()]
        lines += [f"  - {first}", *(f"    {line}" for line in rest)]
        lines += ["    backends:"] * bool(p["backends"])  # none where all are discovered
        lines += ["      - " + yaml_flow(entry) for entry in p["backends"]]
    return "\n".join(lines) + "\n"


def parse_line(text):
    """One logfmt line as a dict of strings; lines of another form become {"text": line}."""
    try:
        words = shlex.split(text) if '"' in text else text.split()
    except ValueError:
        return {"text": text}
    if not words or any("=" not in w for w in words):
        return {"text": text}
    return dict(w.split("=", 1) for w in words)


def wait_readable(fd, seconds):
    """Whether there is something to read before so many seconds have passed; select() knows no fd beyond 1023."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll.poll(max(seconds, 0) * 1000)


class LogFile:
    """A growing log. Waiting is for the file to change (inotify), never for time to pass."""

    def __init__(self, path):
        self.path = path
        open(path, "ab").close()
        self._file = open(path, "rb")
        self._rest = b""
        self.lines = []
        self._watch = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        assert self._watch >= 0 and _libc.inotify_add_watch(self._watch, os.fsencode(path), 2) >= 0  # IN_MODIFY

    def close(self):
        self._file.close()
        os.close(self._watch)

    def read(self):
        """Takes in what was written; `lines` then holds every complete line so far."""
        while chunk := self._file.read(1 << 20):
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            self.lines.extend(line.decode(errors="replace") for line in whole)
        return self.lines

    def wait(self, found, what, deadline=DEADLINE, alive=lambda: True):
        """Until found(lines) returns something true, which is returned. `alive` ends a hopeless wait early."""
        end = time.monotonic() + deadline
        while True:
            living = alive()
            if result := found(self.read()):
                return result
            left = end - time.monotonic()
            if left <= 0 or not living:
                why = "in time" if living else "and the program has ended"
                raise AssertionError(f"{what}: not seen {why}")
            wait_readable(self._watch, min(left, 1.0))
            try:
                os.read(self._watch, 4096)
            except BlockingIOError:
                pass


class Postern:
    """
    postern in a lab's gateway. As a context manager it starts the daemon, and at the end stops it (SIGTERM) and checks what it
    leaves: status 0, no word from a sanitizer, rules, routes, BPF programs and pins as before. A story ends its sessions before.
    """

    def __init__(self, lab, config, wrapper=(), environment=None, expect_status=0):
        self.lab = lab
        self.config = config
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="postern-test-"))
        self.file = self.directory / "postern.yaml"
        self.file.write_text(config)
        self.program = build_directory() / "postern"
        self.wrapper = [str(w) for w in wrapper]
        self.environment = {**os.environ, **SANITIZER_ENVIRONMENT, **(environment or {})}
        self.expect_status = expect_status
        self.process = None
        self.log = None
        self.before = None  # the host's state; a story that changes it itself sets it to None: nothing is compared
        lab.defer(self._remove)

    # Life

    def run(self, *options, timeout=60):
        """Runs `postern -f FILE options` to its end, in the gateway (for -c, --plan and refusals)."""
        return subprocess.run(self.command(*options), env=self.environment, text=True, capture_output=True,
                              timeout=timeout)

    def command(self, *options):
        return self.lab.gateway.command(*self.wrapper, self.program, "-f", self.file, *options)

    def start(self):
        """Starts the daemon and waits until it says that it has started."""
        if self.before is None:
            self.before = self.lab.host_state()
        self.log = LogFile(self.directory / f"log.{time.monotonic_ns()}")
        with open(self.log.path, "ab") as out:
            self.process = subprocess.Popen(self.command(), env=self.environment, stdout=out, stderr=out,
                                            stdin=subprocess.DEVNULL)
        self.wait(event="start")
        if self.lab.on_shell:
            self.lab.on_shell(self)
        return self

    def __enter__(self):
        try:
            return self.start()
        except AssertionError as error:
            self._show_when_failed(error)
            raise

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                self.stop()
        finally:
            self._show_when_failed(error)
            self._remove()

    def send(self, number):
        self.process.send_signal(number)

    def reload(self, config, event="reload"):
        """Writes another configuration and sends HUP. Returns the line that says what came of it, and those of its changes."""
        since = len(self.log.read())
        self.config = config
        self.file.write_text(config)
        self.send(signal.SIGHUP)
        line = self.wait(since=since, event=event)
        return line, [f"{c['what']}: {c['before']} -> {c['after']}" for c in _matching(self.log.read(), {"event": "reload_change"}, since)]

    def stop(self, number=signal.SIGTERM, deadline=DEADLINE):
        """
        Waits until the story's sessions have ended, tells it to end, waits for that, and checks what it left. TERM alone waits
        for relayed sessions only; dissolved ones would be left behind.
        """
        if self.process is None:
            return
        self.wait_idle(deadline)
        self.send(number)
        self.wait_end(deadline)
        self.check_left_nothing()

    def wait_end(self, deadline=DEADLINE):
        """Waits until the daemon has ended by itself; its status must be the expected one."""
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"postern did not end within {deadline} s\n{self.tail()}") from None
        self.process = None
        self.log.read()
        assert status == self.expect_status, f"postern ended with status {status}\n{self.tail()}"

    def kill(self):
        """kill -9: it leaves what it has set up."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def flush(self):
        """`postern --flush`; what it says."""
        done = self.run("--flush")
        assert done.returncode == 0 and not any(word in done.stderr for word in SANITIZER_TRACES), done.stderr
        return done.stdout

    def check_left_nothing(self):
        self.check_sanitizer_silent()
        after = self.lab.host_state() if self.before else None
        assert after == self.before, f"the host is not as it was:\nbefore {self.before}\nafter {after}"

    def check_sanitizer_silent(self):
        for line in self.log.read():
            assert not any(word in line for word in SANITIZER_TRACES), "a sanitizer spoke:\n" + self.tail(200)

    def _remove(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.log is not None:
            self.log.close()
            self.log = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _show_when_failed(self, error):
        if error is not None and self.log is not None:
            print(f"--- {self.file.name}\n{self.config}--- the daemon's log, its end\n{self.tail()}")

    def tail(self, lines=40, sessions=10):
        """The log's end: the last events, and the last of those lines that would hide them otherwise."""
        seen = self.log.read()
        kinds = {"event=session ": [], "event=counters ": [], "": []}
        for number, line in enumerate(seen):
            kinds[next(kind for kind in kinds if kind in line)].append(number)
        numbers = kinds[""][-lines:] + kinds["event=session "][-sessions:] + kinds["event=counters "][-2:]
        return "\n".join(seen[n] for n in sorted(numbers))

    # Log lines and counters

    def lines(self, **fields):
        """All log lines with these fields, as dicts."""
        return list(_matching(self.log.read(), fields, 0))

    def sessions(self, **fields):
        return self.lines(event="session", **fields)

    def wait(self, deadline=DEADLINE, count=1, since=0, **fields):
        """Waits until `count` lines (after line number `since`) have these fields; returns the last of them as a dict."""
        what = f"{count} line(s) with " + " ".join(f"{k}={v}" for k, v in fields.items())
        found = []
        seen = since

        def enough(lines):
            nonlocal seen
            found.extend(_matching(lines, fields, seen))
            seen = len(lines)
            return found[count - 1] if len(found) >= count else None

        return self.log.wait(enough, what, deadline, alive=lambda: self.process and self.process.poll() is None)

    def wait_sessions(self, count, deadline=DEADLINE, **fields):
        """Waits for `count` session lines with these fields; returns all there are."""
        self.wait(deadline, count, event="session", **fields)
        return self.sessions(**fields)

    def counters(self):
        """The daemon's counters now, as numbers."""
        since = len(self.log.read())
        self.send(signal.SIGUSR1)
        return _numbers(self.wait(since=since, event="counters", **self.who))

    def last_counters(self):
        """The counters it wrote at its end."""
        return _numbers(self.lines(event="counters")[-1])

    def wait_counter(self, deadline=DEADLINE, **wanted):
        """Asks until each named counter is at least so big; returns them all. Counters have no event to wait for."""
        end = time.monotonic() + deadline
        while True:
            now = self.counters()
            if all(now[name] >= value for name, value in wanted.items()):
                return now
            assert time.monotonic() < end, f"counters never reached {wanted}: {now}"
            select.select([], [], [], 0.05)

    def wait_idle(self, deadline=DEADLINE):
        """Until there is no session."""
        end = time.monotonic() + deadline
        while (now := self.counters())["sessions"] > 0:
            assert time.monotonic() < end, f"sessions are left: {now}"
            select.select([], [], [], 0.01)
        return now

    who = {}  # fields of its lines, where another daemon writes into the same log

    # What it uses

    @property
    def pid(self):
        return self.process.pid

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait_descriptors(self, at_most, deadline=DEADLINE):
        """Until it has no more than that: the sockets of a session outlive its dissolving, and its line, for a moment."""
        end = time.monotonic() + deadline
        while (now := self.descriptors()) > at_most:
            assert time.monotonic() < end, f"{now} descriptors, not {at_most}\n{self.tail()}"
            select.select([], [], [], 0.01)

    def limit_descriptors(self, spare):
        """Leaves the daemon so many more descriptors than it has now. Returns a function that lifts the limit again."""
        before = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        used = {int(name) for name in os.listdir(f"/proc/{self.pid}/fd")}
        free = itertools.islice((n for n in itertools.count() if n not in used), spare)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (max(free) + 1, before[1]))
        return lambda: resource.prlimit(self.pid, resource.RLIMIT_NOFILE, before)

    @contextlib.contextmanager
    def workers_held(self):
        """The worker threads stand still, the rest of the daemon and the kernel go on."""
        names = {int(t.name): (t / "comm").read_text() for t in pathlib.Path(f"/proc/{self.pid}/task").iterdir()}
        held = []
        try:
            for thread in (t for t, name in names.items() if name.startswith("worker")):
                _ptrace(PTRACE_SEIZE, thread)
                held.append(thread)
                _ptrace(PTRACE_INTERRUPT, thread)
                os.waitpid(thread, WALL)
            yield
        finally:
            for thread in held:
                _ptrace(PTRACE_DETACH, thread)

    def cpu_seconds(self):
        """What the process has used since its start; no busy machine changes it."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _matching(lines, fields, since):
    """Parses only lines that contain a wanted field: logs have a hundred thousand lines."""
    wanted = {k: str(v) for k, v in fields.items()}
    needles = [f"{k}={v}" if re.fullmatch(r"[\w.:\[\]/-]*", v) else f"{k}=" for k, v in wanted.items()]
    for line in lines[since:]:
        if all(n in line for n in needles):
            parsed = parse_line(line)
            if all(parsed.get(k) == v for k, v in wanted.items()):
                yield parsed


def _numbers(line):
    """A counter that is zero may be left out of the line."""
    return collections.Counter({k: int(v) for k, v in line.items() if v.isdigit()})
