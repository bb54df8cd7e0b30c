# SPDX-License-Identifier: Apache-2.0
"""The HTTP side: metrics that add up, health and readiness, and clients that mean no good."""
import contextlib
import os
import signal
import subprocess
import time

import pytest

from daemon import DEADLINE, backend_lines, configuration, listener, pool
from lab import VIP4, VIP6, hostport
from load import client, serve_all
from peers import receive, receive_all, scripted_server, smtp_session
from test_checks import checked, smtp_servers, wait_state
from upgrading import Upgrading
from web import URL, WebPostern, parse_metrics, total, with_http


def config(lab, **settings):
    backends = backend_lines(lab.backends, zone=["a", "b"][:len(lab.backends)])
    return configuration([pool(backends, slow_start="0s", zones="off", **settings)], gateway={"zone": "a"})


def wait_answer(postern, path, status, deadline=DEADLINE):
    """Asks until the answer has this status; there is no event to wait for."""
    end = time.monotonic() + deadline
    while (answer := postern.get(path)).status != status:
        assert time.monotonic() < end, f"{path} never answered {status}: {answer}"
    return answer


def wait_checked(postern, count, deadline=DEADLINE):
    """Until so many backends have passed a check; a first check that passes is no event."""
    end = time.monotonic() + deadline
    while (answer := postern.get("/metrics")).body.count("\npostern_backend_check_passed{") < count:
        assert time.monotonic() < end, "backends are not checked"
    return answer


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_metrics_add_up_over_backends_log_and_sinks(lab, engine):
    with WebPostern(lab, config(lab, **engine.pool)) as postern:
        servers = serve_all(lab)
        sent = client(lab, "sessions", "--count", 400, "--concurrency", 20)
        lines = postern.wait_sessions(400)
        m = postern.metrics()
        taken = [s.stop() for s in servers]
        engine.assert_carried(lines, 0.5)
        assert sent["ok"] == len(lines) == 400
        assert total(m, "postern_sessions_accepted_total") == total(m, "postern_sessions_ended_total") == 400
        assert total(m, "postern_listener_accepted_total", listener="mx") == 400 and total(m, "postern_listener_sessions") == 0
        assert total(m, "postern_backend_tries_total") == total(m, "postern_backend_greetings_total") == 400
        assert total(m, "postern_closed_sessions_total") == 400 and total(m, "postern_sessions") == 0
        assert total(m, "postern_relayed_sessions_total") + total(m, "postern_dissolved_total") == 400
        assert sum(t["messages"] for t in taken) == 400
        for b, t in zip(lab.backends, taken):
            own = [s for s in lines if s["backend"] == b.label]
            assert total(m, "postern_backend_tries_total", backend=b.label) == len(own) == t["messages"]
            assert total(m, "postern_backend_from_clients_bytes_total", backend=b.label) == sum(int(s["bytes_in"]) for s in own)
            assert total(m, "postern_backend_to_clients_bytes_total", backend=b.label) == sum(int(s["bytes_out"]) for s in own)
        for kind in "connect", "greeting", "session":
            name = f"postern_pool_{kind}_duration_seconds"
            assert total(m, f"{name}_count", pool="inbound") == total(m, f"{name}_bucket", le="+Inf") == 400
            assert 0 <= total(m, f"{name}_sum") < 400 * DEADLINE
        assert abs(total(m, "postern_pool_session_duration_seconds_sum") - sum(float(s["duration"]) for s in lines)) < 0.01


@pytest.mark.topology(backends=2)
def test_metrics_have_the_form_that_prometheus_wants(lab):
    with smtp_servers(*lab.backends), WebPostern(lab, checked(lab)) as postern:
        with lab.connect() as s:
            smtp_session(s)
        line = postern.wait_sessions(1)[0]
        answer = wait_checked(postern, 2)
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        told = subprocess.run(["promtool", "check", "metrics"], input=answer.body, text=True, capture_output=True)
        assert told.returncode == 0 and not told.stdout + told.stderr, told
        m = parse_metrics(answer.body)
        assert total(m, "postern_backend_check_passed") == total(m, "postern_backend_usable") == 2
        assert total(m, "postern_backend_state", state="up") == 2 and total(m, "postern_backend_state") == 2
        assert total(m, "postern_build_info") == total(m, "postern_gateway_info", gateway="gw1") == 1
        assert abs(total(m, "process_open_fds") - postern.descriptors()) <= 8  # checks come and go
        assert abs(total(m, "process_start_time_seconds") - time.time()) < DEADLINE
        assert line["client"].split("]")[0].lstrip("[") not in answer.body  # nothing of a client


