# SPDX-License-Identifier: Apache-2.0
"""What the stories of doctor's checks that send have in common: a gateway with real mail servers, and how things go wrong there."""
import contextlib

import pytest

from daemon import backend_lines, configuration, listener, pool
from doctor import Doctor
from lab import VIP4, VIP6, Lab, hostport
from mta import DIRECT, PROXY, Postfix

SENDS = "return-path,proxy-protocol,proxy-strangers,gateway-trust,relay,path-mtu"
QUICK = {"check": {"timeout": "7s"}, "timeouts": {"connect": "2s"}}
GATEWAY4, GATEWAY6 = "10.2.0.1", "2001:db8:2::1"
OFF, HEADER_V1, HEADER_V2 = {"proxy_protocol": "off"}, {"proxy_protocol": "v1"}, {"proxy_protocol": "v2"}
NAMED_V1, NAMED_V2 = {"source": "gateway", **HEADER_V1}, {"source": "gateway", **HEADER_V2}


class Patient(Doctor):
    """A gateway in which doctor sends; it must leave the host as it found it."""

    def __init__(self, lab, *pools, gateway=None):
        listeners = [listener([hostport(VIP4, 25 + n), hostport(VIP6, 25 + n)], name=p["name"], to=p["name"])
                     for n, p in enumerate(pools)]
        super().__init__(lab, configuration(pools, listeners, gateway))

    def report(self, *options, only=SENDS):
        before = self.lab.host_state()
        report = self.look("--only", only, *options)
        assert self.lab.host_state() == before
        return report

    def assert_well(self, options=(), **kw):
        report = self.report(*options, **kw)
        assert not grave(report), report["findings"]
        return report


def grave(report):
    return [f for f in report["findings"] if f["verdict"] in ("failed", "warning")]


def text(finding, part):
    return "\n".join(finding[part])


def inbound(backends, port=DIRECT, families=(4, 6), name="inbound", **settings):
    return pool(backend_lines(backends, port=port, families=families), name=name, **{**QUICK, **settings})


@pytest.fixture(scope="module")
def lab():
    with Lab(backends=2) as made:
        yield made


@pytest.fixture(scope="module")
def postfix(lab, tmp_path_factory):
    with Postfix(lab.backends[0], tmp_path_factory.mktemp("mta")) as mta:
        yield mta


@contextlib.contextmanager
def firewall(namespace, *rules, hook="input"):
    """Rules of a host's own firewall, in the table and chain that Debian's nftables.conf has."""
    namespace.run("nft", "-f", "-", input="\n".join([
        "add table inet filter", f"add chain inet filter {hook} {{ type filter hook {hook} priority filter; }}",
        *(f"add rule inet filter {hook} {rule}" for rule in rules), ""]))
    try:
        yield
    finally:
        namespace.run("nft", "delete", "table", "inet", "filter")


@contextlib.contextmanager
def changed(namespace, do, undo):
    namespace.ip(*do)
    try:
        yield
    finally:
        namespace.ip(*undo)


def closed_to_strangers(backend, port=PROXY):
    """What a port that believes PROXY headers needs: it is open to gateways alone."""
    return firewall(backend, f"ip saddr != {GATEWAY4} tcp dport {port} drop", f"ip6 saddr != {GATEWAY6} tcp dport {port} drop")


@pytest.fixture(scope="module")
def servers(lab, tmp_path_factory):
    """The second backend's server, of the kind that is asked for; the one before ends."""
    with contextlib.ExitStack() as stack:
        running = {}

        def serve(kind, **kw):
            wanted = (kind, *sorted(kw.items()))
            if wanted not in running:
                stack.close()
                running.clear()
                running[wanted] = stack.enter_context(kind(lab.backends[1], tmp_path_factory.mktemp("mta"), **kw))
            return running[wanted]
        yield serve
