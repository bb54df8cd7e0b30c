# SPDX-License-Identifier: Apache-2.0
"""What postern refuses to start with: one clear line each, status 1 (78 for the configuration), and nothing is changed."""
import os
import pathlib
import shutil

import pytest

from daemon import DISSOLVED, RELAY, SANITIZER_TRACES, Postern, backend_lines, configuration, pool
from lab import VIP4
from load import serve_all
from peers import converse, expect_reset, smtp_session

IO_URING_SETUP = 425  # the same on every architecture


def plain(lab, **settings):
    return configuration([pool(backend_lines(lab.backends), **settings)])


def assert_refuses(postern, *parts, status=1):
    """It must end by itself with one line that has all these parts, and the host must be as before."""
    before = postern.lab.host_state()
    done = postern.run()
    assert done.returncode == status, f"status {done.returncode}\n{done.stdout}{done.stderr}"
    assert not any(word in done.stderr for word in SANITIZER_TRACES), done.stderr
    refusals = [line for line in done.stderr.splitlines() if line.startswith("postern: ")]
    assert len(refusals) == 1, done.stderr
    for part in parts:
        assert part in refusals[0], f"{part!r} is missing in: {refusals[0]}"
    assert postern.lab.host_state() == before


@pytest.mark.parametrize("dropped, named", [("-net_admin", "CAP_NET_ADMIN"), ("-bpf,-sys_admin", "CAP_BPF"),
                                            ("-perfmon,-sys_admin", "CAP_PERFMON")])
@pytest.mark.topology(backends=1)
def test_missing_capabilities_are_named(lab, dropped, named):
    wrapper = ["setpriv", "--bounding-set", dropped, "--inh-caps", dropped, "--"]
    assert_refuses(Postern(lab, plain(lab), wrapper), f"missing {named}", "AmbientCapabilities")


@pytest.mark.topology(backends=1)
def test_a_kernel_that_is_too_old_is_named(lab):
    assert_refuses(Postern(lab, plain(lab), ["setarch", os.uname().machine, "--uname-2.6"]), "Linux 2.6", "6.6")


@pytest.mark.topology(backends=1)
def test_a_forbidden_io_uring_is_named(lab):
    launcher = pathlib.Path(__file__).with_name("without_syscall.py")
    wrapper = ["/usr/bin/python3", launcher, IO_URING_SETUP, "--"]
    assert_refuses(Postern(lab, plain(lab), wrapper), "io_uring cannot be used", "seccomp")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", VIP4])
@pytest.mark.topology(backends=1)
def test_a_listener_of_another_program_in_the_way_is_named(lab, host):
    lab.gateway.ip(f"addr add {VIP4}/32 dev lo")
    with lab.gateway.listen(host, 25):
        assert_refuses(Postern(lab, configuration([pool(backend_lines(lab.backends))],
                                                  [{"name": "mx", "address": ["203.0.113.25:25", "[2001:db8:25::25]:25"],
                                                    "pool": "inbound"}])), f"[{host}]:25", "another program listens")


@pytest.mark.topology(backends=1)
def test_a_listener_on_an_address_of_its_own_is_no_obstacle(lab):
    serve_all(lab)
    with lab.gateway.listen("10.2.0.1", 25), Postern(lab, plain(lab)), lab.connect() as s:
        smtp_session(s)


@pytest.mark.parametrize("route", ["none", "unreachable"])
@pytest.mark.topology(backends=1)
def test_a_backend_without_a_route_is_named(lab, route):
    backend = lab.backends[0]
    lab.gateway.ip(f"route del {backend.v4}/32")
    if route != "none":
        lab.gateway.ip(f"route add {route} {backend.v4}/32")
    assert_refuses(Postern(lab, plain(lab)), "mta1", backend.v4, "cannot be reached")


@pytest.mark.topology(backends=1)
def test_a_transparent_backend_on_this_very_host_is_refused(lab):
    config = configuration([pool([{"name": "here", "address": "10.2.0.1:25"}])])
    assert_refuses(Postern(lab, config), "here", "10.2.0.1")


