"""Drain: the daemon was away while the application went on; how fast it works the journal off.

From the start of syncd to the moment `syncctl wait` returns, over the changes in the journal. Every key
is changed several times, in random order.
"""

import contextlib
import random
import sqlite3
import time

from report import result
from rig import BenchError, Rig, cpu_seconds, median_of

KEYS = 50_000
CHANGES = 200_000
ROUNDS = 3
IN_TRANSACTION = 1000


def change(database, rng, stamp):
    keys = []
    while len(keys) < CHANGES:
        keys += rng.sample(range(1, KEYS + 1), KEYS)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = NORMAL")
        for at in range(0, CHANGES, IN_TRANSACTION):
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "UPDATE bench SET created_at = ? WHERE id = ?",
                [(stamp + at + i, key) for i, key in enumerate(keys[at:at + IN_TRANSACTION])])
            db.execute("COMMIT")
        entries = db.execute("SELECT count(*) FROM _syncd_journal WHERE t <> 0").fetchone()[0]
    if entries < CHANGES:
        raise BenchError("the journal holds %d entries, not %d" % (entries, CHANGES))


def one_round(rig, database, sink, rng, stamp):
    change(database, rng, stamp)
    before, began = sink.stats(), time.monotonic()
    daemon = rig.daemon(database, sink).wait()
    took = time.monotonic() - began
    cpu, after = cpu_seconds(daemon.pid), sink.stats()
    if after["items"] - before["items"] < KEYS:
        raise BenchError("fewer items were sent than keys changed")
    daemon.stop()
    return {"rate": CHANGES / took, "cpu_us": cpu * 1e6 / CHANGES,
            "sent": after["items"] - before["items"]}


def run(programs):
    rng = random.Random(1)
    with Rig(programs) as rig:
        database, sink = rig.database("drain", KEYS), rig.sink()
        rig.daemon(database, sink).wait().stop()
        rounds = [one_round(rig, database, sink, rng, 10**12 * (n + 2)) for n in range(ROUNDS)]
    note = "%d changes of %d keys took %d writes" % (CHANGES, KEYS, median_of(rounds)["sent"])
    return [
        result("drain.changes_per_second", "drain of a backlog", [one["rate"] for one in rounds],
               "changes/s", note=note),
        result("drain.cpu_us_per_change", "drain, processor time",
               [one["cpu_us"] for one in rounds], "us/change"),
    ]
