# SPDX-License-Identifier: Apache-2.0
"""
Adds up the results of all suites and says them in one line. Called by tests/run with meson's testlog.json and
testlog.junit.xml and pytest's junit file. A skip that tests/skips does not explain counts as a failure.
Status 0 when something has passed and nothing has failed.
"""
import argparse
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree


class Tally:
    def __init__(self):
        self.passed, self.failed, self.skipped = [], [], []

    def add_case(self, suite, case):
        """One <testcase>: "3 - the name", or "project:suite / program" for a program without cases of its own."""
        short, is_program = re.subn(r"^\w+:\w+ / ", "", re.sub(r"^\d+ - ", "", case.get("name")))
        name = f"{suite}: {short}" if suite else short
        if case.find("skipped") is not None:
            self.skipped.append((name, short, case.find("skipped").get("message") or "no reason given"))
        elif case.find("failure") is not None or case.find("error") is not None:
            if not is_program:  # read_meson() tells of those, with their status
                self.failed.append(name)
        else:
            self.passed.append(name)

    def judge_skips(self, allowed):
        """Moves the skips without a written reason to the failures."""
        for name, short, reason in self.skipped:
            if short not in allowed:
                self.failed.append(f"{name} (skipped without a reason in tests/skips: {reason})")
        self.skipped = [(name, short, allowed[short]) for name, short, _ in self.skipped if short in allowed]


def read_junit(tally, path):
    """The cases of a junit file."""
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        # meson: "project.project:suite / program", or "project" around the programs without cases.
        name = suite.get("name").partition(" / ")[2]
        for case in suite.iter("testcase"):
            tally.add_case(name, case)


def read_meson(tally, path):
    """Programs that failed as a whole: a crash, a time-out, a sanitizer's word after the last case."""
    for line in path.read_text(encoding="utf-8").splitlines():
        program = json.loads(line)
        name = program["name"].split(" / ")[-1]
        told = any(failed.startswith(f"{name}: ") for failed in tally.failed)
        if program["result"] in ("OK", "SKIP", "EXPECTEDFAIL") or told:
            continue
        tally.failed.append(f"{name}: {program['result']} (status {program.get('returncode')})")


def read_skips(path):
    """Name -> reason."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split(": ", 1) for line in lines if line)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--skips", type=pathlib.Path, required=True)
    parser.add_argument("results", type=pathlib.Path, nargs="*")
    arguments = parser.parse_args()
    tally = Tally()
    for path in arguments.results:
        if path.suffix == ".xml":
            read_junit(tally, path)
    for path in arguments.results:
        if path.suffix == ".json":
            read_meson(tally, path)
    tally.judge_skips(read_skips(arguments.skips))
    for name in tally.failed:
        print("failed:", name)
    for name, _, reason in tally.skipped:
        print(f"skipped: {name}: {reason}")
    print(f"{len(tally.passed)} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    return 0 if tally.passed and not tally.failed else 1


if __name__ == "__main__":
    sys.exit(main())
