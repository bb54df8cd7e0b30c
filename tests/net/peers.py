# SPDX-License-Identifier: Apache-2.0
"""Scripted peers: plain sockets that play one side of a session word by word."""
import contextlib
import errno
import re
import select
import socket
import struct
import threading
import time
import zlib

DEADLINE = 20
TCP_CLOSE = 7  # the state, as the kernel counts them


def host_of(text):
    """The address in "[192.0.2.1]:25"."""
    return text[1:text.index("]")]


class ScriptedServer:
    """A listening socket in a backend that the story plays by hand."""

    def __init__(self, backend, port=25, family=socket.AF_INET, backlog=1024):
        self.socket = backend.listen(backend.address(family), port, backlog)

    def accept(self, timeout=DEADLINE):
        """The next connection and where it comes from."""
        self.socket.settimeout(timeout)
        connection, address = self.socket.accept()
        connection.settimeout(DEADLINE)
        return connection, address

    def close(self):
        self.socket.close()


def scripted_server(backend, port=25, family=socket.AF_INET, backlog=1024):
    return contextlib.closing(ScriptedServer(backend, port, family, backlog))


def receive(s, count, deadline=DEADLINE):
    """Exactly so many bytes."""
    data = bytearray()
    s.settimeout(deadline)
    while len(data) < count:
        chunk = s.recv(count - len(data))
        assert chunk, f"the connection ended after {len(data)} of {count} bytes: {bytes(data[-200:])!r}"
        data += chunk
    return bytes(data)


def receive_line(s):
    """One line, without its end."""
    line = bytearray()
    while not line.endswith(b"\n"):
        line += receive(s, 1)
    return line.rstrip(b"\r\n").decode()


def receive_all(s):
    """Everything until the end of the stream."""
    data = bytearray()
    s.settimeout(DEADLINE)
    try:
        while chunk := s.recv(1 << 16):
            data += chunk
    except TimeoutError:
        raise AssertionError(f"the stream does not end after {bytes(data[-200:])!r}") from None
    return bytes(data)


def converse(s, command, code):
    """Sends a command (nothing when it is empty) and expects an answer with this code; returns its last line."""
    if command:
        s.sendall(command.encode() + b"\r\n")
    while (line := receive_line(s))[3:4] == "-":
        pass
    assert line.startswith(code), f"{command!r} was answered with {line!r}, not {code}"
    return line


def smtp_session(s):
    """A polite session without mail. Returns the banner; the connection has ended."""
    banner = converse(s, "", "220")
    converse(s, "EHLO client.example", "250")
    converse(s, "QUIT", "221")
    assert s.recv(1) == b""
    return banner


def reset(s):
    """Closes with RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def expect_reset(s, within=DEADLINE):
    """The connection must end with RST, not FIN, within so many seconds. Returns how long it took."""
    began = time.monotonic()
    s.settimeout(within)
    try:
        while chunk := s.recv(1 << 16):
            del chunk
    except ConnectionResetError:
        return time.monotonic() - began
    raise AssertionError("the connection ended with FIN, not with RST")


def expect_dead(s, within=DEADLINE):
    """The connection must end with RST; of one whose peer has closed already, recv() does not tell."""
    poll = select.poll()
    poll.register(s, 0)
    assert poll.poll(within * 1000), "no RST came"
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (errno.ECONNRESET, errno.EPIPE)


def close_last(s):
    """Closes the connection, of whose other side it is known that it has closed; its port is free then."""
    s.shutdown(socket.SHUT_WR)
    end = time.monotonic() + DEADLINE
    while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_CLOSE:
        assert time.monotonic() < end, "its FIN is not acknowledged"
        select.select([], [], [], 0.001)
    s.close()


def expect_refused(connect):
    """A connect that must be answered with RST: at once, or right after the handshake."""
    try:
        s = connect()
    except (ConnectionRefusedError, ConnectionResetError):
        return
    with s:
        expect_reset(s)


UNAVAILABLE = re.compile(rb"421 4\.3\.2 [\w.-]+ Service not available, try again later\r\n")


def expect_unavailable(s):
    """postern's own last word, whole, and FIN."""
    said = receive_all(s)
    assert UNAVAILABLE.fullmatch(said), said
    s.close()


class Stream:
    """A reproducible stream of bytes with a running checksum, sent or received in a thread of its own."""

    BLOCK = bytes(zlib.crc32(i.to_bytes(4, "big")) & 255 for i in range(1 << 16))

    def __init__(self, s, total, receiving=False):
        self.socket, self.total, self.done, self.sum = s, total, 0, 0
        self.thread = threading.Thread(target=self._receive if receiving else self._send, daemon=True)
        self.error = None
        self.thread.start()

    def _send(self):
        try:
            while self.done < self.total:
                sent = self.socket.send(self.BLOCK[self.done % len(self.BLOCK):][:self.total - self.done])
                self.done += sent
        except OSError as error:
            self.error = error

    def _receive(self):
        try:
            while self.done < self.total and (chunk := self.socket.recv(1 << 18)):
                self.sum = zlib.crc32(chunk, self.sum)
                self.done += len(chunk)
        except OSError as error:
            self.error = error

    @classmethod
    def checksum(cls, total):
        """What the checksum of a stream of this length must be."""
        value, left = 0, total
        while left > 0:
            value = zlib.crc32(cls.BLOCK[:left], value)
            left -= len(cls.BLOCK)
        return value

    def wait(self, count, deadline=DEADLINE):
        """Until so many bytes have gone by."""
        end = time.monotonic() + deadline
        while self.done < count:
            assert self.thread.is_alive() and time.monotonic() < end, f"the stream stands at {self.done} bytes: {self.error}"
            self.thread.join(0.05)

    def wait_stalled(self, quiet=1.0, deadline=DEADLINE):
        """Until nothing has moved for so long: the peers have filled what lies between them."""
        end, last, since = time.monotonic() + deadline, -1, 0.0
        while time.monotonic() < end:
            now = time.monotonic()
            if self.done != last:
                last, since = self.done, now
            elif now - since >= quiet:
                return last
            self.thread.join(0.05)
        raise AssertionError(f"the stream never came to rest: {self.done} bytes")

    def join(self, timeout=120):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), f"the stream stands at {self.done} of {self.total} bytes"
        assert self.error is None and self.done == self.total, (self.error, self.done, self.total)
