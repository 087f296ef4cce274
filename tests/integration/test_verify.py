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


def fill(mirror, rows=600, mode="delete"):
    mirror.sql("PRAGMA journal_mode = " + mode, SCHEMA)
    mirror.many(
        "INSERT INTO t VALUES(?, ?, ?, ?, ?)",
        [
            (i, "name %d" % i, i / 4, bytes([i % 256]) * 3 if i % 3 else None, 100 * i)
            for i in range(rows)
        ],
    )


def verify_once(mirror):
    return json.loads(mirror.ctl("--json", "verify").stdout)


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
    fill(mirror, mode="wal")
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
    # Its keys do not tell whose an item is, but there were none before the first of ours.
    report = verify(mirror, "--delete-extra", code=1)
    assert (report["handed_over"], report["not_ours"]) == (29, 0)
    mirror.wait()
    eventually(lambda: verify_once(mirror)["equal"], "the extras being deleted")
    mirror.settle()


@pytest.mark.engine
def test_what_nothing_says_is_ours_is_foreign_and_stays(mirror):
    fill(mirror, 100)
    client, table = mirror.client, mirror.target("t")
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    client.get_waiter("table_exists").wait(TableName=table)
    client.put_item(TableName=table, Item={"id": {"N": "7000"}, "name": {"S": "theirs"}})
    assert mirror.ctl("attach", "--adopt").returncode == 0
    mirror.start().wait()
    client.put_item(TableName=table, Item={"id": {"N": "7001"}, "name": {"S": "theirs, later"}})
    for arguments in ((), ("--delete-extra",), ("--sample", "50", "--delete-extra")):
        report = verify(mirror, *arguments)
        assert report["equal"] and report["differences"] == [] and report["handed_over"] == 0
        assert "--sample" in arguments or report["tables"][0]["foreign"] == 2
    # One that was written from here is ours, there as anywhere.
    mirror.sql("DELETE FROM t WHERE id = 5")
    mirror.wait()
    eventually(lambda: mirror.status()["converged"], "convergence")
    assert sorted(i["id"] for i in mirror.items("t") if i["id"] >= 100) == [7000, 7001]


@pytest.mark.engine
def test_what_machines_share_is_never_ours_alone(mirror):
    mirror.configure(
        {
            "source": {"source_id": "berlin"},
            "table t": {"partition_key": "{source_id}#{id}", "partition_key_name": "pk"},
        }
    )
    fill(mirror, 100)
    mirror.start().wait()
    for key in ("berlin#900", "paris#900"):
        mirror.client.put_item(TableName=mirror.target("t"), Item={"pk": {"S": key}})
    report = verify(mirror, "--delete-extra", code=1)
    assert found(report) == [("extra", "t", '{"pk":{"S":"berlin#900"}}')]
    assert (report["handed_over"], report["tables"][0]["foreign"]) == (1, 1)
    mirror.wait()
    eventually(lambda: verify_once(mirror)["equal"], "the extra being deleted")
    assert "paris#900" in {i["pk"] for i in mirror.items("t")}


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



SHARED = {
    "table users": {
        "target": "shared",
        "partition_key": "USER#{id}",
        "sort_key": "PROFILE",
        "partition_key_name": "pk",
        "sort_key_name": "sk",
    },
    "table messages": {
        "target": "shared",
        "partition_key": "USER#{user_id}",
        "sort_key": "MSG#{id}",
        "partition_key_name": "pk",
        "sort_key_name": "sk",
    },
}


