# SPDX-License-Identifier: Apache-2.0
"""OpenSMTPD behind postern; of the PROXY protocol it understands version 2 alone."""
import re

import pytest

from lab import family_of
from mta import OpenSmtpd
from mta_stage import TRANSPARENT, V2, each, staged

pytestmark = pytest.mark.together
WAYS = (TRANSPARENT, V2)


@pytest.fixture(scope="module")
def stage(request, tmp_path_factory):
    with staged(request, tmp_path_factory, OpenSmtpd, WAYS) as made:
        yield made


def logged(address):
    """An address as OpenSMTPD writes it."""
    return re.escape(f"[{address}]" if family_of(address).name == "AF_INET6" else address)


@each(WAYS)
def test_opensmtpd_logs_the_clients_own_address(stage, way, family):
    me = stage.stranger(family)
    stage.deliver(way, me)
    session = stage.mta.log.wait_for(rf"(\w+) smtp connected address={logged(me)} ")
    stage.mta.log.wait_for(rf"{session[1]} smtp envelope .*from=<sender@stranger\.example> to=<user@example\.test>")


@each(WAYS)
def test_swaks_delivers_to_opensmtpd(stage, way, family):
    me = stage.stranger(family)
    assert "<-  221" in stage.swaks(way, me)
    session = stage.mta.log.wait_for(rf"(\w+) smtp connected address={logged(me)} ")
    stage.mta.log.wait_for(rf"{session[1]} smtp disconnected reason=quit")
