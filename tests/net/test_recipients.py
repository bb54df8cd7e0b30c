# SPDX-License-Identifier: Apache-2.0
"""
The recipient counter with a real Postfix, set up by the very line of the manual page: what counts, what raises an alarm and when,
and that Postfix goes on whatever becomes of the counter.
"""
import concurrent.futures
import contextlib
import itertools
import signal
import smtplib
import time

import pytest

from lab import Lab
from mta import Postfix
from mta_parts import Cage, installed_part
from recipients import SENDER, Recipients, history_file, main_cf_line, names, program, send, smtp
from mta_stage import MESSAGE, RECIPIENT

pytestmark = pytest.mark.together
MINUTE = 60
_serial = itertools.count(1)


class Place:
    """A Postfix, and clients that reach it over the lab's gateway from any address of theirs."""

    def __init__(self, lab, mta):
        self.lab, self.mta, self.namespace = lab, mta, lab.backends[0]

    def stranger(self):
        n = next(_serial)
        return f"198.51.{n // 250}.{n % 250 + 1}"

    def session(self, source):
        return smtp(self.lab.client, self.mta, source)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    settings = main_cf_line() + "smtpd_authorized_xclient_hosts = 198.51.0.0/16\n"
    with Lab(backends=1) as lab, Postfix(lab.backends[0], tmp_path_factory.mktemp("mta"), settings=settings) as mta:
        yield Place(lab, mta)


def test_a_message_counts_at_its_end_with_its_accepted_recipients(place):
    with Recipients(place.namespace) as counter, place.session(place.stranger()) as session:
        session.ehlo()
        for aborted in (lambda: session.rset(), lambda: None):
            session.mail(SENDER)
            assert session.rcpt(RECIPIENT)[0] == 250
            aborted()
        assert session.rcpt("victim@outside.example")[0] == 554
        assert session.rcpt(names(1)[0])[0] == 250
        assert counter.metric("messages_total") == 0
        assert session.data(MESSAGE)[0] == 250
        assert counter.metric("messages_total") == 1 and counter.metric("recipients_total") == 2
        assert counter.metric("sources", **{"class": "client"}) == 1 and counter.metric("asked_early_total") == 0


def test_a_message_given_up_in_the_middle_of_its_data_does_not_count(place):
    with Recipients(place.namespace) as counter:
        with place.session(place.stranger()) as session:
            send(session)
            mark = place.mta.log.mark()
            session.mail(SENDER)
            session.rcpt(RECIPIENT)
            assert session.docmd("DATA")[0] == 354
            session.sock.sendall(b"Subject: unfinished\r\n\r\n")
            session.close()
        place.mta.log.wait_for("lost connection after DATA", since=mark)
        assert counter.metric("messages_total") == 1


def test_clients_count_by_their_address_or_their_64_and_users_by_their_login(place):
    with Recipients(place.namespace) as counter:
        for source in ("2001:db8:c::a:1", "2001:db8:c::b:2", "2001:db8:c:1::1", place.stranger()):
            with place.session(source) as session:
                send(session, 50)
        with place.session(place.stranger()) as session:
            session.ehlo()
            assert session.docmd("XCLIENT", "ADDR=198.51.99.1 LOGIN=alice")[0] == 220
            send(session, 100)
        alarm = counter.wait("alarm", **{"class": "client", "source": "2001:db8:c::/64"})
        assert (alarm["reason"], alarm["recipients"], alarm["limit"]) == ("minute", "100", "100")
        assert counter.wait("alarm", **{"class": "user"})["source"] == "alice"
        assert counter.metric("sources", **{"class": "client"}) == 4
        assert counter.metric("sources", **{"class": "user"}) == 1


