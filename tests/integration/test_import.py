"""`syncctl import`: records of files into tables. What must come out is worked out here, by Python's
own json and sqlite3."""

import base64
import contextlib
import datetime
import gzip
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
import uuid
from decimal import Decimal

import pytest

import harness
from harness import SYNCCTL, Mirror, eventually


class Place:
    """A directory with files and a database, and the program."""

    def __init__(self, path):
        self.path = str(path)
        self.database = os.path.join(self.path, "app.db")

    def file(self, name, content):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode("utf-8")
        with open(path, "wb") as out:
            out.write(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    def lines(self, name, records):
        return self.file(name, "".join(json.dumps(r) + "\n" for r in records))

    def sql(self, text, *parameters):
        with contextlib.closing(sqlite3.connect(self.database, isolation_level=None)) as db:
            return db.execute(text, parameters).fetchall()

    def script(self, text):
        with contextlib.closing(sqlite3.connect(self.database, isolation_level=None)) as db:
            db.executescript(text)

    def ctl(self, *arguments, code=0, **more):
        done = subprocess.run([SYNCCTL, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=120, cwd=self.path, **more)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def imported(self, *arguments, code=0, backup=False):
        options = [] if backup else ["--no-backup"]
        return json.loads(self.ctl("--json", "import", *arguments, "--to", self.database, *options,
                                   code=code).stdout)

    def refused(self, *arguments, code=2):
        return self.ctl("import", *arguments, "--to", self.database, "--no-backup", code=code).stderr

    def left_over(self):
        return sorted(n for n in os.listdir(self.path) if "import" in n) + self.sql(
            "SELECT name FROM sqlite_schema WHERE name GLOB '_syncd_*'")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def reasons(report):
    return [(os.path.basename(r["file"]), r["line"], r["reason"]) for r in report["refusals"]]


def counts(report, table):
    one = next(t for t in report["tables"] if t["table"] == table)
    return tuple(one[k] for k in ("read", "imported", "unchanged", "refused"))


RECORDS = [
    {"id": 1, "name": "Zoë 🙂", "price": 1.5, "good": True, "tags": ["a", {"b": None}], "at": None},
    {"id": 2, "name": "", "price": -3, "good": False, "tags": [], "at": "2024-02-29T12:00:00Z"},
    {"id": 3, "name": "x\n\"y\"\t\\", "price": 1e300, "good": True},
]
ROWS = [
    (1, "Zoë 🙂", 1.5, 1, '["a",{"b":null}]', None),
    (2, "", -3.0, 0, "[]", "2024-02-29T12:00:00Z"),
    (3, "x\n\"y\"\t\\", 1e300, 1, None, None),
]
THINGS = ("CREATE TABLE things(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, good INTEGER,"
          " tags TEXT, at TEXT) STRICT")


@pytest.mark.parametrize("name, content", [
    ("things.json", json.dumps(RECORDS)),
    ("things.json", json.dumps(RECORDS, indent=2)),
    ("things.jsonl", "\n".join(json.dumps(r) for r in RECORDS)),
    ("things.ndjson.gz", "".join(json.dumps(r, ensure_ascii=False) + "\r\n" for r in RECORDS)),
    ("things.json", "".join(json.dumps(r, indent=1) + "\n" for r in RECORDS)),
    ("things.json", json.dumps({str(r["id"]): {k: v for k, v in r.items() if k != "id"}
                                for r in RECORDS})),
    ("Things.json", "\ufeff" + json.dumps(RECORDS)),
])
def test_formats_are_told_by_content(place, name, content):
    place.script(THINGS)
    report = place.imported(place.file(name, content))
    assert report["clean"] and counts(report, "things") == (3, 3, 0, 0)
    assert place.sql("SELECT * FROM things ORDER BY id") == ROWS
    assert place.left_over() == []
    # Once more it finds all of it there.
    assert counts(place.imported(name), "things") == (3, 0, 3, 0)
    assert place.sql("SELECT count(*) FROM things") == [(3,)]


def test_extended_json_of_every_kind(place):
    place.script("CREATE TABLE t(_id TEXT PRIMARY KEY NOT NULL, v)")
    u = uuid.UUID("00112233-4455-4677-8899-aabbccddeeff")
    cases = [
        ({"$oid": "507f1f77bcf86cd799439011"}, "507f1f77bcf86cd799439011"),
        ({"$numberInt": "-7"}, -7), ({"$numberLong": "9223372036854775807"}, 2**63 - 1),
        ({"$numberDouble": "0.1"}, 0.1), ({"$numberDouble": "-Infinity"}, float("-inf")),
        ({"$numberDecimal": "0.30"}, 0.3), ({"$numberDecimal": "1234567890.12345678901234567890"},
                                            "1234567890.12345678901234567890"),
        ({"$date": "2023-01-01T00:00:00Z"}, "2023-01-01T00:00:00.000Z"),
        ({"$date": {"$numberLong": "-1"}}, "1969-12-31T23:59:59.999Z"),
        ({"$binary": {"base64": "AQI=", "subType": "00"}}, b"\1\2"),
        ({"$binary": {"base64": base64.b64encode(u.bytes).decode(), "subType": "04"}}, str(u)),
        ({"$timestamp": {"t": 1, "i": 2}}, '{"$timestamp":{"t":1,"i":2}}'),
        ({"$regularExpression": {"pattern": "^a", "options": "i"}},
         '{"$regularExpression":{"pattern":"^a","options":"i"}}'),
        ({"$minKey": 1}, '{"$minKey":1}'), ({"$undefined": True}, None), ({"$symbol": "s"}, "s"),
        ({"a": {"$date": {"$numberLong": "0"}}, "b": [{"$numberLong": "5"}, {"$numberDecimal": "1.50"}]},
         '{"a":"1970-01-01T00:00:00.000Z","b":[5,1.50]}'),
    ]
    for array in (False, True):
        records = [{"_id": {"$oid": "%024x" % i}, "v": v} for i, (v, _) in enumerate(cases)]
        path = (place.file("t.json", json.dumps(records)) if array else place.lines("t.json", records))
        assert place.imported(path)["clean"]
        assert place.sql("SELECT _id, v FROM t ORDER BY _id") == [
            ("%024x" % i, v) for i, (_, v) in enumerate(cases)]


def test_a_dynamodb_export(place):
    items = [{"Item": {"id": {"S": "k%d" % i}, "n": {"N": str(i) + ".25"}, "b": {"B": "AQI="},
                       "m": {"M": {"l": {"L": [{"N": "1.50"}, {"BOOL": True}]}}}, "z": {"NULL": True},
                       "s": {"SS": ["x", "y"]}}} for i in range(50)]
    base = "AWSDynamoDB/0123-abcd/"
    place.file(base + "manifest-summary.json", '{"itemCount":50}')
    place.file(base + "manifest-files.json", '{"itemCount":50,"dataFileS3Key":"x"}\n')
    for half in (0, 1):
        place.file(base + "data/part%d.json.gz" % half,
                   "".join(json.dumps(i) + "\n" for i in items[half::2]))
    place.script("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, n REAL, b BLOB, m TEXT, z, s TEXT) STRICT"
                 .replace("z,", "z ANY,"))
    report = place.imported("AWSDynamoDB", "--table", "t")
    assert report["clean"] and counts(report, "t") == (50, 50, 0, 0)
    assert place.sql("SELECT n, b, m, z, s FROM t WHERE id = 'k7'") == [
        (7.25, b"\1\2", '{"l":[1.5,true]}', None, '["x","y"]')]


def test_what_sqlite_refuses_is_listed_and_the_rest_goes_on(place):
    place.script("CREATE TABLE p(id INTEGER PRIMARY KEY);"
                 "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n > 0), "
                 "u TEXT UNIQUE, p INTEGER REFERENCES p(id)) STRICT;"
                 "CREATE TRIGGER tr BEFORE INSERT ON t WHEN NEW.n = 99 BEGIN "
                 "SELECT RAISE(ABORT, 'no ninety-nine'); END;"
                 "CREATE TRIGGER ig BEFORE INSERT ON t WHEN NEW.n = 98 BEGIN "
                 "SELECT RAISE(IGNORE); END; INSERT INTO p VALUES(1)")
    good = [{"id": i, "n": 1, "u": "u%d" % i} for i in range(1, 6)]
    bad = [{"id": 10}, {"id": 11, "n": 0}, {"id": 12, "n": "x"}, {"id": 13, "n": 1, "u": "u1"},
           {"id": 14, "n": 1, "p": 2}, {"id": 15, "n": 99}, {"id": 16, "n": 98}, {"id": 1, "n": 2},
           {"id": "a", "n": 1}, [1], {"id": 17, "n": 2**64}, {"other": 1}]
    order = [x for pair in zip(bad, good + [None] * 7) for x in pair if x is not None]
    report = place.imported(place.lines("t.jsonl", order), code=1)
    assert counts(report, "t") == (17, 5, 0, 12)
    assert place.sql("SELECT id FROM t") == [(i,) for i in range(1, 6)]
    told = {line: reason for _, line, reason in reasons(report)}
    for record, part in zip(bad, [
            "NOT NULL constraint failed: t.n", "CHECK constraint failed", "cannot store TEXT value",
            "UNIQUE constraint failed: t.u", 'column "p" refers to a row of "p" that is not there',
            "no ninety-nine", "a trigger of the table left it out",
            "UNIQUE constraint failed: t.id: a row has that already", "datatype mismatch",
            "not an object", 'column "n": the number 18446744073709551616', "none of its fields"]):
        line = order.index(record) + 1
        assert part in told[line], (record, told[line])
    page = place.ctl("import", "t.jsonl", "--to", place.database, "--no-backup", code=1)
    assert "imported: 5 of 17 records, 29.4 %" in page.stdout
    assert "t.jsonl:1: NOT NULL constraint failed: t.n" in page.stdout
    assert 'field "other" of 1 records has no column in t' in page.stdout


def test_existing_rows(place):
    place.script("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b TEXT)")
    place.sql("INSERT INTO t VALUES(1, 'old', 'kept')")
    path = place.lines("t.jsonl", [{"id": 1, "a": "new"}, {"id": 2, "a": "new"}])
    assert counts(place.imported(path, "--existing", "skip"), "t") == (2, 1, 0, 0)
    assert place.sql("SELECT a FROM t") == [("old",), ("new",)]
    assert counts(place.imported(path, "--existing", "update"), "t") == (2, 2, 0, 0)
    assert place.sql("SELECT * FROM t") == [(1, "new", "kept"), (2, "new", None)]


def test_names_paths_and_conversions(place):
    place.script("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, created_at TEXT, author TEXT, "
                 "seen INTEGER, flag INTEGER, doc TEXT, uid TEXT, raw BLOB, whole INTEGER "
                 "GENERATED ALWAYS AS (seen * 2))")
    record = {"_id": "k", "createdAt": 1672531200, "by": {"who": {"name": "A"}}, "Seen": "2023-01-01",
              "flag": "yes", "doc": "text", "uid": 1, "raw": "AQI=", "__v": 0, "lost": 1, "whole": 3}
    report = place.imported(
        place.lines("t.jsonl", [record]), "--map", "by.who.name=author", "--map", "__v=", "--convert",
        "created_at=timestamp", "--convert", "seen=epoch", "--convert", "flag=bool", "--convert",
        "doc=json", "--convert", "t:uid=uuid5(example.org:users)", "--convert", "raw=base64")
    assert place.sql("SELECT * FROM t") == [
        ("k", "2023-01-01T00:00:00.000Z", "A", 1672531200, 1, '"text"',
         str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_DNS, "example.org"), "users:1")), b"\1\2",
         2 * 1672531200)]
    assert report["tables"][0]["fields_left_out"] == {"lost": 1, "whole": 1, "by": 1}
    both = place.lines("b.jsonl", [{"id": "x", "createdAt": "1", "created-at": "2"}])
    assert "would both go to column" in reasons(place.imported(both, "--table", "t", code=1))[0][2]
    for wrong, part in [(["--map", "a=nowhere"], "none of the tables has such a column"),
                        (["--map", "t:a=sean"], 'no column "sean" that can be set, perhaps seen'),
                        (["--convert", "seen=epoche"], "is no conversion"),
                        (["--map", "a"], "is not FIELD=COLUMN"),
                        (["--table", "nowhere"], 'there is no table "nowhere"'),
                        (["--format", "xml"], "--format takes"),
                        (["--uuid", "uuid1"], "--uuid takes"),
                        (["--batch-size", "0"], "--batch-size takes"),
                        (["--resume", "--restart"], "exclude each other")]:
        assert part in place.refused("t.jsonl", *wrong)
    assert "say into which database" in place.ctl("import", "t.jsonl", code=2).stderr


