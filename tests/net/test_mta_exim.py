# SPDX-License-Identifier: Apache-2.0
"""Exim behind postern: it logs the client's address for a mail, and the gateway's only where it names the proxy."""
import re

import pytest

from mta import Exim
from mta_stage import GATEWAY, TRANSPARENT, V1, V2, each, staged

pytestmark = pytest.mark.together
WAYS = (TRANSPARENT, V1, V2)


@pytest.fixture(scope="module")
def stage(request, tmp_path_factory):
    with staged(request, tmp_path_factory, Exim, WAYS) as made:
        yield made


@each(WAYS)
def test_exim_logs_the_clients_own_address_and_port(stage, way, family):
    me = re.escape(stage.deliver(way, stage.stranger(family)))
    received = stage.mta.log.wait_for(rf"<= sender@stranger\.example H=\(sender\.example\) {me} (.*)$")
    proxy = re.search(r"PRX=(\S+)", received[1])
    assert (proxy and proxy[1]) == (GATEWAY[family] if way.source == "gateway" else None)


@each(WAYS)
def test_starttls_with_exim_is_a_handshake_with_exim_itself(stage, way, family):
    assert stage.deliver_with_starttls(way, stage.stranger(family)) == stage.mta.fingerprint()


@each(WAYS)
def test_swaks_delivers_through_tls_to_exim(stage, way, family):
    me = stage.stranger(family)
    assert "=== TLS started" in stage.swaks(way, me, "--tls")
    stage.mta.log.wait_for(rf"<= sender@stranger\.example H=\(sender\.example\) \[{me}\]:\d+ .* P=esmtps ")
