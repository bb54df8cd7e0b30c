# SPDX-License-Identifier: Apache-2.0
"""
The mail servers of the stories, and a DNS server, without installing any: Debian lets only one be installed at a time.

install() downloads each server's packages, with those libraries that the host lacks, and unpacks them into out/parts/.
A `Cage` runs a program as if they were installed: a private mount namespace in which the unpacked files lie over the
host's root directory (an overlay whose upper side is in memory), and a private pid namespace, so that everything a
server started ends with it. Inside, /mta is the directory that the caller gave: configuration, logs, certificates.
The host is never changed. Haraka comes from npm, by tests/net/haraka/package-lock.json.

Failures: install() raises with apt's or npm's own words; a cage that cannot be prepared ends at once and says why.
"""
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess

from lab import dying_with_us

ROOT = pathlib.Path(__file__).resolve().parents[2]
HARAKA_LOCK = pathlib.Path(__file__).resolve().parent / "haraka"
PREPARE = """
base=$1 part=$2 state=$3 users=$4; shift 4
mount --make-rprivate /
mount -t tmpfs -o mode=755 cage "$base"
cd "$base"
mkdir upper work root
cp -a "$part/." upper/
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work cage root
cd root
mkdir -p dev proc run mta
mount --rbind /dev dev
mount -t proc proc proc
mount -t tmpfs -o mode=755 cage run
[ "$state" = - ] || mount --bind "$state" mta
for user in $users; do
    name=${user%:*} id=${user#*:}
    grep -q "^$name:" etc/group || echo "$name:x:$id:" >>etc/group
    grep -q "^$name:" etc/passwd || echo "$name:x:$id:$id::/nonexistent:/usr/sbin/nologin" >>etc/passwd
done
# Nobody is asked about names: a refused query is the quickest answer.
rm -f etc/resolv.conf; echo "nameserver 127.0.0.1" >etc/resolv.conf
printf '127.0.0.1 localhost\\n::1 localhost\\n' >etc/hosts
# This shell stays process 1: a server that changes its user would lose the order to die with its parent.
chroot . /bin/sh -eu -c 'cd /; exec "$@"' sh "$@" &
wait $!
"""


class Part:
    """A server's packages, the users they would have made, and a command that only works when the part is whole."""

    def __init__(self, name, packages, users, check):
        self.name, self.packages, self.users, self.check = name, packages, users, check

    @property
    def directory(self):
        return parts_directory() / self.name

    def stamp(self):
        return json.dumps([self.packages, platform.machine(), hashlib.sha256(_recipe().encode()).hexdigest()])

    def installed(self):
        """Whole, of this recipe, and its libraries are still there (some may have been the host's)."""
        stamp = self.directory / ".stamp"
        if not stamp.exists() or stamp.read_text() != self.stamp():
            return False
        return Cage(self).run(*self.check, check=False).returncode == 0

    def install(self):
        work = self.directory.with_name(self.name + ".new")
        for old in (work, self.directory):
            shutil.rmtree(old, ignore_errors=True)
        root = work / "root"
        for name in ("bin", "sbin", "lib", "lib64"):  # as the host has them: /lib must not become a directory
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for archive in self._download(work):
            unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE)
            _run("tar", "-x", "-C", root, "--keep-directory-symlink", "--exclude=./usr/share/doc",
                 "--exclude=./usr/share/man", "--exclude=./usr/share/locale", stdin=unpack.stdout)
            unpack.stdout.close()
            if unpack.wait() != 0:
                raise RuntimeError(f"dpkg-deb cannot read {archive}")
        shutil.rmtree(work / "archives")
        (work / "status").unlink()
        work.rename(self.directory)
        Cage(self).run(*self.check)
        (self.directory / ".stamp").write_text(self.stamp())

    def _download(self, work):
        """Lets apt fetch what a host like this one, without any mail server, would lack."""
        (work / "archives" / "partial").mkdir(parents=True)
        status = work / "status"
        status.write_text(_status_without_servers())
        options = {"Dir::State::status": status, "Dir::Cache::archives": f"{work}/archives/",
                   "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": "", "Debug::NoLocking": "1",
                   "APT::Sandbox::User": "root"}
        command = ["apt-get", "-q", "-y", "--no-install-recommends", "--download-only"]
        command += [f"-o{name}={value}" for name, value in options.items()]
        command += ["install", *self.packages]
        try:
            _run(*command)
        except RuntimeError:  # most often package lists that are older than the archive
            _run("apt-get", "-q", "update")
            _run(*command)
        return sorted((work / "archives").glob("*.deb"))