def test_fields_without_end_are_counted_together(place):
    place.script("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    report = place.imported(place.lines("t.jsonl", [
        {"id": i, **{"f%d" % (i * 1000 + j): 1 for j in range(1000)}} for i in range(12)]))
    told = report["tables"][0]["fields_left_out"]
    assert report["clean"] and len(told) == 10000 and sum(told.values()) == 12000
    assert told["(others)"] == 2001


def test_keys_for_records_without_one(place):
    place.script("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, v INTEGER)")
    path = place.file("t.jsonl", '{"v": 1}\n{"v": 2, "id": null}\n{"v": 3, "id": "own"}\n')
    report = place.imported(path, code=1)
    assert counts(report, "t") == (3, 1, 0, 2) and "--uuid uuid4" in reasons(report)[0][2]
    for _ in range(2):  # the same the second time
        assert place.imported(path, "--uuid", "uuid5")["clean"]
    space = uuid.uuid5(uuid.NAMESPACE_DNS, "import.syncd")
    assert place.sql("SELECT id, v FROM t ORDER BY v") == [
        (str(uuid.uuid5(space, 't:{"v": 1}')), 1), (str(uuid.uuid5(space, 't:{"v": 2, "id": null}')), 2),
        ("own", 3)]
    place.script("CREATE TABLE r(id TEXT PRIMARY KEY NOT NULL, v INTEGER)")
    place.imported(path, "--table", "r", "--uuid", "uuid4")
    assert {uuid.UUID(k).version for k, v in place.sql("SELECT id, v FROM r WHERE v < 3")} == {4}
    # Of a document its _id.
    place.script("CREATE TABLE s(scenarioId TEXT PRIMARY KEY NOT NULL, v INTEGER)")
    place.imported(place.lines("s.json", [{"_id": {"$oid": "507f1f77bcf86cd799439011"}, "v": 1}]),
                   "--uuid", "uuid5(example.org:s)")
    space = uuid.uuid5(uuid.NAMESPACE_DNS, "example.org")
    assert place.sql("SELECT scenarioId FROM s") == [
        (str(uuid.uuid5(space, "s:507f1f77bcf86cd799439011")),)]


