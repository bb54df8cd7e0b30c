# SPDX-License-Identifier: Apache-2.0
"""Each source in numbers, never an address: metrics, status, its history over starts and upgrades, and what is news of it."""
import json
import os
import select
import time

import pytest

from daemon import DEADLINE, DISSOLVED, RELAY, backend_lines, configuration, pool
from dissolving import settle_all
from lab import VIP4, VIP6
from load import serve_all
from peers import converse, receive_all
from test_admin_state import StatePostern
from upgrading import Upgrading
from web import URL, parse_metrics, total, with_http

OFFICE4, OFFICE6, STRANGER4, STRANGER6 = "198.51.2.7", "2001:db8:c:2::7", "198.51.3.7", "2001:db8:c:3::7"
OFFICE = {"prefixes": ["198.51.2.0/24", "2001:db8:c:2::/64"]}
HOUR = 3600


def config(lab, engine=RELAY, sources=None, **limits):
    return with_http(configuration([pool(backend_lines(lab.backends), **engine.pool)], sources=sources or {"office": OFFICE},
                                   limits=limits))


class Watched(StatePostern):
    """With metrics, the status document, and a state file beside which the history of sources is."""

    @property
    def history(self):
        return self.state.with_name(self.state.name + ".sources")

    def metrics(self):
        return parse_metrics(self.lab.gateway.run("curl", "-sS", "--max-time", "20", URL + "/metrics").stdout)

    def of(self, source):
        """What the metrics say of a source."""
        return {name.removeprefix("postern_source_"): value for (name, labels), value in self.metrics().items()
                if name.startswith("postern_source_") and labels == {("source", source)}}

    def status(self, source):
        return next(one for one in json.loads(self.ask("show status"))["sources"] if one["name"] == source)

    def trouble(self, source):
        return [one["what"] for one in json.loads(self.ask("show status"))["trouble"] if one["about"] == f"source {source}"]

    def wait_of(self, source, what, value):
        """Until a look, which is one a second, has seen it."""
        end = time.monotonic() + DEADLINE
        while self.of(source).get(what) != value:
            assert time.monotonic() < end, self.of(source)
            select.select([], [], [], 0.05)

    def write_history(self, text):
        self.history.write_text(text)
        os.chmod(self.history, 0o644)


def begin_within_an_hour():
    """What counts by the hour must not meet the end of one."""
    while HOUR - time.time() % HOUR < 30:
        select.select([], [], [], 1)


def greeted(lab, source, to=VIP4):
    s = lab.connect(to, source=source)
    converse(s, "", "220")
    return s


def close_all(sessions):
    while sessions:
        sessions.pop().close()


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_sessions_are_counted_by_source_from_the_first_to_the_last(lab, engine):
    serve_all(lab)
    with Watched(lab, config(lab, engine, sessions=2)) as postern:
        crowd = [greeted(lab, OFFICE4), greeted(lab, OFFICE4), greeted(lab, OFFICE6, VIP6), greeted(lab, STRANGER4)]
        with lab.connect(source=OFFICE4) as refused:
            assert receive_all(refused).startswith(b"421 ")
        settle_all(postern, engine, crowd)
        office, other = postern.of("office"), postern.of("other")
        wanted = {"sessions": 3, "begun_total": 3, "refused_total": 1, "observed_total": 0, "over_limit": 1, "prefixes": 2,
                  "list_kept": 0}
        assert office | wanted == office and "list_timestamp_seconds" not in office
        wanted = {"sessions": 1, "begun_total": 1, "refused_total": 0, "over_limit": 0}
        assert other | wanted == other and not {"prefixes", "list_kept", "first_session_timestamp_seconds"} & other.keys()
        said = postern.status("office")
        assert (said["sessions"], said["most"]["sessions"], said["limit"]["sessions"], said["over"]) == (3, 2, 2, 1)
        close_all(crowd)
        postern.wait_idle()
        assert (postern.of("office")["sessions"], postern.of("other")["sessions"]) == (0, 0)
        assert total(postern.metrics(), "postern_syns_dropped_total") == 0


@pytest.mark.topology(backends=1)
def test_a_source_keeps_its_numbers_when_others_come_and_go(lab):
    """Reloads change its place among the sources, not what was counted of it; sessions leave where they had come in."""
    serve_all(lab)
    late = {"late": {"prefixes": ["198.51.2.0/25"]}, "office": OFFICE}
    with Watched(lab, config(lab)) as postern:
        crowd = [greeted(lab, OFFICE4)]
        postern.reload(postern.with_admin(config(lab, sources=late)))
        crowd.append(greeted(lab, OFFICE4))
        assert (postern.of("office")["sessions"], postern.of("late")["sessions"]) == (1, 1)
        postern.reload(postern.with_admin(config(lab)))
        close_all(crowd)
        postern.wait_idle()
        assert (postern.of("office")["sessions"], postern.of("office")["begun_total"]) == (0, 1)
        postern.reload(postern.with_admin(config(lab, sources=late)))
        assert (postern.of("late")["sessions"], postern.of("late")["begun_total"]) == (0, 1)


