# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus beside the daemon: the alerts and the dashboard that come with postern, on what it really says."""
import contextlib
import json
import pathlib
import re
import subprocess
import time
import urllib.parse

import pytest

from daemon import DEADLINE
from peers import smtp_session
from test_checks import checked, smtp_servers, wait_state
from web import WebPostern, parse_metrics

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "postern.rules.yaml"
DASHBOARD = DEPLOY / "grafana" / "postern.json"
METRIC = re.compile(r"\b(?:postern|process)_\w+")
AT = "http://127.0.0.1:9090"


def expressions():
    """Of all rules, and of all panels and variables of the dashboard."""
    rules = re.findall(r"^ *expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)", RULES.read_text(), re.M)
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [t["expr"] for p in dashboard["panels"] for t in p.get("targets", [])]
    notes = [a["expr"] for a in dashboard["annotations"]["list"]]
    assert len(rules) > 10 and len(panels) > 20 and notes
    return ["".join(r) for r in rules] + panels + notes


class Prometheus:
    """Prometheus in the daemon's namespace, which scrapes it as our example says, but more often."""

    def __init__(self, lab, directory):
        self.gateway = lab.gateway
        example = (DEPLOY / "prometheus" / "postern.scrape.yaml").read_text()
        (directory / "prometheus.yaml").write_text(
            "global: {evaluation_interval: 1s}\n" + example.replace("scrape_interval: 15s", "scrape_interval: 1s"))
        (directory / RULES.name).write_text(re.sub(r"\bfor: \w+", "for: 2s", RULES.read_text()))
        self.said = open(directory / "prometheus.log", "w+")
        lab.gateway.popen(
            "prometheus", f"--config.file={directory}/prometheus.yaml", f"--storage.tsdb.path={directory}/data",
            "--web.listen-address=127.0.0.1:9090", "--log.level=warn", stdout=self.said, stderr=self.said)

    def ask(self, path, **query):
        done = self.gateway.run("curl", "-sS", f"{AT}{path}?{urllib.parse.urlencode(query)}", check=False)
        if done.returncode == 7 or "Service Unavailable" in done.stdout:  # it is starting
            return None
        answer = json.loads(done.stdout)
        assert answer["status"] == "success", f"{query}: {answer}"
        return answer["data"]

    def wait(self, path, good, what, **query):
        """Until an answer is good; it has no events to wait for."""
        end = time.monotonic() + DEADLINE
        while not ((data := self.ask(path, **query)) and good(data)):
            assert time.monotonic() < end, f"{what}: never; {data}"
        return data

    def value(self, query):
        """Of the one sample that there is; None without one."""
        found = self.ask("/api/v1/query", query=query)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def alerts(self):
        return {(a["labels"]["alertname"], a["labels"].get("backend")) for a in self.ask("/api/v1/alerts")["alerts"]
                if a["state"] == "firing"}

    def wait_alert(self, name, backend=None, firing=True):
        self.wait("/api/v1/alerts", lambda _: ((name, backend) in self.alerts()) == firing, f"{name} firing={firing}")


def test_the_alerts_are_right_and_do_what_they_say():
    for words in (("check", "rules", RULES), ("test", "rules", RULES.with_name("postern.rules.test.yaml"))):
        done = subprocess.run(["promtool", *words], text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.topology(backends=2)
def test_prometheus_scrapes_and_an_alert_fires_when_a_backend_dies(lab, tmp_path):
    one, two = lab.backends
    with contextlib.ExitStack() as stack:
        stack.enter_context(smtp_servers(one))
        dying = stack.enter_context(smtp_servers(two))[0]
        postern = stack.enter_context(WebPostern(lab, "sources: {office: {prefixes: 192.0.2.0/24}}\n" + checked(lab)))
        prometheus = Prometheus(lab, tmp_path)
        for _ in range(10):
            with lab.connect() as s:
                smtp_session(s)
        postern.wait_sessions(10)
        prometheus.wait("/api/v1/query", lambda d: d["result"] and d["result"][0]["value"][1] == "10", "ten sessions",
                        query="sum(postern_backend_tries_total)")
        assert prometheus.value('up{job="postern"}') == 1 and not prometheus.alerts()
        since = len(postern.log.read())
        dying.close()
        wait_state(postern, two, "down", since)
        prometheus.wait_alert("PosternBackendDown", two.label)
        assert ("PosternBackendDown", one.label) not in prometheus.alerts()
        stack.enter_context(smtp_servers(two))
        wait_state(postern, two, "up", since)
        prometheus.wait_alert("PosternBackendDown", two.label, firing=False)

        scraped = {name for name, _ in parse_metrics(postern.get("/metrics").body)}
        for expression in expressions():
            assert METRIC.search(expression) or "up{" in expression
            for name in METRIC.findall(expression):
                assert name in scraped, f"{name} is in no scrape: {expression}"
            filled = re.sub(r"\$__rate_interval", "1m", re.sub(r"\$(?:instance|pool|zone)\b", ".*", expression))
            prometheus.ask("/api/v1/query", query=filled)
        assert prometheus.value('histogram_quantile(0.5, sum by (le) (postern_pool_greeting_duration_seconds_bucket))') < 1
        prometheus.said.seek(0)
        assert "level=error" not in prometheus.said.read()