def test_parents_first_whatever_the_order_of_files(place):
    place.script("CREATE TABLE a(id INTEGER PRIMARY KEY, b INTEGER REFERENCES b(id));"
                 "CREATE TABLE b(id INTEGER PRIMARY KEY, c INTEGER REFERENCES c);"
                 "CREATE TABLE c(id INTEGER PRIMARY KEY, c INTEGER REFERENCES c(id),"
                 " x INTEGER REFERENCES x(id)); CREATE TABLE x(id INTEGER PRIMARY KEY,"
                 " c INTEGER REFERENCES c(id))")
    place.lines("d/a.jsonl", [{"id": i, "b": i} for i in range(100)])
    place.lines("d/b.jsonl", [{"id": i, "c": 99 - i} for i in range(100)])
    # Each refers to the next one, and c and x to each other: nothing of it could go in as it comes.
    place.lines("d/c.jsonl", [{"id": i, "c": i + 1 if i < 99 else None, "x": 5} for i in range(100)])
    place.lines("d/x.jsonl", [{"id": 5, "c": 99}, {"id": 6, "c": 1000}])
    report = place.imported("d", code=1)
    # c[99] needs x[5], which needs c[99]: neither can ever be first.
    assert counts(report, "x")[3] == 2
    place.lines("d/x.jsonl", [{"id": 5}, {"id": 6, "c": 0}, {"id": 7, "c": 1000}])
    report = place.imported("d", code=1)
    assert [counts(report, t)[3] for t in "abcx"] == [0, 0, 0, 1]
    assert reasons(report) == [("x.jsonl", 3, 'column "c" refers to a row of "c" that is not there')]
    assert [place.sql("SELECT count(*) FROM " + t)[0][0] for t in "abcx"] == [100, 100, 100, 2]
    assert place.sql("PRAGMA foreign_key_check") == []


