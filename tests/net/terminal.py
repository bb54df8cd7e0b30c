# SPDX-License-Identifier: Apache-2.0
"""A program on a terminal of any size, and what is to be seen there."""
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import termios
import time

import pyte

from daemon import DEADLINE, wait_readable

DOWN, LEFT, HOME, END, ENTER, ESCAPE = "\x1b[B", "\x1b[D", "\x1b[1~", "\x1b[4~", "\r", "\x1b"


class Terminal:
    """A context manager; the program is killed at its end if it still runs."""

    def __init__(self, command, columns=80, lines=24, **env):
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            self._resize(0, columns, lines)
            os.environ.update({"TERM": "linux", "LC_ALL": "C.UTF-8", **env})
            os.execvp(command[0], [str(word) for word in command])

    @staticmethod
    def _resize(fd, columns, lines):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def resize(self, columns, lines):
        self.screen.resize(lines, columns)
        self._resize(self.fd, columns, lines)

    def press(self, keys):
        os.write(self.fd, keys.encode())

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait(self, pattern):
        """Until it is to be seen; returns the match."""
        end = time.monotonic() + DEADLINE
        while not (found := re.search(pattern, self.text, re.M)):
            assert wait_readable(self.fd, end - time.monotonic()), f"never seen: {pattern}\n{self.text}"
            self._stream.feed(os.read(self.fd, 65536))
        return found

    def end(self):
        """Reads until the program has ended: (exit status, all that it wrote from now on)."""
        end, written = time.monotonic() + DEADLINE, b""
        with contextlib.suppress(OSError):  # the other side is closed
            while True:
                assert wait_readable(self.fd, end - time.monotonic()), f"it does not end\n{self.text}"
                written += os.read(self.fd, 65536)
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status), written.decode(errors="replace")
