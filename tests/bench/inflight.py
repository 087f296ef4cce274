"""In flight: a first load over HTTPS from a service that takes 8 ms for each request, with 1 to 64 requests
in flight. Linear is that many times the rate with one.

Counted between the first and the last request at the sink, without those that began it all at once.
"""

import shutil
import statistics

from report import result
from rig import BenchError, Rig, memory_mb, running_seconds

DELAY_US = 8000
ROUNDS = 3
REQUESTS = (1, 2, 4, 8, 16, 32, 64)
ROWS = 200_000
SHARE, CORES, RSS_MB = 93, 0.7, 24  # at 32


def one_load(rig, bases, requests):
    rows = min(ROWS, 5000 * requests)
    database = shutil.copy(bases[rows], rig.place("load"))
    sink = rig.sink("--delay", str(DELAY_US), https=True)
    daemon = rig.daemon(database, sink, "load", max_requests_in_flight=requests).wait(bound=120)
    stats, cpu = sink.stats(), running_seconds(daemon.pid)
    if stats["puts"] < rows:
        raise BenchError("only %d of %d rows came to the sink" % (stats["puts"], rows))
    seconds = (stats["last_ns"] - stats["first_ns"]) / 1e9
    rate = (stats["batches"] - requests) / seconds * stats["items"] / stats["batches"]
    found = {"rate": rate, "cores": cpu / seconds, "rss": memory_mb(daemon.pid, "VmRSS"),
             "peak": memory_mb(daemon.pid, "VmHWM"), "most": stats["most_waiting"]}
    daemon.stop()
    rig.end(sink)
    for end in (".state", ".state-wal", ".state.lock"):
        rig.forget("load" + end)
    return found


def run(programs):
    with Rig(programs) as rig:
        bases = {rows: rig.database("base-%d" % rows, rows)
                 for rows in {min(ROWS, 5000 * n) for n in REQUESTS}}
        rounds = [{n: one_load(rig, bases, n) for n in REQUESTS} for _ in range(ROUNDS)]
    results = []
    for n in REQUESTS:
        def spread(key, n=n):
            return [one[n][key] for one in rounds]

        goal = n == 32
        linear = [100 * one[n]["rate"] / (n * one[1]["rate"]) for one in rounds]
        results.append(result(
            "inflight.%d.linear_percent" % n, "8 ms service, %d in flight: of linear" % n, linear, "%",
            at_least=SHARE if goal else None,
            note="%s items/s on %.2f of a core; %d at most were on their way at once" % (
                "{:,.0f}".format(statistics.median(spread("rate"))),
                statistics.median(spread("cores")), max(spread("most")))))
        if goal:
            results += [
                result("inflight.32.cores", "  of a core", spread("cores"), "", at_most=CORES),
                result("inflight.32.rss_mb", "  most memory", spread("peak"), "MB", at_most=RSS_MB),
            ]
    return results