def test_deferred_foreign_keys_cost_their_record_alone(place):
    """As Django declares them."""
    place.script("CREATE TABLE a(id INTEGER PRIMARY KEY);"
                 "CREATE TABLE b(id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a(id) "
                 "DEFERRABLE INITIALLY DEFERRED, b INTEGER REFERENCES b(id) DEFERRABLE INITIALLY DEFERRED);"
                 "CREATE TABLE log(n); CREATE TRIGGER tr AFTER INSERT ON b BEGIN INSERT INTO log "
                 "VALUES(NEW.id); END; INSERT INTO a VALUES(1)")
    place.lines("b.jsonl", [{"id": 1, "a": 1, "b": 3}, {"id": 2, "a": 9}, {"id": 3, "a": 1, "b": 3},
                            {"id": 4, "a": 1, "b": 8}])
    report = place.imported("b.jsonl", code=1)
    assert counts(report, "b") == (4, 2, 0, 2)
    assert [(r[1], r[2]) for r in reasons(report)] == [
        (2, 'column "a" refers to a row of "a" that is not there'),
        (4, 'column "b" refers to a row of "b" that is not there')]
    assert place.sql("SELECT id FROM b") == [(1,), (3,)]
    assert sorted(place.sql("SELECT n FROM log")) == [(1,), (3,)]
    assert place.sql("PRAGMA foreign_key_check") == []


def test_a_parent_that_is_updated_costs_its_record_alone(place):
    """Its children's deferred keys are judged at the end of the transaction."""
    place.script("CREATE TABLE p(id INTEGER PRIMARY KEY, code TEXT UNIQUE);"
                 "CREATE TABLE c(id INTEGER PRIMARY KEY, code TEXT REFERENCES p(code) "
                 "DEFERRABLE INITIALLY DEFERRED);"
                 "INSERT INTO p VALUES(1, 'a'), (2, 'b'); INSERT INTO c VALUES(1, 'a')")
    path = place.lines("p.jsonl", [{"id": 1, "code": "x"}, {"id": 2, "code": "y"}, {"id": 3, "code": "z"}])
    report = place.imported(path, "--existing", "update", code=1)
    assert reasons(report) == [("p.jsonl", 1, "FOREIGN KEY constraint failed")]
    assert place.sql("SELECT code FROM p ORDER BY id") == [("a",), ("y",), ("z",)]
    assert place.sql("PRAGMA foreign_key_check") == []


def test_what_differs_in_case_is_not_there_already(place):
    """Whatever the columns' collations take for equal."""
    place.script("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, v TEXT COLLATE NOCASE);"
                 "INSERT INTO t VALUES('k', 'Dune'), ('l', 'Emma')")
    path = place.lines("t.jsonl", [{"id": "k", "v": "DUNE"}, {"id": "K", "v": "Dune"},
                                   {"id": "l", "v": "Emma"}])
    report = place.imported(path, code=1)
    assert counts(report, "t") == (3, 0, 1, 2)
    assert [r[1] for r in reasons(report)] == [1, 2]


@pytest.mark.parametrize("record", [{"Item": {"id": {"NULL": True}, "v": {"S": "x"}}},
                                    {"id": {"$undefined": True}, "v": "x"}, {"id": None, "v": "x"}])