def test_tables_that_share_one(faulty, fault):
    """Templates tell whose an item is: extras go, those of others stay."""
    faulty.configure({name: dict(keys) for name, keys in SHARED.items()})
    faulty.sql(
        "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE messages(id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, body TEXT)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)"
        " INSERT INTO users SELECT i, 'user ' || i FROM n",
        "INSERT INTO messages SELECT id * 10, id, 'hello' FROM users",
    )
    faulty.start().wait()
    assert verify(faulty)["equal"]

    def key(pk, sk):
        return {"pk": {"S": pk}, "sk": {"S": sk}}

    put = fault.tables.put
    put("shared", {**key("USER#900", "PROFILE"), "id": {"N": "900"}})
    put("shared", {**key("USER#3", "MSG#31"), "id": {"N": "31"}, "user_id": {"N": "3"}})
    put("shared", {**key("USER#4", "MSG#40"), "id": {"N": "41"}, "user_id": {"N": "4"}, "body": {"S": "hello"}})
    put("shared", {**key("USER#x", "PROFILE"), "id": {"N": "1"}})
    put("shared", key("ORDER#1", "PROFILE"))
    fault.tables.remove("shared", key("USER#5", "PROFILE"))
    report = verify(faulty, code=1)
    assert found(report) == [
        ("different", "messages", "id=40"),
        ("extra", "messages", '{"pk":{"S":"USER#3"},"sk":{"S":"MSG#31"}}'),
        ("extra", "users", '{"pk":{"S":"USER#900"},"sk":{"S":"PROFILE"}}'),
        ("missing", "users", "id=5"),
    ]
    assert sum(t["foreign"] for t in report["tables"]) == 2
    # Of one table alone.
    assert {d["table"] for d in verify(faulty, "users", code=1)["differences"]} == {"users"}
    report = verify(faulty, "--repair", "--delete-extra", code=1)
    assert (report["handed_over"], report["not_ours"]) == (4, 0)
    faulty.wait()
    report = verify(faulty)
    assert report["equal"] and sum(t["foreign"] for t in report["tables"]) == 2
    left = {k for k in fault.items("shared") if "ORDER" in str(k) or "USER#x" in str(k)}
    assert len(left) == 2


def test_extras_that_are_too_many_are_held(faulty, fault):
    faulty.configure({name: dict(keys) for name, keys in SHARED.items()})
    faulty.configure({"sync": {"hold_deletes": "5%"}})
    faulty.sql(
        "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)",
        "INSERT INTO users VALUES(1, 'a'), (2, 'b')",
    )
    faulty.start().wait()
    for i in range(10, 20):
        fault.tables.put(
            "shared",
            {"pk": {"S": "USER#%d" % i}, "sk": {"S": "PROFILE"}, "id": {"N": str(i)}},
        )
    assert verify(faulty, "--delete-extra", code=1)["handed_over"] == 10
    eventually(lambda: "held" in faulty.reasons(), "the sweep being held")
    assert len(fault.items("shared")) == 12
    faulty.ctl("approve")
    eventually(lambda: len(fault.items("shared")) == 2, "the extras being deleted")
    eventually(lambda: verify(faulty)["equal"], "both sides being equal")


def test_the_service_misbehaves(faulty, fault):
    fill(faulty, 300)
    faulty.start().wait()
    table = faulty.target("t")
    for i in range(0, 100, 2):
        fault.tables.remove(table, {"id": {"N": str(i)}})
    fault.tables.put(table, {"id": {"N": "999"}})
    expected = sorted(
        [("extra", "t", '{"id":{"N":"999"}}')]
        + [("missing", "t", "id=%d" % i) for i in range(0, 100, 2)]
    )
    fault.tables.page_items, fault.tables.empty_pages, fault.tables.most_keys = 7, True, 17
    for seed, kind in enumerate(
        ("throttling", "internal", "reset_after_read", "bad_crc", "truncated", "not_json", "skew")
    ):
        for op in ("Scan", "BatchGetItem"):
            fault.faults.add(Fault(kind, op=op, fraction=0.04, seed=seed))
    fault.faults.add(Fault("expired_token", op="Scan", times=2))
    # Throttling is waited for in seconds: it is tested by the calls' own tests.
    fault.faults.add(Fault("throttling", op="Scan", times=1))
    assert found(verify(faulty, code=1)) == expected
    # An engine that ignores segments: nothing is counted more than once.
    fault.faults.clear()
    fault.tables.ignore_segments = True
    report = verify(faulty, code=1)
    assert found(report) == expected
    assert report["tables"][0]["items"] == 251


