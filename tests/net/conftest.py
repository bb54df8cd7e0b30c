# SPDX-License-Identifier: Apache-2.0
"""
Each story is one test function with a name that says what must hold. It takes `lab` (a topology, shaped by the mark
`@pytest.mark.topology(backends=4)`) and starts what it needs in it. With `engine` it runs with both engines.
"""
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
from _pytest.runner import runtestprotocol

sys.path.insert(0, os.path.dirname(__file__))

from daemon import DISSOLVED, RELAY  # noqa: E402
from lab import Lab  # noqa: E402

LIMIT = 180  # seconds for a story, unless its mark `limit` says otherwise

# What a story sees of the environment. Whatever else the caller has set (NO_COLOR, JOURNAL_STREAM, ...) must change no result.
ENVIRONMENT = re.compile(r"PATH|HOME|SHELL|TMPDIR|LC_ALL|PYTHON\w*|PYTEST\w*|POSTERN_\w*")
for variable in [name for name in os.environ if not ENVIRONMENT.fullmatch(name)]:
    del os.environ[variable]


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="the long forms of the stories that have one")
    parser.addoption("--beside", metavar="DIRECTORY", help="share the stories with all who are given this directory")
    parser.addoption("--open-shell", action="store_true", help="open a shell inside the topology of the chosen story")


def pytest_configure(config):
    config.addinivalue_line("markers", "topology(backends=2, clients=1, bridge=False): the shape of the story's lab")
    config.addinivalue_line("markers", "limit(seconds): the story's deadline, when it is another than three minutes")
    config.addinivalue_line("markers", "tsan: also run with ThreadSanitizer")
    config.addinivalue_line("markers", "together: the stories of a file share what they start: one process has them all")
    config.addinivalue_line("markers", "heavy: takes many seconds; once in a CI run is enough")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if config.getoption("--open-shell"):
        del items[1:]  # one shell, also when a name stands for several stories


def is_ours(item, directory):
    """
    Of several processes that run beside one another, the first to come has the story, or all of its file where those go
    together; for the others there is none.
    """
    together = item.get_closest_marker("together")
    name = item.nodeid.partition("::")[0] if together else item.nodeid
    path = os.path.join(directory, hashlib.sha256(name.encode()).hexdigest())
    try:
        with open(path, "x", encoding="ascii") as f:
            f.write(str(os.getpid()))
        return True
    except FileExistsError:
        return together and pathlib.Path(path).read_text(encoding="ascii") == str(os.getpid())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    directory = item.config.getoption("--beside")
    if not directory:
        return None
    if is_ours(item, directory):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        # Which story is next is not known yet, but within a file that goes together.
        runtestprotocol(item, nextitem=nextitem if item.get_closest_marker("together") else None)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """No story may hang: past its limit it fails, and its lab is taken down."""
    mark = item.get_closest_marker("limit")
    seconds = (mark.args[0] if mark else LIMIT) * (10 if item.config.getoption("--long") else 1)
    if not item.config.getoption("--open-shell"):
        signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"the story did not end within {seconds} s"))
        signal.alarm(seconds)
    yield
    signal.alarm(0)


def pytest_sessionstart():
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # taken down in order, like with ^C
    if os.geteuid() != 0:
        pytest.exit("the stories make network namespaces: run them as root (sudo tests/run)", returncode=1)


@pytest.fixture
def long(request):
    """True when the long form was asked for."""
    return request.config.getoption("--long")


@pytest.fixture(params=[DISSOLVED, RELAY], ids=repr)
def engine(request):
    """A story that takes it runs twice: its sessions dissolve, or are relayed to their end."""
    return request.param


@pytest.fixture
def lab(request):
    mark = request.node.get_closest_marker("topology")
    with Lab(**(mark.kwargs if mark else {})) as made:
        if request.config.getoption("--open-shell"):
            made.on_shell = lambda daemon=None: open_shell(made, daemon)
        yield made
        if made.on_shell:
            made.on_shell()


def open_shell(lab, daemon):
    """A shell in the gateway, once a story; the story goes on when it is left."""
    lab.on_shell = None
    about = ["", "A shell in the gateway of the story's topology. The namespaces:"]
    about += [f"    ip netns exec {n.name} ..." for n in lab.namespaces()]
    if daemon:
        about += [f"postern runs as process {daemon.pid}: {daemon.file}, {daemon.log.path}"]
    about += ["Leave with exit; then the story goes on.", ""]
    print("\n".join(about), flush=True)
    subprocess.run(lab.gateway.command(os.environ.get("SHELL", "/bin/sh")), check=False)