def test_a_key_that_is_null_in_any_dialect_is_none(place, record):
    place.script("CREATE TABLE t(id TEXT PRIMARY KEY, v TEXT)")
    path = place.lines("t.jsonl", [record])
    report = place.imported(path, code=1)
    assert "it has no value for the key" in reasons(report)[0][2]
    assert place.sql("SELECT * FROM t") == []
    place.imported(path, "--uuid", "uuid5")
    assert place.sql("SELECT length(id), v FROM t") == [(36, "x")]


def test_a_key_of_numbers_that_is_no_rowid_must_be_there(place):
    """SQLite takes NULL in it."""
    place.script("CREATE TABLE t(id BIGINT PRIMARY KEY, v TEXT); CREATE TABLE r(id INTEGER PRIMARY KEY, v TEXT);"
                 "CREATE TABLE d(id INT PRIMARY KEY DEFAULT 7, v TEXT)")
    records = [{"v": "x"}]
    report = place.imported(place.lines("t.jsonl", [{"v": "x"}, {"id": None, "v": "y"}, {"id": 1, "v": "z"}]), code=1)
    assert [r[1:] for r in reasons(report)] == [
        (n, 'it has no value for the key, column "id": name the field by --map FIELD=id') for n in (1, 2)]
    assert place.sql("SELECT * FROM t") == [(1, "z")]
    place.imported(place.lines("r.jsonl", records), place.lines("d.jsonl", records))
    assert place.sql("SELECT * FROM r UNION ALL SELECT * FROM d") == [(1, "x"), (7, "x")]


def test_digits_that_are_no_number_stay_out_of_strict_tables(place):
    """A postcode that comes behind the records of which the table was derived."""
    codes = ["02134", "+4912345", "12e3", "-007", "77", "1.50", "x1"]
    records = [{"id": n, "zip": 12345} for n in range(10000)] + [
        {"id": 10000 + n, "zip": code} for n, code in enumerate(codes)]
    path = place.lines("t.jsonl", records)
    report = place.imported(path, "--create", code=1)
    assert [r[1] for r in reasons(report)] == [10001, 10002, 10003, 10004, 10006, 10007]
    assert reasons(report)[0][2].startswith('column "zip": the text "02134" would become a number')
    assert place.sql("SELECT zip FROM t WHERE id >= 10000") == [(77,)]
    place.imported(path, "--convert", "zip=number", "--existing", "skip", code=1)
    assert place.sql("SELECT zip FROM t WHERE id = 10000") == [(2134,)]


