# SPDX-License-Identifier: Apache-2.0
"""PROXY headers as the protocol's text describes them, made from the addresses that a story has chosen."""
import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def header(version, client, vip, port=25, tlvs=b""):
    """From `client` (address, port) to `vip`, both of one family. `tlvs`: extensions of a v2 header."""
    (host, source_port), v6 = client[:2], ":" in vip
    if version == "v1":
        return f"PROXY TCP{6 if v6 else 4} {host} {vip} {source_port} {port}\r\n".encode()
    addresses = ipaddress.ip_address(host).packed + ipaddress.ip_address(vip).packed
    rest = addresses + struct.pack("!HH", source_port, port) + tlvs
    return SIGNATURE + bytes([0x21, 0x21 if v6 else 0x11]) + struct.pack("!H", len(rest)) + rest
