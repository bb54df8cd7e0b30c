# SPDX-License-Identifier: Apache-2.0
"""What is caught: every VIP and port of every listener, prefixes too, and nothing beside them."""
import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import endpoint
from load import serve_all
from peers import smtp_session


def two_pools(lab, first, second):
    """Two listeners, each with a pool of one backend: the banner tells who has caught."""
    listeners = [{"name": "one", "address": first, "pool": "one"}, {"name": "two", "address": second, "pool": "two"}]
    return configuration([pool(backend_lines(lab.backends[:1]), name="one"),
                          pool(backend_lines(lab.backends[1:]), name="two")], listeners)


def taker(lab, address, port=25):
    with lab.connect(address, port) as s:
        return smtp_session(s).split()[1]


def assert_refused(lab, address, port=25):
    with pytest.raises(ConnectionRefusedError):
        lab.connect(address, port, timeout=5)


def test_every_address_of_a_prefix_is_caught(lab):
    serve_all(lab)
    config = two_pools(lab, ["203.0.113.0/28:25"], ["[2001:db8:25::/64]:25"])
    with Postern(lab, config) as postern:
        for host in ("203.0.113.0", "203.0.113.1", "203.0.113.15"):
            assert taker(lab, host) == "mta1"
        for host in ("2001:db8:25::", "2001:db8:25::1", "2001:db8:25::ffff:ffff:ffff:ffff"):
            assert taker(lab, host) == "mta2"
        vips = {s["vip"] for s in postern.wait_sessions(6)}
        assert endpoint("203.0.113.15", 25) in vips and endpoint("2001:db8:25::1", 25) in vips


def test_the_longest_prefix_wins_whatever_its_place_in_the_file(lab):
    serve_all(lab)
    config = two_pools(lab, ["203.0.113.0/24:25", "[2001:db8:25::/48]:25"], ["203.0.113.25:25", "[2001:db8:25::25]:25"])
    with Postern(lab, config):
        assert taker(lab, "203.0.113.24") == taker(lab, "2001:db8:25::24") == "mta1"
        assert taker(lab, "203.0.113.25") == taker(lab, "2001:db8:25::25") == "mta2"


def test_each_port_belongs_to_its_own_listener(lab):
    serve_all(lab)
    config = two_pools(lab, ["203.0.113.25:25", "203.0.113.25:2525"], ["203.0.113.25:587", "[2001:db8:25::25]:25"])
    with Postern(lab, config):
        assert taker(lab, "203.0.113.25", 25) == taker(lab, "203.0.113.25", 2525) == "mta1"
        assert taker(lab, "203.0.113.25", 587) == taker(lab, "2001:db8:25::25", 25) == "mta2"
        assert_refused(lab, "203.0.113.25", 26)
        assert_refused(lab, "2001:db8:25::25", 587)


@pytest.mark.topology(backends=1)
def test_a_vip_that_is_an_address_of_the_host_works_too(lab):
    """A gateway may carry the VIP on an interface: then no route is added, and the address stays when postern goes."""
    serve_all(lab)
    lab.gateway.ip("addr add 203.0.113.25/32 dev lo", "-6 addr add 2001:db8:25::25/128 dev lo nodad")
    with Postern(lab, configuration([pool(backend_lines(lab.backends))])) as postern:
        assert taker(lab, "203.0.113.25") == taker(lab, "2001:db8:25::25") == "mta1"
        assert postern.lines(event="host_set_up")[0]["own_addresses"] == "2"


@pytest.mark.topology(backends=1)
def test_new_connections_are_spread_over_all_workers(lab):
    serve_all(lab)
    config = configuration([pool(backend_lines(lab.backends))], gateway={"workers": 4})
    with Postern(lab, config) as postern:
        for n in range(100):
            taker(lab, "203.0.113.25")
        workers = {s["session"][:2] for s in postern.wait_sessions(100)}
        assert len(workers) == 4, "the session's number begins with its worker"
