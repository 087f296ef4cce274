"""Every committed change arrives, whatever the table, the statement and the journal mode."""

import contextlib
import os
import random
import re

import pytest

import sample
from harness import eventually, writer

pytestmark = pytest.mark.engine

# One table of each kind; rows come from fill().
KINDS = {
    "rowid": "CREATE TABLE rowid(id INTEGER PRIMARY KEY, v TEXT)",
    "text_key": "CREATE TABLE text_key(k TEXT PRIMARY KEY NOT NULL, v)",
    "real_key": "CREATE TABLE real_key(k REAL PRIMARY KEY NOT NULL, v)",
    "blob_key": "CREATE TABLE blob_key(k BLOB PRIMARY KEY NOT NULL, v)",
    "without_rowid": "CREATE TABLE without_rowid(k TEXT PRIMARY KEY, v) WITHOUT ROWID",
    "strict": "CREATE TABLE strict(id INTEGER PRIMARY KEY, v TEXT, any_v ANY) STRICT",
    "pair": "CREATE TABLE pair(a TEXT NOT NULL, b INTEGER NOT NULL, v, PRIMARY KEY(a, b))",
    "triple": "CREATE TABLE triple(a TEXT NOT NULL, b TEXT NOT NULL, c INTEGER NOT NULL, v, PRIMARY KEY(a, b, c))",
    "five": "CREATE TABLE five(a INTEGER, b TEXT, c TEXT, d TEXT, e TEXT, v, PRIMARY KEY(a, b, c, d, e)) WITHOUT ROWID",
    "key_order": "CREATE TABLE key_order(v, b INTEGER NOT NULL, a TEXT NOT NULL, PRIMARY KEY(a, b))",
    "generated": "CREATE TABLE generated(id INTEGER PRIMARY KEY, v INTEGER, "
    "twice INTEGER GENERATED ALWAYS AS (v * 2) VIRTUAL, text TEXT AS (v || '!') STORED)",
    "order": 'CREATE TABLE "order"("group" INTEGER PRIMARY KEY, "select" TEXT)',
}


def test_sample_is_loaded_whole(mirror):
    sample.create(mirror.database, 20000, 1)
    mirror.start()
    report = mirror.settle(120)
    assert report.items >= 20000
    status = mirror.status()
    assert status["state"] == "running" and status["health"] == "ok" and status["reasons"] == []
    assert status["totals"]["items_put"] >= report.items
    assert {t["state"] for t in status["tables"]} == {"running"} or all(
        t["pending"] == 0 for t in status["tables"]
    )


def test_a_restart_of_an_equal_mirror_sends_nothing(mirror):
    sample.create(mirror.database, 2000, 2)
    mirror.start()
    mirror.settle(60)
    mirror.restart()
    mirror.settle()
    totals = mirror.status()["totals"]
    assert totals["items_put"] == 0 and totals["items_deleted"] == 0


