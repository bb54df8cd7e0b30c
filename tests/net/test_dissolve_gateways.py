# SPDX-License-Identifier: Apache-2.0
"""Dissolved sessions move from one gateway to another, as records (bpf/dissolve_record.h); and a table full of them."""
import collections
import copy
import json
import resource
import signal
import struct
import subprocess

import pytest

from daemon import build_directory, wait_readable
from dissolving import Dissolving, Message, message_hash, plain, wait_passed
from lab import VIP4, VIP6, Namespace, endpoint
from load import client, serve_all, start_client

BLOCKS = 12  # of a message
MOST = 100_000  # sessions in a table

SWITCHED, ENDED = range(2)
RECORD_VERSION = 2
RECORD = struct.Struct("=HBBI 16s16s16s16s 8s 8s8s 2I 8s 3HB2BB6x Q 2Q2Q")
Record = collections.namedtuple("Record", "kind session packets bytes")


class SecondGateway:
    """
    Another gateway on links of its own, to the client and to each backend, with the first one's addresses where the backends
    see them. Traffic comes by it after take_traffic().
    """

    def __init__(self, lab):
        self.lab = copy.copy(lab)
        self.lab.gateway = self.gateway = lab.add(Namespace, "gw2")
        lab.defer(self.gateway.remove_pins)
        for family in ("ipv4", "ipv6"):
            for scope in ("all", "default"):
                self.gateway.sysctl(f"net.{family}.conf.{scope}.forwarding", 1)
        c = lab.client
        self.gateway.ip(
            f"link add c0 type veth peer name c9 netns {c.name}", "link set c0 up",
            "addr add 100.64.9.1/24 dev c0", "-6 addr add fd00:9::1/64 dev c0 nodad",
            f"route add {c.prefix4} via 100.64.9.2", f"-6 route add {c.prefix6} via fd00:9::2")
        c.ip("link set c9 up", "addr add 100.64.9.2/24 dev c9", "-6 addr add fd00:9::2/64 dev c9 nodad")
        for b in lab.backends:
            self.gateway.ip(
                f"link add {b.interface} type veth peer name eth1 netns {b.name}", f"link set {b.interface} up",
                f"addr add 10.2.0.1/32 dev {b.interface}", f"route add {b.v4}/32 dev {b.interface}",
                f"-6 addr add 2001:db8:2::1/128 dev {b.interface} nodad", f"-6 route add {b.v6}/128 dev {b.interface}")
            b.ip("link set eth1 up", f"-6 addr add {b.v6}/128 dev eth1 nodad")
        for namespace in (self.gateway, c, *lab.backends):
            namespace.wait_links()

    def take_traffic(self):
        """What routing protocols do when a gateway has gone: the others send by this one."""
        c = self.lab.client
        c.ip(f"route replace default via 100.64.9.1 src {c.v4}", f"-6 route replace default via fd00:9::1 src {c.v6}")
        for b in self.lab.backends:
            b.ip("route replace 10.2.0.1/32 dev eth1", f"route replace default via 10.2.0.1 dev eth1 src {b.v4}",
                 "-6 route del 2001:db8:2::1/128 dev eth0", "-6 route add 2001:db8:2::1/128 dev eth1",
                 f"-6 route replace default via 2001:db8:2::1 dev eth1 src {b.v6}")


def table_of(postern):
    """Where the daemon's table is pinned."""
    layout, = postern.layouts()
    return postern.lab.gateway.pins() / layout


