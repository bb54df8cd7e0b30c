# SPDX-License-Identifier: Apache-2.0
"""The status document, as the running daemon gives it on its admin socket."""
import json
import pathlib
import time

import pytest

from admin import AdminPostern
from daemon import DEADLINE, backend_lines, configuration, pool
from load import serve_all
from peers import smtp_session
from test_checks import checked, smtp_servers, wait_state

ROOT = pathlib.Path(__file__).resolve().parents[2]


def status(postern):
    text = postern.ask("show status")
    assert text.endswith("}\n\n") and text.count("\n") == 2
    return json.loads(text)


def keys(document):
    """Every key, but for those that are names themselves."""
    if isinstance(document, list):
        return set().union(*map(keys, document)) if document else set()
    if not isinstance(document, dict):
        return set()
    return set(document).union(*(keys(v) for k, v in document.items() if k not in ("counters", "overrides")))


def backend(document, label):
    return next(b for p in document["pools"] for b in p["backends"] if b["name"] == label)


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_the_status_counts_what_the_log_does(lab, engine):
    config = configuration([pool(backend_lines(lab.backends), slow_start="0s", **engine.pool)])
    with AdminPostern(lab, config) as postern:
        serve_all(lab)
        before = status(postern)
        assert before["sessions"]["now"] == 0 and before["pid"] == postern.pid and before["trouble"] == []
        assert before["config"]["last_reload"] is None and abs(before["now"] - time.time()) < DEADLINE
        for s in [lab.connect() for _ in range(10)]:  # at once: each backend has its share of them
            with s:
                smtp_session(s)
        lines = postern.wait_sessions(10)
        after = status(postern)
        assert after["sessions"]["accepted_total"] == 10 and after["pools"][0]["totals"]["tried"] == 10
        for b in lab.backends:
            one, own = backend(after, b.label), [s for s in lines if s["backend"] == b.label]
            assert one["totals"]["tried"] == one["totals"]["greeted"] == len(own) > 0
            assert one["totals"]["bytes_in"] == sum(int(s["bytes_in"]) for s in own)
            assert one["addresses"] == [f"{b.v4}:25", f"[{b.v6}]:25"] and one["share"] == 0.5
            assert one["greeting_ms"]["p50"] <= one["greeting_ms"]["p99"] <= max(int(s["banner_ms"]) for s in own) * 2 + 1


@pytest.mark.topology(backends=2)
def test_the_status_says_what_is_wrong_and_what_to_do(lab):
    one, two = lab.backends
    with smtp_servers(one), AdminPostern(lab, checked(lab)) as postern:
        wait_state(postern, two, "down")
        document = status(postern)
        down = backend(document, two.label)
        assert down["state"] == "down" and "connection refused" in down["why"] and down["share"] == 0
        assert backend(document, one.label)["state"] == "up"
        trouble, = document["trouble"]
        assert trouble["about"] == f"backend inbound/{two.label}" and "connection refused" in trouble["why"]
        assert trouble["severity"] == "warning" and "listens at its address" in trouble["do"]
        postern.ask(f"set server inbound/{one.label} state drain")
        document = status(postern)
        assert document["trouble"][0]["severity"] == "error" and "421" in document["trouble"][0]["what"]
        assert document["overrides"] == [{"pool": "inbound", "backend": one.label, "what": "state", "value": "drain",
                                          "configured": "ready"}]
        postern.reload("nonsense: true\n", event="reload_refused")
        document = status(postern)
        assert document["config"]["last_reload"]["ok"] is False
        assert "configuration" in [t["about"] for t in document["trouble"]]
        page = (ROOT / "man" / "postern.8.scd").read_text(encoding="utf-8")
        section = page[page.index("\n# STATUS\n"):page.index("\n# EXIT STATUS\n")]
        assert {key for key in keys(document) if f"*{key}*" not in section} == set()
