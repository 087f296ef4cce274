"""A database from DynamoDB alone: on a machine that has nothing but credentials, through kills, full
disks and schemas that moved on; and what is said when it cannot be."""

import contextlib
import json
import os
import random
import resource
import sqlite3
import subprocess
import time

import pytest

from fault_rules import Fault
from harness import REGION, SYNCCTL, eventually

SCHEMA = [
    "PRAGMA journal_mode=wal",
    "PRAGMA user_version=41",
    "PRAGMA application_id=1234",
    "CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " score REAL, joined NUMERIC DEFAULT 0, avatar BLOB, up TEXT GENERATED ALWAYS AS (upper(name)))",
    "CREATE TABLE messages(session TEXT, n INTEGER, part INTEGER, body TEXT DEFAULT 'it''s',"
    " user INT REFERENCES users(id), PRIMARY KEY(session, n, part)) WITHOUT ROWID",
    "CREATE TABLE strict_one(k TEXT PRIMARY KEY, v ANY, i INT CHECK (i < 1000)) STRICT",
    "CREATE INDEX by_user ON messages(user DESC) WHERE user IS NOT NULL",
    'CREATE VIEW "all of them" AS SELECT * FROM messages JOIN users ON users.id = messages.user',
    "CREATE TRIGGER stamp AFTER INSERT ON users BEGIN UPDATE users SET joined = 1 WHERE id = NEW.id; END",
]


def fill(mirror, first=1, count=300):
    mirror.many(
        "INSERT INTO users(id, name, score, avatar) VALUES(?, ?, ?, ?)",
        [(i, "user %d" % i, i / 7, bytes([i % 256]) * (i % 40)) for i in range(first, first + count)],
    )
    mirror.many(
        "INSERT INTO messages(session, n, part, body, user) VALUES(?, ?, ?, ?, ?)",
        [
            ("s#%d\\" % (i % 7), i, -i, "" if i % 3 else "nul\x00 é 日本", i if i % 2 else None)
            for i in range(first, first + count)
        ],
    )
    mirror.many(
        "INSERT INTO strict_one VALUES(?, ?, ?)",
        [("k%d" % i, 2**63 - i if i % 2 else "text", i % 1000) for i in range(first, first + count)],
    )


