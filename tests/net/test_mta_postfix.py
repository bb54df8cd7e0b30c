# SPDX-License-Identifier: Apache-2.0
"""Postfix's smtpd behind postern: it logs and judges the client by the client's own address."""
import re

import pytest

from lab import endpoint
from mta import PROXY, Postfix
from mta_stage import TRANSPARENT, V1, V2, Way, each, staged

# The header and the transparent source at once: the server may check both.
V2_FROM_CLIENT = Way("v2-from-client", 2503, PROXY, "client", "v2")
pytestmark = pytest.mark.together
WAYS = (TRANSPARENT, V1, V2, V2_FROM_CLIENT)


@pytest.fixture(scope="module")
def stage(request, tmp_path_factory):
    with staged(request, tmp_path_factory, Postfix, WAYS) as made:
        yield made


@each(WAYS)
def test_postfix_logs_the_clients_own_address_and_port(stage, way, family):
    me = stage.deliver(way, stage.stranger(family))
    queued = stage.mta.log.wait_for(rf"(\w+): client=unknown{re.escape(me)}$")
    stage.mta.log.wait_for(rf"{queued[1]}: to=<user@example\.test>, .* status=sent")


@each(WAYS)
def test_starttls_with_postfix_is_a_handshake_with_postfix_itself(stage, way, family):
    assert stage.deliver_with_starttls(way, stage.stranger(family)) == stage.mta.fingerprint()


@each((TRANSPARENT, V2))
def test_swaks_delivers_through_tls_to_postfix(stage, way, family):
    me = stage.stranger(family)
    conversation = stage.swaks(way, me, "--tls")
    assert "=== TLS started" in conversation and "<~  221" in conversation
    stage.mta.log.wait_for(rf"client=unknown\[{me}\]:\d+$")


@each(WAYS)
def test_every_mail_of_smtp_source_comes_from_its_own_address(stage, way, family):
    mark = stage.mta.log.mark()
    stage.smtp_source(way, family, mails=100, sessions=10)
    me = re.escape(endpoint(stage.lab.client.address(family), ""))
    stage.mta.log.wait_for(rf": client=unknown{me}\d+$", since=mark, count=100)
    assert not stage.mta.log.find(rf": client=(?!unknown{me})", since=mark)


@each((TRANSPARENT, V1, V2))
def test_postfix_refuses_a_strangers_relaying_through_every_way(stage, way, family):
    with stage.smtp(way, stage.stranger(family)) as smtp:
        smtp.ehlo()
        smtp.mail("sender@stranger.example")
        code, text = smtp.rcpt("victim@outside.example")
    assert code == 554 and b"5.7.1" in text and b"Relay access denied" in text
