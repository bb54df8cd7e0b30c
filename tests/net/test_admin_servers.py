# SPDX-License-Identifier: Apache-2.0
"""Backends that operators add, move and remove at the admin socket, while sessions go on."""
import pytest

from admin import AdminPostern
from daemon import backend_lines, configuration, pool
from load import serve_all
from peers import receive, receive_all, scripted_server, smtp_session


def config(lab, backends, **settings):
    return configuration([pool(backend_lines(backends), slow_start="0s", **settings)])


def taker(lab):
    with lab.connect() as s:
        return smtp_session(s).split()[1]


@pytest.mark.tsan
@pytest.mark.topology(backends=2)
def test_an_added_backend_takes_sessions_once_it_is_enabled_and_is_deleted_in_maintenance(lab, engine):
    one, two = lab.backends
    with AdminPostern(lab, config(lab, [one], **engine.pool)) as postern:
        serve_all(lab)
        name = f"inbound/{two.label}"
        assert postern.ask(f"add server {name} {two.v4}:25 weight 60 maxconn 9") == "New server registered.\n\n"
        assert postern.wait(event="admin", level="admin")["command"].startswith("add server")
        row = postern.stat()["inbound", two.label]
        assert [row[c] for c in ("status", "weight", "slim", "addr")] == ["MAINT", "60", "9", f"{two.v4}:25"]
        assert {taker(lab) for _ in range(6)} == {one.label}
        assert postern.ask(f"enable server {name};disable server inbound/{one.label}") == "\n\n"
        assert {taker(lab) for _ in range(6)} == {two.label}
        assert postern.ask(f"del server {name}") == "Only servers in maintenance mode can be deleted.\n\n"
        kept = lab.connect()
        assert receive(kept, 4) == b"220 "
        assert postern.ask(f"disable server {name};enable server inbound/{one.label}") == "\n\n"
        assert "still has connections" in postern.ask(f"del server {name}")
        kept.close()
        postern.wait_sessions(13)
        assert postern.ask(f"del server {name};get weight {name}") == "Server deleted.\n\nNo such server.\n\n"
        assert taker(lab) == one.label
        assert "in the configuration" in postern.ask(f"disable server inbound/{one.label};del server inbound/{one.label}")


@pytest.mark.topology(backends=2)
def test_what_was_added_and_moved_outlives_a_reload_until_the_configuration_says_something_else(lab):
    one, two = lab.backends
    good = config(lab, [one])
    with AdminPostern(lab, good) as postern:
        serve_all(lab)
        assert postern.ask(f"add server inbound/new {two.v4}:25 enabled") == "New server registered.\n\n"
        assert postern.ask("set weight inbound/new 7") == "\n"
        postern.reload(postern.with_admin(good.replace("slow_start: 0s", "slow_start: 1s")))
        assert postern.ask("get weight inbound/new") == "7 (initial 100)\n\n"
        assert postern.stat()["inbound", "new"]["status"] == "no check"
        postern.reload(postern.with_admin(config(lab, [one, two])))  # its address is a configured backend's now
        assert postern.ask("get weight inbound/new") == "No such server.\n\n"
        assert postern.ask(f"get weight inbound/{two.label}") == "100 (initial 100)\n\n"
        assert postern.ask(f"set server inbound/{two.label} addr 10.2.0.99 port 2525") == \
            f"IP changed from '{two.v4}' to '10.2.0.99', port changed from '25' to '2525' by 'stats socket command'\n\n"
        postern.reload(postern.with_admin(config(lab, [one, two], retries=1)))
        assert postern.stat()["inbound", two.label]["addr"].startswith("10.2.0.99:2525")
        moved = config(lab, [one, two]).replace(f"{two.v4}:25", f"{two.v4}:26")
        postern.reload(postern.with_admin(moved))
        assert postern.stat()["inbound", two.label]["addr"].startswith(f"{two.v4}:26")