class Saved:
    """The records of a gateway's table, saved as they come."""

    def __init__(self, postern):
        self.path = postern.directory / "records"
        with open(self.path, "wb") as out:
            self.process = postern.lab.gateway.popen(build_directory() / "tests/load/records", "save", table_of(postern),
                                                     stdout=out, stderr=subprocess.PIPE)
        said = self.process.stderr
        assert wait_readable(said, 30) and said.readline() == b"ready\n"

    def stop(self):
        """Its records by session: [those of the switch], [those of the end]."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.process.stderr.read()
        found = collections.defaultdict(lambda: ([], []))
        for fields in RECORD.iter_unpack(self.path.read_bytes()):
            size, version, kind = fields[:3]
            assert (size, version) == (RECORD.size, RECORD_VERSION)
            high, low = fields[11:13]
            found[high << 32 | low][kind].append(Record(kind, high << 32 | low, fields[-4:-2], fields[-2:]))
        return found


def install(postern, records):
    """Makes entries of records, in the table of a daemon that does not run."""
    done = postern.lab.gateway.run(build_directory() / "tests/load/records", "install", table_of(postern), stdin=records)
    return json.loads(done.stdout)


def assert_ended_as_logged(records, postern, lines):
    """One record of the end for each session, with the counters of its line."""
    for line in lines:
        ended, = records[int(line["session"], 16)][ENDED]
        assert ended.bytes == (int(line["bytes_in"]), int(line["bytes_out"])), (ended, line)
        assert min(ended.packets) > 0


@pytest.mark.topology(backends=2)
def test_dissolved_sessions_of_a_gateway_that_is_cut_off_complete_over_another(lab, long):
    count, streams, size = (400, 12, "1G") if long else (40, 6, "100M")
    serve_all(lab)
    wanted = message_hash(lab, lab.backends[0], BLOCKS)
    second = SecondGateway(lab)
    config = plain(lab)
    there = Dissolving(second.lab, config).start()
    there.kill()  # its table stays, and nobody has it open
    here = Dissolving(lab, config).start()
    saved = Saved(here)
    assert client(lab, "sessions", "--count", 50)["ok"] == 50
    here.wait_sessions(50)
    over = here.sessions(dissolved="yes")  # a short one may end before its quiet moment
    assert over
    sent = [Message(lab, BLOCKS, vip=VIP6 if i % 2 else VIP4,
                    source=f"2001:db8:c::{1 + i:x}" if i % 2 else f"198.51.{i // 200}.{1 + i % 200}") for i in range(count)]
    bulk = [start_client(lab, "bulk", "--connections", streams // 3, "--bytes", size, "--direction", direction, "--on-cue",
                         "--seed", seed, stdin=subprocess.PIPE) for seed, direction in enumerate(("to", "from", "both"), 1)]
    for b in bulk:
        b.wait_said("ready")
    here.wait_dissolved(count + streams)
    for b in bulk:
        b.cue()
    wait_passed(lab, 30 << 20)

    lab.gateway.ip("link set c0 down", *(f"link set {b.interface} down" for b in lab.backends))
    assert all(b.process.poll() is None and b"done" not in b.said for b in bulk)
    records = saved.stop()
    here.kill()
    assert_ended_as_logged(records, here, over)
    with open(saved.path, "rb") as f:
        assert install(there, f) == {"installed": count + streams, "ended": len(over), "refused": 0}
    there.start()
    assert there.wait(event="adopted")["dissolved"] == str(count + streams)
    saved = Saved(there)
    second.take_traffic()

    for b in bulk:
        b.wait_said("done")
        b.cue()
        result = b.wait()
        assert result["ok"] == streams // 3 and not result["errors"], result
    assert {m.finish() for m in sent} == {wanted}
    lines = there.wait_sessions(count + streams, dissolved="yes")
    by_client = {line["client"]: line for line in lines}
    for m in sent:
        line = by_client[endpoint(*m.endpoint)]
        assert (line["bytes_in"], line["bytes_out"], line["backend"]) == (str(m.sent), str(m.received), m.backend)
    assert client(lab, "sessions", "--count", 20)["ok"] == 20
    there.wait_sessions(count + streams + 20)
    lines = there.sessions(dissolved="yes")
    records = saved.stop()
    assert_ended_as_logged(records, there, lines)
    assert all(len(ended) == 1 for _, ended in records.values()) and len(records) == len(lines) > count + streams
    there.stop()


def synthetic_records(path, count):
    """Sessions that nobody has: each has addresses and ports of its own."""
    def mapped(address):
        return b"\0" * 10 + b"\xff\xff" + address.to_bytes(4, "big")

    vip, backend = 0xcb007119, 0x0a02000b  # 203.0.113.25, 10.2.0.11
    with open(path, "wb") as out:
        for i in range(count):
            client = mapped(0xc6330000 + i % 0xffff)  # 198.51.0.0/16
            ports = struct.pack("!4H", 1024 + i // 0xffff, 25, 1024 + i // 0xffff, 25)
            out.write(RECORD.pack(RECORD.size, RECORD_VERSION, SWITCHED, 0, client, mapped(vip), client, mapped(backend), ports, bytes(8),
                                  bytes(8), 1, i, bytes(8), 1, 2, 220, 0, 0, 0, 0, 1_700_000_000_000, 3, 4, 500, 600))


@pytest.mark.limit(240)
@pytest.mark.topology(backends=1)
def test_a_full_table_is_adopted_within_a_second(lab):
    """100,000 sessions, or as many as the host's limit of descriptors lets the daemon have; the table has twice the room."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    sessions = min(MOST // 2, hard // 2 - 1000)
    count = 2 * sessions
    postern = Dissolving(lab, plain(lab, gateway={"max_sessions": sessions})).start()
    postern.kill()
    path = postern.directory / "records"
    synthetic_records(path, count)
    with open(path, "rb") as f:
        assert install(postern, f) == {"installed": count, "ended": 0, "refused": 0}
    adopted, took = postern.take_over()
    own = postern.cpu_seconds()
    assert adopted["dissolved"] == str(count)
    counters = postern.counters()
    assert counters["sessions"] == counters["adopted"] == count
    print(f"{count} sessions adopted within {took:.2f} s, {own:.2f} s of its own")
    assert own < 1 and took < 10  # a busy machine lets it wait
    postern.leave()
    assert f"cutting {count} dissolved sessions" in postern.flush()
    assert lab.host_state() == postern.before
