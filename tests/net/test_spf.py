# SPDX-License-Identifier: Apache-2.0
"""postern-spf: a list says of each address what a receiver's SPF check says, and only a good answer takes a good list's place."""
import collections
import contextlib
import ipaddress
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import tempfile
import threading

import pytest

import spf_records
from daemon import RELAY, SANITIZER_ENVIRONMENT, SANITIZER_TRACES, Postern, build_directory
from dns import BROKEN_ZONE, Knot
from dns import ZONE as KNOT_ZONE
from lab import VIP4, hostport
from load import serve_all
from nsd import Nsd
from test_sources import OTHER4, PARTNER4, config, mail, partners_in
from test_systemd import MOST_EXPOSURE, installed, plain

ORACLE = pathlib.Path(__file__).parent / "spf_oracle.py"
GOOD, FAILED, PENDING = 0, 1, 3
DOMAIN = f"mail.{KNOT_ZONE}"
SEED, COUNT = 20, 220


class Spf:
    """postern-spf in the gateway of a lab, with a directory of its own for the lists."""

    def __init__(self, lab, resolver):
        self.lab, self.resolver = lab, resolver
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="postern-spf-"))
        lab.defer(subprocess.run, ["rm", "-rf", self.directory])

    def command(self, *arguments):
        resolver = ["-r", self.resolver] if self.resolver else []
        return [build_directory() / "tools" / "spf" / "postern-spf", "-d", self.directory, *resolver, *arguments]

    def run(self, *arguments, expect=GOOD, wrapper=(), timeout=150):
        done = self.lab.gateway.run(*wrapper, *self.command(*(arguments or [DOMAIN])), check=False, timeout=timeout,
                                    env={**os.environ, **SANITIZER_ENVIRONMENT})
        said = done.stdout + done.stderr
        assert not any(trace in said for trace in SANITIZER_TRACES), said
        assert expect is None or done.returncode == expect, f"status {done.returncode}, not {expect}:\n{said}"
        return said

    def file(self, domain=DOMAIN, suffix=""):
        return self.directory / (domain + suffix)

    def prefixes(self, domain=DOMAIN, suffix=""):
        return prefixes_of(self.file(domain, suffix).read_text())

    def header(self, name, domain=DOMAIN, suffix=""):
        return re.search(rf"^# {name}: (.*)$", self.file(domain, suffix).read_text(), re.M).group(1)

    def names(self):
        return sorted(path.name for path in self.directory.iterdir())


def prefixes_of(text):
    return [line for line in text.splitlines() if not line.startswith("#")]


@contextlib.contextmanager
def knot_and_spf(lab):
    host = lab.backends[-1]
    with Knot(host, host.v4) as dns:
        yield dns, Spf(lab, dns.resolver)


def publish(dns, *records, name="mail"):
    """The TXT records of a name; knotc is called by a shell, which must leave the quotes."""
    dns.set(*(f"{name} TXT '\"{record}\"'" for record in records))


# ---- against another one's reading ---------------------------------------------------------------------------------------

def edges(network, rng):
    """Its first and last address, their neighbours outside, and some inside."""
    first, last = int(network.network_address), int(network.broadcast_address)
    chosen = {first, last, rng.randint(first, last), rng.randint(first, last)}
    chosen |= {n for n in (first - 1, last + 1) if 0 < n < 1 << network.max_prefixlen}
    return [str(type(network.network_address)(n)) for n in sorted(chosen)]


def networks_in(record_text):
    """What the records themselves name, whatever becomes of it."""
    for word in re.findall(r"ip[46]:([^\s\"]+)", record_text):
        with contextlib.suppress(ValueError):
            yield ipaddress.ip_network(word, strict=False)


