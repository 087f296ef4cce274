"""syncctl verify, diff: what differs is found, all of it and nothing else, while both sides move."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from fault_rules import Fault
from harness import SYNCCTL, eventually, writer

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, score REAL, data BLOB, n INTEGER)"
# Rows from 1000 on come, change and go; those below are left alone.
BUSY = """
n = 0
while not stopping():
    n += 1
    db.execute("INSERT OR REPLACE INTO t VALUES(?, ?, ?, ?, ?)", (1000 + n % 500, "w%d" % n, n / 8, None, n))
    if n % 5 == 0:
        db.execute("DELETE FROM t WHERE id = ?", (1000 + n * 31 % 500,))
    if n % 11 == 0:
        db.execute("UPDATE OR REPLACE t SET id = id + 1 WHERE id = ?", (1000 + n * 17 % 499,))
    time.sleep(0.0005)
"""


def fill(mirror, rows=600):
    mirror.sql(SCHEMA)
    mirror.many(
        "INSERT INTO t VALUES(?, ?, ?, ?, ?)",
        [
            (i, "name %d" % i, i / 4, bytes([i % 256]) * 3 if i % 3 else None, 100 * i)
            for i in range(rows)
        ],
    )


def verify(mirror, *arguments, code=None):
    done = mirror.ctl("--json", "verify", *arguments)
    assert done.returncode == (0 if code is None else code), done.stdout + done.stderr
    return json.loads(done.stdout)


def found(report):
    return sorted((d["kind"], d["table"], d["key"]) for d in report["differences"])


def plant(mirror, seed=1):
    """200 differences of every kind, and 60 that are none: what verify must find."""
    chosen = random.Random(seed).sample(range(600), 230)
    table, client, expected = mirror.target("t"), mirror.client, []

    def key(i):
        return {"id": {"N": str(i)}}

    def change(i, expression, names, values=None):
        arguments = {"ExpressionAttributeValues": values} if values else {}
        client.update_item(
            TableName=table,
            Key=key(i),
            UpdateExpression=expression,
            ExpressionAttributeNames=names,
            **arguments
        )

    kinds = ["missing", "changed", "type", "added", "removed", "binary", "null"]
    for at, i in enumerate(chosen[:170]):
        kind = kinds[at % len(kinds)]
        if kind == "missing":
            client.delete_item(TableName=table, Key=key(i))
            expected.append(("missing", "t", "id=%d" % i))
            continue
        expected.append(("different", "t", "id=%d" % i))
        if kind == "changed":
            change(i, "SET #a = :v", {"#a": "name"}, {":v": {"S": "name %d " % i}})
        elif kind == "type":
            change(i, "SET #a = :v", {"#a": "n"}, {":v": {"S": str(100 * i)}})
        elif kind == "added":
            change(i, "SET #a = :v", {"#a": "more"}, {":v": {"SS": ["a", "b"]}})
        elif kind == "removed":
            change(i, "REMOVE #a", {"#a": "name"})
        elif kind == "binary":
            change(i, "SET #a = :v", {"#a": "data"}, {":v": {"B": b"other"}})
        else:
            change(i, "SET #a = :v", {"#a": "score"}, {":v": {"NULL": True}})
    for i in range(5000, 5030):
        client.put_item(TableName=table, Item={**key(i), "name": {"S": "nobody's"}})
        expected.append(("extra", "t", '{"id":{"N":"%d"}}' % i))
    for i in chosen[170:]:  # numbers that are equal by value
        change(i, "SET #a = :v", {"#a": "n"}, {":v": {"N": "%d.00E+2" % i}})
        change(i, "SET #a = :v", {"#a": "score"}, {":v": {"N": "%.6f" % (i / 4)}})
    assert len(expected) == 200
    return sorted(expected)


@pytest.mark.engine
def test_what_is_planted_is_found_and_nothing_else(mirror):
    fill(mirror)
    mirror.start().wait()
    with writer(mirror.database, BUSY):
        expected = plant(mirror)
        report = verify(mirror, code=1)
        assert found(report) == expected
        figures = report["tables"][0]
        assert (figures["missing"], figures["extra"]) == (
            sum(k == "missing" for k, _, _ in expected),
            30,
        )
        assert figures["missing"] + figures["extra"] + figures["different"] == 200
        # Mended by the daemon, while the application writes on.
        assert verify(mirror, "--repair", code=1)["handed_over"] == 170
        mirror.wait()
        report = verify(mirror, code=1)
        assert {d["kind"] for d in report["differences"]} == {"extra"}
        assert len(report["differences"]) == 30
    mirror.client.delete_item(TableName=mirror.target("t"), Key={"id": {"N": "5000"}})
    # The key of such a table does not tell whose an item is: what we never wrote stays.
    report = verify(mirror, "--delete-extra", code=1)
    assert (report["handed_over"], report["not_ours"]) == (0, 29)
    for i in range(5001, 5030):
        mirror.client.delete_item(TableName=mirror.target("t"), Key={"id": {"N": str(i)}})
    mirror.wait()
    assert verify(mirror)["differences"] == []
    mirror.settle()


@pytest.mark.engine
def test_no_false_alarm_while_both_sides_move(mirror):
    fill(mirror, 300)
    mirror.start()  # the load is still under way, perhaps
    with writer(mirror.database, BUSY), writer(mirror.database, BUSY.replace("1000", "1300")):
        for _ in range(4):
            report = json.loads(mirror.ctl("--json", "verify").stdout)
            assert report["differences"] == []
    mirror.wait()
    assert verify(mirror)["equal"]


