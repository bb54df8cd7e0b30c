# SPDX-License-Identifier: Apache-2.0
"""mailload in a lab: SMTP-like servers in the backends, clients in the client's namespace; results as dicts."""
import json
import os
import signal
import subprocess
import tempfile
import time

from daemon import build_directory, wait_readable
from lab import VIP4, VIP6, hostport

CLIENTS4 = "198.51.96.0/20"  # 4,096 client addresses of each family
CLIENTS6 = "2001:db8:c::/116"
VIPS = (hostport(VIP4, 25), hostport(VIP6, 25))


def mailload():
    return build_directory() / "tests" / "load" / "mailload"


class Program:
    """A running mailload: `result` once it has ended."""

    def __init__(self, namespace, *arguments, stdin=subprocess.DEVNULL):
        self.arguments = arguments
        self.output = tempfile.TemporaryFile("w+")
        ready_end, theirs = os.pipe()
        # Standard error goes through a pipe, so that "ready" can be waited for; it is kept for messages.
        self.process = namespace.popen(mailload(), *arguments, stdin=stdin, stdout=self.output, stderr=theirs)
        os.close(theirs)
        self.ready_end = ready_end
        self.said = b""

    def wait_said(self, word, deadline=60):
        """Until a line on standard error begins with the word."""
        end = time.monotonic() + deadline
        while not any(line.startswith(word.encode()) for line in self.said.split(b"\n")):
            left = end - time.monotonic()
            ready = wait_readable(self.ready_end, left)
            chunk = os.read(self.ready_end, 4096) if ready else b""
            assert chunk, f"mailload {' '.join(map(str, self.arguments))} never said {word}: {self.said.decode()}"
            self.said += chunk

    def cue(self):
        """The cue for --on-cue."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def close_stdin(self):
        """The cue for `hold --until-stdin-eof`."""
        self.process.stdin.close()

    def wait(self, timeout=300, check=True):
        """Its result: the JSON object of its standard output. A failure of the program is one of the story."""
        while chunk := self._read_errors(timeout):
            self.said += chunk
        status = self.process.wait(timeout)
        os.close(self.ready_end)
        self.output.seek(0)
        text = self.output.read()
        self.output.close()
        words = " ".join(map(str, self.arguments))
        assert not check or status == 0, f"mailload {words}: status {status}\n{text}{self.said.decode()}"
        return json.loads(text)

    def _read_errors(self, timeout):
        ready = wait_readable(self.ready_end, timeout)
        assert ready, f"mailload {' '.join(map(str, self.arguments))} did not end within {timeout} s"
        return os.read(self.ready_end, 4096)

    def stop(self, check=True):
        """SIGTERM, then the result (servers)."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(check=check)


def serve(backend, *options, port=25):
    """A server in a backend, on its IPv4 and IPv6 address, listening when this returns."""
    server = Program(backend, "serve", "--name", backend.label, *options, hostport(backend.v4, port),
                     hostport(backend.v6, port))
    server.wait_said("ready")
    return server


def serve_all(lab, *options):
    return [serve(b, *options) for b in lab.backends]


def client(lab, subcommand, *options, to=VIPS, source=None, timeout=300, check=True):
    """A client run to its end: its result."""
    return start_client(lab, subcommand, *options, to=to, source=source, timeout=timeout).wait(timeout + 30, check)


def start_client(lab, subcommand, *options, to=VIPS, source=None, timeout=300, stdin=subprocess.DEVNULL, namespace=None):
    """The same, beside the story."""
    arguments = [subcommand, "--timeout", timeout]
    for address in to:
        arguments += ["--to", address]
    for prefix in source or (CLIENTS4, CLIENTS6):
        arguments += ["--from", prefix]
    return Program(namespace or lab.client, *arguments, *options, stdin=stdin)