def sample(prefixes, records, rng):
    """Addresses inside, outside and at the edges of a list, and of networks that the zone names. Longest lists in part."""
    listed = [ipaddress.ip_network(p) for p in prefixes]
    chosen = [a for network in (listed if len(listed) < 60 else rng.sample(listed, 15)) for a in edges(network, rng)]
    chosen += [a for network in rng.sample(records, 12 if listed else 3) for a in edges(network, rng)]
    chosen += [str(ipaddress.IPv4Address(rng.randrange(1 << 24, 224 << 24))) for _ in range(3)]
    chosen += [str(ipaddress.IPv6Address((0x2001 << 112) + rng.randrange(1 << 112))) for _ in range(3)]
    return sorted(set(chosen))


def covers(prefixes, addresses):
    networks = [ipaddress.ip_network(p) for p in prefixes]
    return {a: any(ipaddress.ip_address(a) in n for n in networks) for a in addresses}


def ask_oracle(lab, server, questions):
    done = lab.gateway.run("/usr/bin/python3", "-I", ORACLE, server, input=json.dumps(questions), timeout=240)
    return json.loads(done.stdout)


def difference(listed, verdict, why):
    """
    Why a list and a receiver's check may disagree about an address, "" if they may not. A check counts void look-ups in the
    family of its client only, so that a name with addresses of the other one is void for it; a list has both families.
    """
    if listed == (verdict == "pass"):
        return "none"
    return "void in one family" if listed and verdict == "permerror" and "Void lookup limit" in why else ""


# What no list is made of, though a receiver's check, which looks at one address and stops at the first match, may do without an
# error: it finds a name that none can have void, as it does a loop of aliases.
REFUSED_BY_DESIGN = re.compile(r"exists is|ptr is|a macro is|everybody|shorter than|more addresses|longer than 10000|names no host|"
                               r"512 characters|not the name|SERVFAIL")


@pytest.mark.heavy
@pytest.mark.topology(backends=1)
@pytest.mark.limit(600)
def test_a_list_says_of_each_address_what_python3_spf_says(lab):
    host, rng = lab.backends[0], random.Random(SEED)
    zone = spf_records.records(SEED, COUNT)
    domains = spf_records.domains(COUNT)
    with Nsd(host, host.v4, {spf_records.ZONE: zone, spf_records.BROKEN: None}) as dns:
        spf = Spf(lab, dns.resolver)
        said = "".join(spf.run(*domains[i:i + 100], expect=None) for i in range(0, len(domains), 100))
        refused = dict(re.findall(r"^postern-spf: (\S+): (.*)$", said, re.M))
        taken = [d for d in domains if spf.file(d).exists()]
        assert sorted([*refused, *taken]) == sorted(domains)

        networks = sorted({n for _, _, data in zone for n in networks_in(data)}, key=str)
        questions = {d: sample(spf.prefixes(d) if d in taken else [], networks, rng) for d in domains}
        answers = ask_oracle(lab, host.v4, questions)

        found, listed_and_passed, wrong = collections.Counter(), 0, []
        for domain in taken:
            for address, listed in covers(spf.prefixes(domain), questions[domain]).items():
                verdict, why = answers[domain][address]
                kind = difference(listed, verdict, why)
                found[kind] += 1
                listed_and_passed += listed and verdict == "pass"
                if not kind:
                    wrong.append(f"{domain} {address}: {'in' if listed else 'not in'} the list; python3-spf: {verdict} ({why})")
        assert not wrong, "\n".join(wrong[:40])
        for domain, why in refused.items():
            verdicts = {verdict for verdict, _ in answers[domain].values()}
            agrees = "pass" not in verdicts if "nobody" in why else verdicts & {"permerror", "temperror", "none"}
            if not agrees and not REFUSED_BY_DESIGN.search(why):
                wrong.append(f"{domain}: refused ({why}); python3-spf: {verdicts}")
        assert not wrong, "\n".join(wrong)
        # All this means something only when enough was compared.
        assert len(taken) > 180 and listed_and_passed > 2000 and found["none"] > 10000, (len(taken), listed_and_passed, found)
        assert found["void in one family"] < found["none"] / 10, found
    check_hostile(refused)


