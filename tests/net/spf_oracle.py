#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
What python3-spf says of addresses, by the records of one DNS server: spf_oracle.py SERVER, with {domain: [address, ...]} as
JSON on standard input; {domain: {address: [verdict, reason]}} comes out. Each question is asked once and remembered.
"""
import functools
import json
import sys

# Called with -I: the folder of this file has a dns.py of its own.
import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import spf


@functools.cache
def ask(server, name, kind):
    """As python3-spf wants it: each record of the answer with its own name and type."""
    try:
        query = dns.message.make_query(name, kind)
    except dns.exception.DNSException:  # a name that no question has room for
        return []
    reply, _ = dns.query.udp_with_fallback(query, server, timeout=10)
    if reply.rcode() not in (0, 3):
        raise spf.TempError(f"DNS: rcode {reply.rcode()}")
    found = []
    for rrset in reply.answer:
        kind_of = dns.rdatatype.to_text(rrset.rdtype)
        found += [((rrset.name.to_text(True), kind_of), value_of(kind_of, record)) for record in rrset]
    return found


def value_of(kind, record):
    if kind == "MX":
        return record.preference, record.exchange.to_text(True)
    if kind == "TXT":
        return list(record.strings)
    return record.target.to_text(True) if kind == "CNAME" else record.address


def verdict(domain, address):
    result, _, why = spf.query(i=address, s=f"postmaster@{domain}", h=domain).check()
    return [result, why]


def main():
    server = sys.argv[1]
    spf.DNSLookup = lambda name, kind, strict=True, timeout=20: ask(server, name, kind)
    wanted = json.load(sys.stdin)
    json.dump({domain: {address: verdict(domain, address) for address in addresses} for domain, addresses in wanted.items()},
              sys.stdout)


if __name__ == "__main__":
    main()
