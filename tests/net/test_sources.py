# SPDX-License-Identifier: Apache-2.0
"""Sources: lists of prefixes choose the pool, change while sessions go on, and are believed only when they are whole."""
import os
import random

import pytest

from daemon import RELAY, Postern, backend_lines, configuration, listener, pool
from lab import VIP4, VIP6
from load import serve, serve_all, start_client
from peers import converse, expect_refused

PARTNER4, PARTNER6 = "198.51.200.7", "2001:db8:c:2::7"  # not among those of load.py
OTHER4, OTHER6 = "198.51.101.7", "2001:db8:c:1::7"


class List:
    """A file of prefixes, always renamed into place."""

    def __init__(self, lab, tmp_path, name="partners"):
        self.path = tmp_path / name

    def put(self, text):
        new = self.path.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.path)


def config(lab, engine, sources, routes=("partners",), **settings):
    """The first backend is everybody's, the second that of the routed sources."""
    inbound = pool(backend_lines(lab.backends[:1]), **engine.pool, **settings)
    special = pool(backend_lines(lab.backends[1:]), name="special", **engine.pool, **settings)
    mx = {**listener(), **({"route": [{"from": name, "pool": "special"} for name in routes]} if routes else {})}
    return f"sources: {sources}\n" + configuration([inbound, special], listeners=[mx])


def partners_in(path):
    return f"{{partners: {{file: {path}}}}}"


def mail(lab, source, vip):
    """One short session from this address."""
    with lab.connect(vip, source=source) as s:
        converse(s, "", "220")
        converse(s, "QUIT", "221")


def led(postern):
    """The pool of one session of a partner; its line is awaited, for those of different workers have no order among them."""
    since = len(postern.log.read())
    mail(postern.lab, PARTNER4, VIP4)
    return postern.wait(since=since, event="session")["pool"]


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_clients_of_a_source_go_to_its_pool_and_the_line_says_whose_they_are(lab, engine):
    sources = f'{{partners: {{prefixes: [{PARTNER4}, "{PARTNER6}/128"]}}, near: {{prefixes: 198.51.0.0/16}}}}'
    serve_all(lab)
    with Postern(lab, config(lab, engine, sources)) as postern:
        for source, vip in ((PARTNER4, VIP4), (PARTNER6, VIP6), (OTHER4, VIP4), (OTHER6, VIP6)):
            mail(lab, source, vip)
        lines = postern.wait_sessions(4)
        assert {(s["client"].rpartition("]")[0][1:], s["pool"], s["class"]) for s in lines} == {
            (PARTNER4, "special", "partners"), (PARTNER6, "special", "partners"),
            (OTHER4, "inbound", "near"), (OTHER6, "inbound", "-")}


@pytest.mark.topology(backends=2)
def test_a_list_changes_under_load_as_a_whole_and_no_session_fails(lab, engine, tmp_path):
    """All clients are in the list or none is, so each session is of one time or the other."""
    partners = List(lab, tmp_path)
    everybody, nobody = "198.51.0.0/16 ; here\n2001:db8:c::/48\n", "# nobody today\n192.0.2.1\n"
    partners.put(nobody)
    serve_all(lab)
    with Postern(lab, config(lab, engine, partners_in(partners.path))) as postern:
        load = start_client(lab, "sessions", "--count", 20000, "--concurrency", 32)
        postern.wait(event="session", pool="inbound")  # the load has begun
        for i in range(40):
            since = len(postern.log.read())
            partners.put(nobody if i % 2 else everybody)
            postern.wait(since=since, event="sources")
            if i == 0:
                postern.wait(event="session", pool="special")
        result = load.wait()
        assert result["ok"] == 20000 and not result["errors"], result
        lines = postern.wait_sessions(20000)
        assert {s["pool"] for s in lines} == {"inbound", "special"}
        assert {s["reason"] for s in lines} <= {"client_fin", "backend_fin"}


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_a_list_that_is_broken_emptied_or_gone_leaves_the_last_good_one(lab, engine, tmp_path):
    partners = List(lab, tmp_path)
    partners.put(f"{PARTNER4}\n")
    serve_all(lab)
    with Postern(lab, config(lab, engine, partners_in(partners.path))) as postern:
        for spoil, word in ((lambda: partners.put("<html>\n<body>gone\n"), "a tenth"), (lambda: partners.put(""), "no prefix"),
                            (partners.path.unlink, "No such file")):
            since = len(postern.log.read())
            spoil()
            kept = postern.wait(since=since, event="source_kept")
            assert word in kept["error"] and kept["prefixes"] == "1", kept
            assert led(postern) == "special"
        bad = postern.lines(event="source_line")
        assert bad[0]["line"] == "1" and "<html>" in bad[0]["error"], bad
        since = len(postern.log.read())
        partners.put("".join(f"192.0.2.{i}\n" for i in range(20)) + "oops\n")
        postern.wait(since=since, event="sources")
        assert postern.lines(event="source")[-1]["bad"] == "1"
        assert led(postern) == "inbound"