def test_what_is_past_its_time_to_live(faulty, fault):
    faulty.configure({"table t": {"ttl_column": "ends"}})
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, ends INTEGER)")
    faulty.many("INSERT INTO t VALUES(?, ?)", [(i, 1000 if i % 2 else 4_000_000_000) for i in range(20)])
    faulty.start().wait()
    table = faulty.target("t")
    fault.tables.remove(table, {"id": {"N": "1"}})
    fault.tables.remove(table, {"id": {"N": "2"}})
    fault.tables.put(table, {"id": {"N": "101"}, "ends": {"N": "1000"}})
    fault.tables.put(table, {"id": {"N": "102"}, "ends": {"N": "4000000000"}})
    report = verify(faulty, code=1)
    assert found(report) == [("extra", "t", '{"id":{"N":"102"}}'), ("missing", "t", "id=2")]
    assert report["tables"][0]["expired"] == 2


CONVERTED = {
    "table books": {
        "convert.id": "uuid5(6ba7b810-9dad-11d1-80b4-00c04fd430c8:book)",
        "convert.ok": "bool",
        "convert.doc": "json",
        "convert.at": "timestamp",
        "rename.at": "createdAt",
        "add.copy": "{ok}",
    }
}


def test_converted_keys_and_values(faulty, fault):
    """A key that cannot be turned back is found from its row."""
    faulty.configure(CONVERTED)
    faulty.sql(
        "CREATE TABLE books(id INTEGER PRIMARY KEY, ok INTEGER, doc TEXT, at INTEGER)",
        """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
        INSERT INTO books SELECT i, i % 2, '{"a":[1.50,' || i || ']}', 1700000000 + i FROM n""",
    )
    faulty.start().wait()
    report = verify(faulty)
    assert report["equal"] and report["tables"][0]["items"] == 40
    table = faulty.target("books")
    items = sorted(fault.items(table).values(), key=lambda i: i["createdAt"]["S"])
    fault.tables.remove(table, {"id": items[0]["id"]})
    fault.tables.put(table, dict(items[1], doc={"M": {"a": {"L": [{"N": "1.5"}, {"N": "2.00"}]}}}))
    fault.tables.put(table, dict(items[2], ok={"BOOL": False}))
    fault.tables.put(table, dict(items[3], id={"S": "no-uuid-of-ours"}))
    report = verify(faulty, "--repair", code=1)
    assert found(report) == [
        ("different", "books", "id=3"),
        ("extra", "books", '{"id":{"S":"no-uuid-of-ours"}}'),
        ("missing", "books", "id=1"),
    ]
    faulty.wait()
    assert [d["kind"] for d in verify(faulty, code=1)["differences"]] == ["extra"]


def test_rows_that_are_several_items(faulty, fault):
    """Compressed and split rows: head and chunks are each compared, and mended."""
    faulty.configure({"table docs": {"oversize": "split"}})
    faulty.sql("CREATE TABLE docs(a TEXT, b TEXT, body BLOB, PRIMARY KEY(a, b))")
    noise = random.Random(3)
    faulty.many(
        "INSERT INTO docs VALUES(?, ?, ?)",
        [("k", "split", noise.randbytes(900_000)), ("k", "packed", b"x" * 900_000), ("k", "plain", b"x")],
    )
    faulty.start().wait()
    report = verify(faulty)
    assert report["equal"]
    figures = report["tables"][0]
    assert figures["rows"] == 3 and figures["dead_letters"] == 0 and figures["items"] > 8
    table = faulty.target("docs")
    chunks = sorted(i["b"]["S"] for i in fault.items(table).values() if "_syncd_chunk" in i)
    items = {i["b"]["S"]: i for i in fault.items(table).values()}
    fault.tables.remove(table, {"a": {"S": "k"}, "b": {"S": chunks[2]}})
    fault.tables.put(table, dict(items[chunks[4]], _syncd_chunk={"B": "AAAA"}))
    stale = chunks[0].split("~syncd~")[0] + "~syncd~" + "0" * 32 + "~0000"
    fault.tables.put(table, dict(items[chunks[0]], b={"S": stale}))
    report = verify(faulty, "--repair", "--delete-extra", code=1)
    assert [(d["kind"], d["key"]) for d in sorted(report["differences"], key=lambda d: d["kind"])][:3] == [
        ("different", "a='k', b='split' chunk 4"),
        ("extra", "a='k', b='split' chunk 0"),
        ("missing", "a='k', b='split' chunk 2"),
    ]
    faulty.wait()
    eventually(lambda: verify(faulty)["equal"], "both sides being equal")
    faulty.sql("UPDATE docs SET body = x'00' WHERE b = 'split'")
    faulty.wait()
    assert verify(faulty)["tables"][0]["items"] == 3


def test_a_sample(faulty, fault):
    fill(faulty, 500)
    faulty.start().wait()
    table = faulty.target("t")
    report = verify(faulty, "--sample", "40")
    figures = report["tables"][0]
    assert figures["rows"] == 40 and 30 <= figures["items"] <= 40
    assert figures["read_units"] < 100
    for i in range(0, 500, 2):
        fault.tables.remove(table, {"id": {"N": str(i)}})
        fault.tables.put(table, {"id": {"N": "%d.5" % i}})
    kinds = {d["kind"] for d in verify(faulty, "--sample", "100", code=1)["differences"]}
    assert kinds == {"missing", "extra"}
    # More than there are: every row.
    report = verify(faulty, "--sample", "1000", "--repair", code=1)
    assert report["tables"][0]["rows"] == 500 and report["handed_over"] == 250
    faulty.wait()
    assert len(fault.items(table)) == 750


def test_without_a_daemon(faulty, fault):
    fill(faulty, 50)
    faulty.start().wait()
    faulty.stop()
    assert verify(faulty)["equal"]
    faulty.sql("UPDATE t SET name = 'new' WHERE id = 3", "DELETE FROM t WHERE id = 4")
    fault.tables.remove(faulty.target("t"), {"id": {"N": "9"}})
    report = verify(faulty, code=1)
    assert found(report) == [("missing", "t", "id=9")]
    assert report["tables"][0]["unsettled"] == 2
    assert "journal" in report["unsettled_reason"]
    done = faulty.ctl("verify", "--repair")
    assert done.returncode == 3 and "there is no daemon to hand keys over to" in done.stderr


def test_a_table_that_is_not_settled_is_not_judged(faulty, fault):
    fill(faulty, 50)
    faulty.start().wait()
    faulty.ctl("pause")
    faulty.sql("UPDATE t SET name = 'new' WHERE id < 5")
    report = verify(faulty, code=1)
    assert report["differences"] == [] and report["tables"][0]["unsettled"] == 5
    assert "paused" in report["unsettled_reason"]
    faulty.request("POST", "/v1/resync?table=t&full=1")
    fault.tables.remove(faulty.target("t"), {"id": {"N": "9"}})
    assert verify(faulty, code=1)["differences"] == []
    faulty.ctl("resume")
    faulty.wait()
    assert verify(faulty)["equal"]


def test_what_is_unconfirmed_is_not_judged(faulty, fault):
    faulty.configure({"sync": {"unconfirmed_horizon": "5m"}})
    fill(faulty, 5)
    faulty.start().wait()
    fault.faults.add(Fault("reset_after_apply"))
    faulty.sql("INSERT INTO t(id) VALUES(7)")
    faulty.wait()
    assert faulty.status()["totals"]["unconfirmed"] == 1
    fault.tables.remove(faulty.target("t"), {"id": {"N": "7"}})
    report = verify(faulty, code=1)
    assert report["differences"] == [] and report["tables"][0]["unsettled"] == 1
    assert "unconfirmed" in report["unsettled_reason"]


def test_dead_letters_are_known(faulty):
    faulty.sql(
        SCHEMA,
        "INSERT INTO t VALUES(1, 'a', 9e999, NULL, 1), (2, 'b', 1, NULL, 2), (3, 'c', 1, NULL, 3)",
    )
    faulty.start().wait()
    assert verify(faulty)["tables"][0]["dead_letters"] == 1
    faulty.sql("UPDATE t SET score = -9e999 WHERE id = 2")
    faulty.sql(("UPDATE t SET data = ? WHERE id = 3", (b"x" * 2_000_000,)))
    faulty.wait()
    report = verify(faulty)
    assert report["equal"] and report["tables"][0]["dead_letters"] == 3


