# SPDX-License-Identifier: Apache-2.0
"""
The relay test of real mail servers: each right, open and closed, over both families, with every PROXY header that it takes. The
verdict is right in all of them, and no server ever sees a DATA.
"""
import contextlib
import re

import pytest

from admin import AdminPostern
from daemon import backend_lines, configuration, listener, parse_line, pool, yaml_flow
from lab import VIP4, Lab, hostport
from mta import DIRECT, PROXY, SCREEN, SCREEN_PROXY, Exim, Haraka, OpenSmtpd, Postfix
from wire import watched

TRUSTED = ("192.0.2.10", "2001:db8:7::10")
STRANGER = ("198.51.100.25", "2001:db8::25")
EVERYBODY = ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")  # Haraka takes a length of 0 for none
RECIPIENT = "victim@outside.example"
RELAYS_FOR = {"right": TRUSTED, "open": EVERYBODY, "closed": ()}
VERDICTS = {"right": "right", "open": "open", "closed": "inconclusive"}
FAMILIES = ("ipv4", "ipv6")


def postfix(namespace, directory, relay_from=(), **kw):
    networks = [f"[{n.split('/')[0]}]/{n.partition('/')[2] or 128}" if ":" in n else n for n in relay_from]
    return Postfix(namespace, directory, mynetworks=" ".join(["127.0.0.0/8", *networks]), **kw)


def screened(namespace, directory, relay_from=()):
    return postfix(namespace, directory, relay_from, screen=True)


def haraka_of_other_proxies(namespace, directory, relay_from=()):
    """It tells its proxies by their address: to these postern's own connections are no such thing."""
    return Haraka(namespace, directory, proxies=("203.0.113.99/32",), relay_from=relay_from)


# What to start; its ways, a port and the header that is sent there; and how it says no.
SERVERS = {
    "postfix": (postfix, [(DIRECT, "off"), (PROXY, "v1"), (PROXY, "v2")], "554 5.7.1 <{}>: Relay access denied"),
    "postscreen": (screened, [(SCREEN, "off"), (SCREEN_PROXY, "v2")], "554 5.7.1 <{}>: Relay access denied"),
    "exim": (Exim, [(DIRECT, "off"), (PROXY, "v1"), (PROXY, "v2")], "550 relay not permitted"),
    "opensmtpd": (OpenSmtpd, [(DIRECT, "off"), (PROXY, "v2")], "550 Invalid recipient: <{}>"),
    "haraka": (haraka_of_other_proxies, [(DIRECT, "off")], "550 I cannot deliver mail for <{}>"),
    "haraka-v1": (Haraka, [(DIRECT, "v1")], "550 I cannot deliver mail for <{}>"),
}


def asked(config, mode="warn", trusted=TRUSTED, **settings):
    """The same configuration, with relay tests."""
    test = {"recipient": RECIPIENT, **settings, **({"trusted": list(trusted)} if trusted else {})}
    return "relay_test: " + yaml_flow(test) + "\n" + re.sub(r"(- \{name: l?(?:mx|\d+),)", rf"\1 relay_test: {mode},", config)


def verdicts(postern, command="show relay"):
    """{(backend, pool, family): the line as a dict} of what `show relay` or `relay test` says."""
    rows = [parse_line(line) for line in postern.ask(command).strip().splitlines()]
    return {(row["backend"], row["pool"], row["clients"]): row for row in rows}


def ways_of(ways, backends):
    pools, listeners = [], []
    for n, (port, proxy) in enumerate(ways):
        name = f"p{port}-{proxy}"
        pools.append(pool(backend_lines(backends, port=port), name=name, proxy_protocol=proxy,
                          source="client" if proxy == "off" else "gateway"))
        listeners.append(listener([hostport(VIP4, 2500 + n)], name=f"l{n}", to=name))
    return configuration(pools, listeners)


@pytest.mark.heavy
@pytest.mark.parametrize("server", SERVERS)
def test_each_server_is_right_open_or_closed_and_sees_no_data(server, tmp_path):
    make, ways, refusal = SERVERS[server]
    refusal = refusal.format(RECIPIENT)
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab(backends=len(RELAYS_FOR)))
        wires, kinds = {}, dict(zip(RELAYS_FOR, lab.backends))
        for kind, b in kinds.items():
            stack.enter_context(make(b, tmp_path / kind, relay_from=RELAYS_FOR[kind]))
            wires[kind] = stack.enter_context(watched(b))
        with AdminPostern(lab, asked(ways_of(ways, lab.backends))) as postern:
            lines = verdicts(postern, "relay test")
            assert len(lines) == len(kinds) * len(ways) * len(FAMILIES)
            for (label, _, _), line in lines.items():
                kind = next(k for k, b in kinds.items() if b.label == label)
                assert line["verdict"] == line["holds"] == VERDICTS[kind], line
                assert (line["stranger"].startswith(refusal)) == (kind != "open"), line
                assert line["stranger"].startswith("250" if kind == "open" else refusal), line
                if kind != "open":
                    assert line["trusted"].startswith("250" if kind == "right" else refusal), line
        for kind, wire in wires.items():
            wire.wait_over(2)
            said = [c.said for c in wire.read()]
            assert any(b"RCPT TO:<" + RECIPIENT.encode() + b">\r\nRSET\r\nQUIT\r\n" in s for s in said), said
            assert not any(b"DATA" in s for s in said) and not wire.resets()