def check_hostile(refused):
    for name, (_, wanted) in spf_records.HOSTILE.items():
        domain = f"{name}.{spf_records.ZONE}"
        if wanted is spf_records.GOOD:
            assert domain not in refused, refused[domain]
        else:
            assert wanted in refused.get(domain, ""), f"{domain}: {refused.get(domain, 'taken')}, not: {wanted}"


@pytest.mark.topology(backends=1)
def test_lists_are_sorted_merged_and_say_what_they_are(lab):
    with knot_and_spf(lab) as (dns, spf):
        publish(dns, "v=spf1 ip4:192.0.2.128/25 ip4:192.0.2.0/25 ip4:192.0.2.7 ip6:2001:db8:1::/48 ip6:2001:db8::/48 "
                     "ip4:10.0.0.1 ip4:10.0.0.2 ip4:20.0.0.0/8 ip4:21.0.0.0/8 -all")
        spf.run()
        assert spf.prefixes() == ["10.0.0.1/32", "10.0.0.2/32", "20.0.0.0/7", "192.0.2.0/24", "2001:db8::/47"]
        assert "unchanged" in spf.run(), "it reads what it has written"
        assert spf.header("domain") == DOMAIN and spf.header("serial") == "1"
        assert spf.header("ttl") == "300", "the records' own second is too short"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", spf.header("looked"))
        assert spf.names() == [DOMAIN]


# ---- the last good list --------------------------------------------------------------------------------------------------

@pytest.mark.topology(backends=1)
def test_whatever_goes_wrong_the_last_good_list_stays(lab):
    with knot_and_spf(lab) as (dns, spf):
        publish(dns, "v=spf1 ip4:192.0.2.0/24 -all")
        spf.run()
        good = spf.file().read_bytes()
        for records, why in ((["v=spf1 ip4:192.0.2.0/24 +all"], "everybody"),
                             (["v=spf1 ip4:192.0.2.0/24 exists:%{i}.x.test -all"], "exists"),
                             (["v=spf1 -all"], "nobody"),
                             (["v=spf1 ip4:192.0.2.0/24 ip4:192.0.2.0/44 -all"], "not an IPv4 network"),
                             (["v=spf1 ip4:192.0.2.0/24 -all", "v=spf1 ip4:192.0.2.0/24 ~all"], "several"),
                             ([f"v=spf1 ip4:192.0.2.0/24 include:x.{BROKEN_ZONE} -all"], "SERVFAIL"),
                             (["something else"], "there is none")):
            publish(dns, *records)
            assert why in spf.run(expect=FAILED)
            assert spf.file().read_bytes() == good and spf.names() == [DOMAIN]
        dns.clear("mail")
        assert "there is none" in spf.run(expect=FAILED)
        dns.stop()
        assert re.search("cannot be reached|no answer in time", spf.run(expect=FAILED))
        assert spf.file().read_bytes() == good and spf.names() == [DOMAIN]


@pytest.mark.topology(backends=1)
def test_a_large_change_waits_for_approval_and_a_small_one_does_not(lab):
    with knot_and_spf(lab) as (dns, spf):
        publish(dns, "v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 -all")
        spf.run()
        publish(dns, "v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 ip4:203.0.113.0/25 -all")  # 25 %
        assert "+ 203.0.113.0/25" in spf.run()
        assert spf.header("serial") == "2" and len(spf.prefixes()) == 3
        good = spf.file().read_bytes()

        publish(dns, "v=spf1 ip4:192.0.2.0/24 ip4:203.0.113.0/25 -all")  # 40 %
        said = spf.run(expect=PENDING)
        assert "- 198.51.100.0/24" in said and "40%" in said
        assert spf.file().read_bytes() == good and spf.names() == [DOMAIN, DOMAIN + ".pending"]
        assert spf.prefixes(suffix=".pending") == ["192.0.2.0/24", "203.0.113.0/25"]
        assert "#   - 198.51.100.0/24" in spf.file(suffix=".pending").read_text()
        assert "198.51.100.0" not in spf.run(expect=PENDING), "what waits is told in full once"

        dns.stop()  # approval is of what was shown, not of what is there by now
        assert "- 198.51.100.0/24" in spf.run("--approve", DOMAIN)
        assert spf.names() == [DOMAIN] and spf.header("serial") == "3"
        assert spf.prefixes() == ["192.0.2.0/24", "203.0.113.0/25"]
        assert "nothing waits" in spf.run("--approve", DOMAIN, expect=FAILED)


