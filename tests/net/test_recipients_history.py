# SPDX-License-Identifier: Apache-2.0
"""The recipient counter by itself: what it remembers, whom it answers, what it tells Prometheus, and its manual page."""
import contextlib
import re
import sqlite3
import subprocess

import pytest

from lab import Lab
from peers import receive, receive_all
from recipients import (CLIENT, PAGE, ROOT, TOTAL, USER, Recipients, ask, history_file, program, remember, remembered, request, this_hour)

pytestmark = pytest.mark.together
RULES = ROOT / "deploy" / "prometheus"
DUNNO = "action=DUNNO"
CLIENTS_MAX = 1024


@pytest.fixture(scope="module")
def namespace():
    with Lab(backends=1) as lab:
        yield lab.backends[0]


def asked(counter, *words, times=1, **more):
    """The answers to so many questions over one connection."""
    with counter.connect() as s:
        return [ask(s, *words, **more) for _ in range(times)]


# ---- history ------------------------------------------------------------------------------------------------------


def test_after_a_restart_this_hour_goes_on(namespace, tmp_path):
    limit = ("--source-limit", "0/min", "--source-limit", "250/h", "--total-limit", "0/min")
    for attempt in range(2):  # the hour may end in between, and then everything begins anew
        hour, directory = this_hour(), tmp_path / str(attempt)
        directory.mkdir()
        with Recipients(namespace, *limit, directory=directory) as counter:
            asked(counter, "192.0.2.1", 120, sasl_username="alice")
        with Recipients(namespace, *limit, directory=directory) as counter:
            asked(counter, "192.0.2.1", 129, sasl_username="alice")
            before = counter.events("alarm")
            asked(counter, "192.0.2.1", 1, sasl_username="alice")
            if this_hour() != hour:
                continue
            assert not before
            for source in ("192.0.2.1", "alice"):
                alarm = counter.wait("alarm", source=source)
                assert (alarm["reason"], alarm["recipients"], alarm["messages"]) == ("hour", "250", "3")
        assert remembered(directory, CLIENT) == {"192.0.2.1": 250} and remembered(directory, USER) == {"alice": 250}
        assert remembered(directory, TOTAL) == {"": 250}
        break


def test_five_times_the_same_hour_of_last_week_is_an_alarm(namespace, tmp_path):
    """The list had 150 and 200 recipients in this hour of last week; the newcomer was never seen."""
    limits = ("--source-limit", "0/min", "--source-limit", "0/h", "--total-limit", "0/min")
    with Recipients(namespace, *limits, directory=tmp_path):
        pass
    now = this_hour()
    rows = [(now - 8 * 24 + 1, TOTAL, "", 1)]
    for hour in (now, now + 1):  # it may end while the story runs
        rows += [(hour - 7 * 24, CLIENT, "192.0.2.1", 200), (hour - 24, CLIENT, "192.0.2.1", 150),
                 (hour - 24, TOTAL, "", 5000), (hour - 25, CLIENT, "192.0.2.2", 4000), (hour - 26, CLIENT, "192.0.2.2", 4000)]
    rows = {row[:3]: row for row in rows if row[1:3] != (CLIENT, "192.0.2.2") or row[0] not in (now - 24, now + 1 - 24)}
    remember(tmp_path, rows.values())
    with Recipients(namespace, *limits, directory=tmp_path) as counter:
        assert counter.metric("history_seconds") == 7 * 86400
        asked(counter, "192.0.2.1", 100, times=9)
        asked(counter, "192.0.2.2", 100, times=4)
        assert not counter.events("alarm")
        asked(counter, "192.0.2.1", 100)
        alarm = counter.wait("alarm", source="192.0.2.1")
        assert (alarm["reason"], alarm["recipients"], alarm["limit"]) == ("growth", "1000", "1000")
        asked(counter, "192.0.2.2", 100)
        assert counter.wait("alarm", source="192.0.2.2")["limit"] == "500"
        assert len(counter.events("alarm")) == 2


