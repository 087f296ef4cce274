"""First load of 200,000 rows over HTTPS, side by side: the daemon, the perfect loop (limit.c), and what
people would use instead. All take turns in each round; ratios are medians of the ratios within a round.

Processor time of the daemon is its whole life up to the moment `syncctl wait` returned, its start
included; of the others only their loop.
"""

import shutil
import statistics
import subprocess

import peers
from report import result
from rig import BenchError, Rig, median_of, memory_mb, running_seconds

ROWS = 200_000
ROUNDS = 7
CONNECTIONS = 8
AT_MOST = {"limit": 2.6}
AT_LEAST = {"put_item": 330, "batch_writer": 40, "node8": 12}


def load(rig, base, https, rows=ROWS, **dynamodb):
    """One first load by the daemon, into a sink of its own."""
    database, sink = shutil.copy(base, rig.place("load")), rig.sink(https=https)
    daemon = rig.daemon(database, sink, "load", **dynamodb)
    daemon.wait(bound=300)
    found, stats = measured(daemon, sink, rows), sink.stats()
    if stats["puts"] < rows:
        raise BenchError("only %d of %d rows came to the sink" % (stats["puts"], rows))
    daemon.stop()
    rig.end(sink)
    for end in (".state", ".state-wal", ".state.lock"):
        rig.forget("load" + end)
    return found


def measured(daemon, sink, rows):
    stats = sink.stats()
    return {
        "rate": stats["items"] / max(1e-9, (stats["last_ns"] - stats["first_ns"]) / 1e9),
        "cpu_us": running_seconds(daemon.pid) * 1e6 / rows,
        "peak_mb": memory_mb(daemon.pid, "VmHWM"),
        "per_request": stats["items"] / stats["batches"],
        "item_bytes": stats["bytes"] / stats["items"],
    }


def perfect(rig, base, sink, item_bytes, *options):
    """The perfect loop over the same table: items a second, microseconds an item."""
    command = [rig.programs["limit"], base, str(sink.port), str(CONNECTIONS), "%.0f" % item_bytes,
               *options]
    rate, cpu = map(float, subprocess.check_output(command, text=True).split())
    return {"rate": rate, "cpu_us": cpu}


def one_round(rig, base, others, plain, secure):
    ours = load(rig, base, True)
    found = {"syncd": ours, "http": load(rig, base, False),
             "limit": perfect(rig, base, plain, ours["item_bytes"])}
    for name, peer in others.items():
        found[name] = peers.run(rig, peer, base, secure)
    return found


def ratios(rounds, name):
    return [one[name]["cpu_us"] / one["syncd"]["cpu_us"] for one in rounds]


def of_ours(rounds):
    middle = median_of([one["syncd"] for one in rounds])
    note = "%.1f items of %.0f B (with their wrapper) a request" % (
        middle["per_request"], middle["item_bytes"])
    results = []
    for arm, words in (("syncd", "HTTPS"), ("http", "plain HTTP")):
        results += [
            result("first.%s.items_per_second" % arm, "first load, %s" % words,
                   [one[arm]["rate"] for one in rounds], "items/s", note=note),
            result("first.%s.cpu_us" % arm, "first load, %s, processor time" % words,
                   [one[arm]["cpu_us"] for one in rounds], "us/item"),
        ]
        note = ""
    return results + [result("first.peak_rss_mb", "first load, HTTPS, most memory",
                             [one["syncd"]["peak_mb"] for one in rounds], "MB")]


def run(programs):
    others, missing = peers.setup()
    with Rig(programs) as rig:
        base = rig.database("base", ROWS)
        plain, secure = rig.sink(), rig.sink(https=True)
        rounds = [one_round(rig, base, others, plain, secure) for _ in range(ROUNDS)]
    results = of_ours(rounds)
    limit = [one["syncd"]["cpu_us"] / one["limit"]["cpu_us"] for one in rounds]
    results += [
        result("first.limit.cpu_us", "the perfect loop, processor time",
               [one["limit"]["cpu_us"] for one in rounds], "us/item"),
        result("first.limit.ratio", "first load, HTTPS, against the perfect loop", limit, "times",
               at_most=AT_MOST["limit"]),
    ]
    for name, (words, rows, _, _, version) in others.items():
        middle = statistics.median(one[name]["rate"] for one in rounds)
        results += [
            result("first.%s.cpu_us" % name, words + ", processor time",
                   [one[name]["cpu_us"] for one in rounds], "us/item",
                   note="%s; %s items/s over HTTPS; %.0f MB" % (
                       version, "{:,.0f}".format(middle), max(one[name]["peak_mb"] for one in rounds))),
            result("first.%s.ratio" % name, "the daemon takes less than that by",
                   ratios(rounds, name), "times", at_least=AT_LEAST.get(name)),
        ]
    if missing:
        results[-1]["note"] = "; ".join(filter(None, [results[-1]["note"], *missing]))
    return results
