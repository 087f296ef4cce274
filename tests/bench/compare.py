"""Compare: `syncctl resync` of a large table in which nothing differs, through the running daemon.

From the order to `syncctl wait` returning. It must send nothing: the requests that the sink saw are
counted, and so are the write units.
"""

import time

from report import result
from rig import BenchError, Rig, cpu_seconds

ROWS = 1_000_000
ROUNDS = 3


def one_round(daemon, sink):
    before, cpu, began = sink.stats(), cpu_seconds(daemon.pid), time.monotonic()
    answer = daemon.ctl("resync", "bench")
    if answer.returncode != 0:
        raise BenchError("syncctl resync: " + answer.stdout.strip())
    daemon.wait()
    took, after = time.monotonic() - began, sink.stats()
    return {"seconds": took, "cpu": cpu_seconds(daemon.pid) - cpu,
            "batches": after["batches"] - before["batches"]}


def run(programs):
    with Rig(programs) as rig:
        sink = rig.sink()
        daemon = rig.daemon(rig.database("compare", ROWS), sink).wait()
        spared = daemon.status()["totals"]["spared"]
        rounds = [one_round(daemon, sink) for _ in range(ROUNDS)]
        spared = daemon.status()["totals"]["spared"] - spared
        daemon.stop()
    if spared < ROWS * ROUNDS:
        raise BenchError("only %d of %d rows were compared" % (spared, ROWS * ROUNDS))
    note = "%d rows; %.2f s of processor time" % (ROWS, min(one["cpu"] for one in rounds))
    return [
        result("compare.seconds", "comparison of 1,000,000 equal rows",
               [one["seconds"] for one in rounds], "s", at_most=5, note=note),
        result("compare.requests", "requests that it sent", [one["batches"] for one in rounds], "",
               at_most=0),
    ]
