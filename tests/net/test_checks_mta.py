# SPDX-License-Identifier: Apache-2.0
"""
Checks of real mail servers: hundreds of them leave no word of complaint in a server's log and no reset on the wire, with every
PROXY header that the server takes.
"""
import re

import pytest

from daemon import Postern, backend_lines, configuration, listener, pool
from lab import VIP4, Lab, hostport
from mta import DIRECT, PROXY, SCREEN, SCREEN_PROXY, Dovecot, Exim, Haraka, OpenSmtpd, Postfix
from mta_stage import GATEWAY
from wire import watched

CHECKS = 360  # what an hour has of them, for a server with one address per family that takes three kinds of headers
CHECK = {"fast_interval": "100ms"}
GATEWAYS = set(GATEWAY.values())

# What servers say when a client did not behave; a check that ends in order is at most a connect and a disconnect. These two write
# a level into each line, and a summary of every session that has such words in it.
COMPLAINT = re.compile(r"warn|error|fatal|panic|crit|alert|lost connection|timeout|timed out|reject|refused|pregreet|hangup|"
                       r"command time|non-smtp|bare newline|unexpected|improper|dropped|too many|abort|proxy.*(fail|invalid)",
                       re.IGNORECASE)
COMPLAINTS = {
    Haraka: re.compile(r"\[(WARN|ERROR|CRIT|ALERT|EMERG)|errors=[1-9]|early=Y"),
    Dovecot: re.compile(r"(Warning|Error|Fatal|Panic): |Disconnected: (?!Aborted login by logging out)"),
}


def screened(namespace, directory):
    return Postfix(namespace, directory, screen=True)


def haraka_of_other_proxies(namespace, directory):
    """It tells its proxies by their address: from these it expects headers, of checks too."""
    return Haraka(namespace, directory, proxies=("192.0.2.1/32",))


# What to start, and its ways: a port and the header that is sent there.
SERVERS = {
    "postfix": (Postfix, [(DIRECT, "off"), (PROXY, "v1"), (PROXY, "v2")]),
    "postscreen": (screened, [(SCREEN, "off"), (SCREEN_PROXY, "v1"), (SCREEN_PROXY, "v2")]),
    "exim": (Exim, [(DIRECT, "off"), (PROXY, "v1"), (PROXY, "v2")]),
    "opensmtpd": (OpenSmtpd, [(DIRECT, "off"), (PROXY, "v2")]),
    "haraka": (haraka_of_other_proxies, [(DIRECT, "off")]),
    "haraka-v1": (Haraka, [(DIRECT, "v1")]),
    "dovecot": (Dovecot, [(DIRECT, "off"), (PROXY, "v1"), (PROXY, "v2")]),
}


def pools_of(ways, backend, **check):
    """A pool for each way, each with a port of the VIP that nobody uses."""
    pools, listeners = [], []
    for n, (port, proxy) in enumerate(ways):
        name = f"p{port}-{proxy}"
        pools.append(pool(backend_lines([backend], port=port), name=name, proxy_protocol=proxy,
                          source="client" if proxy == "off" else "gateway", check={**CHECK, **check}))
        listeners.append(listener([hostport(VIP4, 2500 + n)], name=f"l{n}", to=name))
    return configuration(pools, listeners)


def complaints(mta, since):
    """Complaints about anybody but the story's own first look at the server, which comes from the server's address."""
    own = (mta.namespace.v4, mta.namespace.v6)
    complaint = COMPLAINTS.get(type(mta), COMPLAINT)
    return [line for line in mta.log.lines(since) if complaint.search(line) and not any(f"[{a}]" in line for a in own)]


@pytest.mark.heavy
@pytest.mark.parametrize("server", SERVERS)
def test_an_hour_of_checks_leaves_no_complaint_and_no_reset(server, tmp_path):
    make, ways = SERVERS[server]
    with Lab(backends=1) as lab, make(lab.backends[0], tmp_path) as mta, watched(lab.backends[0]) as wire:
        since = mta.log.mark()
        with Postern(lab, pools_of(ways, lab.backends[0])) as postern:
            for port in {port for port, _ in ways}:
                share = sum(p == port for p, _ in ways) / len(ways)
                wire.wait_over(int(CHECKS * share), port=port, deadline=120)
            own = [c for c in wire.read() if c.key[0] in GATEWAYS]
            assert len(own) >= CHECKS and {c.key[0] for c in own} == GATEWAYS
            assert not wire.resets()
            assert not postern.lines(event="health"), postern.tail()
            assert not complaints(mta, since)


def test_a_check_may_ask_for_starttls_and_a_recipient(tmp_path):
    ways = [(DIRECT, "off"), (PROXY, "v2")]
    with Lab(backends=1) as lab, Postfix(lab.backends[0], tmp_path) as mta, watched(lab.backends[0]) as wire:
        since = mta.log.mark()
        with Postern(lab, pools_of(ways, lab.backends[0], starttls="required", rcpt="user@example.test")) as postern:
            said = wire.wait_over(20)
            assert all(b"MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\nRSET\r\nQUIT\r\n" in c.said for c in said)
            assert not postern.lines(event="health") and not wire.resets() and not complaints(mta, since)


def test_a_recipient_that_is_refused_is_the_reason(tmp_path):
    with Lab(backends=1) as lab, Postfix(lab.backends[0], tmp_path), watched(lab.backends[0]) as wire:
        with Postern(lab, pools_of([(DIRECT, "off")], lab.backends[0], rcpt="victim@outside.example")) as postern:
            line = postern.wait(event="health", state="down")
            assert line["reason"].startswith("RCPT 554 5.7.1 <victim@outside.example>: Relay access denied"), line
            wire.wait_over(2)
            assert not wire.resets()
