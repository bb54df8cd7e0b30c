# SPDX-License-Identifier: Apache-2.0
"""
From rounds to a table: medians, spreads, and ratios that are taken within each round before their median is taken, so that
a machine that is slower for a while is so for both.
"""
import json
import statistics

from metrics import FIGURES, NOISY

HAPROXY = ("haproxy", "haproxy-splice")
LEAST = {"postern": "forwarding", "postern-relay": "bare-relay"}


def values(rounds, contestant, figure):
    """One value a round, None where there is none; above forwarding's where the figure says so."""
    found = []
    for one in rounds:
        value = one.get(contestant, {}).get(figure.key)
        if value is not None and figure.above_forwarding:
            base = one.get("forwarding", {}).get(figure.key)
            value = None if base is None or contestant == "forwarding" else value - base
        found.append(value)
    return found


def median(numbers):
    known = [n for n in numbers if n is not None]
    return statistics.median(known) if known else None


def spread(numbers):
    """Half of the range, as a share of the median."""
    known = [n for n in numbers if n is not None]
    middle = median(known)
    return (max(known) - min(known)) / 2 / abs(middle) if middle else None


def ratio(numbers, to):
    """The median of the ratios of each round."""
    return median([a / b for a, b in zip(numbers, to) if a is not None and b])


def best_haproxy(rounds, figure):
    """The mode that does better in this figure, or None."""
    medians = {name: median(values(rounds, name, figure)) for name in HAPROXY}
    medians = {name: value for name, value in medians.items() if value is not None}
    if not medians:
        return None
    return (min if figure.lower_is_better else max)(medians, key=medians.get)


def nor_by(figure, target, entries):
    """Who does the least that such a contestant must, if not even that meets the target."""
    least = LEAST[target.contestant]
    value = entries.get(least, {}).get(f"to_{target.to}")
    missed = value is not None and (value > target.ratio if figure.lower_is_better else value < target.ratio)
    return least if missed else None


def verdicts(figure, entries):
    """What each target asks for, and whether it is met."""
    found = []
    for target in figure.targets:
        value = entries.get(target.contestant, {}).get(f"to_{target.to}")
        met = None if value is None else value <= target.ratio if figure.lower_is_better else value >= target.ratio
        found.append({"contestant": target.contestant, "to": target.to, "ratio": target.ratio, "met": met,
                      "nor": nor_by(figure, target, entries) if met is False else None})
    if figure.limit is not None:
        value = entries.get("postern", {}).get("median")
        found.append({"contestant": "postern", "to": "", "ratio": figure.limit,
                      "met": None if value is None else value <= figure.limit, "nor": None})
    return found


def summary(rounds, contestants):
    """For each figure and contestant: median, spread, ratios."""
    lines = []
    for figure in FIGURES:
        best = best_haproxy(rounds, figure)
        line = {"figure": figure.key, "title": figure.title.strip(), "unit": figure.unit,
                "lower_is_better": figure.lower_is_better, "haproxy_best": best, "contestants": {}}
        for name in contestants:
            numbers = values(rounds, name, figure)
            if median(numbers) is None:
                continue
            line["contestants"][name] = {
                "median": median(numbers),
                "spread": spread(numbers),
                "rounds": numbers,
                "to_haproxy": ratio(numbers, values(rounds, best, figure)) if best else None,
                "to_forwarding": ratio(numbers, values(rounds, "forwarding", figure)),
            }
        if not line["contestants"]:
            continue
        line["targets"] = verdicts(figure, line["contestants"])
        lines.append(line)
    return lines


def number(value):
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def rows_of(line, contestants):
    """Three rows of a figure: what was measured, and both ratios."""
    figure = next(f for f in FIGURES if f.key == line["figure"])
    entries = [line["contestants"].get(c, {}) for c in contestants]
    measured = [f"{number(e.get('median'))}" + (f" ±{e['spread']:.0%}" if e.get("spread") is not None else "")
                for e in entries]
    asked = {"": [], "haproxy": [], "forwarding": []}
    for target in line["targets"]:
        met = {None: "", True: ": met", False: ": NOT MET"}[target["met"]]
        met += f" (nor by {target['nor']})" if target["nor"] else ""
        asked[target["to"]].append(
            f"{target['contestant']} {'<=' if figure.lower_is_better else '>='} {target['ratio']}{met}")
    texts = {to: ", ".join(words) for to, words in asked.items()}
    best = f"    to {line['haproxy_best']}" if line["haproxy_best"] else "    to HAProxy"
    return ([f"{figure.title}, {figure.unit}", *measured, texts[""]],
            [best, *(number(e.get("to_haproxy")) for e in entries), texts["haproxy"]],
            ["    to forwarding", *(number(e.get("to_forwarding")) for e in entries), texts["forwarding"]])


def print_table(lines, contestants):
    rows = [["", *contestants, ""]]
    for line in lines:
        rows += rows_of(line, contestants)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        first, *rest = (text.ljust(width) if i == 0 or i == len(row) - 1 else text.rjust(width)
                        for i, (text, width) in enumerate(zip(row, widths)))
        print("  ".join([first, *rest]).rstrip())


def notes(rounds, contestants):
    """What a reader must know before believing a figure."""
    told = []
    for key, title in (("session", "sessions per second"), ("bulk1", "bulk, 1 connection"), ("bulk16", "bulk, 16 connections")):
        bound = []
        for name in contestants:
            gateway = median([one.get(name, {}).get(f"{key}_gateway_share") for one in rounds])
            load = median([one.get(name, {}).get(f"{key}_load_share") for one in rounds])
            if gateway is not None and gateway < 0.9 and load > 0.95:
                bound.append(f"{name} (gateway {gateway:.0%} busy)")
        if bound:
            told.append(f"{title}: the load's core was the limit, not the gateway, for {', '.join(bound)}: "
                        "the rate is a lower bound, the CPU figure holds")
    noisy = sorted((value, name, key) for one in rounds for name, figures in one.items()
                   for key, value in figures.items() if key.endswith("_foreign_share") and value > NOISY)
    if noisy:
        value, name, key = noisy[-1]
        told.append(f"the machine was not quiet: in {len(noisy)} measurements others had more than {NOISY:.0%} of the "
                    f"gateway's core (most: {value:.0%}, {name}, {key.removesuffix('_foreign_share')})")
    return told


def write_json(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
