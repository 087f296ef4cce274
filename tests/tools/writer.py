#!/usr/bin/env python3
"""An application that writes all the time, whatever the schema is by now.

    writer.py DATABASE SEED LEFT_ALONE

LEFT_ALONE: patterns of tables that are not the application's, separated by commas. Lines on stdin:
"pause" (answered by a line of JSON: what was committed and what was tolerated so far, by message),
"resume", "stop". What an application meets during a migration is tolerated (tables and columns that
are not there for a moment, locks, constraints); everything else, and whatever names an object of the
mirror unless SEED ends in "+", ends the program with that error.
"""

import collections
import contextlib
import fnmatch
import json
import random
import select
import sqlite3
import sys

TOLERATED = ("no such table", "no such column", "has no column named", "database is locked",
             "database table is locked", "database schema has changed", "has been changed")
PACE = 0.02  # seconds between transactions: a busy application, not a test of locks
FULL = 120  # rows of a table, after which more are deleted than inserted


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


class Writer:
    def __init__(self, database, seed, left_alone):
        self.random = random.Random(seed)
        self.ours_may_be_missing = seed.endswith("+")
        self.left_alone = left_alone.split(",") + ["sqlite_*", "_syncd_*"]
        self.serial = self.committed = 0
        self.tolerated = collections.Counter()
        self.db = sqlite3.connect(database, timeout=10, isolation_level=None)
        self.db.execute("PRAGMA foreign_keys = ON")

    def tables(self):
        names = [row[0] for row in self.db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return [n for n in names if not any(fnmatch.fnmatch(n, p) for p in self.left_alone)]

    def value(self, table, declared, reference):
        self.serial += 1
        if reference:
            rows = self.db.execute("SELECT %s FROM %s ORDER BY random() LIMIT 1" % (
                quoted(reference[1] or "rowid"), quoted(reference[0]))).fetchone()
            return rows[0] if rows else None
        declared = declared.lower()
        if "int" in declared:
            return self.random.randrange(1000)
        if any(word in declared for word in ("dec", "num", "real", "float", "double")):
            return self.random.randrange(4000) / 4
        if "date" in declared or "time" in declared:
            return "2026-01-01 00:00:%02d" % self.random.randrange(60)
        return "w%d" % self.serial

    def columns(self, table):
        """(name, declared type, what it refers to) of the columns to write: not of a key of its own."""
        references = {row[3]: (row[2], row[4]) for row in
                      self.db.execute("PRAGMA foreign_key_list(%s)" % quoted(table))}
        rows = self.db.execute("PRAGMA table_info(%s)" % quoted(table)).fetchall()
        return [(row[1], row[2], references.get(row[1])) for row in rows
                if not row[5] or row[1] in references]

    def write(self):
        """One transaction of one to four statements."""
        self.db.execute("BEGIN IMMEDIATE")
        tables = self.tables()
        for _ in range(self.random.randint(1, 4) if tables else 0):
            self.statement(self.random.choice(tables))
        self.db.execute("COMMIT")
        self.committed += 1

    def statement(self, table):
        name = quoted(table)
        columns = self.columns(table)
        count, = self.db.execute("SELECT count(*) FROM %s" % name).fetchone()
        what = self.random.choices(["insert", "update", "delete"],
                                   [1, 3, 6] if count > FULL else [5, 3, 1])[0]
        victim = "rowid = (SELECT rowid FROM %s ORDER BY random() LIMIT 1)" % name
        if what == "delete":
            self.db.execute("DELETE FROM %s WHERE %s" % (name, victim))
            return
        if what == "update":
            columns = [self.random.choice(columns)]
        values = [self.value(table, declared, reference) for _, declared, reference in columns]
        names = [quoted(column[0]) for column in columns]
        if what == "update":
            self.db.execute("UPDATE %s SET %s = ? WHERE %s" % (name, names[0], victim), values)
        else:
            self.db.execute("INSERT INTO %s(%s) VALUES(%s)" % (
                name, ", ".join(names), ", ".join("?" * len(names))), values)

    def tolerates(self, error):
        text = str(error)
        if "_syncd_" in text and not self.ours_may_be_missing:
            return False
        return isinstance(error, sqlite3.IntegrityError) or any(t in text for t in TOLERATED)

    def attempt(self):
        try:
            self.write()
        except sqlite3.Error as error:
            if not self.tolerates(error):
                raise
            self.tolerated[str(error)] += 1
            if self.db.in_transaction:
                with contextlib.suppress(sqlite3.OperationalError):
                    self.db.execute("ROLLBACK")


def main():
    writer = Writer(*sys.argv[1:])
    # Unbuffered: select must see every line that was not read yet.
    commands = open(0, "rb", buffering=0)
    print("ready", flush=True)
    running = False
    while True:
        if not running or select.select([commands], [], [], PACE)[0]:
            command = commands.readline().decode().strip()
            if command in ("stop", ""):
                return
            running = command == "resume"
            if not running:
                print(json.dumps({"committed": writer.committed, "tolerated": writer.tolerated}),
                      flush=True)
            continue
        writer.attempt()


main()