@pytest.mark.topology(backends=1)
def test_what_waits_is_forgotten_when_the_change_is_taken_back(lab):
    with knot_and_spf(lab) as (dns, spf):
        publish(dns, "v=spf1 ip4:192.0.2.0/24 -all")
        spf.run()
        for changed in ("v=spf1 ip4:198.51.100.0/24 -all", "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"):
            publish(dns, changed)
            spf.run(expect=PENDING)
            publish(dns, "v=spf1 ip4:192.0.2.0/24 -all")
            assert "unchanged" in spf.run()
            assert spf.names() == [DOMAIN] and spf.header("serial") == "1"


@pytest.mark.topology(backends=3)
def test_the_daemon_leads_mail_by_the_list_and_follows_it(lab):
    serve_all(lab)
    with knot_and_spf(lab) as (dns, spf):
        publish(dns, f"v=spf1 ip4:{PARTNER4} -all")
        spf.run()
        with Postern(lab, config(lab, RELAY, partners_in(spf.file()))) as postern:
            mail(lab, PARTNER4, VIP4)
            publish(dns, f"v=spf1 ip4:{OTHER4} -all")
            spf.run(expect=PENDING)
            mail(lab, PARTNER4, VIP4)
            since = len(postern.log.read())
            spf.run("--approve", DOMAIN)
            postern.wait(since=since, event="sources")
            mail(lab, PARTNER4, VIP4)
            mail(lab, OTHER4, VIP4)
            # Lines of different workers have no order among them.
            led = collections.Counter((s["client"].rpartition("]")[0][1:], s["pool"]) for s in postern.wait_sessions(4))
            assert led == {(PARTNER4, "special"): 2, (PARTNER4, "inbound"): 1, (OTHER4, "special"): 1}
            assert all(line["bad"] == "0" for line in postern.lines(event="source"))


# ---- files ---------------------------------------------------------------------------------------------------------------

@pytest.mark.topology(backends=1)
def test_a_reader_never_sees_half_a_list_whenever_the_writer_is_killed(lab):
    records = ["v=spf1 ip4:10.0.0.0/16 " + " ".join(f"ip4:192.0.{n}.{k}" for n in range(2) for k in range(0, 20, 2)) + f" {end}"
               for end in ("-all", "ip4:203.0.113.1 -all")]
    with knot_and_spf(lab) as (dns, spf):
        publish(dns, records[0])
        spf.run()
        seen = [spf.prefixes()]
        publish(dns, records[1])
        # The kernel kills at the first byte past the limit: in the middle of writing.
        spf.run(expect=None, wrapper=["prlimit", "--fsize=200"])
        assert spf.prefixes() == seen[0] and spf.file("." + DOMAIN, ".new").stat().st_size == 200
        # The same, as an error of the disk: nothing is left behind.
        said = spf.run(expect=FAILED, wrapper=["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh", "prlimit", "--fsize=200"])
        assert "File too large" in said and spf.prefixes() == seen[0] and spf.names() == [DOMAIN]
        spf.run()
        seen.append(spf.prefixes())
        assert seen[0] != seen[1] and spf.names() == [DOMAIN]

        over = threading.Event()
        broken = []

        def read():
            while not over.is_set():
                if spf.prefixes() not in seen:
                    broken.append(spf.file().read_text())

        reader = threading.Thread(target=read)
        reader.start()
        rng = random.Random(1)
        for turn in range(24):
            publish(dns, records[turn % 2])
            process = lab.gateway.popen(*spf.command(DOMAIN), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 0.06))
            process.kill()
            process.wait()
        over.set()
        reader.join()
        assert not broken, broken[0]
        assert "prefixes" in spf.run()