def test_a_pipe_is_read_once(place):
    """Of what is read to derive a table nothing would be left to import."""
    command = ["sh", "-c", "printf '{\"id\":1}\\n{\"id\":2}\\n' | \"$@\"", "sh", SYNCCTL, "import",
               "/dev/stdin", "--table", "t", "--to", place.database, "--no-backup"]
    done = subprocess.run([*command, "--create"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "/dev/stdin is no ordinary file and is read but once" in done.stderr
    assert not os.path.exists(place.database)
    place.script("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert place.sql("SELECT id FROM t") == [(1,), (2,)]


def test_numbers_as_text_are_not_rounded(place):
    place.script("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, price DECIMAL(30, 10), k STRING)")
    path = place.lines("t.jsonl", [{"id": 1, "n": "18446744073709551615"},
                                   {"id": 2, "price": "12345678901234567890.5"}, {"id": 3, "k": "12e345678"},
                                   {"id": 4, "n": "7", "price": "12.50", "k": "abc"}])
    report = place.imported(path, code=1)
    assert [r[1] for r in reasons(report)] == [1, 2, 3]
    assert place.sql("SELECT * FROM t") == [(4, 7, 12.5, "abc")]


def test_a_first_item_that_is_longer_than_what_is_looked_at(place):
    items = [{"Item": {"id": {"S": "a"}, "v": {"S": "x" * 1200000}}}, {"Item": {"id": {"S": "b"}, "v": {"S": "y"}}}]
    report = place.imported(place.lines("t.jsonl", items), "--create")
    assert report["clean"]
    assert place.sql("SELECT id, length(v) FROM t") == [("a", 1200000), ("b", 1)]


def test_a_table_that_refers_to_none_is_said(place):
    place.script("CREATE TABLE t(id INTEGER PRIMARY KEY, p INTEGER REFERENCES nowhere(id))")
    report = place.imported(place.lines("t.jsonl", [{"id": 1, "p": 1}]), code=1)
    assert reasons(report)[0][2] == "no such table: main.nowhere"


def test_directories(place):
    place.script("CREATE TABLE chat_messages(id TEXT PRIMARY KEY NOT NULL, t TEXT);"
                 "CREATE TABLE chats(id TEXT PRIMARY KEY NOT NULL)")
    place.file("data/chats.json", '{"c1":{},"c2":{}}')
    place.file("data/chat_data/c1/messages.json", '{"m1":{"t":"x"}}')
    place.file("data/chat_data/c2/messages.json", '{"m2":{"t":"y"}}')
    place.file("data/other.json", "[]")
    place.file("data/.migration-state.json", "{}")
    place.file("data/readme.txt", "x")
    report = place.imported("data/", "--table", "chat_data/*/messages.json=chat_messages")
    assert report["clean"] and report["files_left_out"] == ["data/other.json"]
    assert place.sql("SELECT id FROM chat_messages") == [("m1",), ("m2",)]
    assert counts(report, "chats") == (2, 2, 0, 0)


def test_create_derives_tables(place):
    place.lines("scenarios.json", [
        {"_id": {"$oid": "507f1f77bcf86cd799439011"}, "scenarioId": "s1", "n": 1, "r": 1, "d": {"a": 1},
         "flag": True, "big": 2**70, "price": {"$numberDecimal": "1.10"}, "never": None,
         "bin": {"$binary": {"base64": "AQI=", "subType": "00"}}, 'odd "name"': "x"},
        {"_id": {"$oid": "507f1f77bcf86cd799439012"}, "scenarioId": "s2", "r": 1.5}])
    dry = place.ctl("import", "scenarios.json", "--to", place.database, "--create", "--dry-run")
    assert not os.path.exists(place.database)
    real = place.ctl("import", "scenarios.json", "--to", place.database, "--create")
    ddl = real.stdout[:real.stdout.index(";")]
    assert dry.stdout.startswith(ddl)
    assert place.sql("SELECT sql FROM sqlite_schema WHERE type = 'table'") == [(ddl,)]
    assert {(n, t, pk) for _, n, t, _, _, pk in place.sql("PRAGMA table_info(scenarios)")} == {
        ("_id", "TEXT", 0), ("scenarioId", "TEXT", 1), ("n", "INTEGER", 0), ("r", "REAL", 0),
        ("d", "TEXT", 0), ("flag", "INTEGER", 0), ("big", "TEXT", 0), ("price", "TEXT", 0),
        ("never", "ANY", 0), ("bin", "BLOB", 0), ('odd "name"', "TEXT", 0)}
    assert place.sql("SELECT big, price, d, bin FROM scenarios WHERE n = 1") == [
        (str(2**70), "1.10", '{"a":1}', b"\1\2")]
    place.file("keyed.json", '{"k1":{"v":1},"k2":{"v":2}}')
    place.file("no-key.json", '[{"v":1},{"v":2}]')
    assert place.imported("keyed.json", "no-key.json", "--create")["clean"]
    assert place.sql("SELECT * FROM keyed") == [("k1", 1), ("k2", 2)]
    assert place.sql("SELECT * FROM no_key") == [(1,), (2,)]


def test_a_dry_run_changes_nothing(place):
    place.script(THINGS + "; INSERT INTO things(id, name) VALUES(1, 'there')")
    with open(place.database, "rb") as f:
        before = f.read()
    place.lines("things.jsonl", RECORDS)
    report = place.imported("things.jsonl", "--dry-run", code=1, backup=True)
    assert report["dry_run"] and counts(report, "things") == (3, 2, 0, 1)
    with open(place.database, "rb") as f:
        assert f.read() == before
    assert sorted(os.listdir(place.path)) == ["app.db", "things.jsonl"]


def test_a_backup_comes_first(place):
    place.script(THINGS + "; INSERT INTO things(id, name) VALUES(7, 'there')")
    place.lines("things.jsonl", RECORDS)
    report = place.imported("things.jsonl", backup=True)
    with contextlib.closing(sqlite3.connect(report["backup"])) as db:
        assert db.execute("SELECT id FROM things").fetchall() == [(7,)]
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("things",)]
    assert place.sql("SELECT count(*) FROM things") == [(4,)]


# --- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, content, rows, reason", [
    ("t.json", b'[{"id":1},\n{"id":2},\n{"id"', 2, "at line 3"),
    ("t.json", b'[{"id":1},{"id":2}', 2, "before its closing bracket"),
    ("t.json", b'{"1":{"v":1},\n"2":{"v":2', 1, "in the middle of a value"),
    ("t.json", b'[{"id":1} {"id":2}]', 1, "a comma is missing"),
    ("t.json", "[{\"id\":1}]".encode("utf-16"), 0, "it is UTF-16"),
    ("t.json", "[{\"id\":1}]".encode("utf-16-le"), 0, "it is UTF-16"),
    ("t.json", b"id,v\n1,2\n", 0, "neither { nor ["),
    ("t.json", b"", 0, None),
    ("t.json", b"\n \n", 0, None),
    ("t.json", b"[]", 0, None),
    ("t.json", b"{}", 0, "no value for the key"),
])
def test_files_that_end_too_soon_or_are_something_else(place, name, content, rows, reason):
    place.script("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, v TEXT); CREATE TABLE u(id INTEGER)")
    place.file(name, content)
    place.file("u.json", '[{"id":1}]')
    report = place.imported(name, "u.json", code=0 if reason is None else 1)
    assert place.sql("SELECT count(*) FROM t") == [(rows,)]
    assert place.sql("SELECT count(*) FROM u") == [(1,)]  # the next file, all the same
    if reason:
        assert reason in reasons(report)[0][2], report
    assert place.left_over() == []