@pytest.mark.topology(backends=2)
def test_a_moved_backend_keeps_its_sessions_and_takes_new_ones_elsewhere(lab, engine):
    """The client's address is the source there too: the return path has followed."""
    one, two = lab.backends
    with AdminPostern(lab, config(lab, [one], **engine.pool)) as postern, \
            scripted_server(one) as first, scripted_server(two) as second:
        old = lab.connect()
        old_there, _ = first.accept()
        assert postern.ask(f"set server inbound/{one.label} addr {two.v4}") == \
            f"IP changed from '{one.v4}' to '{two.v4}' by 'stats socket command'\n\n"
        new = lab.connect()
        new_there, peer = second.accept()
        assert peer[0] == new.getsockname()[0]
        for there, client in ((old_there, old), (new_there, new)):
            there.sendall(b"220 here\r\n")
            assert receive(client, 10) == b"220 here\r\n"
            client.sendall(b"QUIT\r\n")
            assert receive(there, 6) == b"QUIT\r\n"
        for client, there in ((old, old_there), (new, new_there)):
            client.close()
            assert receive_all(there) == b""
            there.close()
        assert {s["backend"] for s in postern.wait_sessions(2)} == {one.label}


REFUSED = [
    ("add server inbound/x", "'server' expects <name> and <addr>[:<port>] as arguments."),
    ("add server inbound/x 10.2.0.11:25", "is the address of another server of this backend"),
    ("add server inbound/x 203.0.113.25:2525", "is an address that this gateway takes as its own"),
    ("add server inbound/x 10.2.0.50", "has no port"),
    ("add server inbound/x 10.2.0.50:25 send-proxy", "unknown keyword 'send-proxy'."),
    ("add server inbound/x 10.2.0.50:25 weight 257", "is not within 0 and 256 (257)."),
    ("add server inbound/x 10.2.0.50:25 weight", "is not within 0 and 256 ()."),
    ("add server inbound/x 10.2.0.50:25 maxconn -1", "is not within 0 and 1000000 (-1)."),
    ("add server inbound/a/b 10.2.0.50:25", "a/b"),
    ("add server inbound/" + 65 * "n" + " 10.2.0.50:25", "64"),
    ("set server inbound/mta1 addr 203.0.113.25", "is an address that this gateway takes as its own"),
    ("set server inbound/mta1 addr 127.0.0.1", "loopback"),
    ("set server inbound/mta1 addr mail.example", "Invalid addr 'mail.example'"),
    ("set server inbound/mta1 addr 10.2.0.50 port 0", "problem converting port '0'"),
    ("set server inbound/mta1 addr 10.2.0.50 port 65536", "problem converting port '65536'"),
    ("del server inbound/mta1", "Only servers in maintenance mode can be deleted."),
]


@pytest.mark.topology(backends=1)
def test_what_cannot_be_is_refused_and_changes_nothing(lab):
    with AdminPostern(lab, config(lab, lab.backends)) as postern:
        before = postern.ask("show servers state;show servers conn")
        for command, why in REFUSED:
            answer = postern.ask(command)
            assert why in answer and answer.endswith("\n\n") and answer.count("\n") == 2, (command, answer)
        assert postern.ask("show servers state;show servers conn") == before


@pytest.mark.topology(backends=1)
def test_a_listeners_own_limit_refuses_what_is_beyond_it(lab, engine):
    with AdminPostern(lab, config(lab, lab.backends, **engine.pool)) as postern:
        serve_all(lab)
        assert postern.ask("set maxconn frontend mx 1") == "\n"
        kept = lab.connect()
        assert receive(kept, 4) == b"220 "
        assert postern.stat()["mx", "FRONTEND"]["slim"] == "1"
        with pytest.raises(ConnectionResetError), lab.connect() as s:
            receive(s, 4)
        assert postern.wait_sessions(1)[0]["reason"] == "session_limit"
        assert postern.ask("set maxconn frontend mx 0") == "\n"
        assert taker(lab) == lab.backends[0].label
        written = postern.config.replace("{name: mx, ", "{name: mx, max_sessions: 1, ")
        _, changes = postern.reload(written)
        assert changes == ["listeners.mx.max_sessions: 0 -> 1"], changes
        with pytest.raises(ConnectionResetError), lab.connect() as s:
            receive(s, 4)
        assert postern.ask("set maxconn frontend mx 2") == "\n"
        postern.reload(written + "# nothing of it has changed\n")
        assert taker(lab) == lab.backends[0].label
        kept.close()
        postern.wait_sessions(5)
