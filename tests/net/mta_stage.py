# SPDX-License-Identifier: Apache-2.0
"""
What the stories with real mail servers share: one server behind one postern, reached in several ways, and real clients.

Each way is a port of the VIP with a pool of its own; the server and the daemon are started once for a module. Every
story sends from addresses that nobody else uses, so what it looks for in a log can only come from itself.
"""
import contextlib
import hashlib
import itertools
import re
import smtplib
import socket
import ssl
import subprocess

import pytest

from conftest import open_shell
from daemon import Postern, backend_lines, configuration, listener, pool
from lab import VIP4, VIP6, Lab, endpoint, family_of, hostport
from mta import DIRECT, DOMAIN, PROXY
from mta_parts import Cage, installed_part

FAMILIES = (socket.AF_INET, socket.AF_INET6)
FAMILY_NAMES = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}
GATEWAY = {socket.AF_INET: "10.2.0.1", socket.AF_INET6: "2001:db8:2::1"}  # its inside addresses
RECIPIENT = f"user@{DOMAIN}"
MESSAGE = "From: sender@stranger.example\r\nSubject: a letter\r\n\r\nDear user,\r\n.. yours\r\n"
_serial = itertools.count(1)


class Way:
    """How sessions reach the server: by which port of the VIP, with which pool, to which port of the server."""

    def __init__(self, name, port, to, source, proxy):
        self.name, self.port, self.to, self.source, self.proxy = name, port, to, source, proxy

    def pool(self, backends):
        return pool(backend_lines(backends, port=self.to), name=self.name, source=self.source,
                    proxy_protocol=self.proxy)

    def listener(self):
        return listener([hostport(VIP4, self.port), hostport(VIP6, self.port)], name=self.name, to=self.name)


TRANSPARENT = Way("transparent", 25, DIRECT, "client", "off")
V1 = Way("v1", 2501, PROXY, "gateway", "v1")
V2 = Way("v2", 2502, PROXY, "gateway", "v2")


def each(ways):
    """Runs a story for each way and both families."""
    def mark(story):
        story = pytest.mark.parametrize("way", ways, ids=lambda way: way.name)(story)
        return pytest.mark.parametrize("family", FAMILIES, ids=FAMILY_NAMES.get)(story)
    return mark


class Smtp(smtplib.SMTP):
    """Python's client over a connection that dial() makes; `name` is what the server's certificate must say."""

    def __init__(self, dial, name):
        self._dial = dial
        super().__init__(name, 25, local_hostname="sender.example", timeout=30)

    def _get_socket(self, host, port, timeout):
        return self._dial()

    def endpoint(self):
        """The client's end, as logs write it."""
        return endpoint(*self.sock.getsockname()[:2])


class Stage:
    def __init__(self, lab, mta, postern):
        self.lab, self.mta, self.postern = lab, mta, postern

    def stranger(self, family=socket.AF_INET):
        """An address of the outside world that was not used before."""
        n = next(_serial)
        return f"2001:db8:c::{n + 0x1000:x}" if family == socket.AF_INET6 else f"198.51.{n // 250}.{n % 250 + 1}"

    @staticmethod
    def vip(source):
        return VIP6 if family_of(source) == socket.AF_INET6 else VIP4

    def connect(self, way, source, namespace=None):
        return (namespace or self.lab.client).connect(self.vip(source), way.port, source)

    def smtp(self, way, source, namespace=None):
        return Smtp(lambda: self.connect(way, source, namespace), self.mta.name)

    def deliver(self, way, source, login=None):
        """Sends one mail and returns the client's end, "[address]:port", when the session has ended well."""
        with self.smtp(way, source) as smtp:
            if login:
                smtp.login(*login)
            me = smtp.endpoint()
            assert smtp.sendmail("sender@stranger.example", [RECIPIENT], MESSAGE) == {}
        self.session(way, me)
        return me

    def session(self, way, client):
        """postern's line about a session, with what must always hold in it."""
        line = self.postern.wait(event="session", client=client)
        host = re.match(r"\[(.*)\]", client)[1]
        wanted = host if way.source == "client" else GATEWAY[family_of(host)]
        assert line["source"].startswith(f"[{wanted}]:"), line
        assert (line["pool"], line["smtp_code"]) == (way.name, "220"), line
        assert line["reason"] in ("client_fin", "backend_fin"), line
        return line

    def deliver_with_starttls(self, way, source, login=None):
        """The same through STARTTLS, verified; returns the fingerprint of the certificate that the client was shown."""
        context = ssl.create_default_context(cafile=self.mta.directory / "tls" / "cert.pem")
        with self.smtp(way, source) as smtp:
            smtp.starttls(context=context)
            if login:
                smtp.login(*login)
            smtp.sendmail("sender@stranger.example", [RECIPIENT], MESSAGE)
            shown = smtp.sock.getpeercert(binary_form=True)
        return hashlib.sha256(shown).hexdigest()

    def swaks(self, way, source, *options):
        """One mail by swaks. Returns the whole conversation; raises when swaks was not content."""
        if family_of(source) == socket.AF_INET6:  # swaks only binds to addresses that are configured
            self.lab.client.ip(f"-6 addr add {source}/128 dev lo nodad")
        return self.lab.client.run(
            "swaks", "--server", self.vip(source), "--port", way.port, "--local-interface", source, "--to", RECIPIENT,
            "--from", "sender@stranger.example", "--helo", "sender.example", *options).stdout

    def smtp_source(self, way, family, mails, sessions):
        """Postfix's load generator: so many mails, some at a time, from the client namespace's first address."""
        vip = self.vip(self.lab.client.address(family))
        cage = Cage(installed_part("postfix"), namespace=self.lab.client.path)
        return cage.run("smtp-source", "-m", mails, "-s", sessions, "-d", "-M", "sender.example",
                        "-f", "sender@stranger.example", "-t", RECIPIENT, f"inet:{hostport(vip, way.port)}")


def configuration_of(ways, backends):
    return configuration([way.pool(backends) for way in ways], [way.listener() for way in ways])


@contextlib.contextmanager
def staged(request, tmp_path_factory, make_mta, ways, backends=1):
    """A lab, the server in its first backend, the daemon with all the ways."""
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab(backends=backends))
        if request.config.getoption("--open-shell"):
            lab.on_shell = lambda daemon=None: open_shell(lab, daemon)
        mta = stack.enter_context(make_mta(lab.backends[0], tmp_path_factory.mktemp("mta")))
        postern = stack.enter_context(Postern(lab, configuration_of(ways, lab.backends[:1])))
        yield Stage(lab, mta, postern)
