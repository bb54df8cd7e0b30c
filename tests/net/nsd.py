# SPDX-License-Identifier: Apache-2.0
"""A DNS server (nsd) in a namespace, for zones that are written once. How it gets onto this machine: mta_parts.py."""
import pathlib
import subprocess
import tempfile

from daemon import LogFile
from lab import hostport
from mta_parts import Cage, installed_part

TTL = 600


class Nsd:
    """
    with Nsd(namespace, address, {"spf.test": [("mail.spf.test.", "A", "192.0.2.1")], "broken.test": None}) as dns:

    A zone without records (None) is never loaded: the server fails when it is asked for it.
    """

    def __init__(self, namespace, address, zones):
        self.namespace, self.address, self.zones = namespace, address, zones
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="postern-nsd-"))
        self.cage = Cage(installed_part("nsd"), self.directory, namespace.path)
        self._process = self._log = None

    @property
    def resolver(self):
        return hostport(self.address, 53)

    def __enter__(self):
        lines = ["server:", f"  ip-address: {self.address}@53", "  zonesdir: /mta", '  username: ""', '  chroot: ""',
                 '  database: ""', '  pidfile: ""', "  zonelistfile: /mta/zone.list", "  xfrdfile: /mta/xfrd.state",
                 "  rrl-ratelimit: 0", "  server-count: 1", "remote-control:", "  control-enable: no"]
        for number, (name, records) in enumerate(self.zones.items()):
            lines += ["zone:", f"  name: {name}", f"  zonefile: {number}.zone"]
            if records is not None:
                text = f"@ {TTL} IN SOA ns.{name}. hostmaster.{name}. 1 3600 600 86400 {TTL}\n@ {TTL} IN NS ns.{name}.\n"
                text += f"ns {TTL} IN A {self.address}\n"
                text += "".join(f"{owner} {TTL} IN {kind} {data}\n" for owner, kind, data in records)
                (self.directory / f"{number}.zone").write_text(f"$ORIGIN {name}.\n{text}")
        (self.directory / "nsd.conf").write_text("\n".join(lines) + "\n")
        path = self.directory / "log"
        with open(path, "ab") as log:
            self._process = self.namespace.popen(*self.cage.command("nsd", "-d", "-c", "/mta/nsd.conf"), stdout=log,
                                                 stderr=log, stdin=subprocess.DEVNULL)
        self._log = LogFile(path)
        self._log.wait(lambda found: any("nsd started" in line for line in found), "nsd has started",
                       alive=lambda: self._process.poll() is None)
        return self

    def __exit__(self, *exc):
        self._process.kill()
        self._process.wait()
        self._log.close()
        subprocess.run(["rm", "-rf", self.directory], check=False)
