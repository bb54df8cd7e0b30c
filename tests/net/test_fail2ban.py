# SPDX-License-Identifier: Apache-2.0
"""fail2ban reads our log with our filter, and the logs of the MTAs behind us with its own: both find the client, and nobody else."""
import pathlib
import subprocess

import pytest

from daemon import Postern, backend_lines, configuration, pool
from lab import VIP4, VIP6, family_of
from mta import DIRECT, Postfix
from peers import converse, receive_all, scripted_server

FILTER = pathlib.Path(__file__).parents[2] / "deploy/fail2ban/filter.d/postern.conf"


def banned(log, rules):
    """The addresses that fail2ban would count a failure for, as often as it would."""
    done = subprocess.run(["fail2ban-regex", "--out", "ip", str(log), str(rules)], text=True, capture_output=True, timeout=60)
    return sorted(done.stdout.split())


@pytest.mark.topology(backends=1)
def test_the_filter_counts_clients_that_a_server_refused_and_no_others(lab, tmp_path):
    backend = lab.backends[0]
    with scripted_server(backend) as v4, scripted_server(backend, family=family_of(VIP6)) as v6, \
            Postern(lab, configuration([pool(backend_lines(lab.backends))])) as postern:
        for vip, server, source, greeting in ((VIP4, v4, "198.51.100.9", b"521 5.7.1 blocked\r\n"), (VIP4, v4, "198.51.100.9", b"554 no\r\n"),
                                              (VIP6, v6, "2001:db8:c::9", b"550 5.7.1 listed\r\n"), (VIP4, v4, "198.51.100.10", b"220 hello\r\n"),
                                              (VIP4, v4, "198.51.100.11", b"421 4.7.0 later\r\n")):
            with lab.connect(vip, source=source) as s:
                accepted, _ = server.accept()
                accepted.sendall(greeting)
                accepted.close()
                assert receive_all(s) == greeting
        v4.close()
        with lab.connect(VIP4, source="198.51.100.12") as s:  # 421, by postern itself
            assert receive_all(s).startswith(b"421")
        postern.wait_sessions(6)
        wanted = ["198.51.100.9", "198.51.100.9", "2001:db8:c::9"]
        assert banned(postern.log.path, FILTER) == wanted
        # The same lines as fail2ban gets them from the journal.
        journal = tmp_path / "journal"
        journal.write_text("".join(f"Nov 21 12:00:00 gw1 postern[7]: {line.split(' level=info ')[1]}\n"
                                   for line in postern.log.read() if "event=session" in line))
        assert banned(journal, FILTER) == wanted


def relay_attempt(lab, source):
    """What a spammer does: mail from somebody to somebody else, neither of them ours."""
    with lab.connect(VIP6 if ":" in source else VIP4, source=source) as s:
        converse(s, "", "220")
        for command, code in (("HELO spammer.example", "250"), ("MAIL FROM:<a@spammer.example>", "250"),
                              ("RCPT TO:<victim@outside.example>", "554"), ("QUIT", "221")):
            converse(s, command, code)


@pytest.mark.topology(backends=1)
def test_fail2bans_own_filter_finds_the_client_in_the_log_of_a_postfix_behind_us(lab, tmp_path):
    config = configuration([pool(backend_lines(lab.backends, port=DIRECT))])
    with Postfix(lab.backends[0], tmp_path / "mx") as mta, Postern(lab, config):
        for source in ("198.51.100.9", "198.51.100.9", "2001:db8:c::9"):
            relay_attempt(lab, source)
        mta.log.wait_for("NOQUEUE: reject: RCPT from unknown", count=3)
        assert banned(mta.directory / mta.log_name, "postfix") == ["198.51.100.9", "198.51.100.9", "2001:db8:c::9"]
