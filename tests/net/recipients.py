# SPDX-License-Identifier: Apache-2.0
"""postern-recipients beside a real Postfix, in one backend of a lab, and clients that send mail to it."""
import contextlib
import os
import pathlib
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time

from daemon import DEADLINE, SANITIZER_ENVIRONMENT, SANITIZER_TRACES, LogFile, build_directory, parse_line
from mta_stage import MESSAGE, RECIPIENT, Smtp
from web import parse_metrics, total

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "man" / "postern-recipients.8.scd"
PORT, METRICS_PORT = 10125, 9126
CLIENT, USER, TOTAL = range(3)  # classes, as the database has them
SENDER = "sender@stranger.example"


def program():
    return build_directory() / "tools" / "recipients" / "postern-recipients"


def main_cf_line():
    """The line for main.cf of the manual page."""
    found = re.findall(r"^smtpd_end_of_data_restrictions = .*\n", PAGE.read_text(), re.M)
    assert len(found) == 1, found
    return found[0]


def history_file(directory):
    return pathlib.Path(directory) / "history.sqlite"


def this_hour():
    return int(time.time()) // 3600


class Recipients:
    """The program inside a namespace. As a context manager it is started, and at the end stopped; its status must be 0."""

    def __init__(self, namespace, *options, directory=None, wrapper=()):
        self.namespace, self.options, self.wrapper = namespace, options, [str(w) for w in wrapper]
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="postern-recipients-"))
        self.temporary = directory is None
        self.process = None
        self.log = LogFile(self.directory / f"log.{time.monotonic_ns()}")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, error, trace):
        try:
            if error is None and self.process.poll() is None:
                self.stop()
        finally:
            if self.process.poll() is None:
                self.kill()
            if error is not None:
                print("\n".join(self.log.read()))
            self.log.close()
            if self.temporary:
                shutil.rmtree(self.directory)

    def start(self):
        options = [] if "--database" in self.options else ["--database", history_file(self.directory)]
        with open(self.log.path, "ab") as out:
            self.process = subprocess.Popen(
                self.namespace.command(*self.wrapper, program(), *options, *self.options),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **SANITIZER_ENVIRONMENT})
        self.wait("ready")

    def stop(self):
        self.process.terminate()
        status = self.process.wait(DEADLINE)
        lines = self.log.read()
        assert status == 0 and not any(w in line for line in lines for w in SANITIZER_TRACES), "\n".join(lines)
        assert "event=stopped" in lines[-1]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def events(self, event, **fields):
        parsed = map(parse_line, self.log.read())
        return [p for p in parsed if p.get("event") == event and fields.items() <= p.items()]

    def wait(self, event, deadline=DEADLINE, count=1, **fields):
        """Until there are so many lines of an event with these fields; the last of them."""
        return self.log.wait(lambda _: (self.events(event, **fields)[count - 1:] or [None])[0], f"{event} {fields}", deadline,
                             alive=lambda: self.process.poll() is None)

    def scrape(self):
        return self.namespace.run("curl", "-sS", "--fail", f"http://127.0.0.1:{METRICS_PORT}/metrics").stdout

    def metric(self, name, **labels):
        return total(parse_metrics(self.scrape()), f"postern_recipients_{name}", **labels)

    def connect(self):
        return self.namespace.connect("127.0.0.1", PORT)

    @staticmethod
    def connect_unix(path):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(DEADLINE)
        s.connect(str(path))
        return s

    def status(self):
        """The kernel's words about the process."""
        return pathlib.Path(f"/proc/{self.process.pid}/status").read_text()


def request(client="192.0.2.1", recipients=1, state="END-OF-MESSAGE", **more):
    """A question as Postfix asks it."""
    given = {"request": "smtpd_access_policy", "protocol_state": state, "protocol_name": "ESMTP", "client_address": client,
             "recipient_count": recipients, **more}
    return "".join(f"{name}={value}\n" for name, value in given.items()).encode() + b"\n"


def ask(s, *words, **more):
    """Asks over a connection; the answer without its empty line."""
    s.sendall(request(*words, **more))
    with contextlib.closing(s.makefile("rb")) as lines:
        answer, end = lines.readline(), lines.readline()
    assert end == b"\n", (answer, end)
    return answer.decode().rstrip("\n")


def smtp(client, mta, source):
    """A session with the server, from one address."""
    family_host = mta.namespace.v6 if ":" in source else mta.namespace.v4
    return Smtp(lambda: client.connect(family_host, 25, source), mta.name)


def names(count, start=0):
    user, domain = RECIPIENT.split("@")
    return [f"{user}{start + i}@{domain}" for i in range(count)]


def send(session, recipients=1):
    """One message to so many recipients over a session."""
    assert session.sendmail(SENDER, names(recipients), MESSAGE) == {}


def remember(directory, rows):
    """Writes history as the program would have: (hour, class, name, recipients) each, once it has made the table."""
    with contextlib.closing(sqlite3.connect(history_file(directory))) as db, db:
        db.executemany("INSERT INTO hours VALUES (?, ?, ?, ?, 1, ?)", [(*row, row[3]) for row in rows])


def remembered(directory, hour_class):
    """{name: recipients} of a class over all hours."""
    with contextlib.closing(sqlite3.connect(history_file(directory))) as db:
        return dict(db.execute("SELECT name, sum(recipients) FROM hours WHERE class = ? GROUP BY name", (hour_class,)))

