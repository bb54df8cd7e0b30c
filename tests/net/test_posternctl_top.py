# SPDX-License-Identifier: Apache-2.0
"""posternctl top on terminals of several sizes: what is to be seen, what keys do, and that nothing ends it but the operator."""
import contextlib
import os
import signal
import termios

import pytest

from admin import AdminPostern
from load import serve_all
from peers import receive_line
from terminal import DOWN, END, ENTER, ESCAPE, HOME, LEFT, Terminal
from test_checks import checked, smtp_servers, wait_state
from test_posternctl import GOOD, config, good, greeted, posternctl

SIZES = {"80x24": (80, 24), "40x10": (40, 10), "200x60": (200, 60), "20x4": (20, 4), "5x2": (5, 2)}


@contextlib.contextmanager
def top(postern, columns=80, lines=24, **env):
    """It is there once its keys are shown, or all that has room; ended with q, and clean."""
    with Terminal([posternctl(), "-s", postern.socket, "top"], columns, lines, **env) as terminal:
        terminal.wait("q quit" if lines > 3 and columns > 6 else r"\w")
        yield terminal
        if terminal.pid:
            terminal.press("q")
            assert ended_well(terminal) == GOOD


def ended_well(terminal):
    status, written = terminal.end()
    assert "Sanitizer" not in written and "runtime error" not in written, written
    assert termios.tcgetattr(terminal.fd)[3] & termios.ECHO
    return status


def wait_rows(terminal, *names):
    """Until these stand first in rows one below the other: a terminal shows the parts of a change as they come."""
    return terminal.wait("(?s)" + r"[^\n]*\n".join(rf"^{name}\s" for name in names))


@pytest.mark.topology(backends=2)
def test_from_a_backend_to_its_sessions_and_their_sources(lab):
    one, two = lab.backends
    serve_all(lab)
    with AdminPostern(lab, config(lab)) as postern, greeted(lab, 4), top(postern) as terminal:
        terminal.wait("nothing is wrong")
        wait_rows(terminal, *(f"inbound/{b.label}" for b in lab.backends))
        terminal.wait(rf"^inbound/{one.label} +unchecked +2 ")
        terminal.press(DOWN + ENTER)
        terminal.wait(f"sessions of inbound/{two.label}: 2")
        terminal.wait("enter sources")
        wait_rows(terminal, *[rf"\[{lab.client.v4}\]:\d+"] * 2)
        terminal.press(ENTER)
        terminal.wait(rf"^{lab.client.v4} +2 ")
        terminal.press(ESCAPE)
        terminal.wait("enter sources")
        terminal.press(LEFT)
        terminal.wait("enter sessions")
        terminal.press("a")
        terminal.wait("sessions of all backends: 4")
        terminal.press(ENTER)
        terminal.wait(rf"^{lab.client.v4} +4 ")


@pytest.mark.topology(backends=2)
def test_from_the_sources_that_have_most_to_the_sessions_of_one(lab):
    serve_all(lab)
    with AdminPostern(lab, config(lab)) as postern, greeted(lab, 3), lab.connect(source="198.51.9.1") as other, \
            top(postern, 100) as terminal:
        receive_line(other)
        terminal.press("s")
        terminal.wait("sources with most sessions: 2")
        wait_rows(terminal, f"{lab.client.v4}/32", "198.51.9.1/32")
        terminal.wait(rf"^{lab.client.v4}/32 +3 +3 +0 +3 ")
        terminal.press(DOWN + ENTER)
        terminal.wait("sessions of 198.51.9.1/32: 1")
        wait_rows(terminal, r"\[198.51.9.1\]:\d+")
        terminal.press(ESCAPE)
        terminal.wait("sources with most sessions: 2")
        terminal.press(LEFT)
        terminal.wait("s sources")
        terminal.press(DOWN + ENTER)
        terminal.wait("sessions of inbound/")


@pytest.mark.topology(backends=4)
def test_rows_are_sorted_by_any_column_and_the_choice_stays(lab):
    labels = [f"inbound/{b.label}" for b in lab.backends]
    with AdminPostern(lab, config(lab)) as postern, top(postern, 120) as terminal:
        for weight, name in zip((10, 40, 20, 30), labels):
            good(postern, "weight", name, str(weight))
        terminal.wait(rf"^{labels[0]} .* 10 ")
        terminal.press(END)
        for _ in range(5):
            terminal.press(">")
        terminal.wait("WTv")
        wait_rows(terminal, *(labels[i] for i in (1, 3, 2, 0)))
        terminal.press("r")
        terminal.wait(r"WT\^")
        wait_rows(terminal, *(labels[i] for i in (0, 2, 3, 1)))
        terminal.press(ENTER)  # the last one by name, wherever it stands now
        terminal.wait(f"sessions of {labels[3]}: 0")
        terminal.press(ESCAPE + HOME)
        terminal.wait("enter sessions")
        terminal.press(ENTER)
        terminal.wait(f"sessions of {labels[0]}: 0")


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.topology(backends=4)
def test_it_fits_any_terminal_and_follows_its_size(lab, size):
    with AdminPostern(lab, config(lab)) as postern, top(postern, *size) as terminal:
        for key in (DOWN, END, ENTER, ENTER, ESCAPE, ESCAPE, ">", "r", "\x1b[6~", "\x1b[5~", HOME):
            terminal.press(key)
        for columns, lines in SIZES.values():
            terminal.resize(columns, lines)
        terminal.resize(100, 30)
        terminal.wait(r"r reverse")
        terminal.wait(f"inbound/{lab.backends[3].label} +unchecked")


@pytest.mark.topology(backends=2)
def test_what_is_wrong_is_told_without_colours(lab):
    with smtp_servers(lab.backends[0]), AdminPostern(lab, checked(lab)) as postern, top(postern, TERM="vt100") as terminal:
        wait_state(postern, lab.backends[1], "down")
        terminal.wait(f"1 wrong: backend inbound/{lab.backends[1].label}: it is down")
        terminal.wait(r"mta2 +down .*connection")


@pytest.mark.topology(backends=1)
def test_it_survives_the_daemon(lab):
    name = f"inbound/{lab.backends[0].label}"
    postern = AdminPostern(lab, config(lab))
    with postern, top(postern) as terminal:
        terminal.wait("nothing is wrong")
        postern.kill()
        terminal.wait("reconnecting: nobody listens")
        assert name in terminal.text  # what was known
        terminal.press(ENTER)
        terminal.wait(f"sessions of {name}: 0")
        terminal.press(ESCAPE)
        postern.start()
        terminal.wait("nothing is wrong")
        postern.send(signal.SIGSTOP)
        terminal.wait("reconnecting: it does not answer")
        postern.send(signal.SIGCONT)
        terminal.wait("nothing is wrong")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.topology(backends=1)
def test_a_signal_ends_it_and_the_terminal_is_as_it_was(lab, number):
    with AdminPostern(lab, config(lab)) as postern, top(postern) as terminal:
        os.kill(terminal.pid, number)
        assert ended_well(terminal) == GOOD


@pytest.mark.topology(backends=1)
def test_an_unknown_terminal_is_told(lab):
    with AdminPostern(lab, config(lab)) as postern:
        with Terminal([posternctl(), "-s", postern.socket, "top"], TERM="nonsense") as terminal:
            status, written = terminal.end()
        assert status == 1 and "this terminal is not known" in written