def test_records_that_cannot_be_read(place):
    place.script("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    place.file("t.jsonl", b'\n'.join([
        b'{"id":1,"v":"good"}', '{"id":2,"v":"café"}'.encode("latin-1"), b'{"id":3,"id":4}',
        b'{"id":5,"v":{"a":1,"a":2}}', b'{"id":6,"v":"\\ud800"}', b'{"id":7,"v":' + b"[" * 5000,
        b'{"id":8,"v":' + b"[" * 90 + b"]" * 90 + b"}", b'{"id":9,', b'{"id":1e2}', b'{"id":11} {}',
        b'{"id":12,"v":NaN}', b'{"id":13,"v":"a\x01b"}', b'{"id":14,"v":"\\u0000x"}']))
    report = place.imported("t.jsonl", code=1)
    assert [r[1] for r in place.sql("SELECT 0, id FROM t ORDER BY id")] == [1, 8, 14, 100]
    told = {line: reason for _, line, reason in reasons(report)}
    for line, part in {2: "not UTF-8 at its byte 17 (0xe9)", 3: "the same field twice",
                       4: 'column "v": an object has the same key twice', 5: "half of a surrogate",
                       6: "nested too deep", 8: "lacks a key", 10: "something stands behind it",
                       11: "a value is not one", 12: "a control character"}.items():
        assert part in told[line], (line, told[line])
    assert place.sql("SELECT length(CAST(v AS BLOB)) FROM t WHERE id = 14") == [(2,)]


def test_a_gzip_that_is_cut_off_or_damaged(place):
    place.script("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    whole = gzip.compress("".join('{"id":%d,"v":"%s"}\n' % (i, uuid.uuid5(uuid.NAMESPACE_DNS, str(i)))
                                  for i in range(60000)).encode())
    place.file("t.json", whole[:-5000])
    report = place.imported("t.json", code=1)
    assert "its gzip data is cut off" in reasons(report)[-1][2] and report["broken_files"] == ["t.json"]
    assert 50000 < place.sql("SELECT count(*) FROM t")[0][0] < 60000
    place.file("t.json", whole[:200000] + b"\0" * 300 + whole[200300:])
    assert "its gzip data is damaged" in reasons(place.imported("t.json", code=1))[-1][2]
    place.file("t.json", gzip.compress(b'{"id":70000}\n') + gzip.compress(b'{"id":70001}\n'))
    assert counts(place.imported("t.json"), "t") == (2, 2, 0, 0)