@pytest.mark.topology(backends=1)
def test_too_few_file_descriptors_are_named_with_the_number_that_fits(lab):
    assert_refuses(Postern(lab, plain(lab), ["prlimit", "--nofile=1000:1000"]), "too few file descriptors", "8000 sessions",
                   "the hard limit is 1000", "max_sessions")


@pytest.mark.topology(backends=1)
def test_the_soft_limit_of_descriptors_is_raised(lab):
    with Postern(lab, plain(lab), ["prlimit", "--nofile=256:19000"]) as postern:
        limits = pathlib.Path(f"/proc/{postern.pid}/limits").read_text(encoding="ascii")
        soft = next(line.split()[3] for line in limits.splitlines() if line.startswith("Max open files"))
        assert int(soft) > 16000


@pytest.mark.topology(backends=1)
def test_a_second_postern_in_the_same_namespace_is_refused(lab):
    serve_all(lab)
    with Postern(lab, plain(lab)) as first:
        assert_refuses(Postern(lab, plain(lab)), "another postern", str(first.pid))
        with lab.connect() as s:
            smtp_session(s)


# A file system of its own for the pins, as an administrator would set it up for postern's user; gone with the process.
OWN_BPFFS = """
mount -t bpf -o mode=0711 bpf /sys/fs/bpf && mkdir /sys/fs/bpf/postern && chown 65534:65534 /sys/fs/bpf/postern && exec "$@"
"""


def as_ordinary_user(lab, config, capabilities):
    postern = Postern(lab, config, [
        "unshare", "--mount", "sh", "-c", OWN_BPFFS, "sh",
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
        "--bounding-set", f"-all,{capabilities}", "--inh-caps", f"-all,{capabilities}", "--ambient-caps", capabilities])
    postern.directory.chmod(0o755)
    postern.program = shutil.copy(postern.program, postern.directory)  # a checkout may be somebody's own
    return postern


@pytest.mark.parametrize("raw", [True, False], ids=["all", "without-net_raw"])
@pytest.mark.topology(backends=1)
def test_an_ordinary_user_with_the_named_capabilities_is_enough(lab, raw):
    serve_all(lab)
    capabilities = "+net_admin,+bpf,+perfmon,+net_bind_service" + ",+net_raw" * raw
    config = plain(lab, timeouts={"idle": "3s"})
    with as_ordinary_user(lab, config, capabilities) as postern:
        assert [line["name"] for line in postern.lines(event="capability")] == ["CAP_NET_RAW"] * (not raw)
        for port in (0, 900):
            with lab.connect(source_port=port) as s:
                DISSOLVED.settle_smtp(postern, s)
                converse(s, "QUIT", "221")
        assert {s["port_changed"] for s in postern.wait_sessions(2)} == {"no"}
        with lab.connect() as s:
            DISSOLVED.settle_smtp(postern, s)
            postern.wait_sessions(1, reason="idle")
            if raw:
                expect_reset(s)
        assert postern.wait_counter(cut_unsent=2 * (not raw))["cut_unsent"] == 2 * (not raw)
        DISSOLVED.assert_carried(postern.sessions())


@pytest.mark.topology(backends=1)
def test_without_dissolving_an_ordinary_user_needs_three_capabilities_and_no_bpffs(lab):
    serve_all(lab)
    config = plain(lab, **RELAY.pool)
    with as_ordinary_user(lab, config, "+net_admin,+bpf,+net_bind_service") as postern:
        assert not postern.lines(event="capability")
        for port in (0, 900):
            with lab.connect(source_port=port) as s:
                smtp_session(s)
        lines = postern.wait_sessions(2)
        assert {s["port_changed"] for s in lines} == {"no"}
        RELAY.assert_carried(lines)


