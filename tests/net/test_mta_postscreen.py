# SPDX-License-Identifier: Apache-2.0
"""
Postfix's postscreen behind postern. It greets in two steps, to provoke clients that talk before their turn: that only
works when postern neither waits for the rest of a greeting nor keeps a client's early words back.
"""
import re

import pytest

from lab import endpoint
from mta import SCREEN, SCREEN_PROXY, Postfix
from mta_stage import RECIPIENT, Way, each, staged
from peers import receive_line

pytestmark = pytest.mark.together
TRANSPARENT = Way("transparent", 25, SCREEN, "client", "off")
V1 = Way("v1", 2501, SCREEN_PROXY, "gateway", "v1")
V2 = Way("v2", 2502, SCREEN_PROXY, "gateway", "v2")
WAYS = (TRANSPARENT, V1, V2)


@pytest.fixture(scope="module")
def stage(request, tmp_path_factory):
    def postscreen(namespace, directory):
        return Postfix(namespace, directory, screen=True)

    with staged(request, tmp_path_factory, postscreen, WAYS) as made:
        yield made


def last_reply_line(client):
    """The last line of a reply that may have several."""
    return next(line for line in iter(lambda: receive_line(client), None) if line[3:4] != "-")


def command(client, words):
    client.sendall(words.encode() + b"\r\n")
    return last_reply_line(client)


@each(WAYS)
def test_postscreen_catches_an_early_talker_by_its_own_address(stage, way, family):
    with stage.connect(way, stage.stranger(family)) as client:
        client.sendall(b"EHLO early.example\r\n")
        me = re.escape(endpoint(*client.getsockname()[:2]))
        stage.mta.log.wait_for(rf"CONNECT from {me} to ")
        stage.mta.log.wait_for(rf"PREGREET 20 after [\d.]+ from {me}: EHLO early\.example")
        assert receive_line(client).startswith("220-")
        last_reply_line(client)  # to its EHLO
        assert command(client, "MAIL FROM:<sender@stranger.example>").startswith("250 ")
        assert command(client, f"RCPT TO:<{RECIPIENT}>").startswith("550 5.5.1 Protocol error")
    stage.mta.log.wait_for(rf"NOQUEUE: reject: RCPT from {me}: 550 5\.5\.1 Protocol error")


@each(WAYS)
def test_postscreen_lets_a_patient_client_pass_and_knows_it_the_next_time(stage, way, family):
    me = stage.stranger(family)
    with stage.connect(way, me) as client:
        first = re.escape(endpoint(*client.getsockname()[:2]))
        assert receive_line(client).startswith("220-")
        # The first line came while postscreen was still watching: nobody held it back.
        assert not stage.mta.log.find(rf"PASS NEW {first}")
        assert receive_line(client).startswith("220 ")
        stage.mta.log.wait_for(rf"PASS NEW {first}")
    with stage.connect(way, me) as client:
        again = re.escape(endpoint(*client.getsockname()[:2]))
        # No test this time: smtpd's own greeting, of one line. (PASS OLD is not logged while the first session lingers.)
        assert receive_line(client).startswith("220 ")
        assert command(client, "EHLO sender.example").startswith("250 ")
        assert command(client, "MAIL FROM:<sender@stranger.example>").startswith("250 ")
        assert command(client, f"RCPT TO:<{RECIPIENT}>").startswith("250 ")
    stage.mta.log.wait_for(rf"smtpd\[\d+\]: \w+: client=unknown{again}$")
    assert not stage.mta.log.find(rf"PASS NEW {again}")
