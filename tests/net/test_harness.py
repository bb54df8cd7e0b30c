# SPDX-License-Identifier: Apache-2.0
"""What the stories themselves promise: nothing of a run outlives it."""
import os
import pathlib
import re
import select
import signal
import subprocess
import sys

from lab import remove_orphans

DEADLINE = 60  # seconds; the daemon with its sanitizer starts in the first of them
STORY = "test_term_refuses_new_sessions_and_waits_for_the_relayed_ones"


def read_until(pipe, pattern):
    """Reads what a program says until a line matches."""
    said = b""
    while not (found := re.search(pattern, said.decode(errors="replace"))):
        ready, _, _ = select.select([pipe], [], [], DEADLINE)
        chunk = os.read(pipe.fileno(), 4096) if ready else b""
        assert chunk, f"{pattern!r} was not said:\n{said.decode(errors='replace')}"
        said += chunk
    return found


def children(pid):
    return {int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()}


def test_the_daemon_and_the_load_die_with_a_run_that_is_killed(tmp_path):
    """The run is that of a shell in a story's topology: daemon and servers are up, and it waits for the shell."""
    command = [sys.executable, "-m", "pytest", pathlib.Path(__file__).with_name("test_stop.py"), "-p", "no:cacheprovider",
               "-s", "--open-shell", "-k", STORY]
    run = subprocess.Popen(command, env={**os.environ, "SHELL": "cat", "TMPDIR": str(tmp_path)}, stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    living = {}
    try:
        daemon = int(read_until(run.stdout, r"postern runs as process (\d+):")[1])
        living = {pid: os.pidfd_open(pid) for pid in children(run.pid)}
        assert daemon in living and len(living) >= 2, f"daemon {daemon} and a server among {set(living)}"
        run.kill()
        run.wait()
        for pid, descriptor in living.items():
            ended, _, _ = select.select([descriptor], [], [], DEADLINE)
            assert ended, f"process {pid} lives on"
    finally:
        run.kill()
        run.wait()
        for descriptor in living.values():
            if not select.select([descriptor], [], [], 0)[0]:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)
        run.stdin.close()
        run.stdout.close()
        remove_orphans()
