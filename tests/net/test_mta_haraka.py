# SPDX-License-Identifier: Apache-2.0
"""Haraka behind postern; of the PROXY protocol it understands version 1 alone, and greets only after the header."""
import re

import pytest

from mta import DIRECT, Haraka
from mta_stage import GATEWAY, TRANSPARENT, Way, each, staged

V1 = Way("v1", 2501, DIRECT, "gateway", "v1")  # it tells its proxies by their address, not by the port
pytestmark = pytest.mark.together
WAYS = (TRANSPARENT, V1)


@pytest.fixture(scope="module")
def stage(request, tmp_path_factory):
    with staged(request, tmp_path_factory, Haraka, WAYS) as made:
        yield made


@each(WAYS)
def test_haraka_logs_the_clients_own_address_and_port(stage, way, family):
    me = stage.deliver(way, stage.stranger(family))
    host, port = re.match(r"\[(.*)\]:(\d+)", me).groups()
    if way is V1:
        session = stage.mta.log.wait_for(rf"\[(\S+)\] \[core\] HAProxy proto=TCP\d src_ip={host}:{port} ")
        stage.mta.log.wait_for(rf"\[{session[1]}\] \[core\] connect ip={GATEWAY[family]} ")
    else:
        session = stage.mta.log.wait_for(rf"\[(\S+)\] \[core\] connect ip={host} port={port} ")
    stage.mta.log.wait_for(rf"\[{session[1]}\.1\] \[core\] disconnect ip={host} .* msgs=1/0/0 ")


@each(WAYS)
def test_starttls_with_haraka_is_a_handshake_with_haraka_itself(stage, way, family):
    assert stage.deliver_with_starttls(way, stage.stranger(family)) == stage.mta.fingerprint()


@each(WAYS)
def test_swaks_delivers_through_tls_to_haraka(stage, way, family):
    me = stage.stranger(family)
    assert "=== TLS started" in stage.swaks(way, me, "--tls")
    stage.mta.log.wait_for(rf"disconnect ip={me} .* tls=Y .* msgs=1/0/0 ")