def test_without_a_week_of_history_growth_is_not_judged(namespace):
    with Recipients(namespace, "--source-limit", "0/min", "--source-limit", "0/h", "--total-limit", "0/min") as counter:
        asked(counter, "192.0.2.1", 10000, times=10)
        assert counter.metric("alarms_total") == 0 and counter.metric("history_seconds") == 0


@pytest.mark.parametrize("damage", ["no database at all", "a page in the middle", "another layout"])
def test_a_damaged_database_is_moved_aside(namespace, tmp_path, damage):
    file = history_file(tmp_path)
    with Recipients(namespace, directory=tmp_path) as counter:
        asked(counter, "192.0.2.1", 500)
    remember(tmp_path, [(this_hour() - 50, CLIENT, f"192.0.2.{i}", 100) for i in range(2, 250)])
    if damage == "another layout":
        with contextlib.closing(sqlite3.connect(file)) as db:
            db.execute("PRAGMA user_version = 99")
    else:
        content = bytearray(file.read_bytes())
        at = 0 if damage == "no database at all" else 4096
        content[at:at + 4096] = b"\xa5" * 4096
        file.write_bytes(content)
    damaged = file.read_bytes()
    with Recipients(namespace, directory=tmp_path) as counter:
        told = counter.wait("history_corrupt")
        assert told["file"] == str(file) and told["moved_to"] == f"{file}.corrupt"
        assert counter.metric("history_works") == 1
        asked(counter, "192.0.2.1", 100)
        counter.wait("alarm", source="192.0.2.1", reason="minute")
    assert (tmp_path / "history.sqlite.corrupt").read_bytes() == damaged
    assert remembered(tmp_path, CLIENT) == {"192.0.2.1": 100}


def test_damage_that_is_met_while_it_runs_is_moved_aside_too(namespace, tmp_path):
    file = history_file(tmp_path)
    with Recipients(namespace, directory=tmp_path) as counter:
        remember(tmp_path, [(this_hour() - 100 + i % 50, CLIENT, f"2001:db8:{i:x}::/64", 100) for i in range(20000)])
        with contextlib.closing(sqlite3.connect(file)) as db:
            assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        size = file.stat().st_size
        with open(file, "r+b") as f:
            f.seek(4096)
            f.write(b"\xa5" * (size - 4096))
        asked(counter, "192.0.2.1", 500)
        counter.wait("history_corrupt", moved_to=f"{file}.corrupt")
        counter.wait("alarm", source="192.0.2.1")
    assert remembered(tmp_path, CLIENT) == {"192.0.2.1": 500}


def test_a_disk_that_fills_up_is_told_and_counting_goes_on(namespace, tmp_path):
    """The disk is a small tmpfs that only the counter sees."""
    disk = tmp_path / "disk"
    disk.mkdir()
    wrapper = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
               f"mount -t tmpfs -o size=256k none {disk} && exec \"$@\"", "sh")
    with Recipients(namespace, "--database", history_file(disk), directory=tmp_path, wrapper=wrapper) as counter:
        assert counter.metric("history_works") == 1
        namespace.run("nsenter", f"--mount=/proc/{counter.process.pid}/ns/mnt", "--", "sh", "-c",
                      f"cat /dev/zero >{disk}/ballast || true")
        asked(counter, "192.0.2.1", 500)
        counter.wait("alarm", source="192.0.2.1")
        counter.stop()  # and saves this hour, if it can
        assert counter.events("history_failed", doing="save")


def test_without_a_place_for_its_history_it_counts(namespace, tmp_path):
    with Recipients(namespace, "--database", "/nowhere/history", directory=tmp_path) as counter:
        assert "unable to open" in counter.wait("history_failed")["error"]
        assert asked(counter, "192.0.2.1", 500) == [DUNNO]
        counter.wait("alarm", source="192.0.2.1")


def test_only_its_owner_can_read_the_history(namespace, tmp_path):
    with Recipients(namespace, directory=tmp_path) as counter:
        asked(counter)
        files = list(tmp_path.glob("history.sqlite*"))
        assert files and all(f.stat().st_mode & 0o077 == 0 for f in files)


