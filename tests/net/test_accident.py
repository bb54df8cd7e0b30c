# SPDX-License-Identifier: Apache-2.0
"""
The founding accident. A mail server relays for its inside network; a balancer moves in before it; from that moment on
every stranger comes from an inside address. Here it is shown with HAProxy in TCP mode, and not to happen with postern.
"""
import os
import re
import signal

import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import hostport
from mta import Postfix
from mta_stage import FAMILIES, FAMILY_NAMES, GATEWAY, MESSAGE, TRANSPARENT, V1, V2, Smtp, each, staged

pytestmark = pytest.mark.together
INSIDE = "127.0.0.0/8 10.2.0.0/16 [::1]/128 [2001:db8:2::]/48"  # the gateway's inside addresses among them
VICTIM = "victim@outside.example"
WAYS = (TRANSPARENT, V1, V2)
HAPROXY_PORT = 2525
BOTH_FAMILIES = pytest.mark.parametrize("family", FAMILIES, ids=FAMILY_NAMES.get)


@pytest.fixture(scope="module")
def stage(request, tmp_path_factory):
    """Two hosts of the inside network: a Postfix that trusts all of it, and a neighbour who may relay."""
    def trusting_postfix(namespace, directory):
        return Postfix(namespace, directory, mynetworks=INSIDE)

    with staged(request, tmp_path_factory, trusting_postfix, WAYS, backends=2) as made:
        yield made


@pytest.fixture(scope="module")
def haproxy(stage, tmp_path_factory):
    """HAProxy in the gateway as it is most often set up: it connects from its own address and sends no header."""
    addresses = dict(zip(FAMILIES, (f"{stage.lab.client.link4}.1", f"{stage.lab.client.link6}::1")))
    directory = tmp_path_factory.mktemp("haproxy")
    config = "defaults\n mode tcp\n timeout connect 4s\n timeout client 1m\n timeout server 1m\n"
    for family in FAMILIES:
        config += f"listen {FAMILY_NAMES[family]}\n bind {hostport(addresses[family], HAPROXY_PORT)}\n"
        config += f" server mta1 {hostport(stage.mta.namespace.address(family), 25)}\n"
    (directory / "haproxy.cfg").write_text(config)
    stage.lab.gateway.run("haproxy", "-D", "-f", directory / "haproxy.cfg", "-p", directory / "pid")
    yield addresses
    os.kill(int((directory / "pid").read_text()), signal.SIGKILL)


def ask_to_relay(smtp):
    """Asks for a mail to an outside domain to be relayed. The answer to RCPT."""
    smtp.ehlo()
    smtp.mail("spammer@stranger.example")
    code, text = smtp.rcpt(VICTIM)
    return f"{code} {text.decode()}"


@BOTH_FAMILIES
def test_through_haproxy_postfix_relays_a_strangers_mail(stage, haproxy, family):
    """The control: this is the accident, and the trap is set for postern."""
    stranger = stage.stranger(family)
    with Smtp(lambda: stage.lab.client.connect(haproxy[family], HAPROXY_PORT, stranger), stage.mta.name) as smtp:
        assert ask_to_relay(smtp).startswith("250 2.1.5")
        assert smtp.data(MESSAGE)[0] == 250
    accepted = stage.mta.log.wait_for(rf"(\w+): client=unknown\[{GATEWAY[family]}\]:\d+$")
    stage.mta.log.wait_for(rf"{accepted[1]}: to=<{VICTIM}>, .* status=sent")
    assert not stage.mta.log.find(re.escape(stranger))


@each(WAYS)
def test_through_postern_the_stranger_is_denied_relaying(stage, way, family):
    stranger = stage.stranger(family)
    with stage.smtp(way, stranger) as smtp:
        me = re.escape(smtp.endpoint())
        assert ask_to_relay(smtp) == f"554 5.7.1 <{VICTIM}>: Relay access denied"
        assert smtp.docmd("DATA")[0] == 554
    stage.mta.log.wait_for(rf"NOQUEUE: reject: RCPT from unknown{me}: 554 5\.7\.1 <{VICTIM}>: Relay access denied")


@each(WAYS)
def test_an_inside_neighbour_may_relay_through_postern_as_it_may_directly(stage, way, family):
    neighbour = stage.lab.backends[1]
    me = neighbour.address(family)
    with Smtp(lambda: neighbour.connect(stage.mta.namespace.address(family), 25), stage.mta.name) as smtp:
        assert ask_to_relay(smtp).startswith("250 2.1.5")
    with stage.smtp(way, me, neighbour) as smtp:
        end = re.escape(smtp.endpoint())
        assert ask_to_relay(smtp).startswith("250 2.1.5")
        assert smtp.data(MESSAGE)[0] == 250
    accepted = stage.mta.log.wait_for(rf"(\w+): client=unknown{end}$")
    stage.mta.log.wait_for(rf"{accepted[1]}: to=<{VICTIM}>, .* status=sent")


def test_a_pool_that_would_hide_its_clients_is_refused_with_the_reason(stage):
    hiding = pool(backend_lines(stage.lab.backends), source="gateway", proxy_protocol="off")
    done = Postern(stage.lab, configuration([hiding])).run()
    assert done.returncode == 78
    said = " ".join(done.stderr.split())
    assert "source: gateway with proxy_protocol: off would hide every sender behind the gateway's own address" in said
    assert "open relay" in said
