"""Contention: what an application meets of our locks, and how much longer its writes take.

The same application (contender.c) on two databases in turns, one that was never attached and one
that the daemon drains into the sink all the while; in every journal mode and level of synchronous:

    bursts    200 inserts, then a rest of 300 to 500 ms; busy_timeout=0
    flat      insert after insert; busy_timeout=0
    waiting   the same with busy_timeout=5000
    modify    BEGIN; SELECT; 0.2 ms of thought; UPDATE; COMMIT; busy_timeout=5000

A turn on the daemon's database is longer than the daemon ever puts an acknowledgement off. How long
acknowledgements held the lock is told by the daemon (syncd_ack_lock_seconds), by the bound of the
bucket, and by the longest wait of the application that tried again at once.
"""

import contextlib
import json
import os
import re
import sqlite3
import statistics
import subprocess

from report import result
from rig import BenchError, Rig

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
SECONDS = {"never": 5, "mirrored": 11}
MODES = ("wal", "delete")
LEVELS = ("NORMAL", "FULL")
KINDS = {
    "bursts": {"pattern": "bursts", "busy_timeout": 0},
    "flat": {"pattern": "flat", "busy_timeout": 0},
    "waiting": {"pattern": "flat", "busy_timeout": 5000},
    "modify": {"pattern": "flat", "work": "modify", "busy_timeout": 5000},
}
# At most so many of a hundred transactions may meet a lock of ours.
LIMITS = {("wal", "bursts"): 0, ("delete", "bursts"): 0, ("wal", "flat"): 0.1,
          ("delete", "flat"): 0.3}
BUCKET = re.compile(r'^syncd_ack_lock_seconds_bucket\{le="([^"]+)"\} (\d+)$', re.M)
LONGEST = re.compile(r"^syncd_ack_lock_max_seconds (\S+)$", re.M)


def contend(rig, database, seconds, first, **options):
    arguments = ["--%s=%s" % (name.replace("_", "-"), value) for name, value in options.items()]
    done = subprocess.run(
        [rig.programs["contender"], "--database", database, "--seconds", str(seconds),
         "--first", str(first), *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise BenchError("the contender failed (see above)")
    return json.loads(done.stdout)


def lock_counts(daemon):
    """[(bound in ms, acknowledgements that held the lock no longer), ...], the longest in ms."""
    text = daemon.ctl("metrics").stdout
    counts = [(float(bound) * 1e3, int(count)) for bound, count in BUCKET.findall(text)]
    if not counts:
        raise BenchError("syncctl metrics tells nothing of acknowledgements")
    return counts, float(LONGEST.search(text).group(1)) * 1e3


def lock_percentile(counts, percent):
    """Bound of the first bucket that holds so many of a hundred."""
    whole = counts[-1][1]
    return next(bound for bound, count in counts if count * 100 >= whole * percent)


def one_mode(rig, mode, level):
    """What each round found, [kind][arm], and how long acknowledgements held the lock."""
    names = {arm: "%s-%s-%s" % (mode, level, arm) for arm in SECONDS}
    databases = {arm: rig.database(name, rows=1000, mode=mode) for arm, name in names.items()}
    sink = rig.sink()
    daemon = rig.daemon(databases["mirrored"], sink, names["mirrored"]).wait()
    rounds, first = [], 1_000_000
    with contextlib.ExitStack() as held:
        for path in databases.values():
            db = held.enter_context(contextlib.closing(sqlite3.connect(path)))
            db.execute("SELECT count(*) FROM bench").fetchone()
        for number in range(ROUNDS):
            found = {}
            for kind, options in KINDS.items():
                found[kind] = {}
                for arm in list(SECONDS)[::1 if number % 2 else -1]:
                    found[kind][arm] = contend(rig, databases[arm], SECONDS[arm], first,
                                               synchronous=level, **options)
                    first = max(first, found[kind][arm]["next"])
                    daemon.wait()
            rounds.append(found)
    locks = lock_counts(daemon)
    daemon.stop()
    rig.end(sink)
    return rounds, locks


def share(one, key):
    return 100 * one[key] / one["transactions"]


def of_kind(mode, level, kind, rounds):
    name = "contention.%s.%s.%s" % (mode, level.lower(), kind)
    words = "%s %s, %s" % (mode.upper() if mode == "wal" else "rollback", level, kind)
    ours = [one[kind]["mirrored"] for one in rounds]
    bare = [one[kind]["never"] for one in rounds]

    def middle(found, key):
        return statistics.median(one[key] for one in found)

    slower = [(a["p99"] - b["p99"]) / 1e3 for a, b in zip(ours, bare)]
    rate = [one["transactions"] / SECONDS["mirrored"] for one in ours]
    note = ("%d of %d met a lock (%d refusals), longest wait %.2f ms; without the daemon %d of %d; "
            "%.0f transactions/s; p50 %.0f us against %.0f, p99 %.0f us against %.0f" % (
                sum(one["met"] for one in ours), sum(one["transactions"] for one in ours),
                sum(one["refusals"] for one in ours), max(one["met_max"] for one in ours) / 1e3,
                sum(one["met"] for one in bare), sum(one["transactions"] for one in bare),
                statistics.median(rate), middle(ours, "p50"), middle(bare, "p50"),
                middle(ours, "p99"), middle(bare, "p99")))
    if kind in ("bursts", "flat"):
        found = [result(name + ".busy_percent", words + ": BUSY",
                        [share(one, "met") for one in ours], "%", at_most=LIMITS[mode, kind],
                        note=note)]
    elif kind == "modify":
        found = [result(name + ".failed_percent", words + ": given up",
                        [share(one, "failed") for one in ours], "%", note=note)]
    else:
        found = []
    return found + [result(name + ".p99_more_ms", words + ": p99 longer by", slower, "ms",
                           at_most=1, note="" if found else note)]


def of_locks(mode, level, locks):
    counts, longest = locks
    words = "rollback" if mode == "delete" else "WAL"
    note = "%d acknowledgements; p50 <= %g ms, p99 <= %g ms, longest %.2f ms" % (
        counts[-1][1], lock_percentile(counts, 50), lock_percentile(counts, 99), longest)
    return result("contention.%s.%s.ack_lock_p999_ms" % (mode, level.lower()),
                  "%s %s: lock held by an ack, p99.9" % (words, level),
                  [min(lock_percentile(counts, 99.9), longest)], "ms", at_most=5, note=note)


def run(programs):
    results = []
    for mode in MODES:
        for level in LEVELS:
            with Rig(programs) as rig:
                rounds, locks = one_mode(rig, mode, level)
            for kind in KINDS:
                results += of_kind(mode, level, kind, rounds)
            results.append(of_locks(mode, level, locks))
    return results