@pytest.mark.topology(backends=2)
def test_readiness_is_that_every_listener_has_a_backend(lab):
    one, two = lab.backends
    listeners = [listener([hostport(VIP4, 25)]), listener([hostport(VIP4, 587)], name="submission", to="other")]
    both = configuration([pool(backend_lines([one])), pool(backend_lines([two]), name="other")], listeners)
    gone = both.replace(f"name: {two.label},", f"name: {two.label}, state: maint,")
    with WebPostern(lab, both) as postern:
        assert postern.get("/readyz").status == postern.get("/healthz").status == 200
        assert total(postern.metrics(), "postern_ready") == 1
        script = ("curl", "-fsS", URL + "/readyz")  # as keepalived and BIRD would ask
        assert lab.gateway.run(*script).stdout == "ready\n"
        postern.reload(with_http(gone))
        assert lab.gateway.run(*script, check=False).returncode == 22
        answer = postern.get("/readyz")
        assert answer.status == 503 and answer.body == "listener submission: pool other has no usable backend for IPv4 clients\n"
        m = postern.metrics()
        assert total(m, "postern_ready") == total(m, "postern_listener_usable", listener="submission") == 0
        assert total(m, "postern_listener_usable", listener="mx") == 1
        assert postern.get("/healthz").status == 200
        postern.reload(with_http(both))
        assert postern.get("/readyz").body == "ready\n"


@pytest.mark.topology(backends=1)
def test_who_drains_is_alive_and_not_ready(lab):
    with WebPostern(lab, config(lab, dissolve="off")) as postern, scripted_server(lab.backends[0]) as server:
        kept = lab.connect()
        there, _ = server.accept()
        postern.send(signal.SIGTERM)
        answer = wait_answer(postern, "/readyz", 503)
        assert answer.body == "no connections are taken: starting, or ending\n" and postern.get("/healthz").status == 200
        there.close()
        receive_all(kept)
        kept.close()
        postern.wait_end()


@pytest.mark.topology(backends=1)
def test_a_worker_that_hangs_is_found(lab):
    with WebPostern(lab, config(lab)) as postern:
        assert postern.get("/healthz").body == "ok\n"
        with postern.workers_held():
            assert "has not answered for" in wait_answer(postern, "/healthz", 503).body
            assert postern.get("/metrics").status == 200
        wait_answer(postern, "/healthz", 200)


@pytest.mark.topology(backends=1)
def test_a_reload_opens_the_listener_elsewhere_or_is_refused_whole(lab):
    plain = config(lab)
    with WebPostern(lab, plain) as postern:
        _, changes = postern.reload(with_http(plain, "[::1]:9200"))
        assert changes == ["http.listen: 127.0.0.1:9125 -> [::1]:9200"]
        assert lab.gateway.run("curl", "-sS", URL + "/readyz", check=False).returncode == 7  # refused
        assert lab.gateway.run("curl", "-sS", "http://[::1]:9200/readyz").stdout == "ready\n"
        with contextlib.closing(lab.gateway.listen("127.0.0.1", 9125)):
            line, changes = postern.reload(with_http(plain), event="reload_refused")
            assert "cannot listen at http.listen (127.0.0.1:9125): somebody listens there already" in line["reason"] and not changes
        m = parse_metrics(lab.gateway.run("curl", "-sS", "http://[::1]:9200/metrics").stdout)
        assert total(m, "postern_config_last_reload_successful") == 0
        postern.reload(plain)
        assert lab.gateway.run("curl", "-sS", "http://[::1]:9200/readyz", check=False).returncode == 7
        postern.reload(with_http(plain))
        assert total(postern.metrics(), "postern_config_last_reload_successful") == 1


@pytest.mark.topology(backends=1)
def test_an_upgrade_refuses_no_scrape(lab):
    with Upgrading(lab, with_http(config(lab))) as postern:
        asking = lab.gateway.popen("sh", "-c", 'until ! curl -sS -o /dev/null "$1" 2>&1; do :; done', "sh", URL + "/metrics",
                                   stdout=subprocess.PIPE)
        for _ in range(3):
            postern.upgrade()
            m = parse_metrics(lab.gateway.run("curl", "-sS", URL + "/metrics").stdout)
            assert total(m, "postern_ready") == 1
        assert asking.poll() is None, f"curl ended with status {asking.stdout.read()}"
        asking.kill()
        asking.wait()


@pytest.mark.topology(backends=1)
def test_where_somebody_listens_already_postern_does_not_start(lab):
    postern = WebPostern(lab, config(lab))
    with contextlib.closing(lab.gateway.listen("127.0.0.1", 9125)):
        refused = postern.run()
        assert refused.returncode == 1 and "cannot listen at 127.0.0.1:9125 for HTTP: somebody listens there" in refused.stderr