# ---- whoever asks -------------------------------------------------------------------------------------------------


def test_asked_before_the_end_of_a_message_it_says_where_it_belongs(namespace):
    with Recipients(namespace) as counter:
        assert asked(counter, "192.0.2.1", 0, "RCPT", times=200) == [DUNNO] * 200
        assert asked(counter, "192.0.2.1", 500, "DATA") == [DUNNO]
        assert "smtpd_end_of_data_restrictions" in counter.wait("asked_early")["hint"]
        assert counter.metric("asked_early_total") == 201 and counter.metric("messages_total") == 0
        assert len(counter.events("asked_early")) == 1


@pytest.mark.parametrize("client", ["unknown", "", "2001:db8::1%eth0", "x" * 200])
def test_a_client_without_an_address_counts_for_user_and_total(namespace, client):
    with Recipients(namespace) as counter:
        assert asked(counter, client, 500, sasl_username='al"ice\x1b') == [DUNNO]
        assert counter.wait("alarm", **{"class": "user"})["source"] == "al?ice?"
        counter.wait("alarm", **{"class": "total"})
        assert counter.metric("sources", **{"class": "client"}) == 0


@pytest.mark.parametrize("odd, why", [
    (b"GET / HTTP/1.0\r\n\r\n", "a line without ="), (b"\n", "no request=smtpd_access_policy"),
    (b"request=something_else\n\n", "no request=smtpd_access_policy"), (b"a" * 8192, "more than 8192 bytes"),
    (b"a=b\n" * 2048, "more than 8192 bytes"), (request(recipients=-1), "recipient_count"),
    (request(recipients=10 ** 9), "recipient_count"), (request(recipients=""), "recipient_count"),
    (request().replace(b"192", b"\0"), "a NUL"), (request()[:-1] + request(), "twice")])
def test_what_is_no_request_is_told_and_its_connection_closed(namespace, odd, why):
    with Recipients(namespace) as counter, counter.connect() as honest, counter.connect() as s:
        s.sendall(odd)
        assert receive_all(s) == b""
        assert why in counter.wait("odd_request")["why"]
        assert ask(honest) == DUNNO
        assert counter.metric("odd_requests_total") == 1 and counter.metric("messages_total") == 1


def test_odd_requests_do_not_fill_the_log(namespace):
    with Recipients(namespace) as counter:
        for _ in range(100):
            with counter.connect() as s:
                s.sendall(b"\n")
                assert receive_all(s) == b""
        assert counter.metric("odd_requests_total") == 100
        counter.wait("odd_request", count=20)
        assert len(counter.events("odd_request")) <= 40  # 20 a minute, and the minute may end


def test_requests_may_come_in_pieces_and_several_at_once(namespace):
    with Recipients(namespace) as counter, counter.connect() as s:
        three = request("192.0.2.1", 5) * 3
        for i in range(len(three) - 1):
            s.sendall(three[i:i + 1])
        assert receive(s, 28) == b"action=DUNNO\n\n" * 2
        s.sendall(three[-1:] + request("192.0.2.1", 85) * 40)
        assert receive(s, 14 * 41) == b"action=DUNNO\n\n" * 41
        assert counter.metric("recipients_total") == 15 + 40 * 85
        counter.wait("alarm", **{"class": "client", "recipients": "100"})


def test_whoever_takes_no_answers_is_left(namespace):
    with Recipients(namespace) as counter, counter.connect() as s:
        s.settimeout(20)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                s.sendall(request() * 50)
        assert counter.metric("answers_not_taken_total") == 1
        assert asked(counter) == [DUNNO]


def test_the_longest_silent_connection_gives_way_to_a_new_one(namespace):
    with Recipients(namespace) as counter, contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(counter.connect()) for _ in range(2))
        assert ask(first) == ask(second) == ask(first) == DUNNO
        others = [stack.enter_context(counter.connect()) for _ in range(CLIENTS_MAX - 1)]
        assert [ask(s) for s in others] == [DUNNO] * len(others)
        assert receive_all(second) == b""
        assert ask(first) == DUNNO
        assert counter.metric("connections") == CLIENTS_MAX and counter.metric("connections_displaced_total") == 1


