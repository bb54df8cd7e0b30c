# SPDX-License-Identifier: Apache-2.0
"""The machine: what must be installed and built, which cores do what, what stands in the report about it."""
import os
import pathlib
import platform
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build-bench"
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")


class BenchError(Exception):
    """Something that ends the bench, in words."""


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def run_quietly(*command):
    """Its words are shown only when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}")
    return done.stdout


def install_packages(janitor):
    """What the lists in tests/packages name for building, for namespaces and for this bench. No service starts."""
    wanted = []
    for line in (ROOT / "tests" / "packages").read_text(encoding="utf-8").splitlines():
        purpose, _, packages = line.partition(":")
        if purpose in ("build", "bench"):
            wanted += packages.split()
    wanted += ["iproute2", "nftables"]
    missing = [p for p in wanted if "ok installed" not in output_of("dpkg-query", "-W", "-f", "${Status}", p)]
    if not missing:
        return
    print(f"installing {' '.join(missing)}", flush=True)
    if not POLICY.exists():
        janitor.path(str(POLICY))
        POLICY.write_text("#!/bin/sh\n# no service may start while the bench installs packages\nexit 101\n",
                          encoding="ascii")
        POLICY.chmod(0o755)
        ours = True
    else:
        ours = False
    lock = ("-q", "-o", "DPkg::Lock::Timeout=120")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    run_quietly("apt-get", *lock, "update")
    run_quietly("apt-get", *lock, "install", "-y", "--no-install-recommends", *missing)
    if ours:
        POLICY.unlink()


def build(with_postern):
    """A release build of what is measured and of what measures; the folder of all but postern."""
    if not (BUILD / "build.ninja").exists():
        run_quietly("meson", "setup", "--buildtype=release", BUILD, ROOT)
    targets = [f"tests/load/{name}" for name in ("mailload", "soaker", "bare_relay")] + (["postern"] if with_postern else [])
    run_quietly("ninja", "-C", BUILD, *targets)
    return BUILD / "tests" / "load"


class Cores:
    """The last core is the gateway's; clients and backends share the others."""

    def __init__(self, gateway=None):
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise BenchError("the bench needs two cores: one is the gateway's, the other carries clients and backends")
        self.gateway = allowed[-1] if gateway is None else gateway
        if self.gateway not in allowed:
            raise BenchError(f"there is no core {self.gateway} here, only {allowed}")
        others = [c for c in allowed if c != self.gateway]
        self.client, self.backend = others[0], others[-1]
        self.load = sorted({self.client, self.backend})


def describe(cores):
    """What a reader of the figures wants to know of the machine."""
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    cpu = re.search(r"model name\s*: (.*)", text)
    return {
        "kernel": platform.release(),
        "processor": cpu.group(1) if cpu else platform.machine(),
        "virtual": bool(re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE)),
        "cores": os.cpu_count(),
        "core_of_the_gateway": cores.gateway,
        "cores_of_clients_and_backends": cores.load,
        "load_average_at_start": os.getloadavg()[0],
    }
