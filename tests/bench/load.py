"""Load: the first load of a large table into a sink that answers at once.

Items a second are counted at the sink, from the first request to the last. Processor time and peak
memory are the daemon's whole life up to the moment `syncctl wait` returned, its start included.
"""

import shutil

from report import result
from rig import BenchError, Rig, cpu_seconds, median_of, memory_mb

ROWS = 200_000
ROUNDS = 5


def one_round(rig, base):
    database = shutil.copy(base, rig.place("load"))
    sink = rig.sink()
    daemon = rig.daemon(database, sink)
    daemon.wait()
    stats = sink.stats()
    if stats["puts"] < ROWS:
        raise BenchError("only %d of %d rows came to the sink" % (stats["puts"], ROWS))
    seconds = (stats["last_ns"] - stats["first_ns"]) / 1e9
    cpu = cpu_seconds(daemon.pid)
    found = {
        "rate": stats["items"] / seconds,
        "cpu_us": cpu * 1e6 / ROWS,
        "peak_mb": memory_mb(daemon.pid, "VmHWM"),
        "sink_busy": cpu_seconds(sink.process.pid) / seconds * 100,
        "per_request": stats["items"] / stats["batches"],
        "item_bytes": stats["bytes"] / stats["items"],
    }
    daemon.stop()
    rig.end(sink)
    for suffix in (".state", ".state-wal", ".state.lock"):
        rig.forget("syncd" + suffix)
    return found


def run(programs):
    with Rig(programs) as rig:
        base = rig.database("base", ROWS)
        rounds = [one_round(rig, base) for _ in range(ROUNDS)]
    middle = median_of(rounds)

    def spread(key):
        return [one[key] for one in rounds]

    note = "%.1f items of %.0f B (with their wrapper) a request; the sink was %.0f %% busy" % (
        middle["per_request"], middle["item_bytes"], middle["sink_busy"])
    return [
        result("load.items_per_second", "first load, items a second", spread("rate"), "items/s",
               at_least=80_000, note=note),
        result("load.cpu_us_per_item", "first load, processor time", spread("cpu_us"), "us/item"),
        result("load.peak_rss_mb", "first load, peak memory", spread("peak_mb"), "MB"),
    ]
