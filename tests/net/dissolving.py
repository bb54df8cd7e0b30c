# SPDX-License-Identifier: Apache-2.0
"""What the stories of dissolved sessions share: a daemon that may leave sessions behind, and sessions that have dissolved."""
import contextlib
import os
import signal
import socket
import time

from daemon import DEADLINE, Postern, backend_lines, configuration, pool
from lab import VIP4
from peers import converse, receive, receive_line, scripted_server

BLOCK = bytes(range(32, 127)) * 40  # 3,800 bytes of a message


def plain(lab, gateway=None, **settings):
    return configuration([pool(backend_lines(lab.backends), **settings)], gateway=gateway)


class Dissolving(Postern):
    """A daemon that ends and starts again while dissolved sessions live."""

    def layouts(self):
        """One directory of pins for each layout of the table."""
        pins = self.lab.gateway.pins()
        return sorted(os.listdir(pins)) if pins.exists() else []

    def wait_dissolved(self, count, deadline=DEADLINE):
        """Until so many sessions live on as entries; returns the counters."""
        return self.wait_counter(deadline, sessions_dissolved=count)

    def leave(self, number=signal.SIGTERM):
        """Ends the daemon while dissolved sessions live: its event of that."""
        self.send(number)
        self.wait_end()
        self.check_sanitizer_silent()
        left = self.lines(event="left_behind")
        assert left, "it left nothing behind\n" + self.tail()
        return left[-1]

    def take_over(self):
        """Starts again where an earlier run has left sessions: (the event of it, seconds until clients were served)."""
        began = time.monotonic()
        self.start()
        took = time.monotonic() - began
        return self.wait(event="adopted"), took


@contextlib.contextmanager
def servers(lab):
    """Scripted servers for both families in the first backend."""
    with scripted_server(lab.backends[0]) as v4, scripted_server(lab.backends[0], family=socket.AF_INET6) as v6:
        yield v4, v6


class Session:
    """A session whose client and backend are both played by the story, dissolved by its first words."""

    def __init__(self, lab, server, vip=VIP4, greeting=b"220 mx.example\r\n", **connect):
        self.client = lab.connect(vip, **connect)
        self.backend, self.source = server.accept()
        self.backend.sendall(greeting)
        assert receive(self.client, len(greeting)) == greeting
        self.sent, self.received = 0, len(greeting)
        self.say(b"EHLO client.example\r\n")

    @property
    def ends(self):
        return self.client, self.backend

    def say(self, command=b"NOOP\r\n", answer=b"250 ok\r\n"):
        """One command and its answer."""
        self.client.sendall(command)
        assert receive(self.backend, len(command)) == command
        self.backend.sendall(answer)
        assert receive(self.client, len(answer)) == answer
        self.sent += len(command)
        self.received += len(answer)

    def dissolve(self, postern, count=1):
        """Talks until the daemon has seen so many sessions dissolve: it happens at a quiet moment, not at once."""
        end = time.monotonic() + DEADLINE
        while postern.counters()["dissolved"] < count:
            assert time.monotonic() < end, "the session does not dissolve\n" + postern.tail()
            self.say()
        return self

    def close(self):
        self.client.close()
        self.backend.close()


class Message:
    """A client in the middle of a message; mailload answers its end with the hash of the whole."""

    def __init__(self, lab, blocks, vip=VIP4, source=None):
        self.socket, self.blocks, self.done, self.received = lab.connect(vip, source=source), blocks, 0, 0
        self.sent = 0
        self.banner = self._answer("220")
        for command in ("EHLO client.example", "MAIL FROM:<>", "RCPT TO:<receiver@test.example>"):
            self._say(command)
            self._answer("250")
        self._say(f"SINK {blocks * len(BLOCK)}")
        self.write(1)

    @property
    def backend(self):
        """The backend's name, as its greeting has it."""
        return self.banner.split()[1]

    def write(self, blocks):
        for _ in range(blocks):
            self.socket.sendall(BLOCK)
        self.done += blocks
        self.sent += blocks * len(BLOCK)

    def finish(self):
        """Sends the rest; returns the hash that the server has made of all."""
        self.write(self.blocks - self.done)
        digest = self._answer("250").split()[1]
        self._say("QUIT")
        self._answer("221")
        assert self.socket.recv(1) == b""
        self.endpoint = self.socket.getsockname()[:2]
        self.socket.close()
        return digest

    def _say(self, command):
        line = command.encode() + b"\r\n"
        self.socket.sendall(line)
        self.sent += len(line)

    def _answer(self, code):
        while True:
            line = receive_line(self.socket)
            self.received += len(line) + 2
            if line[3:4] != "-":
                break
        assert line.startswith(code), line
        return line


def settle_all(postern, engine, sessions):
    """Until all of these sessions, the only ones, have dissolved; or for a round trip."""
    for _ in range(100):
        for s in sessions:
            converse(s, "NOOP", "250")
        if not engine.dissolves or postern.counters()["sessions_dissolved"] == len(sessions):
            return
    raise AssertionError(f"not all sessions dissolve: {postern.counters()}")


def message_hash(lab, backend, blocks):
    """The same message over a connection that no balancer has touched."""
    with lab.client.connect(backend.v4, 25) as s:
        converse(s, "", "220")
        s.sendall(f"SINK {blocks * len(BLOCK)}\r\n".encode() + BLOCK * blocks)
        return receive_line(s).split()[1]


def passed_bytes(lab, backend):
    """Bytes that have gone from the gateway to a backend or come from it."""
    with lab.gateway.entered(), open("/proc/thread-self/net/dev", encoding="ascii") as f:
        numbers = next(line for line in f if line.strip().startswith(backend.interface + ":")).split(":")[1].split()
    return int(numbers[0]) + int(numbers[8])


def wait_passed(lab, count, deadline=DEADLINE):
    """Until so many bytes more have passed the backends' interfaces: data are under way."""
    first = sum(passed_bytes(lab, b) for b in lab.backends)
    end = time.monotonic() + deadline
    while sum(passed_bytes(lab, b) for b in lab.backends) - first < count:
        assert time.monotonic() < end, f"less than {count} bytes passed"


