# SPDX-License-Identifier: Apache-2.0
"""The unit under a real systemd: what the manager is told, what it does about it, and how little the process may."""
import collections
import json
import os
import re
import signal
import subprocess
import urllib.request

import pytest

from daemon import DEADLINE, SANITIZER_ENVIRONMENT, backend_lines, build_directory, configuration, parse_line, pool
from dissolving import Session, servers
from doctor import HOST_ONLY, SENDING
from lab import VIP4, VIP6
from load import serve_all
from machine import Machine
from peers import receive, scripted_server, smtp_session
from web import URL, with_http

CONFIGURATION = "/etc/postern/postern.yaml"
PACKAGED = "POSTERN_TREE" in os.environ  # tests/package: a bare Debian, with a package that is to be installed
MOST_EXPOSURE = 2.5  # of systemd-analyze security, 10 is worst


class Service:
    """postern.service on a machine in the place of the lab's gateway."""

    def __init__(self, machine):
        self.machine = machine

    def configure(self, config):
        self.machine.write(CONFIGURATION, config)

    def systemctl(self, *words, check=True):
        return self.machine.run("systemctl", *words, "postern.service", check=check)

    def start(self):
        self.systemctl("start")
        return self

    @property
    def pid(self):
        return int(self.machine.show("MainPID"))

    # As a Postern: what the helpers of dissolved sessions ask

    def counters(self):
        since = len(self.machine.journal.read())
        self.systemctl("kill", "--kill-who=main", "--signal=USR1")
        line = parse_line(self.machine.wait_journal("event=counters", since))
        return collections.Counter({k: int(v) for k, v in line.items() if v.isdigit()})

    def tail(self):
        return self.machine.tail()


def installed(lab, config, drop_in=""):
    """The service on a machine that has booted, with its configuration, as `meson install` or the package has left it."""
    machine = Machine(lab)
    if not PACKAGED:
        subprocess.run(["meson", "install", "-C", build_directory(), "--no-rebuild", "--quiet", "--destdir", machine.root],
                       check=True, stdout=subprocess.DEVNULL)
    sanitizers = "".join(f'Environment="{name}={value}"\n' for name, value in
                         {**SANITIZER_ENVIRONMENT, "ASAN_OPTIONS": "detect_leaks=0"}.items())  # that would need ptrace()
    machine.write("/etc/systemd/system/postern.service.d/story.conf", f"[Service]\n{sanitizers}{drop_in}")
    machine.boot()
    if PACKAGED:
        machine.run("dpkg", "--install", "/root/postern.deb")
    else:  # what a package does by itself
        machine.run("systemd-sysusers")
        machine.run("systemd-tmpfiles", "--create", "postern.conf")
    service = Service(machine)
    service.configure(config)
    return service


def plain(lab, **settings):
    return configuration([pool(backend_lines(lab.backends), **settings)])


@pytest.mark.topology(backends=2)
def test_systemd_starts_it_sees_it_reload_and_stops_it_and_leaves_it_little_power(lab):
    serve_all(lab)
    service = installed(lab, plain(lab))
    before = lab.host_state()
    machine = service.start().machine
    machine.wait_show("ActiveState", "active")
    with lab.connect(VIP4) as s:
        smtp_session(s)
    client = parse_line(machine.wait_journal("event=session"))["client"]
    assert client.startswith(f"[{lab.client.v4}]:")
    found = machine.run("journalctl", "--output=json", "POSTERN_EVENT=start").stdout
    event = json.loads(found)  # one entry
    assert (event["POSTERN_LISTENERS"], event["PRIORITY"], event["SYSLOG_IDENTIFIER"]) == ("1", "6", "postern")
    machine.wait_show("StatusText", "0 sessions, 0 of them dissolved; 2 of 2 backends take sessions")
    assert machine.show("User") == "postern"
    with open(f"/proc/{machine.init}/root/proc/{service.pid}/status", encoding="ascii") as f:
        status = dict(line.split(":\t", 1) for line in f)
    assert int(status["Uid"].split()[0]) != 0 and status["NoNewPrivs"].strip() == "1"

    service.configure(plain(lab, retries=1))
    service.systemctl("reload")
    machine.wait_journal("event=reload ")
    service.configure("listeners: nonsense\n")
    refused = service.systemctl("reload", check=False)
    assert refused.returncode != 0
    machine.wait_journal("postern.yaml:1:12: error:")
    machine.wait_show("ActiveState", "active")
    with lab.connect(VIP4) as s:
        smtp_session(s)

    exposure = machine.run("systemd-analyze", "security", "postern.service").stdout
    found = float(re.search(r"Overall exposure level for postern.service: ([\d.]+)", exposure).group(1))
    print(f"systemd-analyze security: {found}")
    assert found <= MOST_EXPOSURE, exposure

    service.systemctl("stop")
    assert machine.show("Result") == "success"
    assert lab.host_state() == before
    assert machine.run("sh", "-c", "ls -A /sys/fs/bpf/postern /run/postern 2>/dev/null | grep -v :", check=False).stdout.strip() == ""