@pytest.mark.heavy
def test_the_accidents_rate_raises_an_alarm_within_a_minute_which_ends_when_it_ends(place):
    """833 messages a minute from one address would be 1.2 million a day; half a minute of it."""
    with Recipients(place.namespace) as counter:
        cage = Cage(installed_part("postfix"), namespace=place.lab.client.path)
        command = ["smtp-source", "-m", "420", "-s", "14", "-w", "1", "-d", "-M", "sender.example", "-f", SENDER, "-t",
                   RECIPIENT, f"inet:{place.namespace.v4}:25"]
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            begin = time.monotonic()
            sending = pool.submit(cage.run, *command)
            alarm = counter.wait("alarm", deadline=MINUTE, **{"class": "client"})
            sending.result()
        assert time.monotonic() - begin > 420 / 833 * MINUTE * 0.9, "the messages came faster than in the accident"
        assert (alarm["source"], alarm["reason"], alarm["limit"]) == (place.lab.client.v4, "minute", "100")
        assert counter.metric("messages_total") == 420
        end = counter.wait("alarm_end", deadline=2 * MINUTE, **{"class": "client"})
        assert int(end["recipients"]) == 420 - 99 and int(end["seconds"]) > MINUTE / 2
        assert counter.metric("alarms", **{"class": "client"}) == 0


def test_the_accidents_rate_from_as_many_addresses_raises_an_alarm_of_the_total(place):
    def one_message(source):
        with place.session(source) as session:
            send(session)

    with Recipients(place.namespace) as counter, concurrent.futures.ThreadPoolExecutor(8) as pool:
        begin = time.monotonic()
        sent = [pool.submit(one_message, place.stranger()) for _ in range(833)]
        alarm = counter.wait("alarm", deadline=MINUTE, **{"class": "total"})
        assert time.monotonic() - begin < MINUTE
        assert (alarm["reason"], alarm["recipients"], alarm["source"]) == ("minute", "500", "")
        for s in sent:
            s.cancel()
        assert not counter.events("alarm", **{"class": "client"})


@pytest.mark.parametrize("messages, recipients", [(1, 100), (10, 100), (10, 10)])
def test_the_quiet_form_raises_an_alarm_with_its_first_session(place, messages, recipients):
    source = place.stranger()
    with Recipients(place.namespace) as counter:
        with place.session(source) as session:
            for _ in range(messages):
                send(session, recipients)
        alarm = counter.wait("alarm", source=source)
        assert (alarm["recipients"], alarm["reason"], alarm["deferring"]) == ("100", "minute", "no")
        assert counter.metric("alarms_total", **{"class": "client", "reason": "minute"}) == 1
        assert counter.metric("deferred_messages_total") == 0


def test_a_source_with_an_alarm_is_deferred_and_nobody_else(place):
    text = "Too many recipients, try again later"
    spammer, honest, alice = place.stranger(), place.stranger(), place.stranger()
    with Recipients(place.namespace, "--defer", f"4.7.1 {text}", "--total-limit", "100/min") as counter:
        with place.session(spammer) as session:
            send(session, 99)
            with pytest.raises(smtplib.SMTPDataError) as refused:
                send(session)
        said = refused.value.smtp_error.decode()
        assert refused.value.smtp_code == 450 and said.startswith("4.7.1 ") and said.endswith(text)
        place.mta.log.wait_for(rf"END-OF-MESSAGE from unknown\[{spammer}\].* 450 4\.7\.1 .*{text}")
        counter.wait("alarm", **{"class": "client", "source": spammer, "deferring": "yes"})
        counter.wait("alarm", **{"class": "total", "deferring": "no"})
        with place.session(honest) as session:
            send(session)
        with place.session(alice) as session:
            session.ehlo()
            assert session.docmd("XCLIENT", f"ADDR={spammer} LOGIN=alice")[0] == 220
            with pytest.raises(smtplib.SMTPDataError):
                send(session)
        assert counter.metric("deferred_messages_total") == 2


def test_exempt_clients_and_users_are_not_judged_but_users_from_exempt_clients_are(place):
    lists, application, bob = place.stranger(), place.stranger(), place.stranger()
    with Recipients(place.namespace, "--exempt", lists, "--exempt", "2001:db8:c::/48", "--exempt-user", "news") as counter:
        for source in (lists, "2001:db8:c::1"):
            with place.session(source) as session:
                send(session, 300)
        with place.session(bob) as session:
            session.ehlo()
            session.docmd("XCLIENT", f"ADDR={application} LOGIN=news")
            send(session, 300)
            session.docmd("XCLIENT", f"ADDR={lists} LOGIN=bob")
            session.ehlo()
            send(session, 100)
        assert counter.wait("alarm")["source"] == "bob"
        assert len(counter.events("alarm")) == 1 and counter.metric("exempt_messages_total") == 4


