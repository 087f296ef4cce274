"""Instructions: what the triggers cost an application, exactly and repeatably.

Callgrind counts the user-space instructions of one loop (worker.c, `work`) on two copies of a
database, one of them after `syncctl attach`; WAL, synchronous=NORMAL, tables of 100,000 rows. With
text keys the order of rows is random. Tables with unique indexes of their own are measured too, and
have no limit. The ratio depends on how SQLite was built, as both counts do: LD_LIBRARY_PATH may lead
to another library than the system's.
"""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess

from report import result
from rig import SYNCCTL, BenchError, Rig

ROWS = 100_000
TABLES = {
    "integer": ("messages", "integer key"),
    "uuid": ("pairs", "UUID key, WITHOUT ROWID"),
    "unique1": ("readers", "integer key, one unique index"),
    "unique2": ("members", "integer key, two unique indexes"),
}
SCHEMA = (
    "CREATE TABLE messages(key INTEGER PRIMARY KEY, body TEXT);"
    "CREATE TABLE pairs(key TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID;"
    "CREATE TABLE readers(key INTEGER PRIMARY KEY, mail TEXT UNIQUE, body TEXT);"
    "CREATE TABLE members(key INTEGER PRIMARY KEY, mail TEXT UNIQUE, phone TEXT UNIQUE, body TEXT);"
)
SIZES = {"single": (1000, 1), "hundred": (50, 100)}  # transactions, rows in each
SIZE_WORDS = {"single": "row by row", "hundred": "100 rows a transaction"}
WORK = ("insert", "update", "delete")
# Times the instructions without triggers; the least favourable of the tables without unique indexes.
LIMITS = {("insert", "single"): 1.55, ("insert", "hundred"): 1.8}
COLLECTED = re.compile(r"Collected : (\d+)")


def worker(rig, database, table, *options):
    return [rig.programs["worker"], "--database", database, "--table", table, *options]


def count(rig, base, table, work, size):
    """Instructions a row, on a fresh copy of the database."""
    transactions, rows = SIZES[size]
    database = shutil.copy(base, rig.place("copy"))
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
               "--toggle-collect=work",
               *worker(rig, database, table, "--work", work,
                       "--transactions", str(transactions), "--rows", str(rows))]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    found = COLLECTED.search(done.stderr)
    for end in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(database + end)
    if done.returncode != 0 or not found or int(found.group(1)) == 0:
        raise BenchError("valgrind counted nothing: " + done.stderr.strip()[-400:])
    return int(found.group(1)) / (transactions * rows)


def attach(rig, database):
    config = rig.path("attach.conf")
    with open(config, "w", encoding="utf-8") as out:
        out.write("[source]\ndatabase = %s\n[dynamodb]\nregion = eu-test-1\n[state]\npath = %s\n"
                  "[control]\nsocket = %s\n" % (database, rig.path("state"), rig.path("sock")))
    done = subprocess.run([SYNCCTL, "--config", config, "attach"], env=rig.environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    with contextlib.closing(sqlite3.connect(database)) as db:
        triggers = dict(db.execute("SELECT tbl_name, count(*) FROM sqlite_schema WHERE "
                                   "type = 'trigger' AND name GLOB '_syncd_*' GROUP BY 1"))
    if done.returncode != 0 or any(not triggers.get(t) for t, _ in TABLES.values()):
        raise BenchError("syncctl attach did not put triggers in: " + done.stdout.strip())


def databases(rig):
    """Two databases with the same rows: without and with triggers."""
    bare = rig.database("bare", schema=SCHEMA)
    for table, _ in TABLES.values():
        subprocess.run(worker(rig, bare, table, "--fill", str(ROWS)), check=True)
    captured = shutil.copy(bare, rig.place("captured"))
    attach(rig, captured)
    return bare, captured


def run(programs):
    if not shutil.which("valgrind"):
        raise BenchError("valgrind is not installed")
    results = []
    with Rig(programs) as rig:
        bare, captured = databases(rig)
        for name, (table, words) in TABLES.items():
            for work in WORK:
                for size in SIZES:
                    without = count(rig, bare, table, work, size)
                    with_us = count(rig, captured, table, work, size)
                    limit = None if "unique" in name else LIMITS.get((work, size))
                    results.append(result(
                        "instructions.%s.%s.%s" % (name, work, size),
                        "%s, %s, %s" % (words, work, SIZE_WORDS[size]),
                        [with_us / without], "times", at_most=limit,
                        note="%s instructions a row more than %s" % (
                            "{:,.0f}".format(with_us - without), "{:,.0f}".format(without))))
    return results
