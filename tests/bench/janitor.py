# SPDX-License-Identifier: Apache-2.0
"""
Leaves nothing behind, however the bench ends: a process of its own that is told of everything there is to remove, and
removes it when the bench is gone (its end of a pipe is closed, also by SIGKILL). It is the only way of tearing down, so
that it is tested by every run. Failures are ignored: what is gone already needs no removing.
"""
import os
import shutil
import signal
import subprocess
import sys


def start_time(pid):
    """Tells a process from a later one with the same number; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rpartition(")")[2].split()[19]
    except OSError:
        return None


class Janitor:
    """begin() before anything is made; end() at the end."""

    def begin(self):
        read_end, self.pipe = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            os._exit(self._wait_and_clean(read_end))
        os.close(read_end)

    def end(self):
        os.close(self.pipe)
        os.waitpid(self.pid, 0)

    def process(self, pid):
        """A process that leads a group: it goes with all that it started."""
        self._tell("process", f"{pid} {start_time(pid)}")

    def namespace(self, name):
        self._tell("namespace", name)

    def path(self, path):
        self._tell("path", path)

    def _tell(self, kind, what):
        os.write(self.pipe, f"{kind} {what}\n".encode())

    def _wait_and_clean(self, read_end):
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        told = b""
        while chunk := os.read(read_end, 65536):
            told += chunk
        for line in told.decode().splitlines():  # processes first: they hold the rest
            kind, _, what = line.partition(" ")
            pid, _, started = what.partition(" ")
            if kind == "process" and start_time(pid) == started:
                self._kill(int(pid))
        for line in told.decode().splitlines():
            kind, _, what = line.partition(" ")
            if kind == "namespace" and os.path.exists(f"/run/netns/{what}"):
                subprocess.run(["ip", "netns", "del", what], check=False, stderr=subprocess.DEVNULL)
            elif kind == "path" and os.path.isdir(what):
                shutil.rmtree(what, ignore_errors=True)
            elif kind == "path" and os.path.exists(what):
                os.unlink(what)
        return 0

    @staticmethod
    def _kill(pid):
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass
