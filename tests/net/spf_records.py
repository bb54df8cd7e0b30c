# SPDX-License-Identifier: Apache-2.0
"""
A few hundred domains with SPF records, for the stories of postern-spf: hostile ones, each with what must be said of it, and
random ones from a seed. records() are all of them as (owner, type, data) of the zone spf.test.
"""
import ipaddress
import random

ZONE = "spf.test"
BROKEN = "broken.test"  # the server fails when it is asked for anything there
GOOD = None  # in place of what must be said: the record is taken


def txt(record):
    """As strings of a zone file, of at most 255 bytes."""
    data = record if isinstance(record, bytes) else record.encode()
    pieces = [data[i:i + 255] for i in range(0, len(data), 255)] or [b""]
    return " ".join('"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\;' else f"\\{b:03}" for b in piece) + '"'
                    for piece in pieces)


def networks(count, start="203.0.0.0"):
    """So many /32, none beside another."""
    first = int(ipaddress.ip_address(start))
    return " ".join(f"ip4:{ipaddress.ip_address(first + 2 * i)}" for i in range(count))


# name: (its TXT records, what must be said of it). More records of its names stand in SUPPORT.
HOSTILE = {
    # The grammar.
    "least": (["v=spf1 ip4:192.0.2.1"], GOOD),
    "letters": (["V=SPF1 IP4:192.0.2.0/28 Ip6:2001:DB8::/32 A:Host.SPF.test -ALL"], GOOD),
    "spaces": (["v=spf1   ip4:192.0.2.1    -all  "], GOOD),
    "others": (["google-site-verification=x", "v=spf1 ip4:192.0.2.1 -all", "v=spf2.0/pra ip4:192.0.2.9", b"\xff\x00\xfe"], GOOD),
    "modifiers": (["v=spf1 exp=%{i}.x.%{d} moo=%{s}x%%%_%- ip4:192.0.2.1 -all"], GOOD),
    "after_all": (["v=spf1 ip4:192.0.2.1 ~all ip4:192.0.2.99 exists:%{i}.x.spf.test redirect=nowhere.spf.test"], GOOD),
    "dot": (["v=spf1 include:least.spf.test. -all"], GOOD),
    "version10": (["v=spf10 ip4:192.0.2.1 -all"], "there is none"),
    "version_only": (["v=spf1"], "lets nobody pass"),
    "nobody": (["v=spf1 -all"], "lets nobody pass"),
    "several": (["v=spf1 ip4:192.0.2.1 -all", "v=spf1 ip4:192.0.2.2 -all"], "several"),
    "two_strings": (["v=spf1 " + "ip4:192.0.2.1 " * 30 + "ip4:198.51.100.0/24 -all"], GOOD),
    "tab": (["v=spf1 ip4:192.0.2.1\tip4:192.0.2.2 -all"], "printable ASCII"),
    "latin": ([b"v=spf1 ip4:192.0.2.1 include:m\xfcnchen.test -all"], "printable ASCII"),
    "nul": ([b"v=spf1 ip4:192.0.2.1\x00 +all"], "printable ASCII"),
    "unknown": (["v=spf1 ip5:192.0.2.1 -all"], "no such mechanism"),
    "typo": (["v=spf1 ipv4:192.0.2.1 -all"], "no such mechanism"),
    "comma": (["v=spf1 ip4:192.0.2.1, ip4:192.0.2.2 -all"], "not an IPv4 network"),
    "late_error": (["v=spf1 ip4:192.0.2.1 -all ip4:x"], "not an IPv4 network"),
    "all_arg": (["v=spf1 ip4:192.0.2.1 -all:x"], "nothing may follow"),
    "bare_include": (["v=spf1 include -all"], "needs the name"),
    "empty_include": (["v=spf1 include: -all"], "not the name"),
    "include_length": (["v=spf1 include:least.spf.test/24 -all"], "not the name"),
    "single_label": (["v=spf1 include:localhost -all"], "not the name"),
    "numbers_top": (["v=spf1 a:192.0.2.1 -all"], "not the name"),
    "empty_label": (["v=spf1 a:x..spf.test -all"], "not the name"),
    "long_label": (["v=spf1 a:" + "x" * 64 + ".spf.test -all"], "not the name"),
    "long_name": (["v=spf1 a:" + "x." * 130 + "spf.test -all"], "not the name"),
    "escape": (["v=spf1 a:h\\111st.spf.test -all"], "not the name"),
    "long_term": (["v=spf1 x=" + "y" * 600 + " ip4:192.0.2.1 -all"], "512 characters"),
    "qualified": (["v=spf1 ip4:192.0.2.1 -redirect=least.spf.test"], "not a modifier"),
    "redirects": (["v=spf1 redirect=least.spf.test redirect=letters.spf.test"], "only once"),
    "exps": (["v=spf1 exp=a.spf.test exp=b.spf.test ip4:192.0.2.1"], "only once"),
    "bad_macro": (["v=spf1 moo=%x ip4:192.0.2.1 -all"], "begins no macro"),
    # Networks.
    "bits": (["v=spf1 ip4:192.0.2.77/24 ip6:2001:db8::77/64 -all"], GOOD),
    "cidr33": (["v=spf1 ip4:192.0.2.0/33 -all"], "not an IPv4 network"),
    "cidr08": (["v=spf1 ip4:192.0.2.0/08 -all"], "not an IPv4 network"),
    "cidr_minus": (["v=spf1 ip4:192.0.2.0/-1 -all"], "not an IPv4 network"),
    "cidr_none": (["v=spf1 ip4:192.0.2.0/ -all"], "not an IPv4 network"),
    "cidr_long": (["v=spf1 ip4:192.0.2.0/4294967320 -all"], "not an IPv4 network"),
    "short4": (["v=spf1 ip4:192.0.2 -all"], "not an IPv4 network"),
    "octet": (["v=spf1 ip4:192.0.2.256 -all"], "not an IPv4 network"),
    "zeros": (["v=spf1 ip4:192.0.02.1 -all"], "not an IPv4 network"),
    "six_in_four": (["v=spf1 ip4:2001:db8::1 -all"], "not an IPv4 network"),
    "four_in_six": (["v=spf1 ip6:192.0.2.1 -all"], "not an IPv6 network"),
    "cidr129": (["v=spf1 ip6:2001:db8::/129 -all"], "not an IPv6 network"),
    "scope": (["v=spf1 ip6:fe80::1%eth0 -all"], "not an IPv6 network"),
    "mapped": (["v=spf1 ip6:::ffff:192.0.2.1 ip4:198.51.100.1 -all"], GOOD),
    "dual": (["v=spf1 a:host.spf.test/24//64 mx:mail.spf.test//48 a:host.spf.test/30 -all"], GOOD),
    "dual_bad": (["v=spf1 a:host.spf.test/24/64 -all"], "not /LENGTH"),
    "dual_33": (["v=spf1 a:host.spf.test/33 -all"], "not /LENGTH"),
    "dual_129": (["v=spf1 mx:mail.spf.test//129 -all"], "not /LENGTH"),
    # Everybody, or nearly.
    "plus_all": (["v=spf1 ip4:192.0.2.1 +all"], "everybody"),
    "just_all": (["v=spf1 ip4:192.0.2.1 all"], "everybody"),
    "included_all": (["v=spf1 include:plus_all.spf.test -all"], "everybody"),
    "slash0": (["v=spf1 ip4:0.0.0.0/0 -all"], "shorter than /8"),
    "halves": (["v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all"], "shorter than /8"),
    "slash7": (["v=spf1 ip4:10.0.0.0/7 -all"], "shorter than /8"),
    "slash8": (["v=spf1 ip4:10.0.0.0/8 ip6:2001::/16 -all"], GOOD),
    "six15": (["v=spf1 ip6:2000::/15 -all"], "shorter than /16"),
    "a_slash0": (["v=spf1 a:host.spf.test/0 -all"], "shorter than /8"),
    "a_six0": (["v=spf1 a:host.spf.test//0 -all"], "shorter than /16"),
    "eights": (["v=spf1 " + " ".join(f"ip4:{n}.0.0.0/8" for n in range(20, 25)) + " -all"], "more addresses"),
    "sixteens": (["v=spf1 " + " ".join(f"ip6:{n}::/16" for n in range(2001, 2006)) + " -all"], "more addresses"),
    # Qualifiers: the first match decides.
    "minus_first": (["v=spf1 -ip4:192.0.2.0/28 ip4:192.0.2.0/24 ~ip4:198.51.100.7 ip4:198.51.100.0/24 -all"], GOOD),
    "minus_last": (["v=spf1 ip4:192.0.2.0/24 -ip4:192.0.2.0/28 -all"], GOOD),
    "minus_world": (["v=spf1 ip4:192.0.2.1 -ip4:0.0.0.0/0 ip4:192.0.2.2 ip6:2001:db8::1 -all"], GOOD),
    "neutral_include": (["v=spf1 ?include:least.spf.test ip4:192.0.2.0/30 -all"], GOOD),
    "minus_include": (["v=spf1 -include:minus_first.spf.test ip4:192.0.2.0/24 -all"], GOOD),
    "fails_inside": (["v=spf1 include:nobody.spf.test ip4:192.0.2.9 -all"], GOOD),
    "neutral_all": (["v=spf1 ip4:192.0.2.1 ?all ip4:192.0.2.2"], GOOD),
    # Where else to look.
    "redirect": (["v=spf1 redirect=least.spf.test"], GOOD),
    "redirect_first": (["v=spf1 redirect=least.spf.test ip4:198.51.100.1 -ip4:192.0.2.1"], GOOD),
    "redirect_none": (["v=spf1 ip4:192.0.2.1 redirect=nothing.spf.test"], "there is none"),
    "include_none": (["v=spf1 ip4:192.0.2.1 include:nothing.spf.test -all"], "there is none"),
    "include_txt": (["v=spf1 include:host.spf.test -all"], "there is none"),
    "include_bad": (["v=spf1 ip4:192.0.2.1 include:cidr33.spf.test -all"], "(include_bad.spf.test -> include:cidr33.spf.test)"),
    "self": (["v=spf1 ip4:192.0.2.1 include:self.spf.test -all"], "a loop"),
    "loop1": (["v=spf1 ip4:192.0.2.1 include:loop2.spf.test -all"], "a loop"),
    "loop2": (["v=spf1 ip4:192.0.2.2 redirect=loop1.spf.test"], "a loop"),
    "diamond": (["v=spf1 include:redirect.spf.test include:least.spf.test include:least.spf.test -all"], GOOD),
    "ten": (["v=spf1 " + "include:least.spf.test " * 10 + "-all"], GOOD),
    "eleven": (["v=spf1 " + "include:least.spf.test " * 11 + "-all"], "more than 10 terms"),
    "deep0": (["v=spf1 include:deep1.spf.test -all"], GOOD),
    **{f"deep{i}": ([f"v=spf1 include:deep{i + 1}.spf.test -all"], GOOD) for i in range(1, 10)},
    "deep10": (["v=spf1 ip4:192.0.2.10 -all"], GOOD),
    "deeper": (["v=spf1 include:deep0.spf.test -all"], "more than 10 terms"),
    "split_limit": (["v=spf1 a:host.spf.test mx:mail.spf.test include:eight.spf.test -all"], "more than 10 terms"),
    "eight": (["v=spf1 " + "a:host.spf.test " * 8 + "-all"], GOOD),
    "two_voids": (["v=spf1 a:no1.spf.test mx:no2.spf.test ip4:192.0.2.1 -all"], GOOD),
    "three_voids": (["v=spf1 a:no1.spf.test mx:no2.spf.test ip4:192.0.2.1 a:no3.spf.test -all"], "more than 2 names"),
    "own_a": (["v=spf1 a mx -all"], GOOD),
    "mx10": (["v=spf1 mx -all"], GOOD),
    "mx11": (["v=spf1 mx -all"], "more than 10 MX"),
    "null_mx": (["v=spf1 mx ip4:192.0.2.1 -all"], GOOD),
    "odd_mx": (["v=spf1 mx ip4:192.0.2.1 -all"], "names no host"),
    "v6_only": (["v=spf1 a:six.spf.test ip4:192.0.2.1 -all"], GOOD),
    "alias": (["v=spf1 include:cname_txt.spf.test a:cname3.spf.test -all"], GOOD),
    "cname_long": (["v=spf1 a:chain0.spf.test -all"], "SERVFAIL"),
    "cname_loop": (["v=spf1 a:round1.spf.test -all"], "SERVFAIL"),
    "cname_void": (["v=spf1 a:cname_nowhere.spf.test ip4:192.0.2.1 -all"], GOOD),
    "broken_include": ([f"v=spf1 ip4:192.0.2.1 include:x.{BROKEN} -all"], "SERVFAIL"),
    "broken_a": ([f"v=spf1 ip4:192.0.2.1 a:x.{BROKEN} -all"], "SERVFAIL"),
    # What no list can say.
    "exists": (["v=spf1 ip4:192.0.2.1 exists:%{i}.list.spf.test -all"], '"exists:%{i}.list.spf.test"'),
    "exists_plain": (["v=spf1 ip4:192.0.2.1 ?exists:host.spf.test -all"], "exists is decided"),
    "ptr": (["v=spf1 ip4:192.0.2.1 ptr -all"], "ptr is decided"),
    "ptr_name": (["v=spf1 -ptr:spf.test ip4:192.0.2.1 -all"], "ptr is decided"),
    "macro": (["v=spf1 include:%{d}._spf.spf.test -all"], "a macro is decided"),
    "macro_escape": (["v=spf1 a:a%%b.spf.test -all"], "a macro is decided"),
    "macro_redirect": (["v=spf1 ip4:192.0.2.1 redirect=%{d2}"], "a macro is decided"),
    # Large ones, which come over TCP.
    "large": (["v=spf1 " + networks(250) + " -all"], GOOD),
    "huge": (["v=spf1 " + networks(2500) + " -all"], GOOD),  # nsd has none of 48 KiB
    "huge_again": (["v=spf1 " + "include:huge.spf.test " * 5 + "-all"], "longer than 10000"),
    "many_a": (["v=spf1 a:crowd.spf.test -all"], GOOD),
}