@pytest.mark.parametrize("mode", ["wal", "delete", "truncate", "persist"])
def test_another_process_is_followed(mirror, mode):
    mirror.sql("PRAGMA journal_mode=%s" % mode, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    mirror.start()
    with writer(
        mirror.database,
        "db.execute('PRAGMA journal_mode=%s')\n" % mode + """
for n in range(200):
    db.execute("INSERT INTO t VALUES(?, 'first')", (n,))
db.execute("UPDATE t SET v='second' WHERE id % 3 = 0")
db.execute("DELETE FROM t WHERE id % 5 = 0")
db.execute("INSERT INTO t VALUES(0, 'again')")
""",
    ):
        pass
    mirror.settle()
    found = mirror.by_id("t")
    assert (
        len(found) == 161
        and found[0]["v"] == "again"
        and found[3]["v"] == "second"
        and 5 not in found
    )
    # TRUNCATE and PERSIST are the writer's own affair: the file says only WAL or not.
    assert (mirror.status()["source"]["journal_mode"] == "wal") is (mode == "wal")


def test_one_change_arrives_without_being_asked_for(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    mirror.start().wait()
    mirror.sql("INSERT INTO t VALUES(1, 'x')")
    eventually(lambda: mirror.by_id("t") == {1: {"id": 1, "v": "x"}}, "the row in DynamoDB")
    mirror.sql("DELETE FROM t")
    eventually(lambda: mirror.by_id("t") == {}, "the row gone from DynamoDB")


def fill(mirror, table, seed, rounds=3):
    """Random statements over any table of KINDS: inserts, updates, deletes, replaces."""
    rng = random.Random(seed)
    columns = [c for c in mirror.sql('PRAGMA table_xinfo("%s")' % table) if c[6] == 0]
    names = [c[1] for c in columns]

    def value(column):
        kind = column[2].upper()
        if kind == "INTEGER" or kind == "INT":
            return rng.randrange(40)
        if kind == "REAL":
            return rng.choice([0.5, -1.25, 1e20, 0.1 + 0.2, 5e-100]) * rng.randrange(1, 5)
        if kind == "BLOB":
            return bytes(rng.randrange(256) for _ in range(rng.randrange(1, 4)))
        return rng.choice(["a", "b#c", "b\\#", "\\", "#", "ä", "\U0001f600", "z" * 20]) + str(
            rng.randrange(6)
        )

    def row():
        return [value(c) for c in columns]

    quoted = ", ".join('"%s"' % n for n in names)
    marks = ", ".join("?" * len(names))
    plain = [n for n, c in zip(names, columns) if not c[5]]
    for _ in range(rounds):
        for _ in range(20):
            mirror.sql(
                ('INSERT OR REPLACE INTO "%s"(%s) VALUES(%s)' % (table, quoted, marks), row())
            )
            mirror.sql(
                ('INSERT OR IGNORE INTO "%s"(%s) VALUES(%s)' % (table, quoted, marks), row())
            )
        mirror.sql(
            (
                'UPDATE "%s" SET "%s" = ? WHERE abs(random()) %% 3 = 0' % (table, plain[0]),
                (rng.randrange(99),),
            )
        )
        mirror.sql('DELETE FROM "%s" WHERE abs(random()) %% 4 = 0' % table)


def test_every_kind_of_table(mirror):
    mirror.sql("PRAGMA journal_mode=wal", *KINDS.values())
    for table in KINDS:
        fill(mirror, table, table, 1)
    mirror.start().wait()
    for table in KINDS:
        fill(mirror, table, table + " live")
    report = mirror.settle()
    assert report.tables == len(KINDS)
    assert mirror.dead_letters() == []
    assert (
        mirror.sql("SELECT count(*) FROM generated WHERE twice = v * 2")[0][0]
        == sum(
            i["twice"] == 2 * i["v"] and i["text"] == "%d!" % i["v"]
            for i in mirror.items("generated")
        )
        > 0
    )


HOSTILE = [
    "käse tabelle",
    'quote"d',
    "semi;colon",
    "x'y",
    "Robert'); DROP TABLE t;--",
    "日本語",
    "a]b",
    "%w %s",
    "new\tline",
]


def test_names_of_every_spelling(mirror):
    columns = '"id ""x""" INTEGER PRIMARY KEY, "sp ace" TEXT, "ü" BLOB, "a.b" REAL, "semi;" INTEGER'
    for number, name in enumerate(HOSTILE):
        quoted = name.replace('"', '""')
        mirror.sql('CREATE TABLE "%s"(%s)' % (quoted, columns))
        mirror.configure({"table " + name: {"target": "%sodd-%d" % (mirror.prefix, number)}})
    mirror.start().wait()
    for name in HOSTILE:
        mirror.many(
            'INSERT INTO "%s" VALUES(?, ?, ?, ?, ?)' % name.replace('"', '""'),
            [(n, "v%d" % n, b"\x00" * n, n / 3, -n) for n in range(1, 30)],
        )
    mirror.settle()
    for name in HOSTILE:
        assert len(mirror.items(name)) == 29


def test_a_name_dynamodb_cannot_have_is_refused_with_what_to_write(mirror):
    mirror.sql(
        'CREATE TABLE "two words"(id INTEGER PRIMARY KEY)',
        "CREATE TABLE fine(id INTEGER PRIMARY KEY)",
    )
    mirror.sql("INSERT INTO fine VALUES(1)")
    mirror.start().wait()
    assert len(mirror.items("fine")) == 1
    assert "target" in mirror.table("two words")["reason"]


def test_a_table_without_a_primary_key_is_left_out_with_the_reason(mirror):
    mirror.sql("CREATE TABLE loose(a, b)", "CREATE TABLE fine(id INTEGER PRIMARY KEY)")
    mirror.start().wait()
    refused = mirror.table("loose")
    assert "primary key" in refused["reason"].lower()
    assert mirror.triggers("loose") == set() and mirror.triggers("fine")
    assert mirror.status()["health"] == "ok"


def test_excluded_tables_and_columns_are_not_mirrored(mirror):
    mirror.configure(
        {
            "source": {
                "exclude_tables": "tmp_*, django_migrations",
                "exclude_columns": "*.secret, t.hidden",
            }
        }
    )
    mirror.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, hidden TEXT, secret TEXT, v TEXT)",
        "CREATE TABLE u(id INTEGER PRIMARY KEY, hidden TEXT, secret TEXT)",
        "CREATE TABLE tmp_x(id INTEGER PRIMARY KEY)",
        "CREATE TABLE django_migrations(id INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES(1, 'h', 's', 'v')",
        "INSERT INTO u VALUES(1, 'h', 's')",
        "INSERT INTO tmp_x VALUES(1)",
    )
    mirror.start().settle()
    assert mirror.items("t") == [{"id": 1, "v": "v"}]
    assert mirror.items("u") == [{"id": 1, "hidden": "h"}]
    assert mirror.tables_of_ours() == sorted(mirror.target(t) for t in ("meta", "t", "u"))
    assert mirror.triggers("tmp_x") == set()


