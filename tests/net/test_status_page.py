# SPDX-License-Identifier: Apache-2.0
"""The status page in a real browser: what it shows, how it is read on a phone, and that nobody's words become markup."""
import json
import os
import pathlib
import signal

import pytest

from browser import Browser
from daemon import backend_lines, configuration, listener, pool
from lab import VIP4, VIP6, hostport
from load import serve, start_client
from peers import smtp_session
from test_checks import QUICK, checked, smtp_servers, wait_state
from web import URL, WebPostern, with_http

PICTURES = os.environ.get("POSTERN_PICTURES")  # where tests/pictures wants them
PATIENT = {**QUICK, "interval": "5s", "timeout": "5s"}  # beside a browser that starts
SECONDS = 75 if PICTURES else 18  # of load: a longer curve is a nicer one


def hostile(server, connection):
    connection.sendall(b"554 <img src=x onerror=document.title='x'><script>document.title='x'</script> go away\r\n")
    connection.recv(100)


def zoned(lab, state=""):
    """Two pools, six backends in three zones."""
    zones = ["eu-west-1a", "eu-west-1a", "eu-west-1b", "eu-west-1b", "eu-west-1c", "eu-west-1c"]
    slow = {"slow_start": "0s", "check": QUICK}
    inbound = pool(backend_lines(lab.backends[:5], zone=zones), max_sessions=40, zones="off", **slow)
    relay = pool(backend_lines(lab.backends[5:], zone=zones[5:], state=state or "ready"), name="relay", source="gateway",
                 proxy_protocol="v2", balance="round-robin", zones="off", **{**slow, "check": {**QUICK, "type": "tcp"}})
    gateway = {"name": "mx-gw1", "zone": "eu-west-1a", "zones": [{"name": z, "gateways": 1} for z in sorted(set(zones))]}
    listeners = [listener(), listener([hostport(VIP4, 587), hostport(VIP6, 587)], name="relay-in", to="relay")]
    return configuration([inbound, relay], listeners, gateway)


def wait_live(browser):
    browser.wait("document.getElementById('fresh').textContent === 'live'", "the page is filled")


@pytest.mark.topology(backends=2)
def test_the_page_says_what_is_wrong_and_shows_words_as_text(lab, tmp_path):
    one, two = lab.backends
    with smtp_servers(*lab.backends) as servers, WebPostern(lab, checked(lab, PATIENT)) as postern, Browser(lab.gateway, tmp_path) as page:
        with lab.connect() as s:
            smtp_session(s)
        page.look(1280, 900)
        page.open(URL + "/status")
        wait_live(page)
        assert "All is well" in page.text() and "2\nof 2" in page.text().replace(" of", "\nof")
        assert page.evaluate("document.title") == "gw1 – postern"
        servers[1].act = hostile
        wait_state(postern, two, "down")
        page.wait(f"document.body.innerText.includes('backend inbound/{two.label}: it is down')", "the trouble")  # suspect before
        text = page.text()
        assert "What to do:" in text
        assert "<img src=x onerror=document.title='x'><script>" in text
        assert page.evaluate("document.images.length") == 0 and page.evaluate("document.scripts.length") == 1
        assert page.evaluate("document.title") == "(1) gw1 – postern"
        # What the page may load comes from here alone, and an inline script does not run.
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))")
        assert page.evaluate("document.title") == "(1) gw1 – postern"
        refused, = page.complaints
        assert "Content Security Policy" in refused
        page.complaints.clear()
        postern.send(signal.SIGSTOP)
        page.wait("document.getElementById('fresh').textContent.startsWith('the gateway does not answer')", "that it is lost")
        postern.send(signal.SIGCONT)
        wait_live(page)
        assert all("net::ERR" in c for c in page.complaints), page.complaints


@pytest.mark.heavy
@pytest.mark.limit(300)
@pytest.mark.topology(backends=6)
def test_the_page_is_readable_wide_and_on_a_phone_by_day_and_by_night(lab, tmp_path):
    pictures = pathlib.Path(PICTURES or tmp_path)
    for b in lab.backends[:3] + lab.backends[4:5]:
        serve(b, "--greet-delay", "30")
    serve(lab.backends[5], "--proxy", "v2")
    with smtp_servers(lab.backends[3]) as dying, WebPostern(lab, zoned(lab)) as postern, Browser(lab.gateway, tmp_path) as page:
        page.look(1280, 900)
        page.open(URL + "/status")
        wait_live(page)
        # Some sessions that stay, and ever new ones.
        held = start_client(lab, "ping", "--connections", 60, "--rounds", 1000000, "--seconds", SECONDS + 2)
        load = start_client(lab, "sessions", "--seconds", SECONDS, "--concurrency", 12)
        page.wait(f"document.querySelectorAll('.curve').length && document.querySelector('.curve').points.numberOfItems > {SECONDS // 5}", "a curve", 2 * SECONDS)
        dying[0].close()
        wait_state(postern, lab.backends[3], "down")
        postern.reload(with_http(zoned(lab, state="drain")))
        page.wait("document.querySelectorAll('.trouble').length >= 2", "the trouble")
        for name, words in {"desktop": dict(width=1280, height=900), "desktop-dark": dict(width=1280, height=900, dark=True),
                            "desktop-grey": dict(width=1280, height=900, deficiency="achromatopsia"),
                            "phone": dict(width=390, height=844, phone=True),
                            "phone-dark": dict(width=390, height=844, phone=True, dark=True),
                            "narrow": dict(width=320, height=640, phone=True)}.items():
            page.look(**words)
            page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 600))))")
            assert page.evaluate("document.documentElement.scrollWidth") <= words["width"], f"{name}: wider than its screen"
            page.screenshot(pictures / f"status-{name}.png", height_max=1800)
        load.wait(check=False)
        held.wait(check=False)
        assert not page.complaints
        text = page.text()
        for b in lab.backends:
            assert b.label in text
        for zone in "eu-west-1a", "eu-west-1b", "eu-west-1c":
            assert zone in text


@pytest.mark.topology(backends=1)
def test_the_document_of_the_page_is_that_of_the_status(lab):
    with WebPostern(lab, checked(lab)) as postern:
        answer = postern.get("/status.json")
        document = json.loads(answer.body)
        assert answer.headers["content-type"] == "application/json" and document["pid"] == postern.pid
        assert "script-src 'self'" in postern.get("/status").headers["content-security-policy"]
        for path, kind in ("/status", "text/html"), ("/status.css", "text/css"), ("/status.js", "text/javascript"):
            answer = postern.get(path)
            assert answer.status == 200 and answer.headers["content-type"].startswith(kind)
            source = pathlib.Path(__file__).parents[2] / "lb/control/watch/status_page" / f"status.{kind[5:].replace('javascript', 'js')}"
            assert answer.body == source.read_text()
