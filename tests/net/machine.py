# SPDX-License-Identifier: Apache-2.0
"""
A machine with a real systemd as its process 1, in the network namespace of a lab's gateway. Its root is this machine's own file
system, or that of a tree (POSTERN_TREE), under an overlay: what it writes is gone at the end.

Happy path: overlay -> what is to be tested is installed into it -> systemd in namespaces of its own, with its own cgroup.
Failure: a boot that does not get there in time has failed the story; the end kills process 1, and with it all the others.
"""
import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
import time

from daemon import DEADLINE, LogFile

# Inside the new namespaces, before the old root is let go. /proc/sys and /sys are read-only, as in any container: the machine
# shall change nothing of the host's.
ENTER = """
set -e
tree=$1
mount --make-rprivate /
mount -t proc proc "$tree/proc"
mount -o bind "$tree/proc/sys" "$tree/proc/sys"
mount -o remount,bind,ro "$tree/proc/sys"
mount -t sysfs -o ro sysfs "$tree/sys"
mount -t bpf -o mode=700 bpf "$tree/sys/fs/bpf"
mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
mount --rbind /dev "$tree/dev"
mount -t tmpfs -o mode=755 tmpfs "$tree/run"
mount -t tmpfs tmpfs "$tree/tmp"
cd "$tree"
mkdir -p .old-root
pivot_root . .old-root
umount -l /.old-root
exec env -i container=story PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=story.target
"""

# What is enabled on the machine that lends its files is not started.
UNITS = {
    "story.target": """[Unit]
Requires=sysinit.target booted.service
After=sysinit.target booted.service
""",
    "booted.service": """[Unit]
DefaultDependencies=no
Requires=sysinit.target
After=sysinit.target
[Service]
Type=oneshot
StandardOutput=append:/booted
ExecStart=echo booted
"""}


def _cgroup_root():
    """Where version 2 of cgroups is mounted."""
    with open("/proc/self/mounts", encoding="ascii") as f:
        return next((pathlib.Path(fields[1]) for fields in map(str.split, f) if fields[2] == "cgroup2"), None)


class Machine:
    def __init__(self, lab, tree=None):
        self.lab = lab
        self.tree = pathlib.Path(tree or os.environ.get("POSTERN_TREE", "/"))
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="postern-machine-"))
        self.root = self.directory / "root"
        self.process = self.init = self.journal = None
        self._cleanup = contextlib.ExitStack()
        lab.defer(self._cleanup.close)
        self._mount()

    def _mount(self):
        self._cleanup.callback(os.rmdir, self.directory)
        self._do("mount", "-t", "tmpfs", "tmpfs", self.directory)
        self._cleanup.callback(self._do, "umount", self.directory)
        for name in ("upper", "work", "root"):
            (self.directory / name).mkdir()
        self._do("mount", "-t", "overlay", "overlay", "-o",
                 f"lowerdir={self.tree},upperdir={self.directory}/upper,workdir={self.directory}/work", self.root)
        self._cleanup.callback(self._do, "umount", self.root)

    @staticmethod
    def _do(*cmd):
        subprocess.run([str(word) for word in cmd], check=True, stdin=subprocess.DEVNULL)

    def write(self, path, text):
        """A file of the machine's, before or after it has booted."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    # Life

    def boot(self):
        for name, text in UNITS.items():
            self.write(f"/etc/systemd/system/{name}", text)
        cgroup = _cgroup_root() / self.directory.name
        cgroup.mkdir()
        self._cleanup.callback(_remove_cgroup, cgroup)
        booted = LogFile(self.root / "booted")
        self._cleanup.callback(booted.close)
        command = ["sh", "-c", f'echo $$ >{cgroup}/cgroup.procs && exec "$@"', "sh",
                   "unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child",
                   "bash", "-c", ENTER, "enter", self.root]
        self.process = self.lab.gateway.popen(*command, stdin=subprocess.DEVNULL)
        self._cleanup.callback(self._power_off)
        booted.wait(lambda lines: lines, "systemd's boot", alive=lambda: self.process.poll() is None)
        self.init = self._child(self.process.pid)
        self.follow_journal()
        return self

    @staticmethod
    def _child(pid):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return int(f.read().split()[0])

    def _power_off(self):
        """Process 1 of a namespace takes all others with it."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, IndexError):
            os.kill(self.init or self._child(self.process.pid), signal.SIGKILL)
        self.process.wait(DEADLINE)

    # What happens in it

    def command(self, *cmd):
        return ["nsenter", f"--target={self.init}", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup",
                *[str(word) for word in cmd]]

    def run(self, *cmd, check=True, timeout=60):
        done = subprocess.run(self.command(*cmd), text=True, capture_output=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, cmd))}: status {done.returncode}\n{done.stdout}{done.stderr}\n{self.tail()}")
        return done

    def show(self, prop, unit="postern.service"):
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={prop}", unit).stdout.strip()

    def wait_show(self, prop, wanted, deadline=DEADLINE):
        """Until a property has this value, or one that `wanted` finds right. systemd's own events would need the bus: this asks."""
        right = wanted if callable(wanted) else lambda now: now == wanted
        end = time.monotonic() + deadline
        while not right(now := self.show(prop)):
            assert time.monotonic() < end, f"{prop} never became {wanted}: it is {now}\n{self.tail()}"
        return now

    def follow_journal(self, unit="postern.service"):
        """Its lines, as they come, in `journal`: a LogFile."""
        self.journal = LogFile(self.directory / "journal")
        self._cleanup.callback(self.journal.close)
        with open(self.journal.path, "ab") as out:
            follower = subprocess.Popen(self.command("journalctl", "--follow", "--lines=all", "--output=cat", f"--unit={unit}"),
                                        stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self._cleanup.callback(follower.wait)
        self._cleanup.callback(follower.kill)

    def wait_journal(self, words, since=0, count=1, deadline=DEADLINE):
        """Until so many lines after number `since` have these words; the last of them."""
        def found(lines):
            return next(iter([line for line in lines[since:] if words in line][count - 1:count]), None)

        try:
            return self.journal.wait(found, f"journal: {words}", deadline)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None

    def tail(self, lines=60):
        """The end of the whole journal: why a unit failed may stand beside its own lines."""
        return subprocess.run(self.command("journalctl", "--no-pager", f"--lines={lines}"), text=True, capture_output=True).stdout


def _remove_cgroup(path):
    """Once its processes have gone, deepest first."""
    for folder, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
