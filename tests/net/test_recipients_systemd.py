# SPDX-License-Identifier: Apache-2.0
"""The recipient counter's unit under a real systemd, on a machine in the place of the lab's gateway."""
import re
import signal
import subprocess

import pytest

from daemon import SANITIZER_ENVIRONMENT, build_directory, parse_line
from machine import Machine
from recipients import CLIENT, PORT, ask, remembered

UNIT = "postern-recipients.service"
MOST_EXPOSURE = 1.5  # of systemd-analyze security, 10 is worst


@pytest.fixture
def machine(lab):
    made = Machine(lab)
    subprocess.run(["meson", "install", "-C", build_directory(), "--no-rebuild", "--quiet", "--destdir", made.root],
                   check=True, stdout=subprocess.DEVNULL)
    sanitizers = "".join(f'Environment="{name}={value}"\n' for name, value in
                         {**SANITIZER_ENVIRONMENT, "ASAN_OPTIONS": "detect_leaks=0"}.items())  # that would need ptrace()
    made.write(f"/etc/systemd/system/{UNIT}.d/story.conf", f"[Service]\n{sanitizers}")
    made.boot()
    made.follow_journal(UNIT)
    return made


def ask_once(lab, *words, **more):
    with lab.gateway.connect("127.0.0.1", PORT) as s:
        return ask(s, *words, **more)


@pytest.mark.topology(backends=0)
def test_systemd_starts_it_with_little_power_and_it_keeps_its_history(lab, machine):
    machine.write("/etc/default/postern-recipients",
                  'POSTERN_RECIPIENTS_OPTIONS=--source-limit=50/min "--defer=4.7.1 Too many, try later"\n')
    machine.run("systemctl", "start", UNIT)
    assert machine.show("ActiveState", UNIT) == "active"
    assert ask_once(lab, "192.0.2.1", 49) == "action=DUNNO"
    assert ask_once(lab, "192.0.2.1", 101) == "action=DEFER 4.7.1 Too many, try later"
    assert parse_line(machine.wait_journal("event=alarm "))["source"] == "192.0.2.1"

    with open(f"/proc/{machine.init}/root/proc/{machine.show('MainPID', UNIT)}/status", encoding="ascii") as f:
        status = dict(line.split(":\t", 1) for line in f)
    assert int(status["Uid"].split()[0]) != 0 and int(status["CapBnd"], 16) == 0 and status["Seccomp"].strip() == "2"
    exposure = machine.run("systemd-analyze", "security", UNIT).stdout
    found = float(re.search(rf"Overall exposure level for {UNIT}: ([\d.]+)", exposure).group(1))
    assert found <= MOST_EXPOSURE, exposure

    machine.run("systemctl", "stop", UNIT)
    assert machine.show("Result", UNIT) == "success"
    machine.wait_journal("event=stopped")
    machine.run("systemctl", "start", UNIT)
    machine.wait_journal("history=works", count=2)
    assert remembered(machine.root / "var/lib/private/postern-recipients", CLIENT) == {"192.0.2.1": 150}


@pytest.mark.topology(backends=0)
def test_killed_it_comes_back_and_with_a_bad_option_it_does_not(lab, machine):
    machine.run("systemctl", "start", UNIT)
    machine.wait_journal("event=ready")  # said after systemd knows: it must not be killed in between
    machine.run("systemctl", "kill", f"--signal={signal.SIGKILL.value}", UNIT)
    machine.wait_journal("event=ready", count=2)
    assert ask_once(lab) == "action=DUNNO" and machine.show("NRestarts", UNIT) == "1"
    machine.write("/etc/default/postern-recipients", "POSTERN_RECIPIENTS_OPTIONS=--source-limit=many\n")
    machine.run("systemctl", "restart", UNIT, check=False)
    machine.wait_journal("--source-limit=many: no rate; for example 100/min or 1000/h")
    assert machine.show("ActiveState", UNIT) == "failed" and machine.show("ExecMainStatus", UNIT) == "64"
