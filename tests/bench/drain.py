"""Drain: the daemon was away while the application went on; how fast it works the journal off.

From the start of syncd to the moment `syncctl wait` returns, over the changes in the journal, for
backlogs of several sizes over the same keys, each key changed several times in random order; over
HTTPS. What a change costs must not depend on how many there are, nor may memory. What a start without
any costs is taken off. $BENCH_BACKLOGS names other sizes (with 10000000 it takes some minutes more).
"""

import contextlib
import os
import random
import sqlite3
import time

from report import result
from rig import BenchError, Rig, median_of, memory_mb, running_seconds

KEYS = 200_000
BACKLOGS = [int(n) for n in os.environ.get("BENCH_BACKLOGS", "10000 100000 1000000").split()]
ROUNDS = 3
SAME_PERCENT = 5
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


def start_alone(rig, database, sink):
    """Seconds of processor time that a start without anything to do takes."""
    daemon = rig.daemon(database, sink).wait()
    cpu = running_seconds(daemon.pid)
    daemon.stop()
    return cpu


def one_round(rig, database, sink, rng, changes, stamp):
    alone = start_alone(rig, database, sink)
    change(database, rng, changes, stamp)
    before, began = sink.stats(), time.monotonic()
    daemon = rig.daemon(database, sink).wait(bound=120 + changes // 10_000)
    took = time.monotonic() - began
    cpu, peak, after = running_seconds(daemon.pid) - alone, memory_mb(daemon.pid, "VmHWM"), sink.stats()
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
    found = {}
    with Rig(programs) as rig:
        database, sink = rig.database("drain", KEYS), rig.sink(https=True)
        rig.daemon(database, sink).wait().stop()
        stamp = 0
        for turn in range(ROUNDS):
            for changes in BACKLOGS:
                if turn and changes > 1_000_000:
                    continue
                stamp += 10**12
                found.setdefault(changes, []).append(
                    one_round(rig, database, sink, rng, changes, stamp))
    results = [one for changes, rounds in found.items() for one in of_backlog(changes, rounds)]
    least = min(found)
    for changes in sorted(found)[1:]:
        more = [100 * (a["cpu_us"] / b["cpu_us"] - 1) for a, b in zip(found[changes], found[least])]
        results.append(result(
            "drain.%d.more_percent" % changes, "a change of %s costs more than of %s by" % (
                "{:,}".format(changes), "{:,}".format(least)), more, "%", at_most=SAME_PERCENT))
    return results