# ---- failing open -------------------------------------------------------------------------------------------------


def goes_on(place, most_seconds):
    """Mail of a stranger is taken, to one recipient and to many, in the time that the manual page promises."""
    with place.session(place.stranger()) as session:
        for recipients in (1, 200):
            begin = time.monotonic()
            send(session, recipients)
            assert time.monotonic() - begin < most_seconds


def test_without_the_counter_postfix_takes_mail(place):
    mark = place.mta.log.mark()
    goes_on(place, 1 + 4)
    place.mta.log.wait_for(r"warning: connect to .*127\.0\.0\.1:10125: Connection refused", since=mark)


def test_when_the_counter_dies_postfix_takes_mail_and_finds_it_again(place):
    with place.session(place.stranger()) as session:
        with Recipients(place.namespace, "--defer", "no") as counter:
            send(session, 99)
            counter.kill()
            send(session, 99)
        with Recipients(place.namespace) as counter:
            send(session, 5)
            assert counter.metric("recipients_total") == 5


def test_when_the_counter_hangs_postfix_takes_mail(place):
    with Recipients(place.namespace) as counter:
        counter.process.send_signal(signal.SIGSTOP)
        try:
            mark = place.mta.log.mark()
            goes_on(place, 5 + 4)
            place.mta.log.wait_for(r"warning: .*127\.0\.0\.1:10125", since=mark)
        finally:
            counter.process.send_signal(signal.SIGCONT)


def test_when_the_counter_talks_nonsense_postfix_takes_mail(place):
    with contextlib.closing(place.namespace.listen("127.0.0.1", 10125)) as listening, \
            concurrent.futures.ThreadPoolExecutor(1) as pool:
        def talk_nonsense():
            with listening.accept()[0] as s:
                s.recv(1 << 16)
                s.sendall(b"action=\n\nwhat?\n\n")
            with listening.accept()[0] as s:
                s.recv(1 << 16)
        talking = pool.submit(talk_nonsense)
        goes_on(place, 5 + 4)
        talking.result()


def test_with_a_full_disk_the_counter_counts_and_defers(place, tmp_path):
    """The disk is a small tmpfs that only the counter sees; it is full before it starts, and gets room later."""
    disk = tmp_path / "disk"
    disk.mkdir()
    fill = f"mount -t tmpfs -o size=64k none {disk} && (cat /dev/zero >{disk}/ballast || true) 2>&1 && exec \"$@\""
    wrapper = ("unshare", "--mount", "--propagation", "private", "sh", "-c", fill, "sh")
    with Recipients(place.namespace, "--database", history_file(disk), "--defer", "later", directory=tmp_path,
                    wrapper=wrapper) as counter:
        assert "full" in counter.wait("history_failed")["error"]
        assert counter.metric("history_works") == 0
        with place.session(place.stranger()) as session:
            send(session, 99)
            with pytest.raises(smtplib.SMTPDataError):
                send(session)
        counter.wait("alarm", **{"class": "client", "reason": "minute"})
        place.namespace.run("nsenter", f"--mount=/proc/{counter.process.pid}/ns/mnt", "--", "rm", disk / "ballast")
        counter.stop()
        assert counter.events("history_back") and len(counter.events("history_failed")) == 1


def test_a_program_that_cannot_start_says_why(place):
    def refused(*options):
        done = place.namespace.run(program(), *options, check=False)
        return done.returncode, done.stderr

    with Recipients(place.namespace) as counter:
        status, said = refused("--database", counter.directory / "other", "--metrics", "127.0.0.1:9127")
        assert status == 1 and "the socket for Postfix" in said and "Address already in use" in said
    for option, what in (("--exempt=10.0.0.1/8", "no prefix"), ("--source-limit=100", "no rate"), ("--listen=here", "neither"),
                         ("--defer=", "printable"), ("--metrics=9126", "no address and port"), ("more", "unexpected")):
        status, said = refused(option)
        assert status == 64 and what in said, said
