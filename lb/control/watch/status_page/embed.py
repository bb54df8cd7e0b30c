# SPDX-License-Identifier: Apache-2.0
"""embed.py HEADER FILE...: each file's bytes as a C array, named after it (status.css is status_css)."""
import pathlib
import sys


def main(header, *names):
    with open(header, "w", encoding="ascii") as out:
        for path in map(pathlib.Path, names):
            numbers = ",".join(map(str, path.read_bytes()))
            out.write(f"static const unsigned char {path.name.replace('.', '_')}[] = {{{numbers}}};\n")


main(*sys.argv[1:])