@pytest.mark.topology(backends=2)
def test_a_file_that_comes_later_and_its_directory_are_noticed(lab, engine, tmp_path):
    directory = tmp_path / "lists"
    serve_all(lab)
    with Postern(lab, config(lab, engine, partners_in(directory / "partners"))) as postern:
        assert postern.wait(event="source_kept")["text"] == "nobody is in it"
        assert led(postern) == "inbound"
        directory.mkdir()
        (directory / "partners").write_text(f"{PARTNER4}\n")
        postern.wait(event="sources")
        assert led(postern) == "special"


@pytest.mark.topology(backends=2)
def test_sources_and_routes_come_and_go_with_a_reload(lab, engine, tmp_path):
    partners = List(lab, tmp_path)
    partners.put(f"{PARTNER4}\n")
    plain = config(lab, engine, "{nobody: {prefixes: 192.0.2.1}}", routes=())
    serve_all(lab)
    with Postern(lab, plain) as postern:
        assert led(postern) == "inbound"
        _, changes = postern.reload(config(lab, engine, partners_in(partners.path)))
        assert "sources.partners:  -> source" in changes and "listeners.mx.route: 0 entries -> 1 entries" in changes, changes
        assert led(postern) == "special"
        postern.reload(plain)
        assert led(postern) == "inbound"


@pytest.mark.heavy
@pytest.mark.topology(backends=2)
def test_a_million_prefixes_are_read_while_sessions_go_on(lab, engine, tmp_path):
    rng = random.Random(7)
    partners = List(lab, tmp_path)
    million = "".join(f"{rng.randrange(1, 198)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}\n"
                      for _ in range(999_999)) + f"{PARTNER4}\n"
    partners.put(f"{PARTNER4}\n")
    serve_all(lab)
    with Postern(lab, config(lab, engine, partners_in(partners.path))) as postern:
        before = postern.memory()
        load = start_client(lab, "sessions", "--count", 10000, "--concurrency", 16)
        partners.put(million)
        postern.wait(event="sources")
        mail(lab, PARTNER4, VIP4)
        result = load.wait()
        assert result["ok"] == 10000 and not result["errors"], result
        lines = postern.wait_sessions(10001)
        assert [s["pool"] for s in lines if PARTNER4 in s["client"]][-1] == "special"
        print(f"memory before {before}, with a million prefixes {postern.memory()}")


@pytest.mark.heavy
@pytest.mark.topology(backends=2)
def test_a_routed_pool_without_anybody_refuses_its_own_clients_alone(lab, engine):
    """Half a minute of 421 first, as for everybody; then a reset, so that the client's next MX has its turn."""
    sources = f"{{partners: {{prefixes: {PARTNER4}}}}}"
    check = {"type": "tcp", "interval": "1s", "fast_interval": "1s", "timeout": "1s", "fall": 1}
    serve(lab.backends[0])
    with Postern(lab, config(lab, engine, sources, check=check)) as postern:
        postern.wait(event="health", state="down")
        with lab.connect(VIP4, source=PARTNER4) as s:
            converse(s, "", "421 4.3.2")
        postern.wait(event="pool", state="refused", pool="special", deadline=60)
        expect_refused(lambda: lab.connect(VIP4, source=PARTNER4))
        mail(lab, OTHER4, VIP4)
        serve(lab.backends[1])
        postern.wait(event="pool", state="served", pool="special")
        mail(lab, PARTNER4, VIP4)


@pytest.mark.topology(backends=2)
def test_a_check_of_the_configuration_says_what_is_wrong_with_its_lists(lab, tmp_path):
    """It is no error: postern starts, and nobody is in such a list."""
    partners = List(lab, tmp_path)
    postern = Postern(lab, config(lab, RELAY, partners_in(partners.path)))
    done = postern.run("-c")
    assert done.returncode == 0 and f'file={partners.path} prefixes=0 error="No such file or directory"' in done.stderr, done
    partners.put("".join(f"192.0.2.{i}\n" for i in range(20)) + "oops\n")
    done = postern.run("-c")
    assert done.returncode == 0 and ": good: " in done.stdout, done
    assert f"event=source_line file={partners.path} line=21 " in done.stderr and "prefixes=20 bad=1" in done.stderr, done
