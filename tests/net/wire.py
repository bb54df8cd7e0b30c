# SPDX-License-Identifier: Apache-2.0
"""What crosses a backend's interface, packet by packet: the connections of one peer, their first bytes, every reset."""
import collections
import contextlib
import socket
import struct
import time

from daemon import DEADLINE, wait_readable

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86DD
FIN, SYN, RST, ACK = 1, 2, 4, 16
FLAGS = ((FIN, "FIN"), (SYN, "SYN"), (RST, "RST"), (ACK, "ACK"))
BUFFER = 16 << 20
LAST = 16


class Connection:
    """One TCP connection, named by the peer's end and the server's port."""

    def __init__(self, key):
        self.key = key  # (peer's address, peer's port, server's port)
        self.first = b""  # what the peer sent first
        self.said = b""  # all that it sent, up to a few hundred bytes
        self.resets = {"peer": 0, "server": 0}
        self.fins = set()
        self.ends = {}  # the number behind a side's FIN
        self.acknowledged = set()  # whose FIN was
        self.last = collections.deque(maxlen=LAST)  # packets, as a failed story shows them

    @property
    def over(self):
        """Closed in order by both."""
        return self.fins == {"peer", "server"}

    def __repr__(self):
        return f"<{self.key} said {self.said!r} fins {sorted(self.fins)} resets {self.resets}; at last {', '.join(self.last)}>"


class Wire:
    """Watches eth0 of a backend from now on; `connections` are those that were opened towards the backend since."""

    def __init__(self, backend):
        with backend.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._socket.bind(("eth0", 0))
        self._socket.setblocking(False)
        self._servers = {socket.inet_aton(backend.v4), socket.inet_pton(socket.AF_INET6, backend.v6)}
        self.connections = {}

    def close(self):
        self._socket.close()

    def read(self):
        """Takes in what has crossed since; returns the connections."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._take(self._socket.recv(2048))
        return self.connections.values()

    def wait(self, enough, what, deadline=DEADLINE):
        """Until enough(connections) is true of what has crossed."""
        end = time.monotonic() + deadline
        while not (found := enough(self.read())):
            left = end - time.monotonic()
            assert left > 0, f"{what}: not seen in time; the last of {len(self.connections)} connections: " \
                f"{list(self.connections.values())[-5:]}"
            wait_readable(self._socket, left)
        return found

    def wait_over(self, count, since=0, port=None, deadline=DEADLINE):
        """Until so many connections (to the port) that began after the first `since` were closed in order; returns them."""
        def enough(connections):
            own = [c for c in list(connections)[since:] if c.over and port in (None, c.key[2])]
            return own if len(own) >= count else None
        return self.wait(enough, f"{count} connections, begun and closed", deadline)

    def resets(self):
        return [c for c in self.read() if any(c.resets.values())]

    def _take(self, frame):
        kind = struct.unpack_from("!H", frame, 12)[0]
        if kind == ETH_P_IP and frame[23] == socket.IPPROTO_TCP:
            start, size = 14 + (frame[14] & 15) * 4, struct.unpack_from("!H", frame, 16)[0] + 14
            source, destination = frame[26:30], frame[30:34]
        elif kind == ETH_P_IPV6 and frame[20] == socket.IPPROTO_TCP:
            start, size = 54, struct.unpack_from("!H", frame, 18)[0] + 54
            source, destination = frame[22:38], frame[38:54]
        else:
            return
        ports = struct.unpack_from("!HH", frame, start)
        numbers = struct.unpack_from("!II", frame, start + 4)
        flags, payload = frame[start + 13], frame[start + (frame[start + 12] >> 4) * 4:size]
        if destination in self._servers:
            self._note("peer", (source, *ports), flags, payload, numbers)
        elif source in self._servers:
            self._note("server", (destination, *reversed(ports)), flags, payload, numbers)

    def _note(self, side, end, flags, payload, numbers):
        family = socket.AF_INET if len(end[0]) == 4 else socket.AF_INET6
        key = (socket.inet_ntop(family, end[0]), *end[1:])
        if side == "peer" and flags & (SYN | ACK) == SYN and (key not in self.connections or self.connections[key].fins):
            self.connections.pop(key, None)  # the port is used again
            self.connections[key] = Connection(key)
        c = self.connections.get(key)
        if c is None:
            return
        if side == "peer":
            c.first = c.first or payload
            c.said = (c.said + payload)[:512]
        c.last.append(f"{time.monotonic():.3f} {side} {' '.join(name for bit, name in FLAGS if flags & bit)} "
                      f"{numbers[0]}+{len(payload)} ack {numbers[1]}")
        # A connection whose FINs are both acknowledged is over. Should one of its packets come late, repeated by a tail loss
        # probe and overtaken on its way through another processor, the kernel knows no such connection any more and says so.
        late = len(c.acknowledged) == 2 and not flags & ACK
        c.resets[side] += bool(flags & RST) and not late
        if flags & FIN:
            c.fins.add(side)
            c.ends[side] = numbers[0] + len(payload) + 1 & 0xffffffff
        other = "server" if side == "peer" else "peer"
        if flags & ACK and c.ends.get(other) == numbers[1]:
            c.acknowledged.add(other)


@contextlib.contextmanager
def watched(backend):
    wire = Wire(backend)
    try:
        yield wire
    finally:
        wire.close()
