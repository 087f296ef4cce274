"""Two guides played from end to end, with the configurations of etc/examples as they are: Jaaz (every
table under a common prefix, SQLite kept) and BookLibrary (UUIDs, defaults, timestamps, environments).
What must come out is worked out here, from the guides' own words; boto3 says what did."""

import contextlib
import datetime
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import uuid
from decimal import Decimal

import boto3
import pytest

import harness
from harness import eventually

pytestmark = pytest.mark.engine
EXAMPLES = os.path.join(harness.ROOT, "etc", "examples")
WORDS = ["café", "日本", "emoji 🙂", "tab\tand\nline", "quote\"d", "", "x" * 500]


class Application:
    """A database and an example's configuration over it, driven as an operator does."""

    def __init__(self, endpoint, example, region, tables, environment=None):
        self.endpoint, self.region, self.tables = endpoint, region, tables
        self.dir = tempfile.mkdtemp(prefix="syncd-guide-")
        self.database = os.path.join(self.dir, "app.db")
        self.config = os.path.join(self.dir, os.path.basename(example))
        shutil.copy(example, self.config)
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": self.dir,
            "AWS_ACCESS_KEY_ID": endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_DYNAMODB": endpoint.url,
            **(environment or {}),
        }
        self.client = boto3.client(
            "dynamodb", endpoint_url=endpoint.url, region_name=region,
            aws_access_key_id=endpoint.access_key, aws_secret_access_key=endpoint.secret_key)
        self.drop()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.drop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def drop(self):
        for name in self.tables:
            with contextlib.suppress(self.client.exceptions.ResourceNotFoundException):
                self.client.delete_table(TableName=name)

    def there(self):
        pages = self.client.get_paginator("list_tables").paginate()
        return {n for page in pages for n in page["TableNames"]} & set(self.tables)

    def ctl(self, *arguments, code=0, socket=None):
        options = ["--socket", socket] if socket else []
        done = subprocess.run(
            [harness.SYNCCTL, "--config", self.config, *options, *arguments],
            env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def migrate(self, *arguments, code=0):
        return self.ctl("migrate", "--sqlite-path", self.database, "--dynamodb-region",
                        self.region, *arguments, code=code)

    def migrated(self, *arguments, code=0):
        return json.loads(self.ctl("--json", "migrate", "--sqlite-path", self.database,
                                   "--dynamodb-region", self.region, *arguments,
                                   code=code).stdout)

    @contextlib.contextmanager
    def daemon(self):
        """The service, from the state that the move left."""
        socket = os.path.join(self.dir, "s")
        log = open(os.path.join(self.dir, "log"), "ab")
        process = subprocess.Popen(
            [harness.SYNCD, "--config", self.config, "--set", "source.database=" + self.database,
             "--set", "dynamodb.region=" + self.region, "--set", "control.socket=" + socket],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            eventually(lambda: os.path.exists(socket), "the service's socket")
            yield socket
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            log.close()

    def connect(self):
        return sqlite3.connect(self.database, isolation_level=None, timeout=30)

    def resource(self):
        return boto3.resource(
            "dynamodb", endpoint_url=self.endpoint.url, region_name=self.region,
            aws_access_key_id=self.endpoint.access_key,
            aws_secret_access_key=self.endpoint.secret_key)

    def items(self, table):
        pages = self.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [harness.plain(item) for page in pages for item in page["Items"]]

    def keys(self, table):
        described = self.client.describe_table(TableName=table)["Table"]
        return [k["AttributeName"] for k in described["KeySchema"]]


def by(items, *names):
    found = {tuple(i[n] for n in names): i for i in items}
    assert len(found) == len(items)
    return found


def without_none(row):
    return {k: Decimal(repr(v)) if isinstance(v, (int, float)) else v
            for k, v in row.items() if v is not None}


# Guide 000: Jaaz.

JAAZ = """
CREATE TABLE db_version(version INTEGER PRIMARY KEY);
CREATE TABLE canvases(id TEXT PRIMARY KEY, name TEXT NOT NULL, data TEXT, description TEXT DEFAULT '',
  thumbnail TEXT DEFAULT '', created_at TEXT DEFAULT (STRFTIME('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at TEXT);
CREATE TABLE chat_sessions(id TEXT PRIMARY KEY, canvas_id TEXT, title TEXT, model TEXT, provider TEXT,
  created_at TEXT, updated_at TEXT, FOREIGN KEY(canvas_id) REFERENCES canvases(id));
CREATE TABLE chat_messages(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT, role TEXT,
  message TEXT, created_at TEXT, updated_at TEXT, FOREIGN KEY(session_id) REFERENCES chat_sessions(id));
CREATE INDEX idx_messages ON chat_messages(session_id, id);
CREATE TABLE comfy_workflows(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, api_json TEXT,
  description TEXT, inputs TEXT, outputs TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE files(id TEXT PRIMARY KEY, file_path TEXT, width INTEGER, height INTEGER, ratio REAL,
  content BLOB, created_at TEXT);
"""
JAAZ_TABLES = {"db_version": "jaaz-db-version", "canvases": "jaaz-canvases",
               "chat_sessions": "jaaz-chat-sessions", "chat_messages": "jaaz-chat-messages",
               "comfy_workflows": "jaaz-comfy-workflows", "files": "jaaz-files"}


def fill_jaaz(db, chance):
    word = lambda: chance.choice(WORDS)
    maybe = lambda v: None if chance.random() < 0.2 else v
    db.executescript("BEGIN;" + JAAZ)
    db.execute("INSERT INTO db_version VALUES(3)")
    db.executemany("INSERT INTO canvases VALUES(?, ?, ?, ?, ?, ?, ?)", [
        ("canvas-%d" % i, word(), maybe(json.dumps({"n": i})), maybe(word()), None,
         "2025-01-%02dT10:00:00.000Z" % (i % 28 + 1), None) for i in range(200)])
    db.executemany("INSERT INTO chat_sessions VALUES(?, ?, ?, ?, ?, ?, ?)", [
        (str(uuid.UUID(int=chance.getrandbits(128))), "canvas-%d" % (i % 200), maybe(word()),
         "gpt", maybe("openai"), None, None) for i in range(600)])
    sessions = [r[0] for r in db.execute("SELECT id FROM chat_sessions")]
    db.executemany("INSERT INTO chat_messages(session_id, role, message) VALUES(?, ?, ?)", [
        (chance.choice(sessions), chance.choice(["user", "assistant"]),
         maybe(json.dumps({"content": word() * 3}))) for i in range(3000)])
    db.executemany("INSERT INTO comfy_workflows(name, api_json, inputs) VALUES(?, ?, ?)", [
        (word(), maybe("{}"), maybe("[1, 2]")) for i in range(50)])
    db.executemany("INSERT INTO files VALUES(?, ?, ?, ?, ?, ?, ?)", [
        ("im_%d.png" % i, "/files/%d" % i, maybe(chance.randrange(1, 4000)), 2**53 + i,
         maybe(chance.random() * 10), maybe(chance.randbytes(40)), None) for i in range(400)])
    db.execute("COMMIT")


def jaaz_equals(app):
    with contextlib.closing(app.connect()) as db:
        db.row_factory = sqlite3.Row
        for table, target in JAAZ_TABLES.items():
            key = "version" if table == "db_version" else "id"
            assert app.keys(target) == [key]
            rows = [without_none(dict(r)) for r in db.execute("SELECT * FROM %s" % table)]
            assert by(app.items(target), key) == by(rows, key), table


def test_jaaz(engine):
    example = os.path.join(EXAMPLES, "jaaz.conf")
    with Application(engine, example, "us-west-2", JAAZ_TABLES.values()) as app:
        with contextlib.closing(app.connect()) as db:
            fill_jaaz(db, random.Random(0))
            schema = db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid").fetchall()
        before = sorted(os.listdir(app.dir))

        # Before: what the move needs, and what it would do.
        policy = json.loads(app.ctl("--database", app.database, "iam-policy").stdout)
        resources = {r for s in policy["Statement"] for r in s["Resource"]}
        assert {r.rsplit("/", 1)[1] for r in resources} >= set(JAAZ_TABLES.values())
        assert "6 tables" in app.ctl("--database", app.database, "check").stdout
        plan = app.migrated("--dry-run")["plan"]
        assert plan["rows"] == 4251 and not app.there()
        assert {t["name"]: t["target"] for t in plan["tables"]} == JAAZ_TABLES
        assert sorted(os.listdir(app.dir)) == before

        # The move, with a backup, and what came out.
        result = app.migrated("--yes", "--backup")["result"]
        assert result["items_put"] == 4251 and result["verified"] is True
        jaaz_equals(app)
        assert app.migrated("--yes")["result"]["nothing_to_do"]

        # From then on every write is in both, while the application knows nothing of it.
        with app.daemon() as socket:
            with contextlib.closing(app.connect()) as db:
                db.execute("INSERT INTO canvases(id, name) VALUES('new', 'n')")
                db.execute("UPDATE chat_messages SET message = 'edited' WHERE id % 7 = 0")
                db.execute("DELETE FROM files WHERE width IS NULL")
            app.ctl("wait", socket=socket)
            jaaz_equals(app)

        # Back: stop it, take it out; SQLite has been the truth all the time.
        app.ctl("--database", app.database, "uninstall", "--all")
        with contextlib.closing(app.connect()) as db:
            left = db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid").fetchall()
        assert left == schema


# Guide 001: BookLibrary.

LIBRARY = """
CREATE TABLE user(id INTEGER NOT NULL PRIMARY KEY, username VARCHAR(80) NOT NULL UNIQUE,
  email VARCHAR(120) NOT NULL UNIQUE, password_hash VARCHAR(128), created_at DATETIME);
CREATE TABLE book(id INTEGER NOT NULL PRIMARY KEY, isbn VARCHAR(13) UNIQUE, title VARCHAR(200) NOT NULL,
  author VARCHAR(200) NOT NULL, genre VARCHAR(100), cover_image_url VARCHAR(500), description TEXT,
  created_at DATETIME);
CREATE TABLE user_book(id INTEGER NOT NULL PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES user(id),
  book_id INTEGER NOT NULL REFERENCES book(id), status VARCHAR(20), rating INTEGER,
  sync_status VARCHAR(20), date_added DATETIME, UNIQUE(user_id, book_id));
CREATE TABLE alembic_version(version_num VARCHAR(32) NOT NULL PRIMARY KEY);
"""
SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "booklibrary")


def library_tables(environment):
    return {t: "BookLibrary-%s-%s" % (n, environment)
            for t, n in (("user", "Users"), ("book", "Books"), ("user_book", "UserBooks"))}


def fill_library(db, chance):
    maybe = lambda v: None if chance.random() < 0.3 else v
    when = lambda: maybe(str(datetime.datetime(2024, 1, 1) +
                             datetime.timedelta(milliseconds=chance.randrange(10**10))))
    db.executescript("BEGIN;" + LIBRARY)
    db.execute("INSERT INTO alembic_version VALUES('8a1f')")
    db.executemany("INSERT INTO user VALUES(?, ?, ?, ?, ?)", [
        (i, "user%d" % i, "u%d@example.org" % i, "pbkdf2:%032x" % chance.getrandbits(128), when())
        for i in range(1, 501)])
    db.executemany("INSERT INTO book VALUES(?, ?, ?, ?, ?, ?, ?, ?)", [
        (i, maybe("978%010d" % i), chance.choice(WORDS), "author %d" % (i % 90),
         maybe(chance.choice(["Fantasy", "Crime"])), maybe("https://example.org/%d.jpg" % i),
         maybe(chance.choice(WORDS)), when()) for i in range(1, 1501)])
    pairs = {(chance.randrange(1, 501), chance.randrange(1, 1501)) for _ in range(3000)}
    db.executemany("INSERT INTO user_book VALUES(?, ?, ?, ?, ?, ?, ?)", [
        (i, user, book, chance.choice(["reading", "finished"]), maybe(chance.randrange(1, 6)),
         "synced", when()) for i, (user, book) in enumerate(sorted(pairs), 1)])
    db.execute("COMMIT")
    return len(pairs)


def iso(text):
    """As SQLAlchemy writes a DATETIME, in UTC, to the millisecond."""
    if text is None:
        return None
    moment = datetime.datetime.fromisoformat(text)
    assert moment.microsecond % 1000 == 0
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (moment.microsecond // 1000)


def of(table, number):
    return str(uuid.uuid5(SPACE, "%s:%d" % (table, number)))


def expected_library(db, table):
    db.row_factory = sqlite3.Row
    for row in map(dict, db.execute("SELECT * FROM %s" % table)):
        item = {table + "_id": of(table, row.pop("id"))}
        for name in ("created_at", "date_added"):
            if name in row:
                row[name] = iso(row[name])
        if table == "book" and row["genre"] is None:
            row["genre"] = "Unknown"
        if table == "user_book":
            row["user_id"], row["book_id"] = of("user", row["user_id"]), of("book", row["book_id"])
        yield {**item, **without_none(row)}


def library_equals(app, tables):
    with contextlib.closing(app.connect()) as db:
        for table, target in tables.items():
            assert app.keys(target) == [table + "_id"]
            expected = list(expected_library(db, table))
            assert by(app.items(target), table + "_id") == by(expected, table + "_id"), table


def test_booklibrary(engine):
    example = os.path.join(EXAMPLES, "booklibrary.conf")
    environment = "test%d" % os.getpid()
    tables = library_tables(environment)
    with Application(engine, example, "us-east-1", tables.values(),
                     {"ENVIRONMENT": environment}) as app:
        with contextlib.closing(app.connect()) as db:
            rows = 2000 + fill_library(db, random.Random(1))
        del app.environment["ENVIRONMENT"]
        assert "ENVIRONMENT" in app.migrate("--dry-run", code=2).stderr
        with open(os.path.join(app.dir, "booklibrary.env"), "w", encoding="utf-8") as out:
            out.write("ENVIRONMENT=%s\n" % environment)

        plan = app.migrated("--dry-run")["plan"]
        assert plan["rows"] == rows and plan["failing"] == 0 and not app.there()
        assert {t["name"]: t["target"] for t in plan["tables"]} == tables

        # No answer without a terminal: nothing happens.
        assert "--yes" in app.migrate(code=2).stderr and not app.there()
        result = app.migrated("--yes", "--backup")["result"]
        assert result["items_put"] == rows and result["verified"] is True
        library_equals(app, tables)

        # The relationships lead somewhere: each UUID is that of a user and of a book.
        users = {i["user_id"] for i in app.items(tables["user"])}
        books = {i["book_id"] for i in app.items(tables["book"])}
        for item in app.items(tables["user_book"]):
            assert item["user_id"] in users and item["book_id"] in books
        assert app.migrated("--yes")["result"]["nothing_to_do"]
        with app.daemon() as socket:
            with contextlib.closing(app.connect()) as db:
                db.execute("UPDATE user_book SET rating = 5 WHERE rating IS NULL")
                db.execute("UPDATE book SET genre = NULL WHERE id % 3 = 0")
                db.execute("DELETE FROM user_book WHERE user_id = 7")
                db.execute("DELETE FROM user WHERE id = 7")
            app.ctl("wait", socket=socket)
            library_equals(app, tables)


def library_of_orphans(db, seed):
    """Relationships of users who are gone, which the guide's script skips with a word: how many rows
    there are, and the orphans' ids."""
    rows = 2000 + fill_library(db, random.Random(seed))
    db.execute("DELETE FROM user WHERE id IN (3, 4)")
    gone = [i for i, in db.execute("SELECT id FROM user_book WHERE user_id IN (3, 4)")]
    assert len(gone) > 2
    return rows - 2, gone


@contextlib.contextmanager
def library(engine, name):
    environment = "%s%d" % (name, os.getpid())
    tables = library_tables(environment)
    with Application(engine, os.path.join(EXAMPLES, "booklibrary.conf"), "us-east-1",
                     tables.values(), {"ENVIRONMENT": environment}) as app:
        with contextlib.closing(app.connect()) as db:
            yield app, db, tables


def left_out(app, tables, gone):
    """Those rows have no item, and every other has its own."""
    with contextlib.closing(app.connect()) as db:
        for table, target in tables.items():
            expected = by(list(expected_library(db, table)), table + "_id")
            if table == "user_book":
                for key in gone:
                    del expected[(of(table, key),)]
            assert by(app.items(target), table + "_id") == expected, table


def test_booklibrary_orphans_reported(engine):
    with library(engine, "told") as (app, db, tables):
        rows, gone = library_of_orphans(db, 2)
        assert "report, skip or dead-letter" in app.migrate("--orphans=ignore", code=2).stderr
        found = app.migrated("--dry-run", "--orphans=report")
        assert sum(o["rows"] for o in found["orphans"]) == len(gone)
        text = app.migrate("--dry-run").stdout
        assert "user_book.user_id -> user: %d rows: id=" % len(gone) in text
        assert app.migrated("--yes", "--orphans=report")["result"]["items_put"] == rows
        library_equals(app, tables)


def test_booklibrary_orphans_skipped(engine):
    """As the guide's script does; then by the service, which is told the same, while users come and
    go."""
    with library(engine, "skipped") as (app, db, tables):
        rows, gone = library_of_orphans(db, 3)
        found = app.migrated("--dry-run", "--orphans=skip")
        assert {o["columns"]: o["rows"] for o in found["orphans"] if o["left_out"]} == {
            "user_id": len(gone), "book_id": 0}
        text = app.migrate("--dry-run", "--orphans=skip").stdout
        assert "%d rows: id=" % len(gone) in text and "(left out)" in text

        text = app.migrate("--yes", "--orphans=skip").stdout
        assert "%d orphans left out" % len(gone) in text and "orphan_skipped" in text
        assert "orphans = skip in [source]" in text
        left_out(app, tables, gone)
        again = app.migrated("--yes", "--orphans=skip")["result"]
        assert again["nothing_to_do"] and again["orphans_skipped"] == len(gone)
        assert again["verified"] is True and again["dead_letters"] == 0

        with open(app.config, "a", encoding="utf-8") as out:
            out.write("[source]\norphans = skip\n")
        with app.daemon() as socket:
            app.ctl("wait", socket=socket)
            assert app.ctl("health", socket=socket).stdout.startswith("OK")
            status = json.loads(app.ctl("--json", "status", socket=socket).stdout)
            assert status["totals"]["orphans_skipped"] == len(gone)
            assert status["totals"]["dead_letters"] == 0 and status["converged"]
            # The move by the service that runs: agreed on what becomes of them, or refused.
            moved = app.migrated("--yes", "--socket", socket, "--orphans=skip")
            assert moved["by"] == "daemon" and moved["result"]["verified"] is True
            refused = app.migrate("--yes", "--socket", socket, "--orphans=report", code=2).stderr
            assert "orphans = skip for table" in refused and "leave --orphans out" in refused

            db.execute("INSERT INTO user(id, username, email) VALUES(3, 'Ann', 'ann@x')")
            app.ctl("wait", socket=socket)
            left = [i for i, in db.execute("SELECT id FROM user_book WHERE user_id = 4")]
            assert left and left != gone
            left_out(app, tables, left)
            db.execute("DELETE FROM user WHERE id = 3")
            app.ctl("wait", socket=socket)
            about = ["--database", app.database, "--region", app.region]
            report = json.loads(app.ctl("--json", *about, "verify", socket=socket).stdout)
            assert not report["differences"]
            key = "id=%d" % left[0]
            app.ctl("resync", "--all", "--full", socket=socket)
            app.ctl("wait", socket=socket)
            assert "no such row" in app.ctl(*about, "diff", "user_book", key, socket=socket,
                                             code=1).stdout
        left_out(app, tables, left)  # what was sent stays
        assert not json.loads(app.ctl("--json", *about, "verify").stdout)["differences"]


def test_booklibrary_orphans_as_dead_letters(engine):
    with library(engine, "aside") as (app, db, tables):
        rows, gone = library_of_orphans(db, 4)
        app.migrated("--dry-run", "--orphans=dead-letter", code=1)
        moved = app.migrated("--yes", "--orphans=dead-letter", code=1)["result"]
        assert moved["dead_letters"] == len(gone) and moved["items_put"] == rows - len(gone)
        assert [r["reason"] for r in moved["reasons"]] == ["orphan"]
        assert moved["verified"] is True
        left_out(app, tables, gone)
        # Nobody says so any more: they are sent.
        with app.daemon() as socket:
            app.ctl("wait", socket=socket)
            library_equals(app, tables)
            assert app.ctl("health", socket=socket).stdout.startswith("OK")
