# SPDX-License-Identifier: Apache-2.0
"""A flood of SYNs and a crowd of slow clients, beside senders who mean well."""
import time

import pytest

from daemon import Postern, backend_lines, configuration, pool
from hostile import slow_clients, stop_slow_clients, syn_flood
from lab import VIP4, VIP6
from load import client, serve_all

LIMIT = 50  # the product's own
OF_ONE = 200  # slow clients of one source
HONEST = [prefix for i in range(32) for prefix in (f"198.51.200.{8 * i}/29", f"2001:db8:c:f{i:03x}::1")]  # 6 and 1 source each
MEMORY = 64 << 20  # bytes more than before, however many come


def honest_sessions(lab, count):
    result = client(lab, "sessions", "--count", count, "--concurrency", 100, "--size", 10000, source=HONEST)
    assert result["ok"] == count and not result["errors"], result
    return count


@pytest.mark.heavy
@pytest.mark.limit(300)
@pytest.mark.topology(backends=2)
def test_beside_a_flood_and_a_crowd_of_slow_clients_every_honest_session_completes(lab, engine, long):
    crowds, each, flood = (4, 5000, 2000000) if long else (1, 2000, 500000)
    serve_all(lab)
    lab.gateway.ip(f"route add default via {lab.client.link4}.2")  # answers to the flood go where nobody takes them
    config = configuration([pool(backend_lines(lab.backends), **engine.pool)], limits={})
    with Postern(lab, config) as postern:
        started = time.monotonic()
        honest_sessions(lab, 1000)
        memory = postern.memory()
        sources = [[f"198.51.{n}.{1 + i}" if i % 2 else f"2001:db8:c:{n:x}{i:03x}::1" for i in range(each // OF_ONE)]
                   for n in range(1, 1 + crowds)]
        slow = [slow_clients(lab, some, (VIP4, VIP6), each) for some in sources]
        for program in slow:
            assert program.stderr.readline() == b"ready\n"
        began, cpu, served = time.monotonic(), postern.cpu_seconds(), 0
        with syn_flood(lab, VIP4) as come:
            while come() < flood:
                served += honest_sessions(lab, 500)
        took, cpu = time.monotonic() - began, postern.cpu_seconds() - cpu
        grown = postern.memory() - memory
        fates = [stop_slow_clients(program) for program in slow]
        print(f"{served} honest sessions beside {flood} SYNs and {fates}: {took:.1f} s, the daemon took {cpu:.1f} s of CPU "
              f"({100 * cpu / took:.0f} % of one) and {grown >> 20} MB")
        for fate in fates:
            assert fate["held"] == LIMIT * each // OF_ONE and fate["most_of_a_source"] <= LIMIT + 2, fate  # two workers
            assert fate.get("told", 0) + fate.get("reset", 0) >= each - fate["held"], fate
        assert grown < MEMORY
        counters = postern.wait_idle(60)
        wanted = counters["closed_source_sessions"] - counters["log_limited"]
        lines = len(postern.wait_sessions(wanted, reason="source_sessions"))
        assert lines <= 2 * 100 * (time.monotonic() - started + 2) and counters["log_dropped"] == 0  # of two workers
        assert lines == wanted, (lines, counters)
        assert len(postern.sessions(reason="backend_fin")) >= served
        again = slow_clients(lab, sources[0], (VIP4, VIP6), LIMIT * each // OF_ONE)  # all places were given back
        assert again.stderr.readline() == b"ready\n"
        assert stop_slow_clients(again)["held"] == LIMIT * each // OF_ONE
