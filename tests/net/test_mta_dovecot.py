# SPDX-License-Identifier: Apache-2.0
"""Dovecot's submission server behind postern: users log in, and it logs from where; their mail goes on to a relay."""
import contextlib
import re

import pytest

from mta import Dovecot, Sink
from mta_stage import TRANSPARENT, V1, V2, each, staged

pytestmark = pytest.mark.together
WAYS = (TRANSPARENT, V1, V2)
USER = ("ada", Dovecot.PASSWORD)


@pytest.fixture(scope="module")
def stage(request, tmp_path_factory):
    @contextlib.contextmanager
    def submission(namespace, directory):
        with Sink(namespace, directory / "relay"), Dovecot(namespace, directory / "dovecot") as dovecot:
            yield dovecot

    with staged(request, tmp_path_factory, submission, WAYS) as made:
        yield made


@each(WAYS)
def test_dovecot_logs_where_its_users_come_from(stage, way, family):
    me = stage.stranger(family)
    stage.deliver(way, me, login=USER)
    login = stage.mta.log.wait_for(rf"submission-login: .*(?:Login|Logged in): user=<ada>.* rip={re.escape(me)}, .*session=<([^>]*)>")
    stage.mta.log.wait_for(rf"submission\(ada\).*<{re.escape(login[1])}>.*: Successfully relayed message: ")


@each(WAYS)
def test_starttls_with_dovecot_is_a_handshake_with_dovecot_itself(stage, way, family):
    assert stage.deliver_with_starttls(way, stage.stranger(family), login=USER) == stage.mta.fingerprint()


@each(WAYS)
def test_swaks_logs_in_through_tls_and_submits_to_dovecot(stage, way, family):
    me = stage.stranger(family)
    conversation = stage.swaks(way, me, "--tls", "--auth", "PLAIN", "--auth-user", USER[0], "--auth-password", USER[1])
    assert "=== TLS started" in conversation and "<~  221" in conversation
    stage.mta.log.wait_for(rf"submission-login: .*(?:Login|Logged in): user=<ada>.* rip={re.escape(me)}, .* TLS")
