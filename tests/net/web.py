# SPDX-License-Identifier: Apache-2.0
"""The HTTP side of a daemon, as curl and monitoring use it; everything runs in the gateway's namespace."""
import collections
import re

from daemon import Postern

LISTEN = "127.0.0.1:9125"
URL = f"http://{LISTEN}"

Answer = collections.namedtuple("Answer", "status headers body")
SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class WebPostern(Postern):
    """postern with an HTTP listener."""

    def __init__(self, lab, config, listen=LISTEN, **kw):
        super().__init__(lab, with_http(config, listen), **kw)

    def get(self, path, *options):
        """What curl gets."""
        said = self.lab.gateway.run("curl", "-sS", "-i", "--max-time", "20", *options, URL + path).stdout
        head, _, body = said.partition("\n\n")  # text mode: curl's CR LF are plain ends of lines
        status, *lines = head.split("\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return Answer(int(status.split()[1]), headers, body)

    def metrics(self):
        """{(name, frozenset of labels): value} of a scrape."""
        answer = self.get("/metrics")
        assert answer.status == 200
        return parse_metrics(answer.body)

    def connect_http(self):
        return self.lab.gateway.connect("127.0.0.1", 9125)


def with_http(config, listen=LISTEN):
    return f'http: {{listen: "{listen}"}}\n{config}'


def parse_metrics(text):
    samples = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        found = SAMPLE.fullmatch(line)
        assert found, f"not a sample: {line}"
        key = found[1], frozenset(LABEL.findall(found[2] or ""))
        assert key not in samples, f"twice: {line}"
        samples[key] = float(found[3])
    return samples


def total(samples, name, **labels):
    """The sum of a metric over all label sets that have these labels."""
    found = [v for (n, has), v in samples.items() if n == name and set(labels.items()) <= has]
    assert found, f"there is no {name} with {labels}"
    return sum(found)
