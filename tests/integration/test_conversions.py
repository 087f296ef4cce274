"""Conversions, end to end: what each makes of values arrives in DynamoDB as the oracle has it from
Python's own libraries, and what it does not take is a dead letter that says why."""

import random
import uuid

import pytest

from harness import eventually

pytestmark = pytest.mark.engine

SPACE = "library.example.org"

COLUMNS = {
    "flag": ("BOOLEAN", "bool"),
    "word": ("TEXT", "bool"),
    "at": ("INTEGER", "timestamp"),
    "unix": ("REAL", "timestamp(unix)"),
    "ms": ("INTEGER", "timestamp(ms)"),
    "day": ("REAL", "timestamp(julian)"),
    "written": ("TEXT", "timestamp"),
    "expires": ("TEXT", None),
    "doc": ("TEXT", "json"),
    "data": ("JSON", "json"),
    "label": ("REAL", "string"),
    "price": ("TEXT", "number"),
    "owner": ("INTEGER", f"uuid5({SPACE}:users)"),
    "raw": ("TEXT", "binary"),
}
DEEP = "[" * 31 + "1" + "]" * 31
GOOD = {
    "flag": [0, 1, None],
    "word": ["true", "No", "1", "off", None],
    "at": [0, 1700000000, 1700000000123, -1, 99999999999, 100000000000, None],
    "unix": [0.0, 1700000000.0005, -0.5, 1e10, 253402300799.999],
    "ms": [0, 1700000000123, -62135596800000],
    "day": [2440587.5, 2460310.123456, 5373484.49999],
    "written": ["2024-02-29", "2024-02-29 23:59:59.9996", "1969-07-20T20:17:40Z",
                "2024-01-01 00:00:00 -05:30", None],
    "expires": ["2099-01-01", "2024-01-01 00:00:00.9", None],
    "doc": ['{"a": [1.10, -0, 1E5, true, null, "ü\\u0000\\ud83d\\ude00"], "b": {}, "c": []}', "7",
            '"text"', "12345678901234567890.12345", DEEP, "null", None],
    "data": [5, 1.5, '{"x": 1}', "[]"],
    "label": [3.0, -0.0, float("inf"), float("-inf"), 1e300, 0.1, 5e-324],
    "price": ["12.50", "+007", "0.10000000000000000000000000000000000001", "1e-130", "9.99e125", ".5"],
    "owner": [1, 2**63 - 1, None],
    "raw": ["", "text", "\x00"],
}
BAD = {
    "flag": [2, "yes", b"1"],
    "word": ["perhaps", ""],
    "at": [2**62],
    "unix": [1e300, "2024-01-01"],
    "ms": [2**62],
    "day": [-1.0, 5373485.0],
    "written": ["2023-02-29", "now", "12:00", "1700000000"],
    "expires": ["never"],
    "doc": ["{", '{"a":1,"a":2}', "[" + DEEP + "]", '"\\ud800"', "1e126", "01", b"{}", '{"":1}'],
    "data": ["{'a': 1}"],
    "label": ["Infinity", b"x"],
    "price": ["12,50", "", "1e126", " 1", "123456789012345678901234567890123456789"],
    "owner": [b"\x01"],
}


def section():
    keys = {f"convert.{name}": conversion for name, (_, conversion) in COLUMNS.items() if conversion}
    return {**keys, "ttl_column": "expires", "keep_key": "yes", "convert.id": f"uuid5({SPACE}:things)",
            "default.written": "1970-01-01", "add.isPublicKey": "{flag}", "add.kind": "THING",
            "add.title": "{word}/{owner}"}


def create(mirror):
    columns = ", ".join(f"{name} {declared}" for name, (declared, _) in COLUMNS.items())
    mirror.sql(f"CREATE TABLE things(id INTEGER PRIMARY KEY, {columns})")


def insert(mirror, rows):
    names = ["id", *COLUMNS]
    mirror.many(f"INSERT INTO things({', '.join(names)}) VALUES({', '.join('?' * len(names))})",
                [[row.get(n) for n in names] for row in rows])


def test_every_conversion_arrives(mirror):
    mirror.configure({"table things": section()})
    create(mirror)
    mirror.start().wait()
    rows = [{"id": 1000 * i + k, name: value}
            for i, (name, values) in enumerate(GOOD.items()) for k, value in enumerate(values)]
    rng = random.Random(7)
    rows += [{"id": 10**6 + i, **{name: rng.choice(values) for name, values in GOOD.items()}}
             for i in range(300)]
    insert(mirror, rows)
    mirror.settle()
    assert mirror.dead_letters() == []
    key = str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_DNS, SPACE), "things:1000"))
    item = mirror.client.get_item(TableName=mirror.target("things"), Key={"id": {"S": key}})["Item"]
    assert item["_key_id"] == {"N": "1000"} and item["word"] == {"BOOL": True}
    # Deletes and changes find the items of converted keys.
    mirror.sql("DELETE FROM things WHERE id % 3 = 0", "UPDATE things SET id = id + 5000000 WHERE id % 5 = 1",
               "REPLACE INTO things(id, price) VALUES(1000, '9.90')")
    mirror.settle()