def test_a_row_that_waits_for_its_key_hides_no_other(faulty, fault):
    """Of two rows at one key one has the item; the other, a dead letter, says nothing of it."""
    faulty.configure({"table seats": {"partition_key": "place"}})
    faulty.sql(
        "CREATE TABLE seats(id INTEGER PRIMARY KEY, place TEXT, guest TEXT)",
        "INSERT INTO seats VALUES(1, 'window', 'Ada'), (2, 'aisle', 'Bo')",
    )
    faulty.start().wait()
    faulty.sql("INSERT INTO seats VALUES(3, 'window', 'Cy')")
    faulty.wait()
    assert [letter["reason"] for letter in faulty.dead_letters()] == ["key_taken"]
    for arguments in (), ("--sample", "10"):
        report = verify(faulty, *arguments)
        assert report["equal"] and report["tables"][0]["dead_letters"] == 1, report
    fault.tables.remove(faulty.target("seats"), {"place": {"S": "window"}})
    for arguments in (), ("--sample", "10"):
        assert found(verify(faulty, *arguments, code=1)) == [("missing", "seats", "id=1")]


def test_a_row_that_the_service_refused_is_a_dead_letter(faulty, fault):
    faulty.sql(SCHEMA)
    faulty.start().wait()
    fault.faults.add(Fault("poison", times=None))
    faulty.sql("INSERT INTO t(id) VALUES(7)")
    eventually(faulty.dead_letters, "a dead letter")
    fault.faults.clear()
    report = verify(faulty)
    assert report["differences"] == [] and report["tables"][0]["dead_letters"] == 1


@pytest.mark.parametrize(
    "kind, arguments, code, part",
    [
        ("access_denied", (), 3, "dynamodb:Scan is not allowed; `syncctl iam-policy`"),
        ("not_found", (), 3, "does not exist (in this region and account)"),
        ("unrecognized_client", (), 3, "security token"),
        (None, ("nosuch",), 2, 'no table "nosuch" is mirrored'),
        (None, ("--rate", "x"), 2, "--rate takes a number"),
        (None, ("--sample", "0"), 2, "--sample takes a number"),
    ],
)
def test_what_cannot_be_done_is_said(faulty, fault, kind, arguments, code, part):
    fill(faulty, 5)
    if kind:
        words = {"access_denied": "User: x is not authorized to perform: dynamodb:Scan"}
        message = {"message": words[kind]} if kind in words else {}
        fault.faults.add(Fault(kind, op="Scan", times=None, **message))
    done = faulty.ctl("verify", *arguments)
    assert done.returncode == code and part in done.stderr, done.stderr


def test_another_region_has_no_such_table(faulty):
    fill(faulty, 5)
    done = faulty.ctl("--region", "us-west-2", "verify")
    assert done.returncode == 3
    assert "does not exist (in this region and account)" in done.stderr


def test_interrupted_nothing_is_left(faulty, fault):
    fill(faulty, 50)
    faulty.start().wait()
    files = set(os.listdir(faulty.dir))
    fault.faults.add(Fault("hold", op="Scan", times=None))
    process = subprocess.Popen(
        [SYNCCTL, "--config", faulty.config, "--socket", faulty.socket, "verify"],
        env=faulty.environment,
        stdout=subprocess.DEVNULL,
    )
    eventually(fault.held, "a scan being under way")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == -signal.SIGINT
    assert set(os.listdir(faulty.dir)) == files
    fault.faults.clear()
    fault.release()
    assert verify(faulty)["equal"]


def test_the_rate_is_kept(faulty, fault):
    """50 items of 4 KB are 50 units: at 100 a second the clock of the service must tell."""
    faulty.sql(SCHEMA)
    faulty.many("INSERT INTO t(id, data) VALUES(?, ?)", [(i, bytes(3900)) for i in range(50)])
    faulty.start().wait()
    began = time.monotonic()
    report = verify(faulty, "--rate", "50")
    assert report["equal"] and report["tables"][0]["read_units"] >= 48
    assert time.monotonic() - began > 0.4


