# SPDX-License-Identifier: Apache-2.0
"""What the stories of upgrades in place share: a daemon whose process changes while its service does not."""
import collections
import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import threading

from daemon import DEADLINE, wait_readable
from dissolving import Dissolving
from load import client

PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


class Successor:
    """A process that a daemon has started; what the harness asks of a Popen."""

    def __init__(self, pid):
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def poll(self):
        """None while it lives; then its status, or 0 where only the process before it has heard that."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if not poll.poll(0):
            return None
        with contextlib.suppress(ChildProcessError):
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return 0

    def wait(self, timeout=None):
        if not wait_readable(self._fd, timeout or DEADLINE):
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.poll()

    def send_signal(self, number):
        signal.pidfd_send_signal(self._fd, number)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            self.send_signal(signal.SIGKILL)


class Upgrading(Dissolving):
    """`process` is always the one that serves; those before it are in `old` until they have been seen to end."""

    def __init__(self, lab, config, **kw):
        super().__init__(lab, config, **kw)
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans become ours: their status is seen
        lab.defer(_libc.prctl, PR_SET_CHILD_SUBREAPER, 0)
        self.installed = self.program
        self.program = self.directory / "postern"
        shutil.copy2(self.installed, self.program)
        self.old = []

    @property
    def who(self):
        return {"pid": self.pid}

    def install(self, text=None):
        """
        Replaces the program as a package does: by another file of its name. A script, or the real one again. Not written by
        ourselves: what another thread of ours starts just then would have it open too, and what is open for writing cannot run.
        """
        new = self.directory / "postern.new"
        subprocess.run(["install", "-m", "755", "/dev/stdin" if text else self.installed, new], input=text, text=True, check=True)
        new.rename(self.program)

    def install_held(self):
        """The real one, which begins only once something is written to the path that is returned."""
        gate = self.directory / "gate"
        os.mkfifo(gate)
        self.install(f'#!/bin/sh\nread go <{gate}\nexec {self.installed} "$@"\n')
        return gate

    def upgrade(self):
        """USR2, until the new process serves; its line took_over."""
        since = len(self.log.read())
        self.send(signal.SIGUSR2)
        return self.follow(since)

    def follow(self, since):
        """From now on `process` is the one that has taken over after line `since`."""
        line = self.wait(since=since, event="took_over")
        self.old.append(self.process)
        self.process = Successor(int(line["pid"]))
        self.wait(since=since, event="handed_over")
        self.wait(since=since, event="start", pid=self.pid)
        return line

    def fail_to_upgrade(self, deadline=DEADLINE):
        """USR2, and it must come to nothing; the reason."""
        since = len(self.log.read())
        self.send(signal.SIGUSR2)
        return self.wait(deadline, since=since, event="upgrade_failed")["reason"]

    def wait_old(self, deadline=DEADLINE):
        """Until every process that was replaced has ended, each with status 0."""
        for process in self.old:
            try:
                assert process.wait(deadline) == 0, self.tail()
            except subprocess.TimeoutExpired:
                raise AssertionError(f"process {process.pid} did not end\n{self.tail()}") from None
        self.old = []

    def stop(self, number=signal.SIGTERM, deadline=DEADLINE):
        self.wait_old(deadline)
        super().stop(number, deadline)


class Storm:
    """Whole sessions of a message each, one after the other in so many slots, for as long as the block lasts."""

    def __init__(self, lab, concurrency=20, batch=100, **options):
        self._lab, self._concurrency, self._batch, self._options = lab, concurrency, batch, options
        self.ok, self.errors, self._over = 0, collections.Counter(), False
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over = True
        self._thread.join()

    def _run(self):
        while not self._over:
            result = client(self._lab, "sessions", "--count", self._batch, "--concurrency", self._concurrency,
                            check=False, **self._options)
            with self._more:
                self.ok += result["ok"]
                self.errors.update(result["errors"])
                self._more.notify_all()

    def wait(self, count, deadline=DEADLINE):
        """Until so many sessions more have ended well, or one has not."""
        with self._more:
            wanted = self.ok + count
            assert self._more.wait_for(lambda: self.ok >= wanted or self.errors, deadline), "the storm stands still"
