"""Drain: the daemon was away while the application went on; how fast it works the journal off.

From the start of syncd to the moment `syncctl wait` returns, over the changes in the journal, for
backlogs of several sizes over the same keys, each key changed several times in random order. What a
change costs must not depend on how many there are, nor may memory. $BENCH_BACKLOGS names other
sizes (10000000 takes some minutes).
"""

import contextlib
import os
import random
import sqlite3
import time

from report import result
from rig import BenchError, Rig, cpu_seconds, median_of, memory_mb

KEYS = 200_000
BACKLOGS = [int(n) for n in os.environ.get("BENCH_BACKLOGS", "50000 200000 1000000").split()]
ROUNDS = 3
IN_TRANSACTION = 1000
PEAK_MB = 64


def change(database, rng, changes, stamp):
    keys = list(range(1, KEYS + 1))
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = NORMAL")
        for at in range(0, changes, IN_TRANSACTION):
            if at % KEYS == 0:
                rng.shuffle(keys)
            first = at % KEYS
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "UPDATE bench SET created_at = ? WHERE id = ?",
                [(stamp + at + i, key)
                 for i, key in enumerate(keys[first:first + IN_TRANSACTION])])
            db.execute("COMMIT")
        entries = db.execute("SELECT count(*) FROM _syncd_journal WHERE t <> 0").fetchone()[0]
    if entries < changes:
        raise BenchError("the journal holds %d entries, not %d" % (entries, changes))


def one_round(rig, database, sink, rng, changes, stamp):
    change(database, rng, changes, stamp)
    before, began = sink.stats(), time.monotonic()
    daemon = rig.daemon(database, sink).wait(bound=120 + changes // 10_000)
    took = time.monotonic() - began
    cpu, peak, after = cpu_seconds(daemon.pid), memory_mb(daemon.pid, "VmHWM"), sink.stats()
    if after["items"] - before["items"] < min(changes, KEYS):
        raise BenchError("fewer items were sent than keys changed")
    daemon.stop()
    return {"rate": changes / took, "cpu_us": cpu * 1e6 / changes, "peak": peak,
            "sent": after["items"] - before["items"]}


def of_backlog(changes, rounds):
    name, words = "drain.%d" % changes, "drain of %s changes" % "{:,}".format(changes)
    note = "%d keys; %d writes" % (min(changes, KEYS), median_of(rounds)["sent"])
    return [
        result(name + ".changes_per_second", words, [one["rate"] for one in rounds], "changes/s",
               note=note),
        result(name + ".cpu_us_per_change", words + ", processor time",
               [one["cpu_us"] for one in rounds], "us/change"),
        result(name + ".peak_rss", words + ", most memory", [one["peak"] for one in rounds], "MB",
               at_most=PEAK_MB),
    ]


def run(programs):
    rng = random.Random(1)
    results = []
    with Rig(programs) as rig:
        database, sink = rig.database("drain", KEYS), rig.sink()
        rig.daemon(database, sink).wait().stop()
        stamp = 0
        for changes in BACKLOGS:
            rounds = []
            for _ in range(ROUNDS if changes <= 1_000_000 else 1):
                stamp += 10**12
                rounds.append(one_round(rig, database, sink, rng, changes, stamp))
            results += of_backlog(changes, rounds)
    return results
