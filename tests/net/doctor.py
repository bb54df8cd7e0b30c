# SPDX-License-Identifier: Apache-2.0
"""posternctl doctor, run in a lab's gateway: beside a daemon, or by its configuration alone."""
import contextlib
import json
import subprocess

from admin import AdminPostern
from daemon import DEADLINE, SANITIZER_ENVIRONMENT, SANITIZER_TRACES, backend_lines, build_directory, configuration, pool

GOOD, WRONG, USAGE, NO_PERMISSION = 0, 2, 64, 77
HOST_ONLY = {"clock", "log"}  # these look at the machine that the tests run on, as it is


class Doctor:
    """A gateway to be looked at: `postern` is its daemon (not started), which knows the configuration."""

    def __init__(self, lab, config, **kw):
        self.lab = lab
        self.postern = AdminPostern(lab, config, **kw)

    def run(self, *options, wrapper=(), file=None, status=None):
        done = subprocess.run(
            self.lab.gateway.command(*wrapper, build_directory() / "tools" / "posternctl" / "posternctl", "doctor",
                                     "-f", file or self.postern.file, *options),
            capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL,
            env={**self.postern.environment, **SANITIZER_ENVIRONMENT})
        assert not any(word in done.stderr for word in SANITIZER_TRACES), done.stderr
        assert status is None or done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done

    def look(self, *options, **kw):
        """What it finds, as the document."""
        return json.loads(self.run("--json", *options, **kw).stdout)

    def wrong(self, *options, **kw):
        """The findings that are not right, but those of the machine."""
        return [f for f in self.look(*options, **kw)["findings"]
                if f["verdict"] in ("failed", "warning") and f["check"] not in HOST_ONLY]


def plain(lab, gateway=None, **settings):
    return configuration([pool(backend_lines(lab.backends), **settings)], gateway=gateway)


@contextlib.contextmanager
def nothing_running():
    yield