def contents(path):
    """Schema, pragmas and every row with the kind of each value; none of what is syncd's."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        schema = db.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT GLOB '_syncd_*' AND"
            " tbl_name NOT GLOB '_syncd_*' ORDER BY type, name"
        ).fetchall()
        out = {"schema": schema}
        for pragma in ("user_version", "application_id", "encoding", "page_size", "journal_mode"):
            out[pragma] = db.execute("PRAGMA " + pragma).fetchone()[0]
        for name in [row[1] for row in schema if row[0] == "table" and row[1] != "sqlite_sequence"]:
            quoted = '"%s"' % name.replace('"', '""')
            columns = [row[1] for row in db.execute("PRAGMA table_xinfo(%s)" % quoted)]
            listed = ", ".join('"%s", typeof("%s")' % (c, c) for c in columns)
            rows = db.execute("SELECT %s FROM %s" % (listed, quoted)).fetchall()
            out["rows of " + name] = sorted(rows, key=repr)
        if any(row[1] == "sqlite_sequence" for row in schema):
            out["sequences"] = sorted(
                db.execute("SELECT * FROM sqlite_sequence WHERE name NOT GLOB '_syncd_*'").fetchall()
            )
    return out


def arguments(mirror, to, *more):
    return [
        SYNCCTL, "--region", REGION, "--endpoint-url", mirror.endpoint.url,
        "restore", "--to", str(to), "--meta-table", mirror.target("meta"), *map(str, more),
    ]  # fmt: skip


def elsewhere(mirror):
    """The environment of a machine that has credentials and nothing else."""
    return dict(mirror.environment, HOME="/nonexistent")


def restore(mirror, to, *more, **options):
    return subprocess.run(
        arguments(mirror, to, *more),
        env=elsewhere(mirror),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        **options,
    )


def restored(mirror, to, *more, code=0):
    done = restore(mirror, to, "--force", *more)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def is_kept(mirror):
    eventually(lambda: mirror.status()["schema"]["kept"], "the schema is kept")


def version(mirror):
    return {i["version"] for i in mirror.items("meta") if i["kind"] == "schema"}


@pytest.fixture
def mirror(mirror):
    mirror.configure({"dynamodb": {"keep_schema": "yes"}})
    return mirror


@pytest.fixture
def faulty(faulty):
    faulty.configure({"dynamodb": {"keep_schema": "yes"}})
    return faulty


@pytest.fixture
def kept(mirror):
    """A mirror of SCHEMA with rows, all of it in DynamoDB, the schema too."""
    mirror.sql(*SCHEMA)
    fill(mirror)
    mirror.start().settle()
    is_kept(mirror)
    return mirror


@pytest.mark.engine
def test_on_another_machine_after_the_schema_moved_on(kept, tmp_path):
    before = version(kept)
    kept.sql(
        "ALTER TABLE users ADD COLUMN mail TEXT DEFAULT 'none'",
        "CREATE UNIQUE INDEX by_mail ON users(mail, id)",
        "DROP VIEW \"all of them\"",
        "PRAGMA user_version=42",
        "DELETE FROM users WHERE id > 290",
    )
    fill(kept, first=1000, count=50)
    kept.settle()
    eventually(lambda: version(kept) not in (before, set()), "another version of the schema")
    kept.stop()
    to = tmp_path / "back.db"
    done = restored(kept, to)
    assert "restored: %s" % to in done.stdout and "integrity check: ok" in done.stdout
    was, now = contents(kept.database), contents(to)
    # What follows the schema's change in a transaction of its own may be seen a minute later.
    assert now.pop("user_version") in (41, was.pop("user_version"))
    assert now == was
    assert os.listdir(tmp_path) == ["back.db"]


@pytest.mark.engine
def test_json_says_all(kept, tmp_path):
    done = restore(kept, tmp_path / "back.db")
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        arguments(kept, tmp_path / "two.db", "users") + ["--json"],
        env=elsewhere(kept), stdout=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["clean"] and report["integrity"] == "ok" and not report["resumed"]
    rows = {t["table"]: (t["restored"], t["rows"], t["failed"]) for t in report["tables"]}
    assert rows["users"] == (True, 300, 0) and rows["messages"] == (False, 0, 0)


@pytest.mark.engine
def test_a_drill_compares_with_the_live_database(kept):
    done = kept.ctl("restore", "--drill")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "900 rows: 0 missing, 0 extra, 0 different" in done.stdout
    kept.stop()
    kept.sql(
        "DELETE FROM users WHERE id = 7",
        "UPDATE messages SET body = 'another' WHERE n = 8",
        "INSERT INTO strict_one VALUES('new', 1, 1)",
    )
    done = kept.ctl("restore", "--drill")
    assert done.returncode == 1
    assert "1 missing, 1 extra, 1 different" in done.stdout, done.stdout
    for told in ("users: id=7: extra", "n=8, part=-8: different in column body", "k='new': missing"):
        assert told in done.stdout
    assert [n for n in os.listdir(kept.dir) if "drill" in n] == []


@pytest.mark.engine
def test_a_drill_knows_of_rows_that_are_left_out(mirror):
    """An orphan is no item that went missing; with the row that it names it comes back, too."""
    mirror.configure({"source": {"orphans": "skip"}})
    mirror.sql(*SCHEMA)
    fill(mirror, count=30)
    mirror.sql("INSERT INTO messages VALUES('lost', 1, 1, 'late', 4711)")
    mirror.start().wait()
    is_kept(mirror)
    done = mirror.ctl("--json", "restore", "--drill")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)["compared"]
    assert (found["missing"], found["different"], found["dead_letters"]) == (0, 0, 1)
    assert mirror.ctl("verify").returncode == 0
    mirror.sql("INSERT INTO users(id, name) VALUES(4711, 'late')")
    mirror.wait()
    assert mirror.ctl("restore", "--drill").returncode == 0


@pytest.mark.engine
def test_killed_at_fifty_moments_it_goes_on(mirror, tmp_path):
    mirror.sql(*SCHEMA)
    mirror.many(
        "INSERT INTO users(id, name, avatar) VALUES(?, ?, ?)",
        [(i, "user %d" % i, os.urandom(3900)) for i in range(2500)],
    )
    mirror.start().settle()
    is_kept(mirror)
    mirror.stop()
    to, rng = tmp_path / "back.db", random.Random(50)
    for _ in range(50):
        process = subprocess.Popen(
            arguments(mirror, to, "--rate", 250, "--segments", 3),
            env=elsewhere(mirror), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(rng.uniform(0, 0.6))  # a moment of no meaning
        process.kill()
        process.wait()
    done = restore(mirror, to)
    assert done.returncode == 0 or "exists" in done.stderr, done.stdout + done.stderr
    assert "goes on" in done.stderr or "exists" in done.stderr
    assert contents(to) == contents(mirror.database)
    assert os.listdir(tmp_path) == ["back.db"]


@pytest.mark.engine
def test_a_full_disk_and_then_room(kept, tmp_path):
    to = tmp_path / "back.db"

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))

    done = restore(kept, to, preexec_fn=little_room)
    assert done.returncode == 3
    assert "%s.partial cannot grow: the disk is full; make room" % to in done.stderr
    assert not to.exists()
    assert restore(kept, to).returncode == 0
    assert contents(to) == contents(kept.database)


@pytest.mark.engine
def test_a_file_that_is_there(kept, tmp_path):
    to = tmp_path / "back.db"
    to.write_text("mine")
    done = restore(kept, to)
    assert done.returncode == 2 and to.read_text() == "mine"
    assert done.stderr == (
        "syncctl: %s exists; name another file, or say --force to have it replaced once the new one"
        " is whole\n" % to
    )
    (tmp_path / "back.db-wal").write_text("commits of somebody's")
    done = restore(kept, to, "--force")
    assert done.returncode == 2 and "back.db-wal is there" in done.stderr
    assert to.read_text() == "mine"
    done = restore(kept, tmp_path / "nowhere" / "back.db")
    assert done.returncode == 3 and "nothing can be written there" in done.stderr


@pytest.mark.engine
def test_nothing_to_restore_from(mirror, tmp_path):
    to = tmp_path / "back.db"
    done = restore(mirror, to)
    assert done.returncode == 2 and not to.exists()
    assert "where a restore finds the schema, does not exist at http" in done.stderr
    assert "name the region, and with --meta-table the table" in done.stderr
    mirror.configure({"dynamodb": {"keep_schema": "no"}, "sync": {"canary": "3s"}})
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES(1)")
    mirror.start().settle()
    assert mirror.status()["schema"] is None
    done = restore(mirror, to)
    assert done.returncode == 2
    assert "holds no schema: a daemon keeps it there" in done.stderr
    done = restore(mirror, to, "--database-id", "00")
    assert done.returncode == 2 and "holds no schema of database 00" in done.stderr


def test_no_rights(faulty, fault, tmp_path):
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES(1)")
    faulty.start().settle()
    is_kept(faulty)
    (item,) = [i for i in faulty.items("meta") if i["kind"] == "schema"]
    fault.faults.add(Fault("access_denied", times=None, op="Scan"))
    done = restore(faulty, tmp_path / "back.db", "--database-id", item["id"])
    assert done.returncode == 3 and "Scan of table %st" % faulty.prefix in done.stderr
    assert "AccessDeniedException" in done.stderr
    fault.faults.clear()
    assert restore(faulty, tmp_path / "back.db", "--database-id", item["id"]).returncode == 0


@pytest.mark.engine
def test_several_databases_share_the_meta_table(kept, make_mirror, tmp_path):
    other = make_mirror(
        kept.endpoint, {"dynamodb": {"meta_table": kept.target("meta"), "keep_schema": "yes"}}
    )
    other.sql("CREATE TABLE only_here(id INTEGER PRIMARY KEY)", "INSERT INTO only_here VALUES(5)")
    other.start().settle()
    is_kept(other)
    done = restore(kept, tmp_path / "back.db")
    assert done.returncode == 2
    assert "holds the schemas of 2 databases; say which with --database-id" in done.stderr
    ids = {i["database"]: i["id"] for i in kept.items("meta") if i["kind"] == "schema"}
    for database, name in ids.items():
        assert "%s (%s on " % (name, database[:60]) in done.stderr
    for one in (kept, other):
        to = tmp_path / (one.prefix + ".db")
        done = restore(kept, to, "--database-id", ids[one.database])
        assert done.returncode == 0, done.stderr
        assert contents(to) == contents(one.database)


def machine(make_mirror, engine, name, first=None):
    """One of the machines that share a DynamoDB table and a meta table by their source_id."""
    one = make_mirror(engine)
    shared = (first or one).target("t")
    meta = (first or one).target("meta")
    one.configure({
        "source": {"source_id": name},
        "dynamodb": {"meta_table": meta, "keep_schema": "yes"},
        "table t": {"target": shared, "partition_key": "{source_id}#{id}", "partition_key_name": "pk"},
    })
    one.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY, v, w REAL)")
    rng = random.Random(name)
    values = (None, 0, -(2**63), 2**53 + 1, name, "", b"", rng.randbytes(9), 1e100, "nul\x00")
    one.many("INSERT INTO t VALUES(?, ?, ?)", [
        (i, rng.choice(values), rng.choice((None, 0.1, -1.5, rng.random()))) for i in range(200)])
    return one.start()


@pytest.mark.engine
def test_machines_that_share_a_table_come_back_each_for_itself(make_mirror, engine, tmp_path):
    """Value for value; and what one takes out of DynamoDB, finds there, or sends again, is its own."""
    berlin = machine(make_mirror, engine, "berlin")
    paris = machine(make_mirror, engine, "paris", berlin)

    def of(name):
        return {i["pk"]: i for i in berlin.items("t") if i["pk"].startswith(name + "#")}

    for one in (berlin, paris):
        one.wait()
        is_kept(one)
    assert len(of("berlin")) == len(of("paris")) == 200
    ids = {i["database"]: i["id"] for i in berlin.items("meta") if i["kind"] == "schema"}
    for one in (berlin, paris):
        found = one.ctl("--json", "verify", "--delete-extra")
        assert found.returncode == 0, found.stdout + found.stderr
        table = json.loads(found.stdout)["tables"][0]
        assert (table["rows"], table["extra"]) == (200, 0)
        to = tmp_path / (one.prefix + ".db")
        done = restore(berlin, to, "--database-id", ids[one.database])
        assert done.returncode == 0, done.stderr
        assert contents(to) == contents(one.database)

    before = of("paris")
    berlin.stop()
    gone = json.loads(berlin.ctl("--json", "purge", "--yes").stdout)["tables"][0]
    assert (gone["deleted"], gone["not_ours"]) == (200, 200)
    assert berlin.ctl("purge", "--yes", "--delete-tables").returncode == 1
    assert of("berlin") == {} and of("paris") == before
    assert paris.ctl("verify").returncode == 0
    done = restore(berlin, tmp_path / "again.db", "--database-id", ids[paris.database])
    assert done.returncode == 0 and contents(tmp_path / "again.db") == contents(paris.database)
    # Nothing of it was paris's, whose comparison sends nothing; and berlin comes back whole.
    put = paris.status()["totals"]["items_put"]
    assert paris.ctl("resync", "--all").returncode == 0
    paris.wait()
    assert paris.status()["totals"]["items_put"] == put
    berlin.start()
    berlin.wait()
    assert len(of("berlin")) == 200 and of("paris") == before


@pytest.mark.engine
def test_what_cannot_come_back_is_said_before_and_after(mirror, tmp_path):
    mirror.configure({"source": {"exclude_columns": "t.secret, u.hidden", "exclude_tables": "gone"}})
    mirror.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, secret TEXT NOT NULL, v TEXT)",
        "CREATE TABLE u(id INTEGER PRIMARY KEY, hidden TEXT NOT NULL DEFAULT 'unknown')",
        "CREATE TABLE gone(id INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES(1, 's', 'x'), (2, 's', 'y')",
        "INSERT INTO u VALUES(1, 'h')",
    )
    mirror.start().settle()
    is_kept(mirror)
    done = restored(mirror, tmp_path / "back.db", code=1)
    said = done.stderr
    assert 'table "gone" comes back empty: the configuration leaves it out' in said
    assert 'table "t", column "secret": it is excluded, and it may not be NULL' in said
    assert 'table "u", column "hidden": it is excluded\n' in said
    assert "t: id=1: NOT NULL constraint failed: t.secret" in done.stdout
    assert "t: id=2: NOT NULL constraint failed: t.secret" in done.stdout
    with contextlib.closing(sqlite3.connect(tmp_path / "back.db")) as db:
        assert db.execute("SELECT * FROM u").fetchall() == [(1, "unknown")]
        assert db.execute("SELECT count(*) FROM t").fetchall() == [(0,)]


@pytest.mark.engine
def test_items_of_others_are_left(mirror, tmp_path):
    """Two tables in one target, and somebody's items beside them."""
    mirror.configure(
        {
            "table a": {"target": mirror.prefix + "one", "partition_key": "A#{id}",
                        "partition_key_name": "pk"},
            "table b": {"target": mirror.prefix + "one", "partition_key": "B#{id}",
                        "partition_key_name": "pk"},
        }
    )  # fmt: skip
    mirror.sql(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE b(id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO a VALUES(1, 'a'), (2, 'aa')",
        "INSERT INTO b VALUES(1, 'b'), (3, 'bb')",
    )
    mirror.start().settle()
    is_kept(mirror)
    mirror.client.put_item(
        TableName=mirror.prefix + "one", Item={"pk": {"S": "C#1"}, "id": {"N": "9"}}
    )
    done = restored(mirror, tmp_path / "back.db")
    assert "1 items were left" in done.stdout
    assert contents(tmp_path / "back.db") == contents(mirror.database)


@pytest.mark.engine
def test_a_schema_of_many_pieces(mirror, tmp_path):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES(1)")
    for i in range(4):
        mirror.sql('CREATE VIEW v%d AS SELECT 1 AS "%s"' % (i, "é" * 125000))
    mirror.start().settle()
    is_kept(mirror)

    def kinds():
        kept = [i["kind"] for i in mirror.items("meta") if i["kind"].startswith("schema")]
        return sorted(k.split("/")[0] + "/" + k[-3:] for k in kept)

    assert kinds() == ["schema/000", "schema/001", "schema/002", "schema/ema"]
    restored(mirror, tmp_path / "back.db")
    assert contents(tmp_path / "back.db") == contents(mirror.database)
    before = version(mirror)
    mirror.sql("DROP VIEW v3", "DROP VIEW v2")
    eventually(lambda: version(mirror) != before, "another version")
    eventually(lambda: kinds() == ["schema/000", "schema/001", "schema/ema"], "the old pieces go")
    restored(mirror, tmp_path / "back.db")
    assert contents(tmp_path / "back.db") == contents(mirror.database)


@pytest.mark.engine
def test_without_the_meta_table_there_is_a_warning(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES(1)")
    assert mirror.ctl("create-tables").returncode == 0
    mirror.client.delete_table(TableName=mirror.target("meta"))
    mirror.configure({"dynamodb": {"create_tables": "no"}})
    mirror.start().settle()  # rows are not held up
    eventually(lambda: "schema_unkept" in mirror.reasons(), "the warning")
    code, body = mirror.request("GET", "/v1/health")
    (reason,) = [r["message"] for r in body["reasons"] if r["code"] == "schema_unkept"]
    assert code == 200 and body["health"] == "warning"
    assert "could not be restored from DynamoDB alone" in reason
    assert "make it with `syncctl create-tables`" in reason
    assert mirror.ctl("create-tables").returncode == 0
    mirror.restart()
    is_kept(mirror)
    eventually(lambda: mirror.reasons() == set(), "all is well")


def test_an_interrupted_write_of_the_schema_is_finished(faulty, fault, tmp_path):
    """Replies are lost and requests refused; the newest schema is what is there in the end."""
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES(1, 'x')")
    for kind in ("reset_after_apply", "internal", "throttling", "unprocessed"):
        arguments_of = {"count": 1} if kind == "unprocessed" else {}
        fault.faults.add(Fault(kind, times=2, table=faulty.target("meta"), **arguments_of))
    faulty.start().settle()
    is_kept(faulty)
    faulty.sql("CREATE INDEX i ON t(v)")
    first = version(faulty)
    eventually(lambda: version(faulty) != first, "the newer schema")
    (item,) = [i for i in faulty.items("meta") if i["kind"] == "schema"]
    assert "CREATE INDEX i ON t(v)" in item["text"]
    restored(faulty, tmp_path / "back.db", "--database-id", item["id"])
    assert contents(tmp_path / "back.db") == contents(faulty.database)


@pytest.mark.engine
def test_rows_too_large_for_one_item(mirror, tmp_path):
    mirror.configure({"table s": {"oversize": "split"}, "table c": {"oversize": "compress"}})
    mirror.sql(
        "CREATE TABLE s(a TEXT, b TEXT, v BLOB, PRIMARY KEY(a, b))",
        "CREATE TABLE c(id INTEGER PRIMARY KEY, v TEXT)",
    )
    mirror.many("INSERT INTO s VALUES(?, ?, ?)", [("p", str(i), os.urandom(700000)) for i in range(3)])
    mirror.many("INSERT INTO s VALUES('p', ?, 'small')", [("x%d" % i,) for i in range(5)])
    mirror.many("INSERT INTO c VALUES(?, ?)", [(i, "é\x00%d" % i * 150000) for i in range(2)])
    mirror.start().wait()
    is_kept(mirror)
    done = restored(mirror, tmp_path / "back.db")
    assert contents(tmp_path / "back.db") == contents(mirror.database), done.stdout
    assert mirror.ctl("restore", "--drill").returncode == 0
    (chunk, *_) = [i for i in mirror.items("s") if "~syncd~" in i["b"]]
    mirror.client.delete_item(
        TableName=mirror.target("s"), Key={"a": {"S": chunk["a"]}, "b": {"S": chunk["b"]}}
    )
    done = restored(mirror, tmp_path / "back.db", code=1)
    assert '"b":{"S":"%s"}' % chunk["b"].split("~")[0] in done.stdout


def test_a_drill_takes_up_nothing_of_an_earlier_one(faulty, fault, tmp_path):
    """What a killed one had read says nothing of what is in DynamoDB now."""
    faulty.sql("CREATE TABLE aaa(id INTEGER PRIMARY KEY)", "CREATE TABLE bbb(id INTEGER PRIMARY KEY)")
    faulty.sql("INSERT INTO aaa VALUES(1), (2)", "INSERT INTO bbb VALUES(1)")
    faulty.start().settle()
    is_kept(faulty)
    drill = ["restore", "--drill", "--to", str(tmp_path / "back.db"), "--meta-table", faulty.target("meta")]
    fault.faults.add(Fault("hold", op="Scan", table=faulty.target("bbb"), times=None))
    process = subprocess.Popen(
        [SYNCCTL, "--config", faulty.config, "--socket", faulty.socket, *drill],
        env=faulty.environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(fault.held, "a scan being under way")
    process.kill()
    process.wait()
    fault.faults.clear()
    fault.release()
    fault.tables.remove(faulty.target("aaa"), {"id": {"N": "2"}})
    done = faulty.ctl(*drill)
    assert done.returncode == 1 and "1 missing" in done.stdout, done.stdout + done.stderr
    assert os.listdir(tmp_path) == []
