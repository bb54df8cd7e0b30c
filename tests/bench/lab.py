# SPDX-License-Identifier: Apache-2.0
"""
One contestant's three namespaces, joined by veth pairs:

    client  100.64.0.2 eth0 ------- c<n> 100.64.0.1  gateway  10.2.0.1 b<n> ------- eth0 10.2.0.11  backend
            198.51.100.0/24, all local               203.0.113.25 is the VIP                    mailload serve on port 25

Every route between them asks for cubic, whatever the host's default is. With steering, packets are taken in on the core of
the namespace they arrive in (RPS with one core per device); without, veth handles them on the core of their sender.
"""
import itertools
import json
import os
import subprocess
import time

import processes
from machine import BenchError

VIP = "203.0.113.25"
BACKEND = "10.2.0.11"
CLIENTS = "198.51.100.0/24"
BACKLOG = 8192
_serial = itertools.count(1)

SETTINGS = {
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.core.somaxconn": BACKLOG,
    "net.ipv4.tcp_max_syn_backlog": BACKLOG,
}


def shell(script):
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"a namespace could not be set up:\n{done.stderr}{script}")
    return done.stdout


class Lab:
    """Made with its server; close() removes it."""

    def __init__(self, mailload, cores, folder, janitor, steering):
        self.mailload, self.cores, self.janitor = mailload, cores, janitor
        number = f"{os.getpid()}n{next(_serial)}"
        self.folder = os.path.join(folder, number)
        os.mkdir(self.folder)
        self.client, self.gateway, self.backend = (f"pb{number}-{role}" for role in ("client", "gateway", "backend"))
        self.client_side, self.backend_side = f"c{number}", f"b{number}"
        self.server = None
        for name in (self.client, self.gateway, self.backend):
            janitor.namespace(name)
        self._make_links()
        if steering == "rps":
            self._steer()
        self._start_server()

    def _make_links(self):
        c, g, b = self.client, self.gateway, self.backend
        settings = " ".join(f"{key}={value}" for key, value in SETTINGS.items())
        for name in (c, g, b):
            shell(f"ip netns add {name}\nip -n {name} link set lo up\nip netns exec {name} sysctl -qw {settings}")
        shell(f"""
            ip -n {c} link add name eth0 type veth peer name {self.client_side} netns {g}
            ip -n {b} link add name eth0 type veth peer name {self.backend_side} netns {g}
            ip -n {c} addr add 100.64.0.2/30 dev eth0
            ip -n {b} addr add {BACKEND}/24 dev eth0
            ip -n {g} addr add 100.64.0.1/30 dev {self.client_side}
            ip -n {g} addr add 10.2.0.1/24 dev {self.backend_side}
            ip -n {c} link set eth0 up
            ip -n {b} link set eth0 up
            ip -n {g} link set {self.client_side} up
            ip -n {g} link set {self.backend_side} up
            ip -n {c} route add default via 100.64.0.1 congctl cubic
            ip -n {c} route add local {CLIENTS} dev lo
            ip -n {b} route add default via 10.2.0.1 congctl cubic
            ip -n {b} route replace 10.2.0.0/24 dev eth0 proto kernel src {BACKEND} congctl cubic
            ip -n {g} route add {CLIENTS} via 100.64.0.2 congctl cubic
            ip -n {g} route replace 10.2.0.0/24 dev {self.backend_side} proto kernel src 10.2.0.1 congctl cubic
            ip netns exec {g} sysctl -qw net.ipv4.ip_forward=1""")

    def _steer(self):
        for name, device, core in ((self.client, "eth0", self.cores.client), (self.backend, "eth0", self.cores.backend),
                                   (self.gateway, self.client_side, self.cores.gateway),
                                   (self.gateway, self.backend_side, self.cores.gateway)):
            words = [f"{(1 << core) >> shift & 0xffffffff:x}" for shift in range(core // 32 * 32, -1, -32)]
            shell(f"ip netns exec {name} sh -c 'echo {','.join(words)} >/sys/class/net/{device}/queues/rx-0/rps_cpus'")

    def _start_server(self):
        self.server = processes.start(
            self.janitor, [self.mailload, "serve", "--backlog", BACKLOG, f"{BACKEND}:25"], self.backend,
            self.cores.backend, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if "ready" not in self.server.stderr.readline():
            raise BenchError("the server in the backend namespace did not start")

    def start_gateway(self, command, log):
        """A contestant's program on the gateway's core."""
        with open(log, "w", encoding="utf-8") as f:
            return processes.start(self.janitor, command, self.gateway, self.cores.gateway, stdin=subprocess.DEVNULL,
                                   stdout=f, stderr=f)

    def start_client(self, target, *arguments):
        return processes.start(
            self.janitor, [self.mailload, *arguments, "--to", target, "--from", CLIENTS], self.client,
            self.cores.client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_for_sessions(self, target, is_alive, deadline=15):
        """Until a whole session passes."""
        end = time.monotonic() + deadline
        while True:
            client = self.start_client(target, "sessions", "--count", "1", "--timeout", "2")
            _, words = client.communicate()
            if client.returncode == 0:
                return
            if not is_alive():
                raise BenchError("its process has ended")
            if time.monotonic() > end:
                raise BenchError(f"no session passes to {target}: {words.strip()}")
            time.sleep(0.05)

    def check_cubic(self, target):
        """Both ends of both connections of a session use cubic."""
        client = self.start_client(target, "hold", "--until-stdin-eof")
        if "ready" not in client.stderr.readline():
            raise BenchError(f"a session to {target} could not be held")
        for name in (self.client, self.gateway, self.backend):
            for line in shell(f"ip netns exec {name} ss -tinHO state established").splitlines():
                if " cubic " not in line:
                    raise BenchError(f"a connection in {name} is not on cubic: {line}")
        client.communicate()

    def close(self):
        if self.server:
            processes.stop(self.server)
        for name in (self.client, self.gateway, self.backend):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def result_of(client, words_before=""):
    """The JSON of a mailload that has been told everything; raises when it failed."""
    out, words = client.communicate()
    if client.returncode:
        raise BenchError(f"mailload ended with status {client.returncode}: {words_before}{words}{out}")
    return json.loads(out)