@pytest.mark.topology(backends=1)
def test_files_of_others_are_not_replaced(lab):
    with knot_and_spf(lab) as (dns, spf):
        publish(dns, "v=spf1 ip4:192.0.2.0/24 -all")
        publish(dns, "v=spf1 ip4:198.51.100.0/24 -all", name="other")
        spf.run()
        good = spf.file().read_text()
        for text, why in (("192.0.2.1\n", "line 1"), ("", "was not written"), ("192.0.2.0/24\n", "was not written"),
                          (good.replace("\n192.0.2.0/24\n", "\n0.0.0.0/0\n"), "more addresses"),
                          (good[:-3], "line 7"), (good.replace(DOMAIN, f"other.{KNOT_ZONE}"), f"list of other.{KNOT_ZONE}"),
                          (good + "\0\n", "line 8"), (good + "# ttl: 5\n", "line 8")):
            spf.file().write_text(text)
            said = spf.run(expect=FAILED)
            assert why in said and spf.file().read_text() == text, said
        spf.file().unlink()
        spf.file().symlink_to("/etc/hostname")
        assert "symbolic link" in spf.run(expect=FAILED)
        spf.file().unlink()
        os.mkfifo(spf.file())
        assert "not a file" in spf.run(expect=FAILED)
        spf.file().unlink()
        spf.run("-o", spf.file(), DOMAIN)
        assert spf.prefixes() == ["192.0.2.0/24"]


@pytest.mark.topology(backends=1)
def test_a_list_is_due_when_its_time_to_live_is_over(lab):
    with knot_and_spf(lab) as (dns, spf):
        publish(dns, "v=spf1 ip4:192.0.2.0/24 -all")
        assert "new" in spf.run("--if-due", DOMAIN)
        assert spf.run("--if-due", DOMAIN) == ""
        text = spf.file().read_text()
        for looked in ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"):
            spf.file().write_text(re.sub(r"looked: .*", f"looked: {looked}", text))
            assert "unchanged" in spf.run("--if-due", DOMAIN)
            assert spf.header("looked") != looked


@pytest.mark.topology(backends=1)
def test_one_bad_domain_does_not_concern_the_others(lab):
    with knot_and_spf(lab) as (dns, spf):
        publish(dns, "v=spf1 ip4:192.0.2.0/24 -all")
        publish(dns, "v=spf1 ip4:198.51.100.0/24 -all", name="other")
        other = f"other.{KNOT_ZONE}"
        said = spf.run(f"none.{KNOT_ZONE}", "no..name", DOMAIN.upper(), "../etc/passwd", other + ".", expect=FAILED)
        assert spf.names() == sorted([DOMAIN, other])
        assert said.count("not the name of a domain") == 2
        publish(dns, "v=spf1 ip4:203.0.113.0/24 -all")
        spf.run(DOMAIN, other, expect=PENDING)


@pytest.mark.topology(backends=1)
def test_the_command_line_says_what_is_wrong_with_it(lab):
    spf = Spf(lab, None)
    for arguments, why in (([], "no domain is named"), (["-o", "x", "a.test", "b.test"], "for one domain"),
                           (["-r", "nonsense", "a.test"], "not ADDRESS or ADDRESS:PORT"), (["-r", "10.2.0.1:0", "a.test"], "not ADDRESS"),
                           (["-d", "/nonexistent", "a.test"], "No such file"), (["x" * 300 + ".test"], "not the name"),
                           ([f"a{i}.test" for i in range(101)], "more than 100")):
        assert why in spf.lab.gateway.run(*spf.command()[:3], *arguments, check=False).stderr


# ---- systemd --------------------------------------------------------------------------------------------------------------

