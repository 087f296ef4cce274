"""Import: `syncctl import` of JSON Lines, beside `sqlite3 .import` of the same rows as CSV and the
script that one writes in Python for it (json.loads, one INSERT a record, one transaction).

All three into a table with an integer key of a new database in WAL mode, in turns. syncctl checks every
value, commits by short transactions that let others write, and keeps its place; no backup is made of the
empty database.
"""

import contextlib
import csv
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time

from report import result
from rig import SYNCCTL, BenchError, Rig

ROWS, ROUNDS = 500_000, 3
SCHEMA = ("CREATE TABLE bench(id INTEGER PRIMARY KEY, name TEXT, mail TEXT, city TEXT, amount REAL, "
          "quantity INTEGER, created_at TEXT)")
SCRIPT = """
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
names = ["id", "name", "mail", "city", "amount", "quantity", "created_at"]
with open(sys.argv[2], encoding="utf-8") as lines:
    for line in lines:
        record = json.loads(line)
        db.execute("INSERT INTO bench VALUES(?,?,?,?,?,?,?)", [record[n] for n in names])
db.commit()
"""


def write_files(lines, table):
    rng = random.Random(1)
    with open(lines, "w", encoding="utf-8") as out, \
            open(table, "w", encoding="utf-8", newline="") as cells:
        writer = csv.writer(cells)
        for i in range(ROWS):
            record = {"id": i, "name": "name %d" % i, "mail": "user%d@example.org" % i,
                      "city": rng.choice(["Berlin", "Paris", "Rome"]),
                      "amount": round(rng.random() * 1000, 2), "quantity": rng.randrange(100),
                      "created_at": "2023-01-01T00:00:00.000Z"}
            out.write(json.dumps(record) + "\n")
            writer.writerow(record.values())


def timed(rig, name, command):
    """Records a second into a new database, whose path stands for None in the command."""
    database = rig.database(name, schema=SCHEMA)
    began = time.monotonic()
    done = subprocess.run([database if word is None else word for word in command],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    took = time.monotonic() - began
    with contextlib.closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT count(*) FROM bench").fetchone()[0]
    if done.returncode != 0 or rows != ROWS:
        raise BenchError("%s put %d of %d rows in: %s" % (command[0], rows, ROWS, done.stdout[-500:]))
    return ROWS / took


def run(programs):
    with Rig(programs) as rig:
        lines, table = rig.path("bench.jsonl"), rig.path("bench.csv")
        write_files(lines, table)
        commands = {
            "syncctl": [SYNCCTL, "import", lines, "--to", None, "--table", "bench", "--no-backup"],
            "python": [sys.executable, "-c", SCRIPT, None, lines],
        }
        if shutil.which("sqlite3"):
            commands["sqlite3"] = ["sqlite3", None, ".mode csv", ".import %s bench" % table]
        rates = {name: [] for name in commands}
        for i in range(ROUNDS):
            for name, command in commands.items():
                rates[name].append(timed(rig, "%s-%d" % (name, i), command))
    ours = rates["syncctl"]
    results = [result("import.records_per_second", "records of JSON Lines imported", ours, "records/s",
                      note="%d rounds of %d" % (ROUNDS, ROWS))]
    for name, words in [("python", "a Python script of json and sqlite3"),
                        ("sqlite3", "sqlite3 .import of the same as CSV")]:
        if name in rates:
            results.append(result("import.%s" % name, words, rates[name], "records/s"))
            results.append(result("import.times_%s" % name, "import against it",
                                  [a / b for a, b in zip(ours, rates[name])], "times"))
    return results
