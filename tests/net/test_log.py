# SPDX-License-Identifier: Apache-2.0
"""One line for each session, in one form; and nobody ever waits for the log."""
import contextlib
import os
import re
import signal
import subprocess
import time

import pytest

from admin import AdminPostern
from daemon import Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6, endpoint
from load import client, serve, serve_all
from peers import converse, reset, smtp_session

SESSION_FIELDS = ("time level event client vip source listener pool backend address zone class session bytes_in bytes_out duration "
                  "connect_ms banner_ms smtp_code retries port_changed dissolved relayed end reason").split()
NOT_OF_DISSOLVED = {"relayed"}
READER = ["bash", "-c", 'exec "$@" 2> >(exec cat >&2)', "bash"]


def reader_of(postern):
    """The process behind the daemon's standard error, where `READER` has put one."""
    with open(f"/proc/{postern.pid}/task/{postern.pid}/children", encoding="ascii") as f:
        return int(f.read())


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
    with Postern(lab, configuration([pool(backend_lines(lab.backends))]), READER) as postern:
        cat = reader_of(postern)
        os.kill(cat, signal.SIGSTOP)
        began = time.monotonic()
        result = client(lab, "sessions", "--count", 20_000, "--concurrency", 50)
        assert result["ok"] == 20_000 and time.monotonic() - began < 60, result
        os.kill(cat, signal.SIGCONT)
        postern.wait_counter(sessions_ended=20_000)
        dropped = postern.counters()["log_dropped"]  # a session is counted before its line is dropped
        assert dropped > 0
        postern.wait(event="log_dropped")
        assert len(postern.wait_sessions(20_000 - dropped)) == 20_000 - dropped


@pytest.mark.topology(backends=1)
def test_a_log_that_nobody_reads_does_not_keep_it_from_ending(lab):
    serve(lab.backends[0])
    with AdminPostern(lab, configuration([pool(backend_lines(lab.backends))]), wrapper=READER) as postern:
        cat = reader_of(postern)
        os.kill(cat, signal.SIGSTOP)
        assert client(lab, "sessions", "--count", 2000, "--concurrency", 50)["ok"] == 2000
        postern.wait_stat(lambda rows: rows["inbound", "BACKEND"]["scur"] == "0")  # else dissolved ones are left behind
        postern.send(signal.SIGTERM)
        postern.wait_end(deadline=15)
        postern.check_left_nothing()
        os.kill(cat, signal.SIGCONT)


@pytest.mark.topology(backends=1)
def test_a_full_disk_under_the_log_costs_lines_which_are_told_and_no_session(lab):
    serve(lab.backends[0])
    postern = Postern(lab, configuration([pool(backend_lines(lab.backends))]))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", postern.directory], check=True)
    lab.defer(subprocess.run, ["umount", postern.directory])
    postern.file.write_text(postern.config)
    filler = postern.directory / "filler"
    with postern:
        with open(filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(4096))
        for _ in range(2):
            assert client(lab, "sessions", "--count", 300, "--concurrency", 10)["ok"] == 300
        filler.unlink()
        counters = postern.wait_counter(sessions_ended=600)
        told = postern.lines(event="log_dropped")
        assert {line["error"] for line in told} == {"No space left on device"}
        lost = sum(int(line["lines"]) for line in told)
        assert counters["log_lost"] == lost > 100 and counters["log_dropped"] == 0
        written = len(postern.wait_sessions(600 - lost, reason="backend_fin"))
        assert written - (600 - lost) in (0, 1)  # one was cut, perhaps of nothing but its end
        assert client(lab, "sessions", "--count", 10)["ok"] == 10
        postern.wait_sessions(written + 10, reason="backend_fin")


@pytest.mark.topology(backends=1)
def test_a_sample_of_the_orderly_is_written_and_all_that_is_not_orderly(lab, engine):
    serve(lab.backends[0])
    pools = [pool(backend_lines(lab.backends), **engine.pool)]
    sampled = configuration(pools, gateway={"workers": 1}) + "log: {sample: 10}\n"
    with Postern(lab, sampled) as postern:
        result = client(lab, "sessions", "--count", 200)
        assert result["ok"] == 200
        counters = postern.wait_counter(sessions_ended=200, log_sampled=180)
        assert (counters["log_sampled"], counters["closed_client_fin"] + counters["closed_backend_fin"]) == (180, 200)
        lines = postern.wait_sessions(20)
        assert {line["sample"] for line in lines} == {"10"} and len(lines) == 20
        for _ in range(5):
            s = lab.connect(VIP4)
            converse(s, "", "220")
            reset(s)
        broken = postern.wait_sessions(5, reason="client_reset")
        assert not any("sample" in line for line in broken)
        postern.reload(configuration(pools, gateway={"workers": 1}))
        assert client(lab, "sessions", "--count", 20)["ok"] == 20
        counters = postern.wait_counter(sessions_ended=225)
        assert counters["log_sampled"] == 180 and len(postern.wait_sessions(45)) == 45


@pytest.mark.topology(backends=1)
def test_grep_finds_a_client_by_its_address_in_brackets(lab):
    serve_all(lab)
    with Postern(lab, configuration([pool(backend_lines(lab.backends))])) as postern:
        for source, count in (("198.51.100.7", 3), ("198.51.100.70", 2), ("198.51.100.17", 1)):
            for _ in range(count):
                with lab.connect(VIP4, source=source) as s:
                    smtp_session(s)
        postern.wait_sessions(6)
        found = subprocess.run(["grep", "-c", r"client=\[198.51.100.7\]", postern.log.path], text=True, capture_output=True)
        assert found.stdout == "3\n"


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
