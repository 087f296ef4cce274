"""Latency: from the moment COMMIT returned to the moment the whole request was at the sink.

One-row commits, 2 to 20 ms apart, in WAL mode; the row's id leads from the commit to the request. The
daemon runs with its defaults. The two levels of synchronous take turns.
"""

import statistics

from report import result
from rig import BenchError, Rig, percentile

COMMITS = 600
RUNS = 3
LEVELS = ("NORMAL", "FULL")
GAP_US = "2000:20000"


def one_run(rig, database, sink, daemon, level, first):
    commits, _ = rig.write(
        database, first=first, transactions=COMMITS, synchronous=level, gap=GAP_US)
    daemon.wait()
    arrivals = sink.arrivals()
    lost = [key for key, _, _ in commits if key not in arrivals]
    if lost:
        raise BenchError("%d of %d commits never came to the sink" % (len(lost), COMMITS))
    delays = [(arrivals[key] - committed) / 1e6 for key, _, committed in commits]
    return {
        "p50": percentile(delays, 50),
        "p99": percentile(delays, 99),
        "max": max(delays),
        "commit": statistics.median((done - began) / 1e6 for _, began, done in commits),
    }


def run(programs):
    runs = {level: [] for level in LEVELS}
    with Rig(programs) as rig:
        database = rig.database("latency", rows=1000)
        sink = rig.sink("--record", str(COMMITS * (RUNS * len(LEVELS) + 1)))
        daemon = rig.daemon(database, sink).wait()
        first = 1_000_000
        for _ in range(RUNS):
            for level in LEVELS:
                runs[level].append(one_run(rig, database, sink, daemon, level, first))
                first += COMMITS
        daemon.stop()
    results = []
    for level, found in runs.items():
        note = "a commit takes %.3f ms; longest %.1f ms" % (
            statistics.median(one["commit"] for one in found), max(one["max"] for one in found))
        for key, limit in (("p50", 1), ("p99", 3)):
            results.append(result(
                "latency.%s.%s_ms" % (level.lower(), key),
                "commit to request, %s, %s" % (level, key), [one[key] for one in found], "ms",
                at_most=limit, note=note if key == "p50" else ""))
    return results
