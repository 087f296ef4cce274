"""Stream: an application that writes all the time, over HTTPS; what a change costs the daemon, against an
item of a first load in the same round.

    slow     1,000 rows a second, one a transaction
    fast     20,000 rows a second, a hundred a transaction

A first load is at work without a pause, and what works a little at a time pays more for everything:
so there is also one that write_units_per_second holds to the rate of the fast stream.

From before the first write to the moment `syncctl wait` returned after the last: reading, sending,
digests and acknowledgements are in it.
"""

import statistics

import first
from report import result
from rig import Rig, percentile, running_seconds

ROUNDS = 5
SECONDS = 5
KINDS = {"slow": (1_000, 1), "fast": (20_000, 100)}
WORDS = {"slow": "1,000 rows/s, single", "fast": "20,000 rows/s, 100 a transaction"}
AT_MOST = {"fast": 1.6}


def one_stream(rig, database, sink, daemon, kind, first_id):
    rate, rows = KINDS[kind]
    count = rate * SECONDS
    before, cpu = sink.stats(), running_seconds(daemon.pid)
    commits, _ = rig.write(database, first=first_id, transactions=count // rows, rows=rows, rate=rate)
    daemon.wait()
    cpu, after = running_seconds(daemon.pid) - cpu, sink.stats()
    took = (commits[-1][2] - commits[0][1]) / 1e9
    arrivals = sink.arrivals()
    return {"cpu_us": cpu * 1e6 / count, "rate": count / took,
            "per_request": (after["items"] - before["items"]) / (after["batches"] - before["batches"]),
            "p99": percentile([(arrivals[key] - done) / 1e6 for key, _, done in commits], 99)}


def run(programs):
    rounds, loads, held = {kind: [] for kind in KINDS}, [], []
    with Rig(programs) as rig:
        base = rig.database("base", first.ROWS)
        database = rig.database("stream", rows=1000)
        sink = rig.sink("--record", "200000", https=True)
        daemon = rig.daemon(database, sink).wait()
        first_id = 1_000_000
        for _ in range(ROUNDS):
            loads.append(first.load(rig, base, True)["cpu_us"])
            held.append(first.load(rig, base, True, write_units_per_second=KINDS["fast"][0]))
            for kind, (rate, _) in KINDS.items():
                rounds[kind].append(one_stream(rig, database, sink, daemon, kind, first_id))
                first_id += rate * SECONDS
        daemon.stop()
    results = []
    for kind, words in WORDS.items():
        note = "%.0f rows/s; %.1f items a request; commit to request p99 %.1f ms" % tuple(
            statistics.median(one[key] for one in rounds[kind])
            for key in ("rate", "per_request", "p99"))
        results += [
            result("stream.%s.cpu_us" % kind, words + ", processor time",
                   [one["cpu_us"] for one in rounds[kind]], "us/change", note=note),
            result("stream.%s.ratio" % kind, "  against an item of a first load",
                   [one["cpu_us"] / load for one, load in zip(rounds[kind], loads)], "times",
                   at_most=AT_MOST.get(kind)),
        ]
    fast = [one["cpu_us"] for one in rounds["fast"]]
    load = [one["cpu_us"] for one in held]
    results += [
        result("stream.held_load.cpu_us", "a first load held to that rate, processor time", load, "us/item",
               note="%.0f items/s; %.1f a request" % tuple(
                   statistics.median(one[key] for one in held) for key in ("rate", "per_request"))),
        result("stream.fast.held_ratio", "  the stream against an item of that",
               [one / other for one, other in zip(fast, load)], "times"),
    ]
    return results
