# SPDX-License-Identifier: Apache-2.0
"""One line for each session, in one form; and nobody ever waits for the log."""
import os
import re
import signal
import time

import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6, endpoint
from load import client, serve, serve_all
from peers import converse

SESSION_FIELDS = ("time level event client vip source listener pool backend address zone session bytes_in bytes_out duration "
                  "connect_ms banner_ms smtp_code retries port_changed dissolved relayed end reason").split()
NOT_OF_DISSOLVED = {"relayed"}


@pytest.mark.topology(backends=1)
def test_a_session_line_has_all_its_fields_in_their_order(lab, engine):
    serve_all(lab)
    backend = lab.backends[0]
    with Postern(lab, configuration([pool(backend_lines([backend], zone="east"), **engine.pool)],
                                    gateway={"zone": "east"})) as postern:
        for vip in (VIP4, VIP6):
            with lab.connect(vip) as s:
                own = s.getsockname()
                sent = engine.settle_smtp(postern, s) + len("QUIT\r\n")
                converse(s, "QUIT", "221")
                assert s.recv(1) == b""
            line = postern.wait_sessions(1, vip=endpoint(vip, 25))[0]
            engine.assert_carried([line])
            assert list(line) == [f for f in SESSION_FIELDS if not (engine.dissolves and f in NOT_OF_DISSOLVED)]
            assert line["client"] == line["source"] == endpoint(*own[:2])
            assert (line["listener"], line["pool"], line["backend"], line["zone"]) == ("mx", "inbound", "mta1", "east")
            assert line["address"] == endpoint(backend.address(s.family), 25)
            assert (line["bytes_in"], line["smtp_code"], line["retries"]) == (str(sent), "220", "0")
            assert int(line["bytes_out"]) > 50
            assert re.fullmatch(r"\d+\.\d{3}", line["duration"]) and re.fullmatch(r"[0-9a-f]{16}", line["session"])
            assert int(line["connect_ms"]) <= int(line["banner_ms"]) < 5000


@pytest.mark.topology(backends=1)
def test_start_and_stop_have_a_line_each(lab):
    with Postern(lab, configuration([pool(backend_lines(lab.backends))], gateway={"zone": "east", "workers": 2})) as postern:
        start = postern.lines(event="start")[0]
        assert (start["gateway"], start["zone"], start["workers"], start["vips"]) == ("gw1", "east", "2", "2")
        postern.stop()
        assert len(postern.lines(event="stop")) == 1


@pytest.mark.topology(backends=1)
def test_a_log_that_nobody_reads_costs_lines_but_no_session(lab):
    serve(lab.backends[0])
    reader = ["bash", "-c", 'exec "$@" 2> >(exec cat >&2)', "bash"]
    with Postern(lab, configuration([pool(backend_lines(lab.backends))]), reader) as postern:
        with open(f"/proc/{postern.pid}/task/{postern.pid}/children", encoding="ascii") as f:
            cat = int(f.read())
        os.kill(cat, signal.SIGSTOP)
        began = time.monotonic()
        result = client(lab, "sessions", "--count", 20_000, "--concurrency", 50)
        assert result["ok"] == 20_000 and time.monotonic() - began < 60, result
        os.kill(cat, signal.SIGCONT)
        counters = postern.wait_counter(sessions_ended=20_000)
        assert counters["log_dropped"] > 0
        postern.wait(event="log_dropped")
        assert len(postern.wait_sessions(20_000 - counters["log_dropped"])) == 20_000 - counters["log_dropped"]


@pytest.mark.topology(backends=2)
def test_a_backend_may_be_a_client_of_the_vip_too(lab):
    """It cannot be given its own connection (it would come from itself): then the other backend takes it."""
    serve_all(lab)
    config = configuration([pool(backend_lines(lab.backends), balance="round-robin", timeouts={"connect": "300ms"})])
    with Postern(lab, config) as postern:
        for vip in (VIP4, VIP6) * 4:
            with lab.backends[0].connect(vip) as s:
                assert "mta2" in converse(s, "", "220")
        lines = postern.wait_sessions(8)
        assert {s["backend"] for s in lines} == {"mta2"}
