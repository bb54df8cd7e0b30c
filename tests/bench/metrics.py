# SPDX-License-Identifier: Apache-2.0
"""
The metrics: how each is taken, and which figures come of it. A figure knows its unit, which way is better, and its targets:
ratios to the better of HAProxy's two modes, or to forwarding.
"""
import contextlib
import dataclasses
import pathlib
import subprocess
import time

from lab import result_of
from machine import BenchError


@dataclasses.dataclass(frozen=True)
class Target:
    """What a contestant's ratio shall be at most (at least, where more is better)."""

    contestant: str
    to: str  # "haproxy" or "forwarding"
    ratio: float


def relay(ratio):
    return Target("postern-relay", "haproxy", ratio)


def dissolved(to_haproxy=None, to_forwarding=None):
    wanted = {"haproxy": to_haproxy, "forwarding": to_forwarding}
    return tuple(Target("postern", to, ratio) for to, ratio in wanted.items() if ratio)


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the table."""

    key: str
    title: str
    unit: str
    lower_is_better: bool = True
    targets: tuple = ()
    limit: float = None  # of postern itself, in the figure's unit
    above_forwarding: bool = False  # forwarding's own value is taken off, as the part that is not the gateway's


FIGURES = (
    Figure("ping_cpu", "ping-pong, 64 connections: CPU per round trip", "us", targets=(relay(0.75), *dissolved(0.25, 1.15))),
    Figure("ping_p50", "  round trip, median", "us", targets=dissolved(to_forwarding=1.05)),
    Figure("ping_p99", "  round trip, 99th percentile", "us", targets=dissolved(to_forwarding=1.05)),
    Figure("ping_crossings", "  interrupts from core to core", "a round trip"),
    Figure("session_cpu", "SMTP session of 1 KB: CPU per session", "us", targets=(relay(0.77), *dissolved(0.5))),
    Figure("session_crossings", "  interrupts from core to core", "a session"),
    Figure("session_rate", "  sessions per second", "/s", lower_is_better=False, targets=(relay(1.3),)),
    Figure("in_turn_cpu", "  the same without pipelining: CPU per session", "us"),
    Figure("mail_cpu", "SMTP session of 1 MB: CPU per session", "us", targets=dissolved(0.4, 1.2)),
    Figure("banner_p50", "SYN to banner, median", "us"),
    Figure("bulk1_cpu", "bulk, 1 connection: CPU per GB", "s", targets=(relay(0.95), *dissolved(0.25, 1.15))),
    Figure("bulk1_rate", "  GB per second", "GB/s", lower_is_better=False),
    Figure("bulk16_cpu", "bulk, 16 connections: CPU per GB", "s", targets=(relay(0.95), *dissolved(0.25, 1.15))),
    Figure("bulk16_rate", "  GB per second", "GB/s", lower_is_better=False),
    Figure("idle_user", "idle session: user memory", "KB", targets=(relay(0.2),)),
    Figure("idle_user_total", "  user memory in all, with those sessions", "MB"),
    Figure("idle_kernel", "  kernel memory above forwarding's", "KB", above_forwarding=True),
    Figure("idle_total", "  user and kernel memory above forwarding's", "KB", above_forwarding=True, limit=0.5),
)


@dataclasses.dataclass(frozen=True)
class Extent:
    """How long and how much."""

    seconds: float
    bulk_bytes: int
    idle_sessions: int
    banners: int
    attempts: int  # while others take the gateway's core


FULL = Extent(seconds=3.0, bulk_bytes=3 << 30, idle_sessions=5000, banners=1500, attempts=3)
QUICK = Extent(seconds=0.5, bulk_bytes=256 << 20, idle_sessions=500, banners=100, attempts=1)
OPEN_RATE = 500  # idle sessions a second
SETTLE_SECONDS = 3  # what has seen its banner and is silent dissolves after one
NOISY = 0.05  # share of the gateway's core that others had, from which on a measurement is taken again


class Stage:
    """One contestant in its lab, with the meter: what the metrics below are taken with."""

    def __init__(self, contestant, lab, meter, extent):
        self.contestant, self.lab, self.meter, self.extent = contestant, lab, meter, extent

    def run(self, *arguments):
        """A client from its start to its end: its result and the gateway's usage."""
        pids = self.contestant.pids()
        before = self.meter.read(pids)
        client = self.lab.start_client(self.contestant.target, *map(str, arguments))
        result = result_of(client)
        return result, self.meter.usage(before, self.meter.read(pids))

    def run_on_cue(self, *arguments):
        """A client that opens its sessions first: only what lies between its cues is measured."""
        pids = self.contestant.pids()
        client = self.lab.start_client(self.contestant.target, *map(str, arguments), "--on-cue")
        words = wait_word(client, "ready")
        before = self.meter.read(pids)
        say(client)
        words += wait_word(client, "done")
        after = self.meter.read(pids)
        say(client)
        return result_of(client, words), self.meter.usage(before, after)


def say(client):
    client.stdin.write("\n")
    client.stdin.flush()


def wait_word(client, word):
    said = ""
    for line in client.stderr:
        said += line
        if line.strip() == word:
            return said
    raise BenchError(f"the client never said {word}: {said}")