def test_a_flood_of_clients_takes_no_memory_and_hides_nobody(namespace):
    """40,000 clients through a table of 8192 while one sends its hundred."""
    with Recipients(namespace, "--total-limit", "0/min", "--source-limit", "400/min") as counter:
        def memory():
            return int(re.search(r"VmRSS:\s+(\d+)", counter.status())[1])

        with counter.connect() as s:
            for n in range(0, 40000, 100):
                flood = (request(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}") for i in range(n, n + 100))
                s.sendall(b"".join(flood) + request("192.0.2.1"))
                receive(s, 14 * 101)
                if n == 10000:
                    after_the_first = memory()
        assert counter.metric("sources", **{"class": "client"}) == 8192
        assert counter.metric("sources_evicted_total", **{"class": "client"}) >= 40000 - 8192
        alarm = counter.wait("alarm", source="192.0.2.1")
        assert alarm["recipients"] == "400"
        assert memory() < after_the_first + 1024
        assert counter.metric("unseen_recipients", **{"class": "client"}) <= 40400 / 8192


def test_a_unix_socket_serves_as_well_and_its_leftover_is_replaced(namespace, tmp_path):
    path = tmp_path / "socket"
    for _ in range(2):
        with Recipients(namespace, "--listen", str(path), directory=tmp_path) as counter:
            with counter.connect_unix(path) as s:
                assert ask(s) == DUNNO
            counter.kill()
            assert path.exists()
    with Recipients(namespace, "--listen", str(path), directory=tmp_path) as counter:
        other = namespace.run(program(), "--listen", path, "--database", tmp_path / "other", check=False)
        assert other.returncode == 1 and "Address already in use" in other.stderr
        with counter.connect_unix(path) as s:
            assert ask(s) == DUNNO
    assert not path.exists()
    path.write_text("a file of somebody's\n")
    other = namespace.run(program(), "--listen", path, "--database", tmp_path / "other", check=False)
    assert other.returncode == 1 and "File exists" in other.stderr and path.read_text() == "a file of somebody's\n"


# ---- what it tells ------------------------------------------------------------------------------------------------


def test_metrics_have_the_form_that_prometheus_wants_and_name_nobody(namespace):
    with Recipients(namespace) as counter:
        asked(counter, "192.0.2.77", 500, sasl_username="alice")
        asked(counter, "2001:db8:77::1", 500)
        text = counter.scrape()
    told = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert told.returncode == 0 and not told.stdout + told.stderr, told
    assert not re.search(r"192\.0\.2|2001:db8|alice", text)
    page = PAGE.read_text()
    for name in set(re.findall(r"^postern_recipients_(\w+)", text, re.M)):
        assert re.search(rf"^\*.*\b{name}\*", page, re.M), f"the manual page lacks the metric {name}"


def test_the_alerts_are_right_and_do_what_they_say():
    for words in (("check", "rules", RULES / "recipients.rules.yaml"), ("test", "rules", RULES / "recipients.rules.test.yaml")):
        done = subprocess.run(["promtool", *words], text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_manual_page_has_every_option_and_event():
    page = PAGE.read_text()
    sources = {p.name: p.read_text() for p in (ROOT / "tools" / "recipients").glob("*.c")}
    options = re.findall(r'^    \{"([\w-]+)", KEY_', sources["settings.c"], re.M)
    events = {e for text in sources.values() for e in re.findall(r'log_event\(\s*\w+,\s*"(\w+)"', text)}
    assert len(options) == 8 and len(events) >= 10
    for option in options:
        assert re.search(rf"^(\*-\w\*, )?\*--{option}\*=", page, re.M), f"the manual page lacks --{option}"
    for event in events:
        assert f"\n*{event}*\n" in page, f"the manual page lacks the event {event}"
