# SPDX-License-Identifier: Apache-2.0
"""
Runs a program for which some system calls fail with EPERM, as in a container with a seccomp filter.
usage: without_syscall.py NUMBER... -- PROGRAM ARGUMENT...
"""
import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_NUMBER, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000


def filter_code(numbers):
    """Classic BPF: load the number, compare, fail or allow."""
    code = [(LOAD_NUMBER, 0, 0, 0)]
    for i, number in enumerate(numbers):
        code.append((JUMP_IF_EQUAL, len(numbers) - i, 0, number))
    code.append((RETURN, 0, 0, RET_ALLOW))
    code.append((RETURN, 0, 0, RET_ERRNO | errno.EPERM))
    return b"".join(struct.pack("HBBI", *line) for line in code), len(code)


def main():
    split = sys.argv.index("--")
    code, length = filter_code([int(n) for n in sys.argv[1:split]])
    buffer = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", length, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program):
        sys.exit(f"without_syscall: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[split + 1], sys.argv[split + 1:])


if __name__ == "__main__":
    main()
