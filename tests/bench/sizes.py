"""Sizes: a first load over HTTPS of items of 1, 10 and 100 KB, against the perfect loop with as many bytes
in the same round. (Those of 240 bytes are first.py's.)"""

import contextlib
import random
import sqlite3
import statistics

import first
from report import result
from rig import Rig

SIZES = {1_000: 50_000, 10_000: 8_000, 100_000: 1_000}  # bytes: rows
ROUNDS = 3


def base(rig, size, rows):
    path = rig.database("base-%d" % size, schema="CREATE TABLE bench(id INTEGER PRIMARY KEY, body TEXT)")
    text = "".join(random.Random(size).choices("abcdefghijklmnopqrstuvwxyz ", k=size))
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO bench VALUES(?, ?)",
                       ((i, text[i % 100:] + text[:i % 100]) for i in range(1, rows + 1)))
    return path


def run(programs):
    results = []
    with Rig(programs) as rig:
        plain = rig.sink()
        for size, rows in SIZES.items():
            table = base(rig, size, rows)
            ours, limit = [], []
            for _ in range(ROUNDS):
                ours.append(first.load(rig, table, True, rows))
                limit.append(first.perfect(rig, table, plain, ours[-1]["item_bytes"]))
            name, words = "sizes.%d" % size, "items of %d KB" % (size // 1000)
            results += [
                result(name + ".cpu_us", words + ", processor time", [one["cpu_us"] for one in ours],
                       "us/item", note="%s items/s, %.0f MB/s; %.0f MB" % (
                           "{:,.0f}".format(statistics.median(one["rate"] for one in ours)),
                           statistics.median(one["rate"] * one["item_bytes"] for one in ours) / 1e6,
                           max(one["peak_mb"] for one in ours))),
                result(name + ".ratio", "  against the perfect loop",
                       [a["cpu_us"] / b["cpu_us"] for a, b in zip(ours, limit)], "times"),
            ]
    return results
