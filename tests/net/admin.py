# SPDX-License-Identifier: Apache-2.0
"""The admin socket of a daemon, as tools use it."""
import csv
import os
import pathlib
import select
import shutil
import socket
import tempfile
import time

from daemon import DEADLINE, Postern, yaml_flow


class AdminPostern(Postern):
    """postern with an admin socket, in a directory of its own."""

    def __init__(self, lab, config, admin=None, **kw):
        self.admin = admin or {}
        self.run_directory = pathlib.Path(tempfile.mkdtemp(prefix="postern-admin-"))  # sun_path is short
        os.chmod(self.run_directory, 0o755)
        lab.defer(shutil.rmtree, self.run_directory, True)
        self.socket = self.run_directory / "admin.sock"
        super().__init__(lab, self.with_admin(config), **kw)

    def with_admin(self, config, **settings):
        return "admin: " + yaml_flow({"socket": str(self.socket), **self.admin, **settings}) + "\n" + config

    def connect(self):
        return connect(self.socket)

    def ask(self, text):
        return ask(self.socket, text)

    def stat(self):
        return parse_stat(self.ask("show stat"))

    def info(self):
        return dict(line.split(": ", 1) for line in self.ask("show info").strip().split("\n"))

    def wait_stat(self, holds):
        """The rows of show stat, once holds(rows)."""
        end = time.monotonic() + DEADLINE
        while not holds(rows := self.stat()):
            assert time.monotonic() < end, rows
            select.select([], [], [], 0.05)
        return rows


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(DEADLINE)
    s.connect(str(path))
    return s


def receive_rest(s):
    data = b""
    while chunk := s.recv(1 << 16):
        data += chunk
    return data.decode("ascii")


def ask(path, text, half_close=False):
    """Sends a line, returns all that comes until the other side closes."""
    with connect(path) as s:
        s.sendall(text.encode() + b"\n")
        if half_close:
            s.shutdown(socket.SHUT_WR)
        return receive_rest(s)


def parse_stat(text):
    """{(proxy, service): {column: value}}; every row has as many fields as the header."""
    rows = list(csv.reader(text.removeprefix("# ").rstrip("\n").split("\n")))
    assert all(len(row) == len(rows[0]) and row[-1] == "" for row in rows), text
    return {(row[0], row[1]): dict(zip(rows[0], row)) for row in rows[1:]}