ADMIN = "admin: {socket: /run/postern/admin.sock, state_file: /var/lib/postern/state}\n"


@pytest.mark.topology(backends=2)
def test_the_doctor_finds_nothing_wrong_with_what_is_installed_but_what_the_unit_s_user_may_not(lab):
    serve_all(lab)
    service = installed(lab, ADMIN + plain(lab))
    machine = service.start().machine
    machine.wait_show("ActiveState", "active")
    checks = [line.split()[0] for line in machine.run("posternctl", "doctor", "--list").stdout.splitlines()]
    only = ",".join(check for check in checks if check not in SENDING | HOST_ONLY)

    def wrong():
        found = json.loads(machine.run("posternctl", "doctor", "--json", "--only", only, check=False).stdout)
        assert found["pid"] == service.pid
        return {f["check"]: f for f in found["findings"] if f["verdict"] in ("warning", "failed")}

    assert not wrong()
    machine.run("chmod", "0600", CONFIGURATION)
    machine.run("chown", "root", "/var/lib/postern")
    found = wrong()
    assert set(found) == {"access", "state-file"}, found
    machine.run("sh", "-ec", "\n".join(found["access"]["mend"] + found["state-file"]["mend"]))
    assert not wrong()
    service.systemctl("stop")


@pytest.mark.topology(backends=1)
def test_the_watchdog_ends_a_daemon_that_stands_still_and_dissolved_sessions_live_through_it(lab):
    service = installed(lab, plain(lab), "WatchdogSec=4s\n").start()
    with servers(lab) as (server, _):
        session = Session(lab, server).dissolve(service)
        before = service.pid
        os.kill(_outside(service), signal.SIGSTOP)
        service.machine.wait_journal("Watchdog timeout")
        adopted = parse_line(service.machine.wait_journal("event=adopted"))
        assert (adopted["dissolved"], adopted["lost"]) == ("1", "0")
        service.machine.wait_show("ActiveState", "active")
        assert service.pid != before and service.machine.show("NRestarts") == "1"
        session.say()
        session.close()
        line = parse_line(service.machine.wait_journal("event=session"))
        assert (line["dissolved"], line["bytes_in"]) == ("yes", str(session.sent))


@pytest.mark.topology(backends=1)
def test_after_an_upgrade_in_place_systemd_looks_after_the_new_process_as_after_the_old_one(lab):
    service = installed(lab, plain(lab), "WatchdogSec=4s\n").start()
    machine, old = service.machine, service.pid
    service.systemctl("kill", "--kill-who=main", "--signal=USR2")
    machine.wait_journal("event=predecessors_ended")
    heir = int(machine.wait_show("MainPID", lambda now: now not in ("0", str(old))))
    heard = int(machine.show("WatchdogTimestampMonotonic"))
    machine.wait_show("WatchdogTimestampMonotonic", lambda now: int(now) > heard + 12_000_000)  # three times its time, in microseconds
    assert (service.pid, machine.show("NRestarts")) == (heir, "0")

    service.systemctl("kill", "--kill-who=main", "--signal=KILL")
    machine.wait_show("MainPID", lambda now: now not in ("0", str(heir)))
    machine.wait_show("ActiveState", "active")

    service.systemctl("kill", "--kill-who=main", "--signal=USR2")
    # It is the main process twice: taken for an alien first, then, with another one for a moment between, for systemd's own child.
    heir = int(machine.wait_journal("event=predecessors_ended", count=2).split("pid=")[1])
    machine.wait_journal("which is not our child", count=4)
    machine.wait_show("MainPID", str(heir))
    with scripted_server(lab.backends[0]) as server, lab.connect(VIP4) as s:
        backend, _ = server.accept()  # no greeting yet: it needs the daemon
        service.systemctl("stop", "--no-block")
        machine.wait_journal("event=drain")
        backend.sendall(b"220 late\r\n")
        assert receive(s, 10) == b"220 late\r\n"
        backend.close()
    machine.wait_show("ActiveState", "inactive")
    assert machine.show("Result") == "success"


