# SPDX-License-Identifier: Apache-2.0
"""
The contestants. Each says how it is started in the gateway of its lab and where clients connect to; all have one worker, a
backlog of 8192, room for 8000 sessions, the sender's address towards the backend, and, but for the bare relay, write one line
for each session.
"""
import os

import processes
from lab import BACKEND, BACKLOG, VIP, shell
from machine import output_of

SESSIONS = 8000
VIP_ON_LO = "ip -n {gateway} addr add {vip}/32 dev lo"
# How answers to a client's address reach a transparent socket of HAProxy and nginx; postern brings its own way.
RETURN_PATH = """
ip -n {gateway} rule add fwmark 1 lookup 100
ip -n {gateway} route add local default dev lo table 100
ip netns exec {gateway} nft 'table inet bench {{ chain answers {{ type filter hook prerouting priority mangle;
  iifname "{side}" meta l4proto tcp socket transparent 1 meta mark set 1 accept; }}; }}'
"""


class Contestant:
    """One way of getting sessions across the gateway."""

    name = ""
    target = f"{VIP}:25"

    def __init__(self):
        self.process = None

    def version(self):
        return ""

    def configuration(self, lab):
        """Text of its configuration file; "" when it has none."""
        return ""

    def prepare(self, lab):
        """Changes to the gateway's namespace before it starts."""

    def command(self, path):
        """What is run with the configuration at `path`; None when nothing is."""
        return None

    def start(self, lab):
        self.prepare(lab)
        path = os.path.join(lab.folder, "configuration")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.configuration(lab))
        command = self.command(path)
        if command:
            self.process = lab.start_gateway(command, os.path.join(lab.folder, "log"))
        lab.wait_for_sessions(self.target, self.alive)
        lab.check_cubic(self.target)

    def pids(self):
        return processes.family(self.process.pid) if self.process else []

    def alive(self):
        return self.process is None or self.process.poll() is None

    def stop(self):
        if self.process:
            processes.stop(self.process)
            self.process = None


class Forwarding(Contestant):
    """No proxy: clients connect to the backend's own address, routed through the gateway."""

    name = "forwarding"
    target = f"{BACKEND}:25"

    def version(self):
        return "the kernel's, ip_forward=1"


class BareRelay(Contestant):
    """
    Receives and sends, and nothing else, not even a line for a session: what is left to a copying proxy. The backend's answers
    come back by a routing rule, without a look at any packet.
    """

    name = "bare-relay"
    binary = ""

    def version(self):
        return "tests/bench/bare_relay.c"

    def prepare(self, lab):
        shell((VIP_ON_LO + """
ip -n {gateway} rule add iif {side} lookup 100
ip -n {gateway} route add local default dev lo table 100
""").format(gateway=lab.gateway, vip=VIP, side=lab.backend_side))

    def command(self, path):
        return [self.binary, VIP, BACKEND]


class Proxy(Contestant):
    """HAProxy and nginx: the VIP is an address of the gateway, answers come back by nft `socket transparent`."""

    def prepare(self, lab):
        shell((VIP_ON_LO + RETURN_PATH).format(gateway=lab.gateway, vip=VIP, side=lab.backend_side))


class Haproxy(Proxy):
    """Transparent by `usesrc clientip`, copying."""

    name = "haproxy"
    options = ""

    def version(self):
        return output_of("haproxy", "-v").splitlines()[0]

    def configuration(self, lab):
        return f"""global
    nbthread 1
    maxconn {SESSIONS}
    maxpipes 500
    log stdout format raw local0
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 4s
    timeout client 11m
    timeout server 11m
{self.options}listen mx
    bind {VIP}:25 backlog {BACKLOG}
    source 0.0.0.0 usesrc clientip
    server mta1 {BACKEND}:25
"""

    def command(self, path):
        return ["haproxy", "-db", "-f", path]


class HaproxySplice(Haproxy):
    """The same with splice in both directions."""

    name = "haproxy-splice"
    options = "    option splice-request\n    option splice-response\n"


class Nginx(Proxy):
    """The stream module, transparent by `proxy_bind`."""

    name = "nginx"

    def version(self):
        return output_of("nginx", "-v").strip()

    def configuration(self, lab):
        return f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log stderr warn;
pid {lab.folder}/nginx.pid;
events {{ worker_connections {2 * SESSIONS + 100}; }}
stream {{
    log_format sessions '$remote_addr:$remote_port $upstream_addr $bytes_received $bytes_sent $session_time $status';
    access_log {lab.folder}/log sessions;
    server {{
        listen {VIP}:25 backlog={BACKLOG};
        proxy_pass {BACKEND}:25;
        proxy_bind $remote_addr transparent;
        proxy_connect_timeout 4s;
        proxy_timeout 11m;
    }}
}}
"""

    def command(self, path):
        return ["nginx", "-c", path]


class Postern(Contestant):
    """The daemon under test; it makes the VIP local and marks the return path itself."""

    name = "postern"
    binary = ""
    dissolve = "on"

    def version(self):
        return output_of(self.binary, "-V").strip()

    def configuration(self, lab):
        return f"""gateway: {{name: bench, workers: 1, max_sessions: {SESSIONS}}}
source_limits: {{sessions: off}}   # all load has one address
listeners:
  - {{name: mx, address: "{VIP}:25", pool: inbound}}
pools:
  - name: inbound
    source: client
    dissolve: {self.dissolve}
    backends:
      - {{name: mta1, address: "{BACKEND}:25"}}
"""

    def command(self, path):
        return [self.binary, "-f", path]


class PosternRelay(Postern):
    """The same, copying every session to its end."""

    name = "postern-relay"
    dissolve = "off"


ALL = {c.name: c for c in (Forwarding, BareRelay, Haproxy, HaproxySplice, Nginx, PosternRelay, Postern)}
