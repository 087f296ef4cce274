"""Results, and how people and programs get to see them."""

import json
import statistics


def result(name, words, rounds, unit, at_least=None, at_most=None, note=""):
    """One figure: the median of its rounds, and what it is to be measured against, if anything."""
    value = statistics.median(rounds)
    met = None
    if at_least is not None:
        met = value >= at_least
    elif at_most is not None:
        met = value <= at_most
    return {
        "name": name,
        "words": words,
        "median": value,
        "low": min(rounds),
        "high": max(rounds),
        "rounds": rounds,
        "unit": unit,
        "at_least": at_least,
        "at_most": at_most,
        "met": met,
        "note": note,
    }


def number(value):
    if value >= 1000:
        return "{:,.0f}".format(value)
    return "%.2f" % value if value < 10 else "%.1f" % value


def against(one):
    if one["met"] is None:
        return ""
    sign, limit = (">=", one["at_least"]) if one["at_least"] is not None else ("<=", one["at_most"])
    return "%s %s: %s" % (sign, "{:,}".format(limit), "met" if one["met"] else "MISSED")


def table(results):
    """Aligned lines; notes stand under their line."""
    head = ("", "median", "lowest", "highest", "", "against")
    rows = [
        (one["words"], number(one["median"]),
         number(one["low"]) if len(one["rounds"]) > 1 else "",
         number(one["high"]) if len(one["rounds"]) > 1 else "",
         one["unit"], against(one))
        for one in results
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = []
    for row, note in zip([head, *rows], ["", *(one["note"] for one in results)]):
        cells = [cell.rjust(width) if 1 <= i <= 3 else cell.ljust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
        if note:
            lines.append("    " + note)
    return "\n".join(lines)


def as_json(machine, results, failed, goals):
    return json.dumps(
        {"machine": machine, "results": results, "failed": failed, "goals": goals}, indent=2)