def test_renamed_attributes_null_and_key_names(mirror):
    mirror.configure(
        {
            "table t": {"rename.created_at": "createdAt", "null": "null"},
            "table u": {
                "partition_key": "USER#{owner}",
                "sort_key": "NOTE#{id}",
                "partition_key_name": "pk",
                "sort_key_name": "sk",
            },
        }
    )
    mirror.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, created_at INTEGER, v TEXT)",
        "CREATE TABLE u(owner TEXT NOT NULL, id INTEGER NOT NULL, v TEXT, PRIMARY KEY(owner, id))",
    )
    mirror.start().wait()
    mirror.sql(
        "INSERT INTO t VALUES(1, 99, NULL)", "INSERT INTO u VALUES('ann', 7, 'x'), ('ann', 8, 'y')"
    )
    mirror.sql("DELETE FROM u WHERE id = 8")
    mirror.wait()
    assert mirror.items("t") == [{"id": 1, "createdAt": 99, "v": None}]
    assert mirror.items("u") == [
        {"pk": "USER#ann", "sk": "NOTE#7", "owner": "ann", "id": 7, "v": "x"}
    ]


def test_a_moved_primary_key_leaves_no_old_item(mirror):
    mirror.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE n(k TEXT PRIMARY KEY COLLATE NOCASE NOT NULL, v TEXT)",
        "CREATE TABLE p(a TEXT NOT NULL, b INTEGER NOT NULL, v, PRIMARY KEY(a, b))",
        "INSERT INTO t VALUES(1, 'a'), (2, 'b'), (3, 'c')",
        "INSERT INTO n VALUES('abc', 1)",
        "INSERT INTO p VALUES('x', 1, 1), ('y', 2, 2)",
    )
    mirror.start().wait()
    mirror.sql(
        "UPDATE t SET id = 10 WHERE id = 1",
        "UPDATE t SET rowid = 20 WHERE id = 2",
        "UPDATE t SET _rowid_ = 30 WHERE id = 3",
        "UPDATE n SET k = 'ABC'",
        "UPDATE p SET a = 'z', b = 9 WHERE a = 'x'",
        "UPDATE p SET b = b + 1",
    )
    mirror.settle()
    assert set(mirror.by_id("t")) == {10, 20, 30}
    assert [i["k"] for i in mirror.items("n")] == ["ABC"]
    assert {(i["a"], i["b"]) for i in mirror.items("p")} == {("z", 10), ("y", 3)}


def test_two_rows_that_swap_keys_both_stay(mirror):
    mirror.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO t VALUES(1, 'one'), (2, 'two')",
    )
    mirror.start().wait()
    db = mirror.connect()
    for statement in (
        "BEGIN",
        "UPDATE t SET id = -1 WHERE id = 1",
        "UPDATE t SET id = 1 WHERE id = 2",
        "UPDATE t SET id = 2 WHERE id = -1",
        "COMMIT",
    ):
        db.execute(statement)
    db.close()
    mirror.settle()
    assert {i: r["v"] for i, r in mirror.by_id("t").items()} == {1: "two", 2: "one"}


