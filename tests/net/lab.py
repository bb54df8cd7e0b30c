# SPDX-License-Identifier: Apache-2.0
"""
Topologies of network namespaces for the stories. Everything lives in namespaces of its own and is removed at the end.

                    100.64.0.0/24, fd00:c::/64             one veth a backend (or one bridge)
    clients[0] c0 ----------------------- c0 gateway b0 --------------- eth0 backends[0]  10.2.0.11, 2001:db8:2::11
    198.51.0.0/16, 2001:db8:c::/48           |       b1 --------------- eth0 backends[1]  10.2.0.12, 2001:db8:2::12
    (all of it local: any address may be     |
    a client's, without configuring it)      VIPs 203.0.113.25, 2001:db8:25::25 (the daemon makes them local)

A second client namespace has 198.52.0.0/16 and 2001:db8:d::/48, and so on. Backends have the gateway as their default
route, so answers to a client's address pass the gateway: that is what makes the transparent source work.
"""
import contextlib
import ctypes
import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

VIP4 = "203.0.113.25"
VIP6 = "2001:db8:25::25"
IP_FREEBIND = 15
IP_BIND_ADDRESS_NO_PORT = 24
IPV6_FREEBIND = 78
IFA_F_TENTATIVE = 0x40
SO_NETNS_COOKIE = 71
PINS = pathlib.Path("/sys/fs/bpf/postern")

_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count(1)
CLONE_NEWNET = 0x40000000


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def endpoint(host, port):
    """The form of log lines: [address]:port."""
    return f"[{host}]:{port}"


