# SPDX-License-Identifier: Apache-2.0
"""A real HAProxy before postern before a real Postfix: the mail server's log has the sender, whatever stands between."""
import contextlib
import re
import signal
import time

import pytest

from admin import ask, parse_stat
from daemon import DEADLINE, listener
from lab import VIP4, VIP6, endpoint, family_of, hostport
from mta import DIRECT, PROXY, Postfix
from mta_stage import FAMILIES, FAMILY_NAMES, MESSAGE, RECIPIENT, Smtp, Way, staged
from peers import converse
from proxy_headers import header

pytestmark = pytest.mark.together
UPSTREAM4, UPSTREAM6 = "198.51.200.1", "2001:db8:c:ff::1"


class Behind(Way):
    """A way of sessions that an upstream names."""

    def __init__(self, name, port, to, source, proxy, dissolve="on"):
        super().__init__(name, port, to, source, proxy)
        self.dissolve = dissolve

    def pool(self, backends):
        return {**super().pool(backends), "dissolve": self.dissolve}

    def listener(self):
        mx = listener([hostport(VIP4, self.port), hostport(VIP6, self.port)], name=self.name, to=self.name)
        return {**mx, "accept_proxy_from": [UPSTREAM4, UPSTREAM6]}


WAYS = (Behind("dissolved", 25, DIRECT, "client", "off"), Behind("relayed", 2500, DIRECT, "client", "off", "off"),
        Behind("header", 2501, PROXY, "gateway", "v2"))
VERSIONS = {"v1": "send-proxy", "v2": "send-proxy-v2"}
CHECKS = {"local": "send-proxy-v2 check", "unknown": "send-proxy check check-send-proxy", "plain": "check port 25"}


@pytest.fixture(scope="module")
def stage(request, tmp_path_factory):
    with staged(request, tmp_path_factory, Postfix, WAYS) as made:
        made.lab.client.ip(f"-6 addr add {UPSTREAM6}/128 dev lo nodad")
        yield made


class HaProxy:
    """HAProxy in the clients' namespace; `ports[name]` is where each of its servers is reached."""

    def __init__(self, lab, directory, servers):
        text = f"global\n stats socket {directory}/socket level admin\n"
        text += "defaults\n mode tcp\n timeout connect 4s\n timeout client 1m\n timeout server 1m\n timeout check 2s\n"
        self.ports = {}
        for port, (name, (address, options)) in enumerate(servers.items(), 2600):
            here = UPSTREAM6 if address.startswith("[") else UPSTREAM4
            text += f"listen {name}\n bind {hostport(here, port)}\n source {hostport(here, 0)}\n"
            text += f" server postern {address} {options} inter 200ms\n"
            self.ports[name] = here, port
        (directory / "haproxy.cfg").write_text(text)
        self.socket = directory / "socket"
        self.program = lab.client.popen("haproxy", "-db", "-f", directory / "haproxy.cfg")
        end = time.monotonic() + DEADLINE
        while not self._answers():
            assert self.program.poll() is None and time.monotonic() < end, "HAProxy does not start"
            time.sleep(0.01)

    def _answers(self):
        with contextlib.suppress(OSError):
            return bool(ask(self.socket, "show info"))

    def stat(self, name):
        return parse_stat(ask(self.socket, "show stat"))[name, "postern"]

    def stop(self):
        self.program.send_signal(signal.SIGKILL)
        self.program.wait()


@pytest.fixture(scope="module")
def haproxy(stage, tmp_path_factory):
    servers = {f"{way.name}-{version}-{FAMILY_NAMES[family]}":
               (hostport(VIP6 if family == family_of(VIP6) else VIP4, way.port), VERSIONS[version])
               for way in WAYS for version in VERSIONS for family in FAMILIES}
    made = HaProxy(stage.lab, tmp_path_factory.mktemp("haproxy"), servers)
    yield made
    made.stop()


@pytest.mark.parametrize("family", FAMILIES, ids=FAMILY_NAMES.get)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_postfix_logs_the_sender_that_haproxy_has_named(stage, haproxy, way, version, family):
    sender = stage.stranger(family)
    at, port = haproxy.ports[f"{way.name}-{version}-{FAMILY_NAMES[family]}"]
    with Smtp(lambda: stage.lab.client.connect(at, port, sender), stage.mta.name) as smtp:
        me = smtp.endpoint()
        assert smtp.sendmail("sender@stranger.example", [RECIPIENT], MESSAGE) == {}
    accepted = stage.mta.log.wait_for(rf"(\w+): client=unknown{re.escape(me)}$")
    stage.mta.log.wait_for(rf"{accepted[1]}: to=<{RECIPIENT}>, .* status=sent")
    line = stage.session(way, me)
    assert line["upstream"].startswith(f"[{at}]:")
    assert line["dissolved"] == ("yes" if way.name == "dissolved" else "no"), line


@pytest.mark.parametrize("check", CHECKS)
def test_haproxys_checks_find_postern_well_and_are_no_alarm(stage, tmp_path, check):
    events = len(stage.postern.lines(level="warning"))
    before = stage.postern.counters()["closed_upstream_check"]
    made = HaProxy(stage.lab, tmp_path, {"checked": (hostport(VIP4, 25), CHECKS[check])})
    try:
        if check != "plain":  # HAProxy resets the handshake of a plain check: nothing is accepted
            stage.postern.wait_counter(closed_upstream_check=before + 5)
        end = time.monotonic() + DEADLINE
        while (row := made.stat("checked"))["check_status"] != "L4OK" or int(row["lastchg"]) < 1:
            assert time.monotonic() < end, row
            time.sleep(0.05)
        assert row["status"] == "UP" and row["chkdown"] == "0", row
    finally:
        made.stop()
    assert len(stage.postern.lines(level="warning")) == events


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stranger_who_claims_to_be_a_neighbour_is_answered_as_the_stranger(stage, version):
    stranger = stage.stranger()
    with stage.connect(WAYS[0], stranger) as s:
        me = endpoint(*s.getsockname())
        converse(s, "", "220")
        s.sendall(header(version, ("127.0.0.1", 25), VIP4) + b"\r\n")
        said = s.makefile("rb").readline()  # the first reply: a v2 header has a QUIT within, and Postfix may reset then
        assert re.match(rb"5\d\d ", said), said
    stage.mta.log.wait_for(rf" connect from unknown{re.escape(me)}$")
    line = stage.postern.wait(event="session", client=me)
    assert "upstream" not in line and not stage.mta.log.find(r"unknown\[127\.0\.0\.1\]")