def test_values_that_change_their_type_arrive_as_they_are(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES(1, 1)")
    mirror.start().wait()
    for literal, expected in (
        ("'1'", "1"),
        ("1.5", "1.5"),
        ("x'31'", b"1"),
        ("''", ""),
        ("x''", b""),
        ("NULL", None),
        ("1", "1"),
    ):
        mirror.sql("UPDATE t SET v = " + literal)
        mirror.settle()
        found = mirror.items("t")[0].get("v")
        assert (
            str(found) if found is not None and not isinstance(found, bytes) else found
        ) == expected



def test_foreign_key_actions_and_the_users_own_triggers(mirror):
    mirror.sql(
        "CREATE TABLE parent(id INTEGER PRIMARY KEY, n INTEGER DEFAULT 0)",
        "CREATE TABLE child(id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE)",
        "CREATE TRIGGER own AFTER INSERT ON child BEGIN UPDATE parent SET n = n + 1 WHERE id = NEW.p; END",
        "INSERT INTO parent(id) VALUES(1), (2)",
    )
    mirror.start().wait()
    db = mirror.connect()
    for statement in (
        "PRAGMA foreign_keys=ON",
        "INSERT INTO child VALUES(1, 1), (2, 1), (3, 2)",
        "UPDATE parent SET id = 5 WHERE id = 2",
        "DELETE FROM parent WHERE id = 1",
    ):
        db.execute(statement)
    db.close()
    mirror.settle()
    assert mirror.by_id("parent") == {5: {"id": 5, "n": 1}}
    assert mirror.by_id("child") == {3: {"id": 3, "p": 5}}


def test_what_was_rolled_back_never_arrives(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES(1, 'kept')")
    mirror.start().wait()
    before = mirror.status()["totals"]["changes"]
    db = mirror.connect()
    for statement in (
        "BEGIN",
        "INSERT INTO t VALUES(2, 'x')",
        "UPDATE t SET v = 'y'",
        "DELETE FROM t WHERE id = 1",
        "ROLLBACK",
    ):
        db.execute(statement)
    mirror.settle()
    assert mirror.by_id("t") == {1: {"id": 1, "v": "kept"}}
    assert mirror.status()["totals"]["changes"] == before
    for statement in (
        "BEGIN",
        "INSERT INTO t VALUES(3, 'a')",
        "SAVEPOINT s",
        "INSERT INTO t VALUES(4, 'b')",
        "UPDATE t SET v = 'z' WHERE id = 3",
        "ROLLBACK TO s",
        "INSERT INTO t VALUES(5, 'c')",
        "RELEASE s",
        "COMMIT",
    ):
        db.execute(statement)
    db.close()
    mirror.settle()
    assert {i: r["v"] for i, r in mirror.by_id("t").items()} == {1: "kept", 3: "a", 5: "c"}


def test_an_open_transaction_is_not_seen_before_its_commit(mirror):
    mirror.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY)")
    mirror.start().wait()
    db = mirror.connect()
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES(1)")
    mirror.wait()
    assert mirror.items("t") == []
    db.execute("COMMIT")
    db.close()
    mirror.settle()
    assert len(mirror.items("t")) == 1


BUSY_WRITER = """
rng = random.Random(args[0])
for n in range(int(args[1])):
    db.execute("BEGIN IMMEDIATE")
    for _ in range(rng.randrange(1, 12)):
        k = rng.randrange(200)
        if rng.random() < 0.3:
            db.execute("DELETE FROM t WHERE id = ?", (k,))
        else:
            db.execute("INSERT INTO t VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET v = excluded.v", (k, args[0] + str(n)))
    db.execute("COMMIT")
"""


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_two_writers_on_the_same_rows(mirror, mode):
    mirror.sql("PRAGMA journal_mode=%s" % mode, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    mirror.start()
    count = 300 if mode == "wal" else 60
    with writer(mirror.database, BUSY_WRITER, "a", count), writer(
        mirror.database, BUSY_WRITER, "b", count
    ):
        pass
    mirror.settle()


def test_a_burst_over_the_sample_from_another_process(mirror):
    sample.create(mirror.database, 3000, 3)
    mirror.start()
    sample.burst(mirror.database, 1500, 4)
    mirror.settle(60)


def watched_inodes(pid):
    """Inodes that a process watches by inotify, as the kernel tells."""
    found = set()
    for name in os.listdir("/proc/%d/fdinfo" % pid):
        # A running process closes files between our listing and our reading.
        with contextlib.suppress(FileNotFoundError), open(
            "/proc/%d/fdinfo/%s" % (pid, name), encoding="ascii"
        ) as info:
            found |= {
                int(m, 16) for m in re.findall(r"^inotify wd:\S+ ino:([0-9a-f]+)", info.read(), re.M)
            }
    return found


def test_a_database_behind_a_symbolic_link_is_watched_where_it_is(mirror):
    """Its -wal stands beside the target, in another directory than the link."""
    real = os.path.join(mirror.dir, "elsewhere", "real.db")
    os.mkdir(os.path.dirname(real))
    os.symlink(real, mirror.database)
    mirror.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    mirror.start().wait()
    assert watched_inodes(mirror.process.pid) == {os.stat(os.path.dirname(real)).st_ino}
    mirror.sql("INSERT INTO t VALUES(1, 'x')")
    mirror.settle()
    assert len(mirror.items("t")) == 1