@pytest.mark.topology(backends=1)
def test_bad_requests_are_refused_and_every_answer_is_closed_to_scripts(lab):
    with WebPostern(lab, config(lab)) as postern:
        head = postern.get("/metrics", "--head")
        assert head.status == 200 and head.body == "" and int(head.headers["content-length"]) > 10000
        for path in "/metrics", "/healthz", "/readyz", "/nowhere":
            answer = postern.get(path)
            assert answer.status == (404 if path == "/nowhere" else 200)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
        for method in "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE":
            answer = postern.get("/metrics", "--request", method, "--data", "x" * 100000)
            assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD"
        assert postern.get("/" + "x" * 100000).status in (414, 431)
        assert postern.get("/metrics", "--header", "X: " + "x" * 100000).status in (413, 431)
        assert postern.get("/metrics?name=value").status == postern.get("/metrics", "--http1.0").status == 200
        assert postern.get("/../metrics", "--path-as-is").status == 404
        for garbage in b"\r\n\r\n\r\n", b"\0" * 1000, b"GET\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01":
            with postern.connect_http() as s, contextlib.suppress(ConnectionError):
                s.sendall(garbage)
                s.shutdown(1)
                receive_all(s)
        assert postern.get("/healthz").status == 200


@pytest.mark.tsan
@pytest.mark.topology(backends=1)
def test_bad_clients_delay_neither_mail_nor_other_clients(lab):
    with WebPostern(lab, config(lab)) as postern, contextlib.ExitStack() as stack:
        serve_all(lab)
        before, mails = postern.descriptors(), []
        for _ in range(1000):
            s = stack.enter_context(postern.connect_http())  # silent; the next ones are slow, or do not read
            s.setblocking(False)
            s.send((b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 100)[_ % 3])
            if _ % 50 == 49:
                began = time.monotonic()
                with lab.connect() as mail:
                    smtp_session(mail)
                mails.append(time.monotonic() - began)
                assert postern.get("/healthz").status == 200 and time.monotonic() - began < 5
        assert sorted(mails)[-2] < 1  # the machine may be busy once
        assert postern.descriptors() <= before + 40
        lines = postern.wait_sessions(20)
        assert sorted(int(s["banner_ms"]) for s in lines)[-2] < 500


@pytest.mark.topology(backends=1)
def test_a_flood_of_scrapes_delays_no_session(lab):
    with WebPostern(lab, config(lab)) as postern:
        serve_all(lab)
        flood = lab.gateway.popen("curl", "-sS", "--parallel", "--parallel-immediate", "--parallel-max", "32", "--no-progress-meter",
                                  URL + "/metrics?[1-1000000]", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        result = client(lab, "sessions", "--seconds", 5, "--concurrency", 2)
        assert postern.get("/healthz").status == 200 and flood.poll() is None
        flood.kill()
        flood.wait()
        assert result["failed"] == 0 and result["ok"] > 100 and result["banner_p99_us"] < 200000, result


@pytest.mark.topology(backends=1)
def test_who_sends_his_request_byte_by_byte_is_left(lab):
    with WebPostern(lab, config(lab)) as postern:
        with postern.connect_http() as s:
            began = time.monotonic()
            s.settimeout(0.5)
            with contextlib.suppress(ConnectionError):
                for byte in b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 1000:
                    s.send(bytes([byte]))
                    try:
                        if s.recv(1) == b"":
                            break
                    except TimeoutError:
                        continue
            assert 5 < time.monotonic() - began < 20
        assert postern.get("/healthz").status == 200


@pytest.mark.topology(backends=1)
def test_a_hundred_clients_at_once_are_all_answered(lab):
    with WebPostern(lab, config(lab)) as postern:
        running = [lab.gateway.popen("curl", "-sS", "--max-time", "20", URL + "/metrics", stdout=subprocess.PIPE) for _ in range(100)]
        answers = [p.communicate(timeout=DEADLINE)[0].decode() for p in running]
        assert all(total(parse_metrics(a), "postern_build_info") == 1 for a in answers)


@pytest.mark.topology(backends=1)
def test_without_descriptors_mail_goes_on_and_metrics_come_back(lab):
    with WebPostern(lab, config(lab)) as postern, scripted_server(lab.backends[0]) as server:
        kept = lab.connect()
        there, _ = server.accept()
        lift = postern.limit_descriptors(1)
        with postern.connect_http(), postern.connect_http() as waits:  # the first one takes the last descriptor
            waits.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            there.sendall(b"220 hello\r\n")
            assert receive(kept, 11) == b"220 hello\r\n"
            lift()
            assert receive_all(waits).endswith(b"ok\n")
        there.close()
        receive_all(kept)
        kept.close()
