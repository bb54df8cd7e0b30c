# SPDX-License-Identifier: Apache-2.0
"""posternctl doctor, run in a lab's gateway: beside a daemon, or by its configuration alone."""
import ctypes
import json
import os
import socket
import struct
import subprocess

from admin import AdminPostern
from daemon import DEADLINE, SANITIZER_ENVIRONMENT, SANITIZER_TRACES, backend_lines, build_directory, configuration, pool

GOOD, WRONG, USAGE, NO_PERMISSION = 0, 2, 64, 77
HOST_ONLY = {"clock", "log"}  # these look at the machine that the tests run on, as it is
SENDING = {"return-path", "proxy-protocol", "proxy-strangers", "gateway-trust", "relay", "path-mtu", "outside", "vip-names",
           "dnsbl"}


class Doctor:
    """
    A gateway to be looked at: `postern` is its daemon (not started), which knows the configuration. With `sends`, the checks
    run too that talk with the backends: these must be real mail servers then.
    """

    def __init__(self, lab, config, sends=True, **kw):
        self.lab = lab
        self.postern = AdminPostern(lab, config, **kw)
        self.options = []
        if not sends:
            checks = [line.split()[0] for line in self.run("--list", status=GOOD).stdout.splitlines()]
            self.options = ["--only", ",".join(check for check in checks if check not in SENDING)]

    def run(self, *options, wrapper=(), file=None, status=None):
        done = subprocess.run(
            self.lab.gateway.command(*wrapper, build_directory() / "tools" / "posternctl" / "posternctl", "doctor",
                                     "-f", file or self.postern.file, *self.options, *options),
            capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL,
            env={**self.postern.environment, **SANITIZER_ENVIRONMENT})
        assert not any(word in done.stderr for word in SANITIZER_TRACES), done.stderr
        assert status is None or done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done

    def look(self, *options, **kw):
        """What it finds, as the document."""
        return json.loads(self.run("--json", *options, **kw).stdout)

    def wrong(self, *options, **kw):
        """The findings that are not right, but those of the machine."""
        return self.grave(self.look(*options, **kw))

    @staticmethod
    def grave(found):
        return [f for f in found["findings"] if f["verdict"] in ("failed", "warning") and f["check"] not in HOST_ONLY]

    def status(self):
        return json.loads(self.postern.ask("show status"))


def plain(lab, gateway=None, **settings):
    return configuration([pool(backend_lines(lab.backends), **settings)], gateway=gateway)


BPF_TCX_INGRESS, LINK_TCX = 46, 11


def detach_program(namespace, interface, name):
    """Takes a program from an interface, as somebody with bpftool would: bpftool link detach id ..."""
    bpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    with namespace.entered():
        index = socket.if_nametoindex(interface)
        ids, count = (ctypes.c_uint32 * 64)(), ctypes.c_uint32(64)
        assert bpf.bpf_prog_query(index, BPF_TCX_INGRESS, 0, None, ids, ctypes.byref(count)) == 0
    program = next(i for i in ids[:count.value] if _info(bpf, bpf.bpf_prog_get_fd_by_id(i), 256)[64:80].rstrip(b"\0").decode() == name)
    link, found = ctypes.c_uint32(0), []
    while bpf.bpf_link_get_next_id(link, ctypes.byref(link)) == 0:
        fd = bpf.bpf_link_get_fd_by_id(link)
        if fd < 0:
            continue  # of another namespace, and gone by now
        kind, _, of, _, where = struct.unpack_from("IIIII", _info(bpf, os.dup(fd), 64))
        if (kind, of, where) == (LINK_TCX, program, index):
            found.append(bpf.bpf_link_detach(fd))
        os.close(fd)
    assert found == [0]


def _info(bpf, fd, size):
    info, room = ctypes.create_string_buffer(size), ctypes.c_uint32(size)
    try:
        assert bpf.bpf_obj_get_info_by_fd(fd, info, ctypes.byref(room)) == 0
        return info.raw
    finally:
        os.close(fd)
