# SPDX-License-Identifier: Apache-2.0
"""A real DNS server (knot) in a namespace, whose records change while it runs. How it gets onto this machine: mta_parts.py."""
import pathlib
import subprocess
import tempfile
import textwrap
import time

from lab import hostport
from mta_parts import Cage, installed_part

ZONE = "example.test"
BROKEN_ZONE = "broken.test"  # configured, and never loaded: the server fails when it is asked for it
TTL = 1  # seconds; postern waits 5 at least


class Knot:
    """
    with Knot(namespace, address) as dns:
        dns.set("mx A 10.2.0.11", "mx AAAA 2001:db8:2::11")     # exactly these records of all names they name
    """

    def __init__(self, namespace, address):
        self.namespace, self.address = namespace, address
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="postern-knot-"))
        self.cage = Cage(installed_part("knot"), self.directory, namespace.path)
        self._process = None
        self._have = {}

    @property
    def resolver(self):
        return hostport(self.address, 53)

    def __enter__(self):
        (self.directory / "knot.conf").write_text(textwrap.dedent(f"""\
            server:
                rundir: /mta
                listen: {self.address}@53
            database:
                storage: /mta
            log:
              - target: stderr
                any: warning
            zone:
              - domain: {ZONE}
                storage: /mta
                file: zone
                zonefile-sync: -1
                semantic-checks: off
              - domain: {BROKEN_ZONE}
                storage: /mta
                file: missing
            """))
        (self.directory / "zone").write_text(f"@ 3600 SOA ns hostmaster 1 3600 600 86400 {TTL}\n@ 3600 NS ns\nns A {self.address}\n")
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()
        subprocess.run(["rm", "-rf", self.directory], check=False)

    def start(self):
        with open(self.directory / "log", "ab") as log:
            self._process = self.namespace.popen(*self.cage.command("knotd", "-c", "/mta/knot.conf"), stdout=log, stderr=log,
                                                 stdin=subprocess.DEVNULL)
        self._await_socket()

    def _await_socket(self, deadline=30):
        """It answers knotc once it serves; knotc itself waits for an answer, and fails at once without the socket."""
        end = time.monotonic() + deadline
        while self.cage.run("knotc", "-s", "/mta/knot.sock", "zone-read", ZONE, "@", "SOA", check=False).returncode != 0:
            assert self._process.poll() is None and time.monotonic() < end, (self.directory / "log").read_text()

    def stop(self):
        """Nobody listens any more; what it was told is in its journal."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
            for name in ("knot.sock", "knot.pid"):
                (self.directory / name).unlink(missing_ok=True)

    def set(self, *records):
        """Each record is "NAME TYPE DATA"; what these names had before, of any type, is gone. All at once."""
        new = {}
        for record in records:
            name, kind, *data = record.split(maxsplit=2)
            new.setdefault(name, [])
            if data:
                new[name].append(f"{kind} {data[0]}")
        script = [f"zone-begin {ZONE}"]
        for name, wanted in new.items():
            script += [f"zone-unset {ZONE} {name} {have}" for have in self._have.get(name, [])]
            script += [f"zone-set {ZONE} {name} {TTL} {line}" for line in wanted]
        script.append(f"zone-commit {ZONE}")
        commands = " && ".join(f"knotc -s /mta/knot.sock {line} >/dev/null" for line in script)
        self.cage.run("sh", "-c", commands)
        self._have.update(new)

    def clear(self, name):
        """The name has no records: it does not exist."""
        self.set(f"{name} NONE")