def hostport(host, port):
    """The form of configurations and command lines: 192.0.2.1:25, [2001:db8::1]:25."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dying_with_us(*cmd):
    """
    The command line of a program that the kernel kills when the thread that starts it ends, even with SIGKILL. It lasts over
    exec, and until the program changes its user. The shell looks whether the order came too late.
    """
    return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", f'[ $PPID = {os.getpid()} ] && exec "$@"', "sh", *map(str, cmd)]


class Namespace:
    """One network namespace. Programs run in it; sockets made in `entered()` belong to it for good."""

    def __init__(self, role, name=None):
        self.role = role
        self.name = name or f"pt{os.getpid()}-{next(_serial)}-{role}"
        self.path = f"/run/netns/{self.name}"
        self._programs = []

    def create(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link set lo up")
        for family, scope in itertools.product(("ipv4", "ipv6"), ("all", "default")):
            self.sysctl(f"net.{family}.conf.{scope}.forwarding", 0)
            if family == "ipv4":
                self.sysctl(f"net.ipv4.conf.{scope}.rp_filter", 0)
            else:
                self.sysctl(f"net.ipv6.conf.{scope}.accept_dad", 0)
        # Not bbr, which paces; a namespace may use cubic only where the host's list of allowed algorithms has it.
        try:
            self.sysctl("net.ipv4.tcp_congestion_control", "cubic")
        except PermissionError:
            self.sysctl("net.ipv4.tcp_congestion_control", "reno")
        # Tests open far more sessions from one address, and leave more in TIME_WAIT, than a host would.
        self.sysctl("net.ipv4.ip_local_port_range", "10000 65000")

    def command(self, *cmd):
        """The command line that runs `cmd` inside."""
        return dying_with_us("nsenter", f"--net={self.path}", "--", *cmd)

    def run(self, *cmd, check=True, timeout=60, **kw):
        """Runs to the end; the result has .stdout and .stderr as text."""
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        done = subprocess.run(self.command(*cmd), text=True, timeout=timeout, **kw)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, cmd))}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, *cmd, **kw):
        """Starts a program; what still runs is killed when the namespace is removed."""
        program = subprocess.Popen(self.command(*cmd), **kw)
        self._programs.append(program)
        return program

    def ip(self, *lines):
        """Lines for `ip -batch`; a line that begins with "-6 " is about IPv6."""
        for v6, group in itertools.groupby(lines, lambda line: line.startswith("-6 ")):
            text = "\n".join(line.removeprefix("-6 ") for line in group)
            self.run("ip", *(["-6"] if v6 else []), "-batch", "-", input=text)

    def sysctl(self, name, value):
        with self.entered(), open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as f:
            f.write(str(value))

    def wait_links(self, deadline=10):
        """
        Until every interface has its link-local address: the kernel notices a carrier in its own time, and the routes that
        come with it must not turn up between two looks at the host.
        """
        end = time.monotonic() + deadline
        with self.entered():
            while missing := {name for _, name in socket.if_nameindex()} - _with_link_local() - {"lo"}:
                assert time.monotonic() < end, f"{self.name}: no carrier on {missing}"
                time.sleep(0.002)

    @contextlib.contextmanager
    def entered(self):
        """Puts this thread into the namespace. Only for system calls that make sockets or read /proc: short."""
        with open("/proc/thread-self/ns/net", "rb") as back, open(self.path, "rb") as here:
            _setns(here.fileno())
            try:
                yield
            finally:
                _setns(back.fileno())

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        with self.entered():
            return socket.socket(family, kind)

    def pins(self):
        """Where postern pins what shall outlive it; a directory for each network namespace."""
        with contextlib.closing(self.socket()) as s:
            cookie = s.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
        return PINS / str(int.from_bytes(cookie, sys.byteorder))

    def remove_pins(self):
        shutil.rmtree(self.pins(), ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: others have theirs there
            PINS.rmdir()

    def listen(self, host, port=25, backlog=1024):
        """A listening socket inside; the caller closes it."""
        s = self.socket(family_of(host))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if s.family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((host, port))
        s.listen(backlog)
        s.settimeout(20)
        return s

    def connect(self, host, port=25, source=None, source_port=0, timeout=20):
        """A connection from inside; `source` may be any address that is local here, configured or not."""
        s = self.socket(family_of(host))
        try:
            s.settimeout(timeout)
            if source:
                level, option = ((socket.IPPROTO_IPV6, IPV6_FREEBIND) if s.family == socket.AF_INET6
                                 else (socket.IPPROTO_IP, IP_FREEBIND))
                s.setsockopt(level, option, 1)
                if source_port:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                else:
                    s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                s.bind((source, source_port))
            s.connect((host, port))
        except BaseException:
            s.close()
            raise
        return s

    def remove(self):
        for program in self._programs:
            if program.poll() is None:
                program.send_signal(signal.SIGKILL)
            program.wait()
            for stream in (program.stdin, program.stdout, program.stderr):
                if stream:
                    stream.close()
        self._programs = []
        # What a program has left behind keeps the namespace alive; nothing of a story may outlive it.
        for pid in subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", self.name], check=False)


def _with_link_local():
    """Interfaces of this thread's namespace that have an IPv6 link-local address in use."""
    with open("/proc/thread-self/net/if_inet6", encoding="ascii") as f:
        fields = [line.split() for line in f]
    return {name for _, _, _, scope, flags, name in fields if scope == "20" and not int(flags, 16) & IFA_F_TENTATIVE}


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Backend(Namespace):
    """A backend's namespace and its addresses. `interface` is the gateway's end of its veth."""

    def __init__(self, index):
        super().__init__(f"mta{index + 1}")
        self.index = index
        self.v4 = f"10.2.0.{11 + index}"
        self.v6 = f"2001:db8:2::{11 + index}"
        self.interface = f"b{index}"
        self.label = f"mta{index + 1}"

    def address(self, family=socket.AF_INET):
        return self.v6 if family == socket.AF_INET6 else self.v4


class Client(Namespace):
    """A client's namespace; every address of its two prefixes is local, without being configured."""

    def __init__(self, index):
        super().__init__(f"client{index + 1}")
        self.index = index
        self.interface = f"c{index}"
        self.prefix4 = f"198.{51 + index}.0.0/16"
        self.prefix6 = f"2001:db8:{12 + index:x}::/48"
        self.v4 = f"198.{51 + index}.100.7"
        self.v6 = f"2001:db8:{12 + index:x}::7"
        self.link4 = f"100.64.{index}"
        self.link6 = f"fd00:{12 + index:x}"

    def address(self, family=socket.AF_INET):
        return self.v6 if family == socket.AF_INET6 else self.v4


