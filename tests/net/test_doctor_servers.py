# SPDX-License-Identifier: Apache-2.0
"""
posternctl doctor with real mail servers: which header each of them expects, whom it trusts, and whom it relays for. A mistake is found
and named with the line that mends it; a right setup has no finding.
"""
import contextlib

import pytest

from mta import DIRECT, PROXY, SCREEN, SCREEN_PROXY, Dovecot, Exim, Haraka, OpenSmtpd, Postfix
from patient import (HEADER_V1, HEADER_V2, NAMED_V1, NAMED_V2, OFF, Patient, closed_to_strangers, firewall, grave, inbound, lab,  # noqa: F401
                     postfix, servers, text)  # noqa: F401

pytestmark = [pytest.mark.together, pytest.mark.heavy]

# The server, the port, how the pool is configured; what it should be, and a part of the line that mends it at the server.
HEADERS_WRONG = {
    "postfix-waits-for-one": (Postfix, PROXY, OFF, "v2", "remove -o smtpd_upstream_proxy_protocol=haproxy"),
    "postfix-knows-no-v1": (Postfix, DIRECT, NAMED_V1, "off", "smtpd_upstream_proxy_protocol=haproxy"),
    "postfix-knows-no-v2": (Postfix, DIRECT, HEADER_V2, "off", "smtpd_upstream_proxy_protocol=haproxy"),
    "exim-knows-none": (Exim, DIRECT, NAMED_V2, "off", "hosts_proxy = <; "),
    "opensmtpd-waits-for-one": (OpenSmtpd, PROXY, OFF, "v2", "remove proxy-v2"),
    "opensmtpd-wants-v2": (OpenSmtpd, PROXY, NAMED_V1, "v2", None),  # it cannot do otherwise
    "opensmtpd-knows-none": (OpenSmtpd, DIRECT, NAMED_V2, "off", "proxy-v2 at the end"),
    "haraka-wants-v1": (Haraka, DIRECT, NAMED_V2, "v1", None),
    "haraka-does-not-know-the-sender": (Haraka, DIRECT, HEADER_V1, "off", "connection.ini"),
    "dovecot-knows-none": (Dovecot, DIRECT, NAMED_V2, "off", "haproxy = yes"),
}


@pytest.mark.parametrize("planted", HEADERS_WRONG)
def test_a_header_that_does_not_agree_is_named_with_the_line_that_mends_it(lab, servers, planted):
    kind, port, settings, right, line = HEADERS_WRONG[planted]
    servers(kind)
    report = Patient(lab, inbound(lab.backends[1:], port=port, **settings)).report()
    assert [f["check"] for f in grave(report)] == ["proxy-protocol"] * 2, report["findings"]
    for found in grave(report):
        mend = text(found, "mend")
        assert line is None or line in mend, found
        # Without a header the gateway's address would hide the client's: that is never told to be the way out.
        assert (f"proxy_protocol: {right}" in mend) == (right != "off" or settings.get("source") != "gateway"), found


RIGHT = {
    "postfix-v1": (Postfix, PROXY, NAMED_V1), "postfix-v2": (Postfix, PROXY, NAMED_V2), "postscreen": (Postfix, SCREEN, OFF),
    "postscreen-v2": (Postfix, SCREEN_PROXY, NAMED_V2), "exim": (Exim, DIRECT, OFF), "exim-v2": (Exim, PROXY, NAMED_V2),
    "opensmtpd": (OpenSmtpd, DIRECT, OFF), "opensmtpd-v2": (OpenSmtpd, PROXY, NAMED_V2), "haraka": (Haraka, DIRECT, OFF),
    "haraka-v1": (Haraka, DIRECT, NAMED_V1), "dovecot": (Dovecot, DIRECT, OFF), "dovecot-v2": (Dovecot, PROXY, NAMED_V2),
}
KNOW_THEIR_GATEWAYS = (Exim, Haraka, Dovecot)


@pytest.mark.parametrize("setup", RIGHT)
def test_a_right_setup_has_no_finding(lab, servers, setup):
    kind, port, settings = RIGHT[setup]
    servers(kind, **({"screen": True} if port in (SCREEN, SCREEN_PROXY) else {}))
    patient = Patient(lab, inbound(lab.backends[1:], port=port, **settings))
    believes = settings is not OFF and kind not in KNOW_THEIR_GATEWAYS
    with closed_to_strangers(lab.backends[1], port) if believes else contextlib.nullcontext():
        report = patient.assert_well()
    told = {f["check"]: text(f, "seen") for f in report["findings"]}
    assert "2 backend addresses greet, and understand" in told["proxy-protocol"], told
    assert "refused to relay" in told["gateway-trust"] or "postscreen" in setup, told


@pytest.mark.parametrize("runs", [True, False], ids=["running", "before"])
def test_in_a_right_setup_no_check_at_all_has_a_finding(lab, servers, postfix, runs):
    servers(Postfix)
    patient = Patient(lab, inbound(lab.backends), inbound(lab.backends[:1], port=PROXY, name="named", **NAMED_V2))
    with closed_to_strangers(lab.backends[0]), patient.postern if runs else contextlib.nullcontext():
        before = lab.host_state()
        assert not patient.wrong(), patient.run().stdout
        assert lab.host_state() == before


def test_a_port_that_believes_strangers_headers_is_found_and_its_mend_closes_it(lab, postfix):
    backend = lab.backends[0]
    patient = Patient(lab, inbound([backend], port=PROXY, **NAMED_V2))
    found = grave(patient.report())
    assert [f["check"] for f in found] == ["proxy-strangers"] * 2
    assert "it was believed" in text(found[0], "seen")
    with firewall(backend):
        for f in found:
            backend.run("sh", "-c", text(f, "mend"))
        report = patient.assert_well()
    assert any("believe none of a stranger" in text(f, "seen") for f in report["findings"]), report["findings"]


@pytest.mark.parametrize("settings", [OFF, NAMED_V2], ids=["plain", "v2"])
def test_a_server_that_trusts_the_gateway_is_found(lab, servers, settings):
    backend = lab.backends[1]
    port = DIRECT if settings is OFF else PROXY
    patient = Patient(lab, inbound([backend], port=port, **settings))
    mta = servers(Postfix, mynetworks="10.2.0.0/24 [2001:db8:2::]/64")
    mark = mta.log.mark()
    with closed_to_strangers(backend):
        found = grave(patient.report())
    mta.log.wait_for(r"disconnect .* rcpt=1 rset=1 quit=1", since=mark)
    assert not mta.log.find("data=", since=mark)
    assert [f["check"] for f in found] == ["gateway-trust"] * 2, found
    assert "this gateway's own address 10.2.0.1" in text(found[0], "tried") and "mynetworks" in text(found[0], "mend")
    assert "2001:db8:2::1" in text(found[1], "tried")


@pytest.mark.parametrize("settings", [OFF, NAMED_V2], ids=["plain", "v2"])
def test_an_open_relay_is_found(lab, servers, settings):
    backend = lab.backends[1]
    patient = Patient(lab, inbound([backend], port=DIRECT if settings is OFF else PROXY, **settings))
    servers(Postfix, mynetworks="198.51.100.0/24 [2001:db8::]/64")
    with closed_to_strangers(backend):
        found = grave(patient.report())
    assert [f["check"] for f in found] == ["relay"] * 2, found
    assert "as a stranger, 198.51.100.25" in text(found[0], "tried") and "mynetworks" in text(found[0], "mend")
