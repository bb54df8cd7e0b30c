# SPDX-License-Identifier: Apache-2.0
"""
Programs of the bench: each in a namespace and on a core, leading a process group that the janitor can end. They share the
bench's session: the kernel weighs sessions against each other (autogroup), so in a session of its own the soaker would get
half of the core, idle priority or not.
"""
import os
import signal
import subprocess


def start(janitor, command, namespace=None, core=None, **files):
    """Popen; the program itself has the pid, for `ip netns exec` becomes it."""
    if namespace:
        command = ["ip", "netns", "exec", namespace, *command]
    process = subprocess.Popen(list(map(str, command)), process_group=0, text=True,
                               preexec_fn=(lambda: os.sched_setaffinity(0, {core})) if core is not None else None,
                               **files)
    janitor.process(process.pid)
    return process


def family(pid):
    """A process and all its descendants."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            children = f.read().split()
    except OSError:
        return []
    return [pid] + [p for child in children for p in family(int(child))]


def stop(process, deadline=10):
    """TERM, and KILL when it takes too long; its output ends with it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