SUPPORT = [
    ("host", "A", "192.0.2.200"), ("host", "AAAA", "2001:db8:1::200"), ("host", "TXT", '"not an SPF record"'),
    ("six", "AAAA", "2001:db8:6::1"),
    ("mail", "MX", "10 host"), ("mail", "MX", "20 six"),
    ("own_a", "A", "192.0.2.44"), ("own_a", "MX", "10 host"),
    *[("mx10", "MX", f"{i} m{i}") for i in range(10)], *[("mx11", "MX", f"{i} m{i}") for i in range(11)],
    *[(f"m{i}", kind, data) for i in range(11) for kind, data in (("A", f"198.51.100.{i * 2}"), ("AAAA", f"2001:db8:2::{i}"))],
    ("null_mx", "MX", "0 ."), ("odd_mx", "MX", r"0 a\032b"),
    ("cname_txt", "CNAME", "least"), ("cname3", "CNAME", "cname2"), ("cname2", "CNAME", "cname1"), ("cname1", "CNAME", "host"),
    *[(f"chain{i}", "CNAME", f"chain{i + 1}") for i in range(20)], ("chain20", "A", "192.0.2.20"),
    ("round1", "CNAME", "round2"), ("round2", "CNAME", "round1"), ("cname_nowhere", "CNAME", "nowhere"),
    *[("crowd", "A", f"198.18.{i // 100}.{i % 100 * 2}") for i in range(600)],
]

