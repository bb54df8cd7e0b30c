# SPDX-License-Identifier: Apache-2.0
"""posternctl doctor asks backends to relay as postern does, before there is a postern: the same verdicts, and what mends them."""
import contextlib

import pytest

from daemon import backend_lines, configuration, pool
from doctor import Doctor
from lab import Lab
from mta import DIRECT, PROXY
from patient import QUICK, grave, text
from test_relay_test import RECIPIENT, RELAYS_FOR, STRANGER, TRUSTED, asked, postfix
from wire import watched

WAYS = {"transparent": (DIRECT, {}), "v2": (PROXY, {"source": "gateway", "proxy_protocol": "v2"})}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A right, an open and a closed Postfix."""
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab(backends=len(RELAYS_FOR)))
        for kind, b in zip(RELAYS_FOR, lab.backends):
            stack.enter_context(postfix(b, tmp_path_factory.mktemp(kind), relay_from=RELAYS_FOR[kind]))
        yield lab


def look(lab, way, trusted=TRUSTED, mode="warn"):
    """The findings of `relay`, those of each backend by its kind, and what the others tell."""
    port, settings = WAYS[way]
    config = configuration([pool(backend_lines(lab.backends, port=port), **{**QUICK, **settings})])
    before = lab.host_state()
    report = Doctor(lab, asked(config, mode, trusted)).look("--only", "relay")
    assert lab.host_state() == before
    kinds = {kind: [f for f in report["findings"] if f"/{b.label} " in f["about"]] for kind, b in zip(RELAYS_FOR, lab.backends)}
    return report, kinds, " ".join(text(f, "seen") for f in report["findings"] if not f["about"])


@pytest.mark.parametrize("way", WAYS)
def test_before_there_is_a_daemon_each_is_found_right_open_or_closed(three, way):
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(watched(b)) for b in three.backends]
        report, kinds, told = look(three, way)
        assert not kinds["right"] and "2 times a backend refused to relay for a stranger, and did for the trusted" in told
        assert [f["verdict"] for f in kinds["open"]] == ["failed"] * 2 and report["verdict"] == "failed"
        for finding, stranger in zip(kinds["open"], STRANGER):
            assert f"as a stranger, {stranger}, to relay to {RECIPIENT}" in text(finding, "tried")
            assert text(finding, "seen").startswith('it would: "250 2.1.5 Ok"')
            assert "mynetworks" in text(finding, "mend")
        assert [f["verdict"] for f in kinds["closed"]] == ["warning"] * 2
        for finding, trusted in zip(kinds["closed"], TRUSTED):
            assert "refuses the trusted address as well" in text(finding, "seen")
            assert f"let it relay for {trusted}" in text(finding, "mend")
        assert not any(b"DATA" in c.said for wire in wires for c in wire.read())


def test_without_a_trusted_address_an_open_relay_is_found_all_the_same(three):
    report, kinds, told = look(three, "transparent", trusted=(), mode="off")
    assert [f["about"] for f in grave(report)] == [f["about"] for f in kinds["open"]] and len(kinds["open"]) == 2
    assert "4 times a backend refused to relay for a stranger; whether it refuses everybody is not known" in told
    assert "with relay_test: warn at its listeners postern asks again every hour" in told
