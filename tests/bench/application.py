"""The application's view: how long its own transactions take with the triggers in and the daemon
running, against the same on a database that was never attached.

A third database has the triggers but no daemon, which tells what the triggers cost from what the
daemon's company costs. In WAL and rollback mode, synchronous=NORMAL and FULL, with 1, 100 and 10,000
rows a transaction. The three take turns, in another order each round; ratios are medians of the ratios
within a round.

The three must not meet: each has its own directory, and a daemon that wakes while another database is
being written spoils the bench, which then says so. Each database is held open throughout, as a
long-lived application does, so that none pays for a new WAL file.
"""

import contextlib
import sqlite3
import statistics

from report import result
from rig import BenchError, Rig, context_switches, eventually, is_quiet, percentile

ROUNDS = 6
KINDS = {"single": (400, 1), "hundred": (40, 100), "myriad": (3, 10_000)}  # transactions, rows in each
WORDS = {"single": "1 row a transaction", "hundred": "100 rows", "myriad": "10,000 rows"}
MODES = {"wal": "WAL", "delete": "rollback"}
LEVELS = ("NORMAL", "FULL")
ARMS = ("never", "triggers", "mirrored")
STRAY_WAKEUPS = 50  # of the daemon, while it should know of nothing


def one_arm(rig, database, kind, level, first):
    transactions, rows = KINDS[kind]
    timings, busy = rig.write(
        database, first=first, transactions=transactions, rows=rows, synchronous=level)
    took = [(done - began) / 1e3 for _, began, done in timings]
    return {"p50": statistics.median(took), "p99": percentile(took, 99), "busy": busy}


def entries(database):
    """Of the journal, one of which stays for its end."""
    with contextlib.closing(sqlite3.connect(database, timeout=10)) as db:
        return db.execute("SELECT count(*) FROM _syncd_journal").fetchone()[0]


def one_turn(rig, databases, daemon, arm, kind, level, first):
    before = context_switches(daemon.pid)
    found = one_arm(rig, databases[arm], kind, level, first)
    woken = context_switches(daemon.pid) - before
    if arm == "mirrored":
        daemon.wait()
        # It empties the journal later, in rollback mode by seconds: not in the next arm's time.
        eventually(lambda: entries(databases[arm]) <= 1, "an empty journal", pause=0.1)
        eventually(lambda: is_quiet(daemon.pid, 0.2), "a quiet daemon")
    elif woken > STRAY_WAKEUPS:
        raise BenchError(
            "the daemon woke %d times while the database '%s', not its own, was written; the "
            "comparison is spoilt" % (woken, arm))
    return found


def measure(rig, sink, mode, level):
    """What each round found: [arm][kind]."""
    databases = {arm: rig.database(arm, rows=1000, mode=mode) for arm in ARMS}
    rig.daemon(databases["triggers"], rig.sink(), "triggers").wait().stop()
    daemon = rig.daemon(databases["mirrored"], sink, "mirrored").wait()
    rounds, first = [], 1_000_000
    with contextlib.ExitStack() as held:
        for path in databases.values():
            db = held.enter_context(contextlib.closing(sqlite3.connect(path)))
            db.execute("SELECT count(*) FROM bench").fetchone()
        for number in range(ROUNDS):
            order = ARMS[number % 3:] + ARMS[:number % 3]
            found = {arm: {} for arm in ARMS}
            for kind, (transactions, rows) in KINDS.items():
                for arm in order:
                    found[arm][kind] = one_turn(
                        rig, databases, daemon, arm, kind, level, first)
                first += transactions * rows
            rounds.append(found)
    daemon.stop()
    return rounds


def of_mode(mode, level, rounds):
    results = []
    for kind, words in WORDS.items():
        def times(arm, key, kind=kind):
            return [found[arm][kind][key] for found in rounds]

        def ratios(arm, key):
            return [with_us / without for with_us, without in zip(times(arm, key), times("never", key))]

        name = "application.%s.%s.%s" % (mode, level.lower(), kind)
        note = "medians %.1f us against %.1f; p99 %.2f times; triggers alone %.2f times; locks met: %d in %d" % (
            statistics.median(times("mirrored", "p50")), statistics.median(times("never", "p50")),
            statistics.median(ratios("mirrored", "p99")), statistics.median(ratios("triggers", "p50")),
            sum(times("mirrored", "busy")), ROUNDS * KINDS[kind][0])
        results.append(result(
            name + ".ratio_p50", "application, %s %s, %s" % (MODES[mode], level, words),
            ratios("mirrored", "p50"), "times", note=note))
    return results


def run(programs):
    results = []
    for mode in MODES:
        for level in LEVELS:
            with Rig(programs) as rig:
                results += of_mode(mode, level, measure(rig, rig.sink(), mode, level))
    return results