def test_a_line_without_end_is_refused_in_bounded_memory(place):
    """SYNCD_LONG_LINE megabytes: 40 when not said; 1000 takes some seconds."""
    place.script("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    size = int(os.environ.get("SYNCD_LONG_LINE", "40")) * 1_000_000
    with open(os.path.join(place.path, "t.jsonl"), "wb") as out:
        out.write(b'{"id":1}\n{"id":2,"v":"')
        for _ in range(size // 1_000_000):
            out.write(b"x" * 1_000_000)
        out.write(b'"}\n{"id":3}\n')
    bound = lambda: resource.setrlimit(resource.RLIMIT_DATA, (64 << 20, 64 << 20))
    done = place.ctl("--json", "import", "t.jsonl", "--to", place.database, "--no-backup",
                     "--no-space-check", code=1, preexec_fn=None if sanitized() else bound)
    assert reasons(json.loads(done.stdout)) == [("t.jsonl", 2, "the record is longer than 16 MiB")]
    assert place.sql("SELECT id FROM t") == [(1,), (3,)]


def sanitized():
    """The sanitizers reserve more memory than any bound allows."""
    with open(SYNCCTL, "rb") as program:
        return b"__asan_init" in program.read()


def test_a_full_disk_keeps_what_was_committed_and_goes_on(place):
    place.script("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    place.lines("t.jsonl", [{"id": i, "v": "x" * 100} for i in range(20000)])
    full = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    done = place.ctl("import", "t.jsonl", "--to", place.database, "--no-backup", "--batch-size", "500",
                     code=3, preexec_fn=full)
    assert "go on by --resume" in done.stderr
    there = place.sql("SELECT count(*) FROM t")[0][0]
    assert 0 < there < 20000
    assert "was interrupted" in place.refused("t.jsonl")
    assert "of other files" in place.refused("t.jsonl", "--resume", "--existing", "skip")
    report = place.imported("t.jsonl", "--resume")
    assert counts(report, "t") == (20000, 20000, 0, 0)
    assert place.sql("SELECT count(*), max(id) FROM t") == [(20000, 19999)]
    assert place.left_over() == []


def interrupted(place, number, *more):
    """An import of 30,000 records, ended by a signal on its way."""
    place.script("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    place.lines("t.jsonl", [{"id": i, "v": "x"} for i in range(30000)])
    process = subprocess.Popen([SYNCCTL, "import", "t.jsonl", "--to", place.database, "--batch-size",
                                "1", *more], cwd=place.path, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    eventually(lambda: place.sql("SELECT count(*) FROM t")[0][0] > 0)
    process.send_signal(number)
    return process, process.communicate(timeout=30)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_comes_to_the_end_of_its_transaction(place, number):
    process, said = interrupted(place, number, "--no-backup")
    assert process.returncode == 1 and "interrupted; what was imported until then stays" in said
    assert counts(place.imported("t.jsonl", "--resume"), "t") == (30000, 30000, 0, 0)
    assert place.sql("SELECT count(*) FROM t") == [(30000,)]


def test_what_was_noted_of_a_transaction_that_never_was_is_void(place):
    interrupted(place, signal.SIGKILL, "--no-backup")
    batch = json.loads(place.sql("SELECT place FROM _syncd_import")[0][0])["batch"]
    state = os.path.join(place.path, ".app.db-import.db")
    with contextlib.closing(sqlite3.connect(state)) as db, db:
        for n in (batch, batch + 1):
            db.execute("INSERT INTO refusal(batch, file, line, tbl, reason) VALUES(?, 'f', 1, 't', ?)",
                       (n, "of %d" % (n - batch)))
            db.execute("INSERT INTO orphan(batch, settled, file, line, tbl, dialect, record, reason) "
                       "VALUES(?, ?, 'f', 1, 't', 0, ?, 'r')",
                       (n, batch + 1, json.dumps({"id": 50000 + n - batch})))
    report = place.imported("t.jsonl", "--resume", code=1)
    assert [r["reason"] for r in report["refusals"]] == ["of 0"]
    assert place.sql("SELECT count(*), max(id) FROM t") == [(30001, 50000)]
    assert place.left_over() == []


def test_a_database_that_was_put_back_is_begun_anew(place):
    interrupted(place, signal.SIGKILL)
    assert "was interrupted" in place.refused("t.jsonl")
    backup = next(n for n in os.listdir(place.path) if n.endswith(".backup"))
    for tail in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place.database + tail)
    shutil.copy(os.path.join(place.path, backup), place.database)
    assert counts(place.imported("t.jsonl"), "t") == (30000, 30000, 0, 0)
    assert place.left_over() == []


def test_restart_forgets_and_meets_the_rows_again(place):
    interrupted(place, signal.SIGKILL, "--no-backup")
    there = place.sql("SELECT count(*) FROM t")[0][0]
    assert counts(place.imported("t.jsonl", "--restart"), "t") == (30000, 30000 - there, there, 0)


def test_room_is_looked_for_first(place):
    place.script("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    with open(os.path.join(place.path, "t.json"), "wb") as out:
        out.truncate(shutil.disk_usage(place.path).free + (1 << 30))
    assert "make room, or say --no-space-check" in place.refused("t.json", code=3)


# --- beside others ----------------------------------------------------------------------------------


def test_into_a_database_that_is_mirrored_and_written(engine, tmp_path):
    with Mirror(engine) as mirror:
        mirror.sql("PRAGMA journal_mode=WAL",
                   "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, who TEXT)")
        mirror.start()
        mirror.wait()
        path = tmp_path / "t.jsonl"
        with open(path, "w", encoding="utf-8") as out:
            for i in range(6000):
                out.write(json.dumps({"id": i, "v": "x" * (i % 50), "who": "import"}) + "\n")
        done, failures = threading.Event(), []

        def application():
            with contextlib.closing(sqlite3.connect(mirror.database, timeout=5,
                                                    isolation_level=None)) as db:
                n = 100000
                while not done.is_set() or n < 100020:
                    try:
                        db.execute("INSERT INTO t VALUES(?, 'y', 'application')", (n,))
                        n += 1
                    except sqlite3.Error as error:
                        failures.append(error)
                        return

        thread = threading.Thread(target=application)
        thread.start()
        try:
            ran = mirror.ctl("--json", "import", path, "--to", mirror.database, "--no-backup",
                             config=False)
        finally:
            done.set()
            thread.join()
        assert ran.returncode == 0 and not failures, (ran.stderr, failures)
        assert json.loads(ran.stdout)["tables"][0]["imported"] == 6000
        mirror.settle()
        assert sum(i["who"] == "import" for i in mirror.items("t")) == 6000


def test_a_database_that_is_locked_for_long_is_said(place):
    place.script("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY)")
    place.lines("t.jsonl", [{"id": i} for i in range(10)])
    with contextlib.closing(sqlite3.connect(place.database, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        process = subprocess.Popen([SYNCCTL, "import", "t.jsonl", "--to", place.database, "--no-backup"],
                                   cwd=place.path, stdout=subprocess.DEVNULL)
        # It waits for the lock, and has the row that the other writes before it in its way.
        db.execute("INSERT INTO t VALUES(100)")
        eventually(lambda: process.poll() is None)
        db.execute("COMMIT")
    assert process.wait(30) == 0
    assert place.sql("SELECT count(*) FROM t") == [(11,)]
