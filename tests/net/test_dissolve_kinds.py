# SPDX-License-Identifier: Apache-2.0
"""Which sessions dissolve and which stay relayed, and why: headers, sources, options that the two sides do not share."""
import concurrent.futures
import socket
import subprocess
import time

import pytest

from daemon import DEADLINE, backend_lines, configuration, pool
from dissolving import Dissolving, Session, plain, servers
from lab import VIP4, VIP6, family_of, hostport
from load import client, serve, start_client
from peers import Stream, receive, receive_all, scripted_server
from test_proxy_header import header

BOTH_FAMILIES = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])
MEBI = 1 << 20
EITHER_SIDE = pytest.mark.parametrize("side", ["client", "backend"])


class HeaderSession(Session):
    """The backend expects a PROXY header before anything else."""

    def __init__(self, lab, server, vip, version):
        self.client = lab.connect(vip)
        self.backend, self.source = server.accept()
        wanted = header(version, self.client.getsockname(), vip)
        assert receive(self.backend, len(wanted)) == wanted
        self.backend.sendall(b"220 mx.example\r\n")
        assert receive(self.client, 16) == b"220 mx.example\r\n"
        self.sent, self.received = 0, 16


@BOTH_FAMILIES
@pytest.mark.parametrize("source", ["client", "gateway"])
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.topology(backends=1)
def test_behind_a_proxy_header_sessions_dissolve_and_the_header_comes_once(lab, version, source, vip):
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, \
            Dissolving(lab, plain(lab, source=source, proxy_protocol=version)) as postern:
        s = HeaderSession(lab, server, vip, version).dissolve(postern)
        streams = [Stream(s.client, MEBI), Stream(s.backend, MEBI, receiving=True)]
        for stream in streams:
            stream.join()
        assert streams[1].sum == Stream.checksum(MEBI)
        s.say()
        s.client.close()
        assert receive_all(s.backend) == b""
        s.backend.close()
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["bytes_in"], line["bytes_out"]) == ("yes", str(s.sent + MEBI), str(s.received))
        assert (line["source"] == line["client"]) == (source == "client")
        assert postern.counters()["headers_sent"] == 1


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_thousands_of_dissolved_sessions_leave_the_gateway_ports_for_more(lab, vip):
    """The kernel knows nothing of the ports of dissolved sessions, which fill three quarters of those it chooses from."""
    lab.gateway.sysctl("net.ipv4.ip_local_port_range", "20000 23999")
    server = serve(lab.backends[0], "--proxy", "v2")
    to = [hostport(vip, 25)]
    with Dissolving(lab, plain(lab, source="gateway", proxy_protocol="v2")) as postern:
        crowd = start_client(lab, "ping", "--connections", 3000, "--rounds", 3, "--on-cue", to=to, stdin=subprocess.PIPE)
        crowd.wait_said("ready")
        crowd.cue()
        crowd.wait_said("done")
        postern.wait_dissolved(3000)
        result = client(lab, "sessions", "--count", 500, "--concurrency", 50, to=to)
        assert result["ok"] == 500 and not result["errors"], result
        crowd.cue()
        result = crowd.wait()
        assert result["ok"] == 3000 and not result["errors"], result
        lines = postern.wait_sessions(3500)
        relayed = [s["relayed"] for s in lines if s["dissolved"] == "no"]
        assert len(relayed) <= 5 and set(relayed) <= {"early_end"}  # of the short ones, on a busy machine
        assert {s["reason"] for s in lines} <= {"client_fin", "backend_fin"}
    assert server.stop()["bad_headers"] == 0


def relayed_session(lab, postern, server, vip, reason=None):
    """A whole session, relayed for the reason that the program finds, if one is given: a megabyte each way."""
    refused = f"program_{reason}"
    before = postern.counters()[refused]
    s = Session(lab, server, vip)
    end = time.monotonic() + DEADLINE
    s.say()
    while reason and postern.counters()[refused] == before:
        assert time.monotonic() < end, f"the program does not find {reason}"
        s.say()
    streams = []
    for sender, receiver in (s.ends, s.ends[::-1]):
        streams += [Stream(sender, MEBI), Stream(receiver, MEBI, receiving=True)]
    for stream in streams:
        stream.join()
    assert streams[1].sum == streams[3].sum == Stream.checksum(MEBI)
    s.close()


@EITHER_SIDE
@pytest.mark.parametrize("option, reason", [("tcp_timestamps", "timestamps"), ("tcp_sack", "sack")])
@pytest.mark.topology(backends=1)
def test_an_option_that_only_one_side_has_keeps_a_session_relayed(lab, side, option, reason):
    (lab.client if side == "client" else lab.backends[0]).sysctl(f"net.ipv4.{option}", 0)
    with servers(lab) as both, Dissolving(lab, plain(lab)) as postern:
        for server, vip in zip(both, (VIP4, VIP6)):
            relayed_session(lab, postern, server, vip, reason)
        for line in postern.wait_sessions(2):
            assert (line["dissolved"], line["relayed"]) == ("no", reason)
            assert line["reason"] in ("client_fin", "backend_fin")
        counters = postern.counters()
        assert (counters[f"relayed_{reason}"], counters["dissolved"], counters["sessions"]) == (2, 0, 0)


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_ecn_on_one_side_keeps_a_session_relayed_and_on_both_sides_it_dissolves(lab, vip):
    lab.client.sysctl("net.ipv4.tcp_ecn", 1)
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, Dissolving(lab, plain(lab)) as postern:
        relayed_session(lab, postern, server, vip, "ecn")
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["relayed"]) == ("no", "ecn")
        lab.gateway.sysctl("net.ipv4.tcp_ecn", 1)
        Session(lab, server, vip).dissolve(postern).close()
        assert postern.wait_sessions(2)[1]["dissolved"] == "yes"


