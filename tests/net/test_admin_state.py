# SPDX-License-Identifier: Apache-2.0
"""The state file: what operators have changed outlives the daemon, and no file keeps the daemon from starting."""
import os
import re
import select
import time

import pytest

from admin import AdminPostern, ask
from daemon import DEADLINE, backend_lines, configuration, pool
from load import serve_all
from peers import receive_all, smtp_session
from upgrading import Upgrading


def config(lab, backends=None, **settings):
    return configuration([pool(backend_lines(backends or lab.backends), slow_start="0s", **settings)])


class StatePostern(AdminPostern):
    """With a state file; started again and again."""

    def __init__(self, lab, config, **kw):
        super().__init__(lab, config, **kw)
        self.state = self.run_directory / "servers.state"
        self.admin = {"state_file": str(self.state)}
        self.use(config)

    def use(self, config):
        self.config = self.with_admin(config)
        self.file.write_text(self.config)

    def begin_anew(self):
        self.stop()
        self.start()

    def wait_state(self, pattern):
        """The file, once it has this."""
        end = time.monotonic() + DEADLINE
        while not (self.state.exists() and re.search(pattern, text := self.state.read_text(), re.M)):
            assert time.monotonic() < end, self.state.read_text() if self.state.exists() else "there is no file"
            select.select([], [], [], 0.02)
        return text


@pytest.mark.topology(backends=2)
def test_changes_outlive_the_daemon_even_when_it_is_killed(lab):
    one, two = lab.backends
    with StatePostern(lab, config(lab, [one])) as postern:
        assert not postern.state.exists()
        assert postern.ask(f"set weight inbound/{one.label} 7;set maxconn server inbound/{one.label} 5") == "\n\n"
        assert postern.ask(f"add server inbound/new {two.v4}:25 weight 20 enabled") == "New server registered.\n\n"
        assert postern.ask(f"disable server inbound/{one.label}") == "\n"
        postern.wait_state(f" {one.label} .* 1 7 100 ")
        before = postern.ask("show servers state")
        postern.kill()
        postern.start()

        def lasting(text):  # all but how long, and the checks
            return [line.split(" ")[:9] + line.split(" ")[15:] for line in text.split("\n")]

        assert lasting(postern.ask("show servers state")) == lasting(before)
        serve_all(lab)
        with lab.connect() as s:
            assert smtp_session(s).split()[1] == two.label
        assert postern.ask(f"set server inbound/{one.label} addr 10.2.0.50 port 26;enable server inbound/{one.label}")
        postern.wait_state(f" {one.label} 10.2.0.50 2 0 7 100 .* 26 ")
        postern.use(config(lab, [one]).replace(f"name: {one.label},", f"name: {one.label}, weight: 30,"))
        postern.begin_anew()
        assert postern.stat()["inbound", one.label]["addr"].startswith("10.2.0.50:26")
        assert postern.ask(f"get weight inbound/{one.label}") == "30 (initial 30)\n\n"  # the configuration's, since it is new
        assert postern.stat()["inbound", one.label]["slim"] == "5"


BAD = [
    ("", None), ("2\n", "the format is not version 1"), ("1\n# be_id\n", "these are not the columns"), ("1\n", None),
    ("\0" * 1000, "no end"), ("\x80\xff;\n" * 999, "not version 1"), ("x" * 1000000 + "\n", "too long"),
]


@pytest.mark.topology(backends=1)
def test_no_file_keeps_it_from_starting(lab):
    name = lab.backends[0].label
    with StatePostern(lab, config(lab)) as postern:
        assert postern.ask(f"set weight inbound/{name} 7") == "\n"
        good = postern.wait_state(f" {name} .* 7 100 ")
        for text, why in BAD:
            postern.stop()
            postern.state.write_bytes(text.encode("latin1"))
            postern.start()
            assert postern.ask(f"get weight inbound/{name}") == "100 (initial 100)\n\n"
            if why:
                assert re.search(rf"{postern.state}:\d+: .*{why}.*; left out", postern.log.path.read_text(errors="replace"))
        postern.stop()
        # A line of something else, and a last one that is cut off.
        postern.state.write_text(good + f"3 inbound 9 odd 10.2.0.77 2 0 x 100\n{good.splitlines()[2]}")
        postern.start()
        assert postern.ask(f"get weight inbound/{name}") == "7 (initial 100)\n\n"
        said = postern.log.path.read_text()
        assert f"{postern.state}:4: it has not the right number of fields; left out" in said
        assert f"{postern.state}:5: the line has no end: the file was cut off; left out" in said


@pytest.mark.topology(backends=1)
def test_a_file_that_cannot_be_written_is_told_once_and_written_as_soon_as_it_can(lab):
    name = lab.backends[0].label
    with StatePostern(lab, config(lab)) as postern:
        away = postern.run_directory / "away"
        postern.admin = {"state_file": str(away / "servers.state")}
        postern.reload(postern.with_admin(config(lab)))
        assert "No such file" in postern.wait(event="state_file")["error"]
        away.mkdir()
        assert postern.ask(f"set weight inbound/{name} 8") == "\n"
        assert postern.wait(event="state_file", text="written again")
        assert f" {name} " in (away / "servers.state").read_text()


@pytest.mark.topology(backends=1)
def test_the_state_that_haproxy_would_save_is_understood(lab):
    name = lab.backends[0].label
    with StatePostern(lab, config(lab)) as postern:
        lines = postern.ask("show servers state").rstrip("\n").split("\n")
        columns, fields = lines[1].split(" ")[:26], lines[2].split(" ")[:25]
        fields[6], fields[7] = "8", "50"
        postern.stop()
        postern.state.write_text("1\n" + " ".join(columns) + "\n" + " ".join(fields) + "\n")
        postern.start()
        assert postern.ask(f"get weight inbound/{name}") == "50 (initial 100)\n\n"
        assert postern.stat()["inbound", name]["status"] == "DRAIN"


@pytest.mark.topology(backends=2)
def test_changes_and_the_tcp_way_go_over_to_the_new_process_of_an_upgrade(lab):
    one, two = lab.backends
    with Upgrading(lab, config(lab, [one])) as postern:
        path, state = postern.directory / "admin.sock", postern.directory / "servers.state"
        lab.gateway.ip("link set lo up")
        postern.stop()
        postern.file.write_text(config(lab, [one]) + f"admin: {{socket: {path}, tcp: '127.0.0.1:9999', state_file: {state}}}\n")
        postern.start()
        assert ask(path, f"add server inbound/new {two.v4}:25 enabled;set weight inbound/{one.label} 7").startswith("New server")
        postern.upgrade()
        assert ask(path, f"get weight inbound/{one.label};get weight inbound/new") == "7 (initial 100)\n\n100 (initial 100)\n\n"
        with lab.gateway.connect("127.0.0.1", 9999) as s:
            s.sendall(b"show info\n")
            assert f"Pid: {postern.pid}\n" in receive_all(s).decode()
        assert ask(path, f"set weight inbound/{one.label} 8") == "\n"
        postern.upgrade()
        assert ask(path, f"get weight inbound/{one.label}") == "8 (initial 100)\n\n"