def shares(usage, prefix):
    """What tells how far a figure can be trusted: who had the cores."""
    return {f"{prefix}_gateway_share": usage.gateway_share, f"{prefix}_load_share": usage.load_share,
            f"{prefix}_foreign_share": usage.foreign_share}


def ping(stage):
    result, usage = stage.run_on_cue("ping", "--connections", 64, "--seconds", stage.extent.seconds)
    return {"ping_cpu": usage.gateway / result["round_trips"] * 1e6, "ping_p50": result["p50_us"],
            "ping_p99": result["p99_us"], "ping_crossings": usage.crossings / result["round_trips"],
            **shares(usage, "ping")}


def sessions(stage):
    stage.run("sessions", "--count", 300)
    result, usage = stage.run("sessions", "--pipelining", "--seconds", stage.extent.seconds)
    in_turn, in_turn_usage = stage.run("sessions", "--seconds", stage.extent.seconds * 0.6)
    return {"session_cpu": usage.gateway / result["ok"] * 1e6, "session_rate": result["per_second"],
            "session_crossings": usage.crossings / result["ok"],
            "in_turn_cpu": in_turn_usage.gateway / in_turn["ok"] * 1e6, **shares(usage, "session"),
            **shares(in_turn_usage, "in_turn")}


def mail(stage):
    result, usage = stage.run("sessions", "--pipelining", "--size", 1 << 20, "--seconds", stage.extent.seconds)
    return {"mail_cpu": usage.gateway / result["ok"] * 1e6, **shares(usage, "mail")}


def banner(stage):
    result, usage = stage.run("sessions", "--count", stage.extent.banners, "--concurrency", 1)
    return {"banner_p50": result["banner_p50_us"], **shares(usage, "banner")}


def bulk(stage):
    figures = {}
    for connections in (1, 16):
        result, usage = stage.run_on_cue("bulk", "--connections", connections, "--unchecked", "--bytes",
                                         stage.extent.bulk_bytes // connections)
        key = f"bulk{connections}"
        figures |= {f"{key}_cpu": usage.gateway / (result["bytes"] / 1e9), f"{key}_rate": result["gb_per_second"],
                    **shares(usage, key)}
    return figures


def user_bytes(pids):
    """Memory of its own that the contestant's processes have: the proportional set size."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            total += sum(int(line.split()[1]) * 1024 for line in f if line.startswith("Pss:"))
    return total


def kernel_bytes():
    """Kernel memory of all kinds that sessions can take, of the whole machine."""
    kinds = ("Slab:", "KernelStack:", "PageTables:", "Percpu:")
    with open("/proc/meminfo", encoding="ascii") as f:
        return sum(int(line.split()[1]) * 1024 for line in f if line.startswith(kinds))


def shrink_slabs():
    """What has been freed but is kept for the next one is nobody's: without this, the sockets of before would be counted."""
    for cache in pathlib.Path("/sys/kernel/slab").glob("*/shrink"):
        with contextlib.suppress(OSError):
            cache.write_text("1", encoding="ascii")


def settled_kernel_bytes():
    """The least of some readings: freed memory comes back after a grace period."""
    readings = []
    for _ in range(4):
        shrink_slabs()
        readings.append(kernel_bytes())
        time.sleep(0.15)
    return min(readings)


def idle(stage):
    """
    Sessions that have seen their banner and nothing more. First of all metrics, while the contestant is fresh but for what any
    number of sessions needs once. They come at a rate: of a burst, what the kernel keeps for the next one (io_uring the memory
    of requests) would be counted as theirs.
    """
    stage.run("sessions", "--count", 300)
    number, pids = stage.extent.idle_sessions, stage.contestant.pids()
    user_before, kernel_before = user_bytes(pids), settled_kernel_bytes()
    client = stage.lab.start_client(stage.contestant.target, "hold", "--connections", str(number),
                                     "--open-rate", str(OPEN_RATE), "--until-stdin-eof")
    words = wait_word(client, "ready")
    time.sleep(SETTLE_SECONDS)
    user, kernel = user_bytes(pids), settled_kernel_bytes()
    result_of(client, words)
    figures = {"idle_kernel": (kernel - kernel_before) / number / 1024}
    if pids:
        figures |= {"idle_user": (user - user_before) / number / 1024, "idle_user_total": user / 2**20}
    figures["idle_total"] = figures["idle_kernel"] + figures.get("idle_user", 0)
    return figures


METRICS = {"idle": idle, "ping": ping, "sessions": sessions, "mail": mail, "banner": banner, "bulk": bulk}


def noise(figures):
    return max((value for key, value in figures.items() if key.endswith("_foreign_share")), default=0)


def quietest(name, stage):
    """A metric is taken again while others disturb it; the least disturbed attempt counts."""
    attempts = []
    for _ in range(stage.extent.attempts):
        attempts.append(METRICS[name](stage))
        if noise(attempts[-1]) <= NOISY:
            break
    return min(attempts, key=noise)


def measure(name, stage):
    """One metric of one contestant; failures say whose."""
    try:
        figures = quietest(name, stage)
    except (BenchError, subprocess.SubprocessError, OSError) as e:
        raise BenchError(f"{stage.contestant.name}, {name}: {e}") from e
    if not stage.contestant.alive():
        raise BenchError(f"{stage.contestant.name} ended during {name}")
    return figures
