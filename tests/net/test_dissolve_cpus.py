# SPDX-License-Identifier: Apache-2.0
"""Packets of one session on several CPUs at once: the switch and the translation must not care."""
import collections
import itertools
import os
import subprocess
import threading

import pytest

from dissolving import Dissolving, plain
from load import serve_all, start_client


# /sys shows the namespace that it was mounted in; each line read is one change, each line written its echo.
STEER = """
mount -t sysfs none /sys
while read mask; do
    for i in "$@"; do echo $mask >/sys/class/net/$i/queues/rx-0/rps_cpus; done
    echo
done
"""


class Steering:
    """Moves the gateway's receive processing from CPU to CPU for as long as it runs."""

    def __init__(self, gateway, interfaces):
        cpus = os.cpu_count()
        assert cpus > 1, "this story needs two CPUs"
        self.masks = itertools.cycle(f"{1 << cpu:x}".encode() + b"\n" for cpu in range(cpus))
        self.moves = 0
        self.over = threading.Event()
        self.shell = gateway.popen("unshare", "-m", "sh", "-c", STEER, "steer", *interfaces, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        self.thread = threading.Thread(target=self._steer, daemon=True)
        self.thread.start()

    def _steer(self):
        while not self.over.wait(0.005):
            self.shell.stdin.write(next(self.masks))
            self.shell.stdin.flush()
            assert self.shell.stdout.readline()
            self.moves += 1

    def stop(self):
        self.over.set()
        self.thread.join()
        self.shell.stdin.close()
        self.shell.wait()
        return self.moves


def steered_packets():
    """By CPU: how often another CPU has woken it for packets (softnet_stat, received_rps)."""
    with open("/proc/net/softnet_stat", encoding="ascii") as f:
        return [int(line.split()[9], 16) for line in f]


@pytest.mark.topology(backends=2)
def test_sessions_whose_packets_move_between_cpus_dissolve_and_lose_no_byte(lab, long):
    count, size = (100_000, "2G") if long else (2000, "48M")
    serve_all(lab)
    with Dissolving(lab, plain(lab)) as postern:
        before = steered_packets()
        steering = Steering(lab.gateway, ["c0", "b0", "b1"])
        bulk = start_client(lab, "bulk", "--connections", 24, "--bytes", size, "--direction", "both", timeout=900)
        short = start_client(lab, "sessions", "--count", count, "--concurrency", 32, "--size", "20K", timeout=900)
        bulk, short = bulk.wait(900), short.wait(900, check=False)
        moves = steering.stop()
        lines = postern.wait_sessions(count + 24)
        odd = [s for s in lines if s["reason"] not in ("client_fin", "backend_fin")]
        for s in odd:
            print(s, [t for t in lines if t["client"] == s["client"]])
        assert bulk["ok"] == 24 and not bulk["errors"], bulk
        assert short["ok"] == count and not short["errors"], (short, odd)
        dissolved = sum(s["dissolved"] == "yes" for s in lines)
        handed = [now - then for then, now in zip(before, steered_packets())]
        counters = postern.counters()
        print(f"{dissolved} of {count + 24} sessions dissolved, {moves} moves, wake-ups by CPU: {handed}")
        # A session that is never quiet for a moment is relayed to its end; those are few.
        assert dissolved >= (count + 24) * 0.99, collections.Counter(s.get("relayed") for s in lines)
        assert {s.get("relayed", "early_end") for s in lines} == {"early_end"}
        assert moves > 50 and all(n > 100 for n in handed)
        assert not odd, odd
        assert counters["sessions"] == 0 and len({s["session"] for s in lines}) == len(lines)