class Lab:
    """Clients, one gateway, backends. A context manager: what it makes is gone at its end."""

    def __init__(self, backends=2, clients=1, bridge=False):
        self._want = (backends, clients, bridge)
        self.clients, self.backends, self.gateway = [], [], None
        self._cleanup = contextlib.ExitStack()
        self.on_shell = None  # called when there is something to see (tests/run --shell)

    def __enter__(self):
        remove_orphans()
        try:
            self._build(*self._want)
            for namespace in self.namespaces():
                namespace.wait_links()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self._cleanup.close()

    def defer(self, function, *args):
        """Called when the lab is taken down, before its namespaces are removed, last deferred first."""
        self._cleanup.callback(function, *args)

    @property
    def client(self):
        return self.clients[0]

    def namespaces(self):
        return [*self.clients, self.gateway, *self.backends]

    def connect(self, to=VIP4, port=25, source=None, **kw):
        """A client's connection to a VIP, from 198.51.100.7 or 2001:db8:c::7 unless told otherwise."""
        return self.client.connect(to, port, source or self.client.address(family_of(to)), **kw)

    def add(self, kind, *args):
        """One more namespace, removed with the others."""
        namespace = kind(*args)
        self._cleanup.callback(namespace.remove)
        namespace.create()
        return namespace

    def _build(self, backends, clients, bridge):
        self.gateway = self.add(Namespace, "gw")
        self.defer(self.gateway.remove_pins)  # they would outlive the namespace
        for scope in ("all", "default"):
            self.gateway.sysctl(f"net.ipv4.conf.{scope}.forwarding", 1)
            self.gateway.sysctl(f"net.ipv6.conf.{scope}.forwarding", 1)
        if bridge:
            self.gateway.ip("link add br0 type bridge mcast_snooping 0", "link set br0 up",
                            "addr add 10.2.0.1/24 dev br0", "-6 addr add 2001:db8:2::1/64 dev br0 nodad")
        for i in range(clients):
            self._add_client(self.add(Client, i))
        for i in range(backends):
            self._add_backend(self.add(Backend, i), bridge)

    def _add_client(self, c):
        self.clients.append(c)
        self.gateway.ip(
            f"link add {c.interface} type veth peer name {c.interface} netns {c.name}",
            f"link set {c.interface} up",
            f"addr add {c.link4}.1/24 dev {c.interface}",
            f"-6 addr add {c.link6}::1/64 dev {c.interface} nodad",
            f"route add {c.prefix4} via {c.link4}.2",
            f"-6 route add {c.prefix6} via {c.link6}::2")
        c.ip(
            f"link set {c.interface} up",
            f"addr add {c.v4}/32 dev lo",
            f"addr add {c.link4}.2/24 dev {c.interface}",
            f"route add local {c.prefix4} dev lo",
            f"route add default via {c.link4}.1 src {c.v4}",
            f"-6 addr add {c.v6}/128 dev lo nodad",
            f"-6 addr add {c.link6}::2/64 dev {c.interface} nodad",
            f"-6 route add local {c.prefix6} dev lo",
            f"-6 route add default via {c.link6}::1 src {c.v6}")

    def _add_backend(self, b, bridge):
        self.backends.append(b)
        self.gateway.ip(f"link add {b.interface} type veth peer name eth0 netns {b.name}",
                        f"link set {b.interface} up")
        if bridge:
            self.gateway.ip(f"link set {b.interface} master br0")
        else:
            self.gateway.ip(f"addr add 10.2.0.1/32 dev {b.interface}", f"route add {b.v4}/32 dev {b.interface}",
                            f"-6 addr add 2001:db8:2::1/128 dev {b.interface} nodad",
                            f"-6 route add {b.v6}/128 dev {b.interface}")
        b.ip("link set eth0 up",
             f"addr add {b.v4}/32 dev eth0",
             "route add 10.2.0.1/32 dev eth0", f"route add default via 10.2.0.1 src {b.v4}",
             f"-6 addr add {b.v6}/128 dev eth0 nodad",
             "-6 route add 2001:db8:2::1/128 dev eth0", f"-6 route add default via 2001:db8:2::1 src {b.v6}")

    def restore_backend_routes(self, b):
        """After its interface was down: the kernel has dropped the routes over it (and IPv6 addresses)."""
        self.gateway.ip(f"link set {b.interface} up", f"route replace {b.v4}/32 dev {b.interface}",
                        f"-6 addr replace 2001:db8:2::1/128 dev {b.interface} nodad",
                        f"-6 route replace {b.v6}/128 dev {b.interface}")

    def lose_packets(self, percent):
        """Random loss of TCP packets on every leg, in both directions. Lasts as long as the lab."""
        for namespace, hook in ((self.client, "input"), (self.gateway, "prerouting"),
                                *((b, "input") for b in self.backends)):
            _drop(namespace, "loss", hook,
                  f"iifname != lo meta l4proto tcp numgen random mod 1000 < {round(percent * 10)}")

    def lost_packets(self):
        """How many the loss has taken so far, over all legs."""
        return sum(int(re.search(r"packets (\d+)", n.run("nft", "list", "table", "inet", "loss").stdout).group(1))
                   for n in (self.client, self.gateway, *self.backends))

    def drop_tcp_to_port(self, namespace, port, only=""):
        """The namespace swallows what comes in for a TCP port, without a word; `only` what nft's words say of it."""
        _drop(namespace, "swallow", "input", f"tcp dport {port} {only}")

    def stop_dropping(self, namespace):
        namespace.run("nft", "delete", "table", "inet", "swallow")

    def host_state(self):
        """All that postern may change in the gateway: rules, routes, BPF programs on its interfaces and namespace, pins."""
        state = {}
        for family in ("-4", "-6"):
            state[f"ip {family} rule"] = self.gateway.run("ip", family, "rule").stdout
            routes = self.gateway.run("ip", family, "route", "show", "table", "all").stdout
            state[f"ip {family} route"] = "".join(sorted(_without_lifetimes(routes).splitlines(True)))
        state["bpf"] = attached_programs(self.gateway)
        pins = self.gateway.pins()
        state["pins"] = sorted(str(path.relative_to(pins)) for path in pins.rglob("*"))
        return state