@pytest.mark.topology(backends=1)
def test_adopted_sessions_belong_to_their_source(lab):
    serve_all(lab)
    with Watched(lab, config(lab, DISSOLVED)) as postern:
        crowd = [greeted(lab, OFFICE4), greeted(lab, STRANGER6, VIP6)]
        settle_all(postern, DISSOLVED, crowd)
        postern.kill()
        postern.start()
        assert (postern.of("office")["sessions"], postern.of("other")["sessions"]) == (1, 1)
        assert postern.of("office")["begun_total"] == 0
        close_all(crowd)
        postern.wait_idle()
        assert (postern.of("office")["sessions"], postern.of("other")["sessions"]) == (0, 0)


@pytest.mark.topology(backends=1)
def test_how_its_lists_stand_is_told(lab, tmp_path):
    path = tmp_path / "list"
    path.write_text("198.51.2.0/24\n198.51.4.0/24\n")
    with Watched(lab, config(lab, sources={"office": {"file": str(path), "prefixes": ["192.0.2.0/24"]}})) as postern:
        office = postern.of("office")
        assert (office["prefixes"], office["list_kept"]) == (3, 0)
        assert abs(office["list_timestamp_seconds"] - path.stat().st_ctime) < 1.1
        path.write_text("rubbish\n")
        postern.wait(event="source_kept")
        office = postern.of("office")
        assert (office["prefixes"], office["list_kept"]) == (3, 1)
        assert postern.trouble("office") == ["a file of it cannot be read or believed: the last good list stays"]
        path.write_text("198.51.2.0/24\n")
        postern.wait(event="source", file=str(path), prefixes="1")
        office = postern.of("office")
        assert (office["prefixes"], office["list_kept"], postern.trouble("office")) == (2, 0, [])


@pytest.mark.topology(backends=1)
def test_the_first_session_of_a_source_is_told_once_for_all_times(lab):
    begin_within_an_hour()
    serve_all(lab)
    with Watched(lab, config(lab)) as postern:
        greeted(lab, STRANGER4).close()
        greeted(lab, OFFICE4).close()
        postern.wait(event="source_first", source="office")
        first = postern.of("office")["first_session_timestamp_seconds"]
        assert abs(first - time.time()) < 60
        assert postern.trouble("office") == []  # on the first day everybody is new
        postern.kill()
        postern.start()
        greeted(lab, OFFICE4).close()
        postern.wait_of("office", "hour_sessions", 2)
        assert postern.of("office")["first_session_timestamp_seconds"] == first
        assert not postern.lines(event="source_first")  # since it was started again
        assert not postern.lines(event="source_first", source="other")


def past(name, hours, first, **changed):
    return {"name": name, "first": first, "hour": int(time.time()) // HOUR - 1, "now": hours[0], "grown": 0, "hours": hours, **changed}


@pytest.mark.topology(backends=1)
def test_far_more_sessions_than_usual_are_told_and_who_is_new_after_days(lab):
    begin_within_an_hour()
    serve_all(lab)
    now = int(time.time())
    sources = {"office": OFFICE, "late": {"prefixes": ["198.51.9.0/24"]}}
    with Watched(lab, config(lab, sources=sources, sessions="off", rate="off")) as postern:
        postern.stop()
        postern.write_history(json.dumps({"format": 1, "began": now - 10 * 86400, "classes": [past("office", [19] * 168, now - 86400)]}))
        postern.start()
        assert postern.of("office")["usual_hour_sessions"] == 19
        for _ in range(95):
            greeted(lab, OFFICE4).close()
        postern.wait_of("office", "hour_sessions", 95)
        assert postern.of("office")["grown"] == 0
        for _ in range(5):
            greeted(lab, OFFICE4).close()
        line = postern.wait(event="source_grown", source="office")
        assert int(line["sessions"]) >= 100 and line["usual"] == "19"
        assert postern.of("office")["grown"] == 1
        assert postern.trouble("office") == ["far more new sessions than usual, this hour or the last"]
        greeted(lab, "198.51.9.9").close()
        postern.wait(event="source_first", source="late")
        assert postern.trouble("late") == ["its first session has come: nobody of it had been seen before"]


@pytest.mark.topology(backends=1)
def test_a_history_that_is_lost_begins_anew_and_nothing_keeps_postern_from_starting(lab):
    serve_all(lab)
    with Watched(lab, config(lab)) as postern:
        for text in ("", "{", "[]", '{"format": 2, "began": 0, "classes": []}', "\0" * 5000):
            postern.stop()
            postern.write_history(text)
            postern.start()
            assert postern.wait(event="source_history")["path"] == str(postern.history)
        greeted(lab, OFFICE4).close()
        postern.wait(event="source_first", source="office")
        postern.stop()
        assert json.loads(postern.history.read_text())["format"] == 1
        postern.start()
        assert not postern.lines(event="source_history")


@pytest.mark.topology(backends=1)
def test_the_history_goes_over_to_the_process_that_takes_over(lab):
    begin_within_an_hour()
    class Both(Watched, Upgrading):
        pass

    serve_all(lab)
    with Both(lab, config(lab)) as postern:
        for _ in range(3):
            greeted(lab, OFFICE4).close()
        postern.wait_of("office", "hour_sessions", 3)
        postern.upgrade()
        greeted(lab, OFFICE4).close()
        postern.wait_of("office", "hour_sessions", 4)
        assert len(postern.lines(event="source_first")) == 1