HOSTS = 24  # of the random records: h0 to h23


def random_host(rng, number):
    kinds = rng.choice([("A",), ("A",), ("A", "AAAA"), ("A", "AAAA"), ("AAAA",), ("CNAME",)])
    if kinds == ("CNAME",) and number:
        return [(f"h{number}", "CNAME", f"h{rng.randrange(number)}")]
    return [(f"h{number}", kind, str(random_address(rng, 4 if kind == "A" else 6))) for kind in kinds if kind != "CNAME"
            for _ in range(rng.randint(1, 3))] or [(f"h{number}", "A", str(random_address(rng, 4)))]


def random_address(rng, version):
    """From little room, so that records meet."""
    if version == 4:
        return ipaddress.IPv4Address((198 << 24) + (18 << 16) + rng.randrange(1 << rng.choice([6, 10, 16])))
    return ipaddress.IPv6Address((0x20010db8 << 96) + (rng.randrange(4) << 64) + rng.randrange(1 << rng.choice([4, 8, 64])))


def random_term(rng, number):
    qualifier = rng.choice(["", "", "", "", "", "+", "-", "~", "?"])
    kind = rng.choice(["ip4"] * 5 + ["ip6"] * 3 + ["a", "mx", "include"])
    if kind == "ip4":
        return f"{qualifier}ip4:{random_address(rng, 4)}" + rng.choice(["", "", f"/{rng.randint(16, 32)}"])
    if kind == "ip6":
        return f"{qualifier}ip6:{random_address(rng, 6)}" + rng.choice(["", f"/{rng.randint(32, 128)}"])
    if kind == "include" and number:
        return f"{qualifier}include:r{rng.randrange(max(0, number - 40), number)}.{ZONE}"
    length = rng.choice(["", "", f"/{rng.randint(20, 32)}", f"//{rng.randint(48, 128)}",
                         f"/{rng.randint(20, 32)}//{rng.randint(48, 128)}"])
    return f"{qualifier}{'mx' if kind == 'mx' else 'a'}:{'x' if kind == 'mx' else 'h'}{rng.randrange(HOSTS)}.{ZONE}{length}"


def random_records(seed, count):
    """Domains r0, r1, ...: each may include those before it."""
    rng = random.Random(seed)
    found = [record for i in range(HOSTS) for record in random_host(rng, i)]
    for i in range(HOSTS):
        found += [(f"x{i}", "MX", f"{n} h{rng.randrange(HOSTS)}") for n in range(rng.randint(1, 3))]
    for number in range(count):
        terms = [random_term(rng, number) for _ in range(rng.randint(1, 7))]
        end = rng.choice(["-all", "-all", "~all", "?all", "", "redirect"])
        if end == "redirect":
            end = f"redirect=r{rng.randrange(max(1, number))}.{ZONE}"
        found.append((f"r{number}", "TXT", txt(" ".join(["v=spf1", *terms, end]))))
    return found


def records(seed, count):
    hostile = [(name, "TXT", txt(record)) for name, (found, _) in HOSTILE.items() for record in found]
    return [*hostile, *SUPPORT, *dict.fromkeys(random_records(seed, count))]


def domains(count):
    return [f"{name}.{ZONE}" for name in HOSTILE] + [f"r{i}.{ZONE}" for i in range(count)]