def test_what_is_not_taken_is_a_dead_letter_with_its_reason(mirror):
    mirror.configure({"table things": section()})
    create(mirror)
    mirror.start().wait()
    rows = [{"id": 1000 * i + k, name: value}
            for i, (name, values) in enumerate(BAD.items()) for k, value in enumerate(values)]
    insert(mirror, rows)
    letters = eventually(lambda: len(mirror.dead_letters()) == len(rows) and mirror.dead_letters())
    at = {row["id"]: next(n for n in row if n != "id") for row in rows}
    for letter in letters:
        number = int(letter["key"].removeprefix("id="))
        assert letter["table"] == "things" and letter["column"] == at[number], letter
        value = next(row for row in rows if row["id"] == number)[at[number]]
        if isinstance(value, str) and len(value) > 3:
            assert value not in letter["message"], "the content is nobody's business"
    mirror.settle()
    mirror.sql("UPDATE things SET " + ", ".join(f"{name} = NULL" for name in BAD))
    mirror.settle()
    assert mirror.dead_letters() == []


def test_references_follow_and_a_changed_conversion_is_compared(mirror):
    users, books = f"uuid5({SPACE}:users)", f"uuid5({SPACE}:books)"
    mirror.configure({"table users": {"convert.id": users},
                      "table books": {"convert.id": books, "convert.user_id": users}})
    mirror.sql("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)",
               "CREATE TABLE books(id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users)")
    mirror.many("INSERT INTO users VALUES(?, ?)", [(i, f"u{i}") for i in range(50)])
    mirror.many("INSERT INTO books VALUES(?, ?)", [(i, i % 50) for i in range(200)])
    mirror.start().wait()
    mirror.settle()
    ids = {item["id"] for item in mirror.items("users")}
    assert {item["user_id"] for item in mirror.items("books")} == ids and len(ids) == 50
    mirror.stop()
    mirror.configure({"table books": {"convert.user_id": "string", "add.kind": "BOOK"}})
    mirror.start().wait()
    mirror.settle()
    assert {item["user_id"] for item in mirror.items("books")} == {str(i) for i in range(50)}


def test_machines_share_a_table_by_their_source_id(mirror):
    mirror.configure({"source": {"source_id": "edge-7"},
                      "table t": {"partition_key": "{source_id}#{id}", "add.machine": "{source_id}"}})
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    mirror.start().wait()
    mirror.sql("INSERT INTO t VALUES(1, 'x')")
    mirror.settle()
    assert mirror.items("t") == [{"pk": "edge-7#1", "id": 1, "v": "x", "machine": "edge-7"}]


def test_a_reload_takes_a_changed_mapping_only_when_told_to(mirror):
    mirror.sql("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, born INTEGER)",
               "CREATE TABLE other(id INTEGER PRIMARY KEY)")
    mirror.many("INSERT INTO users VALUES(?, 'u', ?)", [(i, i * 10**8) for i in range(40)])
    mirror.start().wait()
    mirror.settle()
    mirror.configure({"table users": {"convert.born": "timestamp(unix)"}})
    refused = mirror.ctl("reload")
    assert refused.returncode == 2
    assert 'table "users".convert changed' in refused.stderr
    assert '40 of "users"' in refused.stderr and "other" not in refused.stderr
    assert "syncctl reload --apply" in refused.stderr
    assert type(mirror.by_id("users")[1]["born"]) is not str
    taken = mirror.ctl("reload", "--apply")
    assert taken.returncode == 0 and "convert" in taken.stdout, taken.stderr
    mirror.settle()
    assert mirror.by_id("users")[1]["born"] == "1973-03-03T09:46:40.000Z"
    # Another key, in another DynamoDB table.
    mirror.configure({"table users": {"partition_key": "USER#{id}", "sort_key": "PROFILE",
                                      "target": mirror.prefix + "app"}})
    assert mirror.ctl("reload").returncode == 2
    assert mirror.ctl("reload", "--apply").returncode == 0
    mirror.settle()
    # What could not be mirrored is not taken at all.
    mirror.configure({"table users": {"partition_key": "USER#{nope}"}})
    refused = mirror.ctl("reload", "--apply")
    assert refused.returncode == 2 and "nope" in refused.stderr
    mirror.sql("DELETE FROM users WHERE id < 20")
    mirror.configure({"table users": {"partition_key": "USER#{id}"}})
    mirror.settle()