@pytest.mark.topology(backends=1)
def test_a_place_for_pins_that_cannot_be_had_is_named(lab):
    postern = as_ordinary_user(lab, plain(lab), "+net_admin,+bpf,+perfmon,+net_bind_service,+net_raw")
    postern.wrapper = [word.replace("chown", "true") for word in postern.wrapper]
    assert_refuses(postern, "/sys/fs/bpf/postern", "belong to postern's user")


# The configuration

GOOD = """\
gateway: {name: gw1}
listeners:
  - name: mx
    address: [203.0.113.25:25]
    pool: inbound
pools:
  - name: inbound
    source: client
    backends:
      - {name: mta1, address: 10.2.0.11:25}
"""


def check(lab, text, *options):
    """Runs -c on a text; the sanitizers must be silent whatever it is."""
    postern = Postern(lab, "")
    postern.file.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = postern.run(*(options or ["-c"]))
    assert not any(word in done.stderr for word in SANITIZER_TRACES), done.stderr
    return done


@pytest.mark.topology(backends=1)
def test_a_good_configuration_passes_the_check(lab):
    assert check(lab, GOOD).returncode == 0
    assert check(lab, plain(lab)).returncode == 0


@pytest.mark.topology(backends=1)
def test_a_pool_that_would_hide_the_client_is_refused_with_the_reason(lab):
    text = GOOD.replace("source: client", "source: gateway")
    for options in (["-c"], ["--plan"], ["-V"][:0]):
        done = check(lab, text, *options)
        assert done.returncode == 78
        assert "open relay" in done.stderr and "proxy_protocol" in done.stderr, done.stderr
        assert "postern.yaml:8:" in done.stderr, done.stderr


@pytest.mark.topology(backends=1)
def test_every_error_of_a_file_is_reported_with_its_place(lab):
    text = GOOD.replace("name: gw1", "nme: gw1").replace("pool: inbound", "pool: outbound") \
        .replace("10.2.0.11:25", "10.2.0.11").replace("source: client", "source: clinet")
    done = check(lab, text)
    assert done.returncode == 78
    for place in ("postern.yaml:1:", "postern.yaml:5:", "postern.yaml:8:", "postern.yaml:10:"):
        assert place in done.stderr, done.stderr
    assert "name" in done.stderr and "client" in done.stderr and "^" in done.stderr


@pytest.mark.topology(backends=1)
def test_a_configuration_cut_anywhere_is_refused_or_good_and_never_worse(lab):
    for end in range(0, len(GOOD), 9):
        done = check(lab, GOOD[:end])
        assert done.returncode == 78, f"cut after {end} bytes: {done.returncode}\n{done.stderr}"


HOSTILE = {
    "nothing": b"",
    "zeros": b"\0" * 4096,
    "no UTF-8": b"gateway: {name: \xff\xfe\x80}\n",
    "a deep nest": b"[" * 100_000,
    "a deep nest of keys": b"{a: " * 20_000,
    "a laugh of aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n".encode() for i in range(12)),
    "one long line": b"gateway: {name: " + b"x" * 3_000_000 + b"}\n",
    "many pools": b"pools:\n" + b"  - {name: p, backends: []}\n" * 50_000,
    "a program": b"\x7fELF" + bytes(range(256)) * 64,
    "two documents": GOOD.encode() + b"---\n" + GOOD.encode(),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.topology(backends=1)
def test_a_hostile_configuration_is_refused_in_words(lab, kind):
    done = check(lab, HOSTILE[kind])
    assert done.returncode == 78, f"status {done.returncode}\n{done.stderr[-3000:]}"
    assert "postern.yaml" in done.stderr
    assert len(done.stderr) < 1 << 20, "the words must not be longer than anybody reads"


@pytest.mark.topology(backends=1)
def test_a_file_that_is_not_there_is_named(lab):
    postern = Postern(lab, GOOD)
    postern.file.unlink()
    done = postern.run("-c")
    assert done.returncode == 78 and "postern.yaml" in done.stderr, (done.returncode, done.stderr)
