"""The guides whose data comes out of files, played as their readers would: MongoDB's scenarios (002)
imported, mirrored and queried through both indexes; JSON files of an application (004), imported in
order, killed at twenty random moments and resumed. What must come out is worked out here."""

import base64
import contextlib
import datetime
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from decimal import Decimal

import pytest
from boto3.dynamodb.conditions import Key
from boto3.dynamodb.types import TypeDeserializer

import harness
from harness import SYNCCTL, eventually
from test_guides import EXAMPLES, WORDS, Application

DOCUMENTS = 10000
SCENARIOS = "what-if-generator-scenarios-test"


# --- guide 002 --------------------------------------------------------------------------------------


def iso(ms):
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (at.microsecond // 1000)


def extended_date(rng, ms, canonical):
    if canonical or not 0 <= ms < 253402300800000:
        return {"$date": {"$numberLong": str(ms)}}
    return {"$date": iso(ms)}


def document(rng, i):
    """A document as mongoexport writes it (canonical or relaxed), and the row that it must become."""
    canonical = rng.random() < 0.5
    created = rng.randrange(-10**12, 2 * 10**12)
    updated = created + rng.randrange(10**9)
    oid = "%024x" % (0x507F1F77BCF86CD799439011 + i)
    public, tags = rng.random() < 0.3, rng.sample(["fantasy", "sci-fi", "日本", ""], rng.randrange(4))
    number = rng.choice([7, -2**31, 2**53 + 1, 2**63 - 1])
    long = {"$numberLong": str(number)} if canonical or abs(number) > 2**53 else number
    extras = [
        ({"$numberDecimal": "1.10"}, 1.10), ({"$numberDouble": "0.5"}, 0.5),
        ({"$binary": {"base64": base64.b64encode(bytes([i % 256, 0])).decode(), "subType": "00"}},
         base64.b64encode(bytes([i % 256, 0])).decode()),
        (extended_date(rng, created, canonical), iso(created)), ({"$oid": oid}, oid),
        ({"$uuid": "00112233-4455-4677-8899-aabbccddeeff"}, "00112233-4455-4677-8899-aabbccddeeff"),
        ({"$timestamp": {"t": 1, "i": i}}, {"$timestamp": {"t": 1, "i": i}}),
        ({"$regularExpression": {"pattern": "^a", "options": "i"}},) * 2,
        ({"$minKey": 1},) * 2, ({"$maxKey": 1},) * 2, ({"$symbol": "s"}, "s"), ({"$code": "f()"}, "f()"),
        ({"$undefined": True}, None), ({"$numberDouble": "Infinity"}, "Infinity"),
        ({"a": [{"$numberInt": "1"}, {"b": {"$numberLong": "2"}}]}, {"a": [1, {"b": 2}]}),
        (None, None), (True, True), ([], []), ({}, {}),
    ]
    extra, plain = extras[i % len(extras)]
    text = rng.choice(WORDS)
    record = {
        "_id": {"$oid": oid}, "scenarioId": "scenario_%d" % i, "userId": "user_%d" % rng.randrange(50),
        "topic": "What if %d?" % i, "content": text, "promptType": rng.choice(["default", "dramatic"]),
        "tags": [t for t in tags] + [extra], "isPublic": public,
        "createdAt": extended_date(rng, created, canonical),
        "updatedAt": extended_date(rng, updated, canonical), "views": long, "__v": {"$numberInt": "0"},
    }
    if rng.random() < 0.2:
        del record["content"]
    if rng.random() < 0.05:  # no key: a UUID of its _id
        del record["scenarioId"]
    row = {
        "mongoId": oid, "scenarioId": record.get("scenarioId"), "userId": record["userId"],
        "topic": record["topic"], "content": record.get("content"), "promptType": record["promptType"],
        "tags": tags + [plain], "isPublic": public, "createdAt": iso(created), "updatedAt": iso(updated),
        "views": number,
    }
    return record, row


def expected_key(row):
    import uuid
    space = uuid.uuid5(uuid.NAMESPACE_DNS, "what-if")
    return row["scenarioId"] or str(uuid.uuid5(space, "scenario:" + row["mongoId"]))


def simplified(value):
    """A boto3 value with plain numbers."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [simplified(v) for v in value]
    if isinstance(value, dict):
        return {k: simplified(v) for k, v in value.items()}
    return value


@pytest.mark.engine
def test_scenarios_out_of_mongodb(engine):
    rng = random.Random(2)
    made = [document(rng, i) for i in range(DOCUMENTS)]
    rows = {expected_key(row): row for _, row in made}
    assert len(rows) == DOCUMENTS
    with Application(engine, os.path.join(EXAMPLES, "what-if.conf"), "us-east-1",
                     [SCENARIOS, "what-if-generator-syncd-test"], {"ENVIRONMENT": "test"}) as app:
        # The export, in two files as two shards give it; the second as an array.
        where = os.path.join(app.dir, "export")
        os.makedirs(os.path.join(where, "b"))
        with open(os.path.join(where, "scenarios.json"), "w", encoding="utf-8") as out:
            for record, _ in made[:DOCUMENTS // 2]:
                out.write(json.dumps(record, ensure_ascii=False) + "\n")
        with open(os.path.join(where, "b", "scenarios.json"), "w", encoding="utf-8") as out:
            json.dump([record for record, _ in made[DOCUMENTS // 2:]], out)
        with open(os.path.join(EXAMPLES, "what-if.sql"), encoding="utf-8") as sql, \
                contextlib.closing(app.connect()) as db:
            db.executescript(sql.read() + "ALTER TABLE scenarios ADD COLUMN views INTEGER")
        arguments = ["import", where, "--to", app.database, "--map", "_id=mongoId", "--map", "__v=",
                     "--uuid", "uuid5(what-if:scenario)"]
        dry = json.loads(app.ctl("--json", *arguments, "--dry-run").stdout)
        assert dry["clean"] and dry["tables"][0]["imported"] == DOCUMENTS
        report = json.loads(app.ctl("--json", *arguments).stdout)
        assert report["clean"] and report["tables"][0]["imported"] == DOCUMENTS
        assert report["tables"][0]["fields_left_out"] == {}
        with contextlib.closing(app.connect()) as db:
            db.row_factory = sqlite3.Row
            there = {r["scenarioId"]: dict(r) for r in db.execute("SELECT * FROM scenarios")}
        assert there.keys() == rows.keys()
        for key, row in rows.items():
            got = there[key]
            assert json.loads(got.pop("tags")) == row["tags"]
            assert got == {**{k: v for k, v in row.items() if k != "tags"}, "scenarioId": key,
                           "isPublic": "true" if row["isPublic"] else "false", "shareUrl": None}

        app.ctl("create-tables", "--database", app.database, "--region", app.region)
        assert json.loads(app.ctl("--json", "migrate", "--sqlite-path", app.database, "--backup", "--yes")
                          .stdout)["result"]["items_put"] >= DOCUMENTS
        table = app.resource().Table(SCENARIOS)

        # The guide's query, newest first.
        user = rows[expected_key(made[0][1])]["userId"]
        found = table.query(IndexName="userId-createdAt-index",
                            KeyConditionExpression=Key("userId").eq(user), ScanIndexForward=False,
                            Limit=20)["Items"]
        newest = sorted((r for r in rows.values() if r["userId"] == user),
                        key=lambda r: r["createdAt"], reverse=True)[:20]
        assert [i["createdAt"] for i in found] == [r["createdAt"] for r in newest]
        public, start = [], {}
        while start is not None:
            page = table.query(IndexName="isPublic-createdAt-index",
                               KeyConditionExpression=Key("isPublicKey").eq("true"), **start)
            public += page["Items"]
            last = page.get("LastEvaluatedKey")
            start = {"ExclusiveStartKey": last} if last else None
        assert {i["scenarioId"] for i in public} == {k for k, r in rows.items() if r["isPublic"]}
        assert [i["createdAt"] for i in public] == sorted(i["createdAt"] for i in public)
        for item in public:
            row = rows[item["scenarioId"]]
            assert item["isPublic"] is True and simplified(item["tags"]) == row["tags"]
            assert item.get("content") == row["content"] and item["views"] == row["views"]


@pytest.mark.engine
def test_check_says_that_an_index_needs_the_string_copy(engine):
    with Application(engine, os.path.join(EXAMPLES, "what-if.conf"), "us-east-1", [],
                     {"ENVIRONMENT": "test"}) as app:
        with open(os.path.join(EXAMPLES, "what-if.sql"), encoding="utf-8") as sql, \
                contextlib.closing(app.connect()) as db:
            db.executescript(sql.read())
        shown = app.ctl("check", "--database", app.database).stdout
        assert "partition key isPublicKey (S), sort key createdAt (S)" in shown
        with open(app.config, encoding="utf-8") as config:
            text = config.read()
        with open(app.config, "w", encoding="utf-8") as config:
            config.write(text.replace("add.isPublicKey = {isPublic}\n", "")
                         .replace("isPublicKey, createdAt", "isPublic, createdAt"))
        said = app.ctl("check", "--database", app.database, code=2).stderr
        assert '"isPublic" becomes a BOOL' in said and "write add.NAME = {isPublic}" in said


# --- guide 004 --------------------------------------------------------------------------------------


def guide_files(where, rng, scale):
    """The application's files, objects keyed by id, in the guide's names; and what is in them."""
    at = lambda: rng.randrange(1_600_000_000_000, 1_700_000_000_000)
    made = {}

    def add(table, name, count, record):
        records = {"%s_%05d" % (table, i): record(i) for i in range(count)}
        made[table] = records
        with open(os.path.join(where, name), "w", encoding="utf-8") as out:
            json.dump(records, out, indent=rng.choice([None, 2]), ensure_ascii=False)

    some = lambda table: rng.choice(list(made[table]))
    stamps = lambda: {"createdAt": at(), "updatedAt": at()}
    add("provider_keys", "provider-keys.json", 5,
        lambda i: {"provider": "p%d" % i, "key": "secret %d" % i, **stamps()})
    add("projects", "projects.json", 20 * scale,
        lambda i: {"name": rng.choice(WORDS), "description": "", "path": "/p/%d" % i, **stamps()})
    add("project_files", "project-files.json", 200 * scale,
        lambda i: {"projectId": some("projects"), "name": "f%d.ts" % i, "path": "src/f%d.ts" % i,
                   "size": i, "content": rng.choice(WORDS) * 20, "meta": {"n": [i, None]}, **stamps()})
    # A chat may belong to a later one: those are put off until it is there.
    chats = 40 * scale
    add("chats", "chats.json", chats,
        lambda i: {"title": "chat %d" % i, **stamps(),
                   **({"parentId": "chats_%05d" % rng.randrange(chats)} if i % 3 == 0 and i else {})})
    for i, (key, chat) in enumerate(made["chats"].items()):
        if chat.get("parentId") == key:
            del chat["parentId"]
    # Chains of parents, and no circle: each parent has none of its own.
    for key, chat in made["chats"].items():
        if "parentId" in chat and "parentId" in made["chats"][chat["parentId"]]:
            del chat["parentId"]
    with open(os.path.join(where, "chats.json"), "w", encoding="utf-8") as out:
        json.dump(made["chats"], out)
    add("chat_messages", "chat-messages.json", 400 * scale,
        lambda i: {"chatId": some("chats"), "role": rng.choice(["user", "assistant"]),
                   "content": rng.choice(WORDS), "createdAt": at()})
    add("prompts", "prompts.json", 30 * scale,
        lambda i: {"name": "p%d" % i, "content": "x" * i, **stamps()})
    pairs = {(some("prompts"), some("projects")) for _ in range(50 * scale)}
    with open(os.path.join(where, "prompt-projects.json"), "w", encoding="utf-8") as out:
        json.dump([{"promptId": a, "projectId": b} for a, b in sorted(pairs)], out)
    made["prompt_projects"] = pairs
    add("mcp_configs", "mcp-configs.json", 10 * scale,
        lambda i: {"projectId": some("projects"), "name": "m", "enabled": rng.random() < 0.5,
                   "config": {"command": ["x", str(i)]}, "createdAt": at()})
    return made


def contents(database):
    with contextlib.closing(sqlite3.connect(database)) as db:
        tables = [n for n, in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name "
                                         "NOT GLOB 'sqlite_*' ORDER BY name")]
        return {t: sorted(db.execute("SELECT * FROM " + t).fetchall(), key=repr) for t in tables}


def new_database(path, journal_mode, keyless=True):
    for name in (path, path + "-wal", path + "-shm", path + "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    with open(os.path.join(EXAMPLES, "octoprompt.sql"), encoding="utf-8") as sql, \
            contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=" + journal_mode)
        # A table without a key, in which a record that comes twice is there twice.
        db.executescript(sql.read() + ";CREATE TABLE events(n INTEGER NOT NULL CHECK (n <> 13), t TEXT);")


def run_import(path, data, *more, code=0):
    done = subprocess.run(
        [SYNCCTL, "--json", "import", data, "--to", path, "--no-backup", "--batch-size", "20", *more],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_json_files_of_an_application(tmp_path):
    data = str(tmp_path / "data")
    os.mkdir(data)
    made = guide_files(data, random.Random(4), 1)
    path = str(tmp_path / "octoprompt.db")
    new_database(path, "WAL")
    shown = subprocess.run([SYNCCTL, "import", data, "--to", path, "--dry-run", "--verbose"],
                           capture_output=True, text=True, timeout=60, check=True)
    # The guide's order, as far as one table needs another.
    order = [line.split('"')[1] for line in shown.stderr.splitlines() if ", into table " in line]
    for parent, child in [("projects", "project_files"), ("chats", "chat_messages"),
                          ("prompts", "prompt_projects"), ("projects", "mcp_configs")]:
        assert order.index(parent) < order.index(child)
    assert all(not rows for rows in contents(path).values())
    report = run_import(path, data)
    assert report["clean"]
    got = contents(path)
    assert {r[0]: r for r in got["chats"]}.keys() == made["chats"].keys()
    for key, record in made["project_files"].items():
        assert (key, record["projectId"], record["name"], record["path"], record["size"],
                record["content"], json.dumps(record["meta"], separators=(",", ":")),
                record["createdAt"], record["updatedAt"]) in got["project_files"]
    assert {(a, b) for a, b in got["prompt_projects"]} == made["prompt_projects"]
    assert {(r[0], r[3]) for r in got["mcp_configs"]} == {
        (k, int(r["enabled"])) for k, r in made["mcp_configs"].items()}
    assert {r[0]: r[2] for r in got["chats"]} == {
        k: r.get("parentId") for k, r in made["chats"].items()}
    # What was refused is mended in its file, and the import run again.
    broken = json.loads(open(os.path.join(data, "prompts.json"), encoding="utf-8").read())
    broken["new"] = {"name": None, "content": "x", "createdAt": 1, "updatedAt": 1}
    with open(os.path.join(data, "prompts.json"), "w", encoding="utf-8") as out:
        json.dump(broken, out)
    report = run_import(path, data, code=1)
    assert [r["reason"] for r in report["refusals"]] == ["NOT NULL constraint failed: prompts.name"]
    broken["new"]["name"] = "mended"
    with open(os.path.join(data, "prompts.json"), "w", encoding="utf-8") as out:
        json.dump(broken, out)
    report = run_import(path, data, "--resume")
    assert report["clean"] and {t["table"]: t["imported"] for t in report["tables"]
                                if t["imported"]} == {"prompts": 1}


def finished(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        going = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = '_syncd_import'").fetchone()
        return going == (0,) and db.execute("SELECT count(*) FROM events").fetchone() > (0,)


@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
def test_killed_at_random_moments_and_resumed(tmp_path, journal_mode):
    rng = random.Random(20)
    data = str(tmp_path / "data")
    os.mkdir(data)
    guide_files(data, rng, 2)
    with open(os.path.join(data, "events.jsonl"), "w", encoding="utf-8") as out:
        for i in range(1000):  # every record twice, some of them refused
            out.write(json.dumps({"n": i // 2 % 20, "t": "x"}) + "\n")
    whole, path = str(tmp_path / "whole.db"), str(tmp_path / "app.db")
    size = "20" if journal_mode == "WAL" else "80"  # each takes its time on the disk
    new_database(whole, journal_mode)
    began = time.monotonic()
    report = run_import(whole, data, "--batch-size", size, code=1)
    lasts = time.monotonic() - began
    assert report["refused"] == 50
    expected = contents(whole)
    kills = goes = 0
    while kills < 10:
        new_database(path, journal_mode)
        code = None
        goes += 1
        assert goes < 100
        while code is None:
            process = subprocess.Popen(
                [SYNCCTL, "--json", "import", data, "--to", path, "--no-backup", "--batch-size", size,
                 "--resume"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL)
            try:
                output, _ = process.communicate(timeout=rng.random() * lasts)
                code = process.returncode
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                if finished(path):  # only its report was lost
                    break
        if code is None:
            assert contents(path) == expected
            continue
        assert code == 1
        again = json.loads(output)
        assert contents(path) == expected
        assert [{k: v for k, v in t.items()} for t in again["tables"]] == report["tables"]
        assert again["refusals"] == report["refusals"]
    # A kill behind the last transaction leaves the state's files: the next import takes them away.
    for tail in ("", "-wal", "-shm"):
        with open(f"{tmp_path}/.app.db-import.db{tail}", "ab") as out:
            out.write(b"of another import")
    new_database(path, journal_mode)
    assert run_import(path, data, "--batch-size", size, code=1)["tables"] == report["tables"]
    assert contents(path) == expected
    assert sorted(os.listdir(tmp_path)) == ["app.db", "data", "whole.db"]


def test_a_changed_file_is_read_from_its_beginning(tmp_path):
    path, data = str(tmp_path / "app.db"), str(tmp_path / "t.jsonl")
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
        # The import stops here, as if the disk were full, or the machine went down.
        db.executescript("CREATE TRIGGER stop BEFORE INSERT ON t WHEN NEW.id = 700 BEGIN "
                         "SELECT RAISE(ROLLBACK, 'stop'); END")
    def write(first):
        with open(data, "w", encoding="utf-8") as out:
            for i in range(1000):
                out.write(json.dumps({"id": i, "v": first if i == 0 else "x"}) + "\n")
    write("x")
    done = subprocess.run([SYNCCTL, "import", data, "--to", path, "--no-backup", "--batch-size", "100"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "rolls whole transactions back" in done.stderr
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM t").fetchone()[0] in range(1, 701)
        db.execute("DROP TRIGGER stop")
    write("y")
    done = subprocess.run([SYNCCTL, "import", data, "--to", path, "--no-backup", "--resume"],
                          capture_output=True, text=True, timeout=60)
    assert "has changed since: it is read from its beginning" in done.stderr
    assert done.returncode == 1 and "t.jsonl:1: UNIQUE constraint failed" in done.stdout
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*), min(v), max(v) FROM t").fetchone() == (1000, "x", "x")