def _drop(namespace, table, hook, match):
    namespace.run("nft", "-f", "-", input=(
        f"add table inet {table}\n"
        f"add chain inet {table} drops {{ type filter hook {hook} priority -300; }}\n"
        f"add rule inet {table} drops {match} counter drop\n"))


def _without_lifetimes(routes):
    return "\n".join(line.split(" expires ")[0].rstrip() for line in routes.splitlines()) + "\n"


BPF_SK_LOOKUP, BPF_TCX_INGRESS, BPF_TCX_EGRESS = 36, 46, 47
PROGRAM_NAME = slice(64, 80)  # in struct bpf_prog_info


def attached_programs(namespace):
    """
    Names of the BPF programs attached to a namespace and to its interfaces, in the order in which they run:
    {"sk_lookup": ["catch"], "b0 ingress": ["dissolve", "return_path"]}.
    """
    bpf = ctypes.CDLL("libbpf.so.1", use_errno=True)

    def name(program):
        fd, info, size = bpf.bpf_prog_get_fd_by_id(program), ctypes.create_string_buffer(256), ctypes.c_uint32(256)
        try:
            return info.raw[PROGRAM_NAME].rstrip(b"\0").decode() if \
                bpf.bpf_obj_get_info_by_fd(fd, info, ctypes.byref(size)) == 0 else f"program {program}"
        finally:
            if fd >= 0:
                os.close(fd)

    def query(target, kind):
        ids, count = (ctypes.c_uint32 * 64)(), ctypes.c_uint32(64)
        error = bpf.bpf_prog_query(target, kind, 0, None, ids, ctypes.byref(count))
        return [name(i) for i in ids[:count.value]] if error == 0 else []

    found = {}
    with namespace.entered():
        with open("/proc/thread-self/ns/net", "rb") as here:
            found["sk_lookup"] = query(here.fileno(), BPF_SK_LOOKUP)
        for index, interface in socket.if_nameindex():
            found[f"{interface} ingress"] = query(index, BPF_TCX_INGRESS)
            found[f"{interface} egress"] = query(index, BPF_TCX_EGRESS)
    return {where: names for where, names in found.items() if names}


def remove_orphans():
    """Removes namespaces of test runs that were killed (their pid, part of the name, is gone)."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        pid = name.removeprefix("pt").split("-")[0]
        if name.startswith("pt") and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            with contextlib.suppress(OSError):  # a name whose namespace has gone
                Namespace("orphan", name).remove_pins()
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