@pytest.mark.topology(backends=1)
def test_a_timer_renews_a_list_that_is_due_and_what_waits_shows_as_a_failed_unit(lab):
    unit, host = f"postern-spf@{DOMAIN}", lab.backends[0]
    path = f"/var/lib/postern/spf/{DOMAIN}"
    with Knot(host, host.v4) as dns:
        publish(dns, "v=spf1 ip4:192.0.2.0/24 -all")
        machine = installed(lab, plain(lab)).machine
        (machine.root / "etc/resolv.conf").unlink(missing_ok=True)  # it may lead out of the machine
        machine.write("/etc/resolv.conf", f"nameserver {host.v4}\n")
        machine.write("/etc/systemd/system/postern-spf@.timer.d/story.conf", "[Timer]\nRandomizedDelaySec=0\nAccuracySec=1\n")
        machine.write("/etc/systemd/system/postern-spf@.service.d/story.conf", '[Service]\nEnvironment="ASAN_OPTIONS=detect_leaks=0"\n')
        machine.run("systemctl", "daemon-reload")
        machine.follow_journal(f"{unit}.service")
        machine.run("systemctl", "start", f"{unit}.timer")
        machine.wait_journal(f"{DOMAIN}: new: 1 prefixes")
        assert machine.run("stat", "-c", "%U %a", path).stdout == "postern 644\n"

        publish(dns, "v=spf1 ip4:198.51.100.0/24 -all")
        good = machine.run("cat", path).stdout
        machine.run("systemctl", "start", f"{unit}.service")
        assert machine.run("cat", path).stdout == good, "it was not due"
        machine.run("sed", "-i", "s/looked: .*/looked: 2020-01-01T00:00:00Z/", path)
        assert machine.run("systemctl", "start", f"{unit}.service", check=False).returncode != 0
        machine.wait_journal("waits for --approve")
        assert machine.show("ExecMainStatus", f"{unit}.service") == str(PENDING)
        assert prefixes_of(machine.run("cat", path).stdout) == prefixes_of(good)

        exposure = machine.run("systemd-analyze", "security", f"{unit}.service").stdout
        assert float(re.search(r"exposure level for \S+: ([\d.]+)", exposure).group(1)) <= MOST_EXPOSURE, exposure


# ---- servers that mean harm ----------------------------------------------------------------------------------------------

def silent(query):
    return None


def truncated(query):
    """All of it over TCP, please; where nobody listens."""
    return query[:2] + b"\x87\x80" + query[4:6] + b"\0\0\0\0\0\0" + question_of(query)


def another(query):
    """The answer to a question that nobody asked."""
    return bytes([query[0] ^ 1]) + query[1:2] + b"\x85\x80\0\1\0\1\0\0\0\0" + question_of(query) + a_txt()


def broken_txt(query):
    """A string that is longer than its record."""
    return query[:2] + b"\x85\x80\0\1\0\1\0\0\0\0" + question_of(query) + a_txt(b"\xffv=spf1 ip4:192.0.2.1 -all")


def noise(query):
    return query[:2] + b"\x85\x80\0\1\xff\xff\xff\xff\xff\xff" + b"\xc0\x0c" * 40


def question_of(query):
    end = query.index(b"\0", 12) + 5
    return query[12:end]


def a_txt(data=b"\x19v=spf1 ip4:192.0.2.1 -all"):
    return b"\xc0\x0c\0\x10\0\1\0\0\1\0" + len(data).to_bytes(2, "big") + data


@pytest.mark.topology(backends=1)
@pytest.mark.parametrize("answer", [silent, truncated, another, broken_txt, noise])
def test_a_server_that_means_harm_gets_no_list_written(lab, answer):
    host = lab.backends[0]
    server = host.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((host.v4, 53))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                query, client = server.recvfrom(4096)
                if not query:
                    return
                if reply := answer(query):
                    server.sendto(reply, client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        spf = Spf(lab, hostport(host.v4, 53))
        said = spf.run(expect=FAILED)
        assert "looking up" in said or "there is none" in said, said
        assert spf.names() == []
    finally:
        with lab.gateway.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (host.v4, 53))
        thread.join()
        server.close()