@pytest.mark.parametrize("ends, options", [("both", ["tcp_timestamps", "tcp_sack"]), ("client", ["tcp_window_scaling"])],
                         ids=["timestamps-and-sack", "window-scaling-of-the-client"])
@pytest.mark.topology(backends=1)
def test_without_these_options_sessions_dissolve(lab, ends, options):
    for namespace in (lab.client, lab.backends[0]) if ends == "both" else (lab.client,):
        for option in options:
            namespace.sysctl(f"net.ipv4.{option}", 0)
    with servers(lab) as both, Dissolving(lab, plain(lab)) as postern:
        for number, (server, vip) in enumerate(zip(both, (VIP4, VIP6))):
            s = Session(lab, server, vip).dissolve(postern, number + 1)
            streams = [Stream(s.backend, MEBI), Stream(s.client, MEBI, receiving=True)]
            for stream in streams:
                stream.join()
            assert streams[1].sum == Stream.checksum(MEBI)
            s.close()
        postern.wait_sessions(2, dissolved="yes")


@BOTH_FAMILIES
@pytest.mark.topology(backends=1)
def test_the_first_session_to_a_backend_of_smaller_window_scale_is_relayed_and_the_next_ones_dissolve(lab, vip):
    """What its clients are offered follows from it; two workers learn it each for themselves."""
    lab.backends[0].sysctl("net.ipv4.tcp_window_scaling", 0)
    with scripted_server(lab.backends[0], family=family_of(vip)) as server, \
            Dissolving(lab, plain(lab, gateway={"workers": 1})) as postern:
        relayed_session(lab, postern, server, vip, "window_scale")
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["relayed"]) == ("no", "window_scale")
        s = Session(lab, server, vip).dissolve(postern)
        streams = [Stream(s.client, MEBI), Stream(s.backend, MEBI, receiving=True)]
        for stream in streams:
            stream.join()
        s.close()
        assert postern.wait_sessions(2)[1]["dissolved"] == "yes"


@pytest.mark.topology(backends=1)
def test_with_dissolve_off_a_pool_is_relayed_and_nothing_is_pinned(lab):
    with scripted_server(lab.backends[0]) as server, Dissolving(lab, plain(lab, dissolve="off")) as postern:
        assert not postern.layouts()
        relayed_session(lab, postern, server, VIP4)
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["relayed"]) == ("no", "off")


@pytest.mark.topology(backends=1)
def test_a_v6_client_of_a_v4_backend_is_relayed(lab):
    config = configuration([pool(backend_lines(lab.backends, families=[4]), source="gateway", proxy_protocol="v2")])
    with scripted_server(lab.backends[0]) as server, Dissolving(lab, config) as postern:
        s = HeaderSession(lab, server, VIP6, "v2")
        s.say()
        s.close()
        line, = postern.wait_sessions(1)
        assert (line["dissolved"], line["relayed"]) == ("no", "mixed_family")


@EITHER_SIDE
@pytest.mark.topology(backends=1)
def test_urgent_data_before_the_dissolving_arrives_in_the_stream_and_only_delays_it(lab, side):
    with scripted_server(lab.backends[0]) as server, Dissolving(lab, plain(lab)) as postern:
        client_end = lab.connect()
        backend, _ = server.accept()
        backend.sendall(b"220 hello\r\n")
        assert receive(client_end, 11) == b"220 hello\r\n"
        writer, reader = (client_end, backend) if side == "client" else (backend, client_end)
        writer.send(b"!", socket.MSG_OOB)
        writer.sendall(b"NOOP\r\n")
        assert receive(reader, 7) == b"!NOOP\r\n"
        end = time.monotonic() + DEADLINE
        while not postern.counters()["dissolved"]:
            assert time.monotonic() < end, "the session does not dissolve\n" + postern.tail()
            reader.sendall(b"250 ok\r\n")
            assert receive(writer, 8) == b"250 ok\r\n"
            writer.sendall(b"RSET\r\n")
            assert receive(reader, 6) == b"RSET\r\n"
        client_end.close()
        backend.close()
        postern.wait_sessions(1, dissolved="yes")


@EITHER_SIDE
@pytest.mark.topology(backends=1)
def test_urgent_data_amid_a_bulky_relay_is_neither_lost_nor_in_the_way(lab, side):
    piece = bytes(range(256)) * 4096
    with scripted_server(lab.backends[0]) as server, Dissolving(lab, plain(lab, dissolve="off")) as postern:
        s = Session(lab, server)
        writer, reader = s.ends if side == "client" else s.ends[::-1]
        with concurrent.futures.ThreadPoolExecutor(1) as beside:
            reading = beside.submit(receive, reader, 3 * len(piece) + 2)
            for word in (b"!", b"?", b""):
                writer.sendall(piece)
                if word:
                    writer.send(word, socket.MSG_OOB)
            assert reading.result() == piece + b"!" + piece + b"?" + piece
        s.close()
        postern.wait_sessions(1, dissolved="no")