SERVERS = re.compile(r"^Provides:.*\bmail-transport-agent\b|^Package: (postfix|exim4|opensmtpd|dovecot)", re.MULTILINE)


def _status_without_servers():
    paragraphs = pathlib.Path("/var/lib/dpkg/status").read_text().split("\n\n")
    return "\n\n".join(p for p in paragraphs if not SERVERS.search(p))


class Haraka:
    """Haraka and the modules it needs, by npm, as the lock file says."""

    name = "haraka"
    users = {}

    @property
    def directory(self):
        return parts_directory() / self.name

    def stamp(self):
        files = [(HARAKA_LOCK / name).read_bytes() for name in ("package.json", "package-lock.json")]
        return hashlib.sha256(b"\0".join([_recipe().encode(), *files])).hexdigest()

    def installed(self):
        stamp = self.directory / ".stamp"
        return stamp.exists() and stamp.read_text() == self.stamp()

    def install(self):
        if not shutil.which("npm"):
            raise RuntimeError("npm is needed to install Haraka: apt-get install npm")
        shutil.rmtree(self.directory, ignore_errors=True)
        modules = self.directory / "root" / "opt" / "haraka"
        modules.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HARAKA_LOCK / name, modules)
        _run("npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund",
             f"--cache={parts_directory()}/npm-cache", cwd=modules)
        (self.directory / ".stamp").write_text(self.stamp())


PARTS = {part.name: part for part in (
    Part("postfix", ["postfix"], {"postfix": 64101, "postdrop": 64102}, ["postconf", "-d", "mail_version"]),
    Part("exim", ["exim4-daemon-heavy"], {"Debian-exim": 64103}, ["exim4", "-C", "/dev/null", "-bV"]),
    Part("opensmtpd", ["opensmtpd"], {"opensmtpd": 64104, "opensmtpq": 64105},
         ["sh", "-c", "! ldd /usr/sbin/smtpd | grep 'not found'"]),
    Part("dovecot", ["dovecot-core", "dovecot-submissiond"], {"dovecot": 64106, "dovenull": 64107, "vmail": 64108},
         ["dovecot", "--version"]),
    Part("knot", ["knot"], {}, ["knotd", "--version"]),
    Part("nsd", ["nsd"], {}, ["nsd", "-v"]),
    Haraka(),
)}


class Cage:
    """Where a part's programs run; see the top of the file."""

    def __init__(self, part, state=None, namespace=None):
        """`state` becomes /mta; `namespace` is a path like /run/netns/x (none: the caller's own)."""
        self.part, self.state, self.namespace = part, state, namespace

    def command(self, *command):
        """The command line of a program in the cage. Killing its process ends all that it started."""
        enter = ["nsenter", f"--net={self.namespace}", "--"] if self.namespace else []
        users = " ".join(f"{name}:{number}" for name, number in self.part.users.items())
        return dying_with_us(
            *enter, "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL",
            "--", "sh", "-eu", "-c", PREPARE, "cage", self._base(), self.part.directory / "root", self.state or "-",
            users, *command)

    def run(self, *command, check=True):
        done = subprocess.run(self.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}")
        return done

    def _base(self):
        """A directory to mount on. One is enough for all: every cage sees only its own mounts."""
        base = parts_directory() / "cage"
        base.mkdir(parents=True, exist_ok=True)
        return base


def parts_directory():
    """Parts of one Debian do not run on another; a tree may be shared by both."""
    release = platform.freedesktop_os_release()
    return ROOT / "out" / "parts" / f"{release['ID']}-{release.get('VERSION_ID', 'testing')}"


def install(report=lambda line: None, names=tuple(PARTS)):
    """Makes sure that parts are there; quick when they are. `report` gets a line for each that is being installed."""
    with _only_one_installs():
        for part in map(PARTS.get, names):
            if not part.installed():
                report(f"{part.name}: downloading and unpacking into {part.directory}")
                part.install()


@functools.cache
def installed_part(name):
    """One part; it is installed now when that was not done before."""
    install(names=[name])
    return PARTS[name]


@contextlib.contextmanager
def _only_one_installs():
    parts_directory().mkdir(parents=True, exist_ok=True)
    parts_directory().chmod(0o700)  # some of the files are set-user-id programs
    with open(parts_directory() / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _recipe():
    """What decides how a part looks on disk; a change of it makes parts anew."""
    return PREPARE + "1"


def _run(*command, **kw):
    kw.setdefault("stdin", subprocess.DEVNULL)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=environment, **kw)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}")
    return done.stdout
