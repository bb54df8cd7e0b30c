# SPDX-License-Identifier: Apache-2.0
"""
What the gateway costs, in seconds of its core. The ticks of /proc/stat are too coarse, and interrupts that find the core idle
are charged to nobody. So a soaker (soaker.c) runs on that core at the lowest priority and watches the clock: what it is
missing was taken by others. Three sums make the gateway's time:

  processes   the CPU clocks of the contestant's processes; soft interrupts that hit them are in there
  ksoftirqd   the CPU clock of the kernel's thread for soft interrupts that were put off
  interrupts  time that the soaker was missing while it had the core by its own CPU clock: what interrupted an otherwise idle
              core. The rate of a quiet core (its timer tick) is measured at the start and taken off.

What then is left of the time taken from the soaker was somebody else's ("foreign"): it shows how quiet the machine was, and
does not count as the gateway's, but for interrupts that hit it, which cannot be told apart.

Error: the kernel brings a running process's clock up to date at its tick (at most 4 ms for each clock and reading), one
reading of the clock (some 30 ns) for each interruption.
"""
import dataclasses
import mmap
import os
import struct
import time

import processes
from machine import BenchError

QUIET_SECONDS = 1.0


def process_clock(pid):
    """Seconds of CPU of a process, all its threads."""
    return time.clock_gettime((~int(pid) << 3) | 2)


def kernel_thread(name):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as f:
                if f.read().strip() == name:
                    return int(pid)
        except OSError:
            continue
    raise BenchError(f"the kernel has no thread {name}")


def idle_seconds(core):
    """Of a core without a soaker, exact to the tick of /proc/stat."""
    with open("/proc/stat", encoding="ascii") as f:
        for line in f:
            if line.startswith(f"cpu{core} "):
                fields = line.split()
                return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
    raise BenchError(f"/proc/stat knows no core {core}")


def crossings():
    """Interrupts that cores have sent each other: for packets that another core is to take in, and to wake who sleeps there."""
    with open("/proc/interrupts", encoding="ascii") as f:
        return sum(int(count) for line in f if line.split()[0] in ("CAL:", "RES:", "IPI0:", "IPI1:")
                   for count in line.split()[1:] if count.isdigit())


@dataclasses.dataclass
class Usage:
    """Between two readings. Shares are of the wall clock."""

    wall: float
    gateway: float
    processes: float
    ksoftirqd: float
    interrupts: float
    crossings: int
    foreign_share: float
    gateway_share: float
    load_share: float


class Meter:
    """Reads the clocks of the gateway's core."""

    def __init__(self, soaker, cores, folder, janitor):
        self.cores = cores
        path = os.path.join(folder, "soaker")
        self.soaker = processes.start(janitor, [str(soaker), str(cores.gateway), path])
        deadline = time.monotonic() + 10
        while not os.path.exists(path) or os.path.getsize(path) < 24:
            if self.soaker.poll() is not None or time.monotonic() > deadline:
                raise BenchError("the soaker did not start on the gateway's core")
            time.sleep(0.01)
        with open(path, "rb") as f:
            self.page = mmap.mmap(f.fileno(), 24, prot=mmap.PROT_READ)
        self.ksoftirqd = kernel_thread(f"ksoftirqd/{cores.gateway}")
        self._check_priority(janitor)
        self.quiet_rate = 0.0
        self.quiet_rate = self._measure_quiet()

    def _check_priority(self, janitor):
        """The soaker must take nothing from who has work to do."""
        busy = processes.start(janitor, ["sh", "-c", "while :; do :; done"], core=self.cores.gateway)
        time.sleep(0.1)
        before = process_clock(self.soaker.pid)
        time.sleep(0.5)
        share = (process_clock(self.soaker.pid) - before) / 0.5
        processes.stop(busy)
        if share > 0.05:
            raise BenchError(f"the soaker got {share:.0%} of a busy core: idle priority does not work here, so every "
                             "figure would be wrong")

    def _measure_quiet(self):
        """Interruptions a second of an idle core: the least of three, for others may be at work."""
        rates = []
        for _ in range(3):
            before = self.read([])
            time.sleep(QUIET_SECONDS / 3)
            used = self.usage(before, self.read([]))
            rates.append(max(used.interrupts, 0) / used.wall)
        return min(rates)

    def _read_page(self):
        while True:
            turn, taken, last = struct.unpack("QQQ", self.page[:24])
            if turn % 2 == 0 and struct.unpack("Q", self.page[:8])[0] == turn:
                return taken, last

    def read(self, pids):
        """One reading of all clocks; `pids` are the contestant's processes."""
        taken, last = self._read_page()
        now = time.monotonic_ns()
        return {
            "wall": now / 1e9,
            # What it is missing right now is not in the page yet.
            "taken": (taken + (now - last if now - last > 1000 else 0)) / 1e9,
            "soaker": process_clock(self.soaker.pid),
            "ksoftirqd": process_clock(self.ksoftirqd),
            "processes": sum(process_clock(p) for p in pids),
            "crossings": crossings(),
            "load_idle": sum(idle_seconds(c) for c in self.cores.load),
        }

    def usage(self, before, after):
        d = {key: after[key] - before[key] for key in before}
        interrupts = d["taken"] - (d["wall"] - d["soaker"]) - self.quiet_rate * d["soaker"]
        gateway = d["processes"] + d["ksoftirqd"] + interrupts
        return Usage(
            wall=d["wall"],
            gateway=gateway,
            processes=d["processes"],
            ksoftirqd=d["ksoftirqd"],
            interrupts=interrupts,
            crossings=d["crossings"],
            foreign_share=max(0.0, d["taken"] - gateway - self.quiet_rate * d["soaker"]) / d["wall"],
            gateway_share=gateway / d["wall"],
            load_share=1 - d["load_idle"] / d["wall"] / len(self.cores.load),
        )