def test_people_read_it_too(faulty, fault):
    fill(faulty, 20)
    faulty.start().wait()
    assert faulty.table("t")["verified_at"] is None
    done = faulty.ctl("verify")
    assert done.returncode == 0
    noted = faulty.table("t")["verified_at"]
    assert noted and noted.endswith("Z")
    assert "t -> %s: equal; 20 rows, 20 items" % faulty.target("t") in done.stdout
    fault.tables.remove(faulty.target("t"), {"id": {"N": "3"}})
    fault.tables.put(faulty.target("t"), {"id": {"N": "4"}, "name": {"S": "other"}, "n": {"N": "400"}})
    done = faulty.ctl("verify", "--repair")
    assert done.returncode == 1
    assert "missing    t id=3\n" in done.stdout
    assert 'different  t id=4: data is absent, should be B 040404; name is S "other", should be S "name 4"' in done.stdout
    assert "not equal, 1 missing, 1 different; 20 rows, 19 items" in done.stdout
    assert "handed over to the daemon: 2" in done.stdout
    faulty.restart()
    assert faulty.table("t")["verified_at"] == noted


def diff(mirror, *key):
    done = mirror.ctl("--json", "diff", *key)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_diff_explains_a_row(faulty, fault):
    faulty.sql(
        SCHEMA,
        "CREATE TABLE p(a INTEGER, b TEXT, v TEXT, PRIMARY KEY(a, b))",
        "CREATE TABLE k(h BLOB PRIMARY KEY, v REAL)",
        "INSERT INTO t VALUES(7, 'it''s', 1.5, x'00ff', NULL)",
        "INSERT INTO p VALUES(1, 'x, y', 'v')",
        "INSERT INTO k VALUES(x'0aff', 9e999)",
    )
    faulty.start().wait()
    for key in ("7", "id=7", "ID='7'"):
        code, seen = diff(faulty, "t", key)
        assert (code, seen["equal"], seen["pending"], seen["in_journal"]) == (0, True, False, False)
        assert seen["should"] == seen["is"]
        assert seen["row"] == {"id": "7", "name": "'it's'", "score": "1.5", "data": "x'00ff'", "n": "NULL"}
    assert diff(faulty, "p", "b='x, y', a=1")[1]["equal"]
    code, seen = diff(faulty, "k", "x'0AFF'")
    assert code == 1 and "infinite" in seen["fault"] and seen["should"] is None is seen["is"]
    code, seen = diff(faulty, "t", "8")
    assert code == 0 and seen["row"] is seen["should"] is seen["is"] is None
    fault.tables.put(faulty.target("t"), {"id": {"N": "8"}, "name": {"S": "x"}})
    code, seen = diff(faulty, "t", "8")
    assert code == 1 and seen["row"] is None and seen["is"]["name"] == {"S": "x"}
    faulty.ctl("pause")
    faulty.sql("UPDATE t SET name = 'new' WHERE id = 7")
    eventually(lambda: diff(faulty, "t", "7")[1]["pending"], "the change being known to the daemon")
    code, seen = diff(faulty, "t", "7")
    assert code == 1 and seen["in_journal"] and seen["differing"] == ["name"]
    page = faulty.ctl("diff", "t", "7").stdout
    assert 'name is S "it\'s", should be S "new"' in page and "a write is on its way" in page
    faulty.ctl("resume")
    faulty.wait()
    faulty.stop()
    code, seen = diff(faulty, "t", "7")
    assert code == 0 and seen["pending"] is None and not seen["in_journal"]


@pytest.mark.parametrize(
    "arguments, part",
    [
        (("x", "1"), 'no table "x" is mirrored'),
        (("p", "1"), 'table "p" has rows by a=…,b=…'),
        (("p", "a=1"), "name each, with its value"),
        (("p", "a=1,a=2"), "name each, with its value"),
        (("p", "a=1,b='x"), "name each, with its value"),
        (("t",), "name a table and a key"),
    ],
)
def test_keys_that_are_none(faulty, arguments, part):
    faulty.sql(SCHEMA, "CREATE TABLE p(a INTEGER, b TEXT, PRIMARY KEY(a, b))")
    done = faulty.ctl("diff", *arguments)
    assert done.returncode == 2 and part in done.stderr
