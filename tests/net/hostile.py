# SPDX-License-Identifier: Apache-2.0
"""
Who means harm: slow clients in great number, from a few addresses, who come back as often as they are turned away; and SYNs from
addresses that nobody has. As a program: the slow clients, until standard input ends; what became of them as JSON.
"""
import argparse
import collections
import contextlib
import heapq
import json
import os
import resource
import select
import socket
import subprocess
import sys
import time

AGAIN = 1.0  # seconds until who was turned away comes back
DRIP = 2.0  # seconds between two bytes
IP_FREEBIND, IP_BIND_ADDRESS_NO_PORT, IPV6_FREEBIND = 15, 24, 78


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class SlowClient:
    """One of them: connects, reads what it is told, and says a byte now and then, for as long as it may."""

    def __init__(self, crowd, source):
        self.crowd, self.source, self.socket, self.greeted, self.heard = crowd, source, None, False, b""

    def open(self):
        self.socket = socket.socket(family_of(self.source), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        level, option = ((socket.IPPROTO_IPV6, IPV6_FREEBIND) if self.socket.family == socket.AF_INET6
                         else (socket.IPPROTO_IP, IP_FREEBIND))
        self.socket.setsockopt(level, option, 1)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.socket.bind((self.source, 0))
        self.socket.connect_ex((self.crowd.target(self.source), 25))
        self.greeted, self.heard = False, b""
        self.crowd.watch(self)

    def on_readable(self):
        try:
            data = self.socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            self.turned_away("reset")
            return
        self.heard += data
        if not data:
            self.turned_away("told" if self.heard.startswith(b"421") else "closed")
        elif not self.greeted and self.heard.startswith(b"220"):
            self.greeted = True
            self.crowd.on_greeted(self)

    def drip(self):
        try:
            self.socket.send(b"X")
        except OSError:
            self.turned_away("reset")

    def turned_away(self, how):
        self.crowd.unwatch(self, how)
        self.socket.close()
        self.socket = None


class Crowd:
    def __init__(self, sources, targets, count):
        self.targets = {family_of(t): t for t in targets}
        self.poll, self.by_fd, self.due, self.turn = select.epoll(), {}, [], 0
        self.counts, self.held, self.most = collections.Counter(), collections.Counter(), collections.Counter()
        self.fates = set()  # who has been greeted or turned away
        self.clients = [SlowClient(self, sources[i % len(sources)]) for i in range(count)]

    def target(self, source):
        return self.targets[family_of(source)]

    def at(self, when, action, client):
        self.turn += 1
        heapq.heappush(self.due, (when, self.turn, action, client))

    def watch(self, client):
        self.by_fd[client.socket.fileno()] = client
        self.poll.register(client.socket, select.EPOLLIN)
        self.counts["tried"] += 1

    def unwatch(self, client, how):
        del self.by_fd[client.socket.fileno()]
        self.poll.unregister(client.socket)
        self.counts[how] += 1
        self.held[client.source] -= client.greeted
        client.greeted = False
        self.fates.add(client)
        self.at(time.monotonic() + AGAIN, "open", client)

    def on_greeted(self, client):
        self.counts["greeted"] += 1
        self.held[client.source] += 1
        self.most[client.source] = max(self.most[client.source], self.held[client.source])
        self.fates.add(client)
        self.at(time.monotonic() + DRIP, "drip", client)

    def act(self, action, client):
        if action == "open":
            client.open()
        elif client.greeted:
            client.drip()
            self.at(time.monotonic() + DRIP, "drip", client)

    def run(self, until):
        for client in self.clients:
            self.at(0, "open", client)
        self.poll.register(until, select.EPOLLIN)
        told = False
        while True:
            for fd, _ in self.poll.poll(0.02):
                if fd == until.fileno():
                    return
                if fd in self.by_fd:
                    self.by_fd[fd].on_readable()
            for _ in range(200):  # a few at a time: answers are to be read
                if not self.due or self.due[0][0] > time.monotonic():
                    break
                _, _, action, client = heapq.heappop(self.due)
                self.act(action, client)
            if not told and len(self.fates) == len(self.clients):
                told = True
                print("ready", file=sys.stderr, flush=True)

    def result(self):
        return {**self.counts, "held": sum(self.held.values()), "most_of_a_source": max(self.most.values(), default=0)}


def slow_clients(lab, sources, targets, count):
    """Begins; `stop_slow_clients()` ends it."""
    return lab.client.popen(sys.executable, __file__, "--count", count, *(f"--from={s}" for s in sources),
                            *(f"--to={t}" for t in targets), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def stop_slow_clients(program, deadline=60):
    """What became of them."""
    out, _ = program.communicate(timeout=deadline)
    assert program.returncode == 0
    return json.loads(out)


@contextlib.contextmanager
def syn_flood(lab, target):
    """
    SYNs to port 25 from addresses taken at random, as fast as one processor sends them; yields how many have come by now. Whoever
    the story starts meanwhile has the other processors: the kernel drops what one of them cannot take, and whose handshake was
    answered with a SYN cookie waits for ever when its last packet is among that.
    """
    def come():
        link = json.loads(lab.gateway.run("ip", "-s", "-j", "link", "show", lab.client.interface).stdout)
        return link[0]["stats64"]["rx"]["packets"]

    before = come()
    cpus = sorted(os.sched_getaffinity(0))
    program = lab.client.popen("taskset", "-c", cpus[0], "hping3", "--flood", "--rand-source", "--syn", "-p", 25, target,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.sched_setaffinity(0, cpus[1:] or cpus)
    try:
        yield lambda: come() - before
    finally:
        os.sched_setaffinity(0, cpus)
    assert program.poll() is None, "the flood has ended by itself"
    program.kill()
    program.wait()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int)
    arguments.add_argument("--from", dest="sources", action="append")
    arguments.add_argument("--to", dest="targets", action="append")
    given = arguments.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(given.sources, given.targets, given.count)
    crowd.run(sys.stdin)
    print(json.dumps(crowd.result()))
    sys.stdout.flush()
    os._exit(0)  # the kernel closes them faster


if __name__ == "__main__":
    main()