@pytest.mark.topology(backends=1)
def test_clients_that_come_while_a_crashed_daemon_is_away_wait_for_the_next_one(lab):
    """Not over a stop: nobody shall wait for somebody who does not come back."""
    service = installed(lab, plain(lab), "RestartSec=3s\n").start()  # so that it is seen to be away
    machine = service.machine
    kept = machine.wait_show("NFileDescriptorStore", lambda n: int(n) >= 5)  # the link, and two sockets for each worker
    serve_all(lab)
    for _ in range(2):
        service.systemctl("kill", "--kill-who=main", "--signal=KILL")
        machine.wait_show("MainPID", "0")
        waiting = [lab.connect(vip) for vip in (VIP4, VIP6) for _ in range(20)]
        for s in waiting:
            smtp_session(s)
            s.close()
        machine.wait_show("NFileDescriptorStore", kept)
    service.systemctl("kill", "--kill-who=main", "--signal=USR2")
    machine.wait_journal("event=predecessors_ended")
    machine.wait_show("NFileDescriptorStore", kept)
    service.systemctl("stop")
    machine.wait_show("NFileDescriptorStore", "0")
    with pytest.raises(OSError):  # at once: the VIP is not even local any more
        lab.connect()


@pytest.mark.topology(backends=1)
def test_a_bad_configuration_is_refused_once_and_none_at_all_starts_nothing(lab):
    service = installed(lab, "listeners: nonsense\n")
    machine = service.machine
    service.systemctl("start", check=False)
    machine.wait_show("ActiveState", "failed")
    assert (machine.show("ExecMainStatus"), machine.show("NRestarts")) == ("78", "0")
    machine.wait_journal("postern.yaml:1:12: error:")
    service.systemctl("reset-failed")
    machine.run("rm", CONFIGURATION)
    service.systemctl("start")
    assert (machine.show("ActiveState"), machine.show("ConditionResult")) == ("inactive", "no")


def files_of(machine):
    """Everything that is not a log, a cache, or dpkg's or systemd's own book-keeping."""
    found = machine.run("find", "/etc", "/usr", "/var/lib", "/lib/systemd", "/sys/fs/bpf", "-xdev", "-not", "-path", "/var/lib/dpkg/*", "-not",
                        "-path", "/var/lib/systemd/*", "-not", "-path", "*/__pycache__*")
    accounts = {"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock"}
    return set(found.stdout.splitlines()) - accounts


def scraped(lab):
    with lab.gateway.entered(), urllib.request.urlopen(f"{URL}/metrics", timeout=DEADLINE) as answer:
        return answer.read()


@pytest.mark.skipif(not PACKAGED, reason="tests/package runs it, with a package")
@pytest.mark.topology(backends=1)
def test_a_package_is_installed_upgraded_under_sessions_and_purged_without_a_trace(lab):
    machine = Machine(lab).boot()
    before = files_of(machine)
    machine.run("dpkg", "--install", "/root/postern.deb")
    assert (machine.show("ActiveState"), machine.show("UnitFileState")) == ("inactive", "enabled")  # there is no configuration
    service = Service(machine)
    service.configure(with_http(plain(lab)))
    service.start()
    assert b"postern_sessions" in scraped(lab)  # by the libraries of this Debian
    with servers(lab) as (server, _):
        dissolved = Session(lab, server).dissolve(service)
        relayed = lab.connect(VIP4)
        backend, _ = server.accept()  # no greeting yet: it needs the daemon
        old = service.pid
        machine.run("dpkg", "--install", "/root/next.deb")
        machine.wait_journal("event=upgrade")
        machine.wait_show("MainPID", lambda now: now not in ("0", str(old)))
        assert b"postern_sessions" in scraped(lab)
        backend.sendall(b"220 late\r\n")
        assert receive(relayed, 10) == b"220 late\r\n"
        dissolved.say()
        with lab.connect(VIP4) as new:
            newest, _ = server.accept()
            newest.sendall(b"220 new\r\n")
            assert receive(new, 9) == b"220 new\r\n"
            newest.close()
        for s in (relayed, backend):
            s.close()
        dissolved.close()
    assert machine.show("NRestarts") == "0"
    # systemd looks after the new process as it did after the old one: when it dies, and when it is told to stop.
    machine.wait_journal("event=predecessors_ended")
    heir = service.pid
    service.systemctl("kill", "--kill-who=main", "--signal=KILL")
    machine.wait_show("MainPID", lambda now: now not in ("0", str(heir)))
    machine.wait_journal("event=start", count=3)
    machine.run("dpkg", "--purge", "postern")
    machine.wait_journal("event=stop", count=2)
    machine.run("rm", "-r", "/etc/postern")  # the story wrote its configuration there
    assert files_of(machine) - before == set()


def _outside(service):
    """The daemon's process as this side of the machine numbers it."""
    inside = service.pid
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
                numbers = next(line for line in f if line.startswith("NSpid:")).split()[1:]
        except (OSError, StopIteration):
            continue
        if len(numbers) > 1 and int(numbers[-1]) == inside and _is_below(int(pid), service.machine.init):
            return int(pid)
    raise AssertionError("the daemon's process is not seen from outside")


def _is_below(pid, ancestor):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        parent = int(f.read().rsplit(")", 1)[1].split()[1])
    return parent == ancestor
