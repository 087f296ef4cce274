"""Migrations happen under the daemon: none fails because of it, and what they change arrives."""

import sqlite3

import pytest

from harness import eventually, writer

pytestmark = pytest.mark.engine


@pytest.fixture
def running(mirror):
    mirror.sql(
        "PRAGMA journal_mode=wal",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, n INTEGER DEFAULT 0)",
        "CREATE TABLE u(id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO u VALUES(1, 'u')",
    )
    mirror.many("INSERT INTO t(id, v) VALUES(?, 'first')", [(n,) for n in range(50)])
    mirror.start().settle()
    return mirror


def back(mirror, table="t"):
    eventually(lambda: len(mirror.triggers(table)) >= 3, "the triggers of %s back" % table)


def test_triggers_dropped_behind_its_back(running):
    db = running.connect()
    db.execute("BEGIN IMMEDIATE")
    for name in running.triggers("t"):
        db.execute('DROP TRIGGER "%s"' % name)
    db.execute("UPDATE t SET v = 'missed' WHERE id < 10")
    db.execute("DELETE FROM t WHERE id >= 40")
    db.execute("INSERT INTO t(id, v) VALUES(100, 'missed')")
    db.execute("COMMIT")
    db.close()
    back(running)
    running.settle()
    assert len(running.items("t")) == 41
    running.sql("UPDATE t SET v = 'seen' WHERE id = 1")
    running.settle()


def test_one_trigger_dropped_or_altered(running):
    for name in sorted(running.triggers("t")):
        running.sql(
            'DROP TRIGGER "%s"' % name,
            "UPDATE t SET n = n + 1 WHERE id < 3",
            "DELETE FROM t WHERE id = (SELECT max(id) FROM t)",
        )
        eventually(lambda: name in running.triggers("t"), "trigger %s back" % name)
        running.settle()


def test_a_table_rebuilt_as_migration_tools_do(running):
    db = running.connect()
    for statement in (
        "BEGIN",
        "CREATE TABLE new_t(id INTEGER PRIMARY KEY, v TEXT NOT NULL, extra TEXT DEFAULT 'e')",
        "INSERT INTO new_t(id, v) SELECT id, upper(v) FROM t WHERE id <> 7",
        "DROP TABLE t",
        "ALTER TABLE new_t RENAME TO t",
        "COMMIT",
        "INSERT INTO t VALUES(70, 'after', 'x')",
        "DELETE FROM t WHERE id = 8",
    ):
        db.execute(statement)
    db.close()
    back(running)
    running.settle()
    found = running.by_id("t")
    assert len(found) == 49 and 7 not in found and 8 not in found
    assert found[1] == {"id": 1, "v": "FIRST", "extra": "e"}


def test_a_table_rebuilt_by_renaming_it_aside(running):
    db = running.connect()
    for statement in (
        "PRAGMA legacy_alter_table=ON",
        "BEGIN",
        "ALTER TABLE t RENAME TO old_t",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO t SELECT id, v FROM old_t WHERE id < 45",
        "DROP TABLE old_t",
        "COMMIT",
        "UPDATE t SET v = 'after' WHERE id = 2",
    ):
        db.execute(statement)
    db.close()
    back(running)
    running.settle()
    assert len(running.items("t")) == 45 and "n" not in running.by_id("t")[1]


@pytest.mark.parametrize(
    "statement, check",
    [
        ("ALTER TABLE t ADD COLUMN extra TEXT DEFAULT 'new'", lambda item: item["extra"] == "new"),
        ("ALTER TABLE t DROP COLUMN n", lambda item: "n" not in item),
        (
            "ALTER TABLE t RENAME COLUMN v TO words",
            lambda item: item["words"] == "first" and "v" not in item,
        ),
    ],
)
def test_columns_that_come_go_and_change_their_name(running, statement, check):
    running.sql(statement, "INSERT INTO t(id) VALUES(200)", "DELETE FROM t WHERE id = 9")
    running.settle()
    found = running.by_id("t")
    assert 9 not in found and 200 in found
    assert all(check(item) for number, item in found.items() if number != 200)


def test_a_dropped_table_disturbs_no_other(running):
    running.sql("DROP TABLE t", "INSERT INTO u VALUES(2, 'x')")
    eventually(lambda: len(running.items("u")) == 2, "the other table's row")
    running.sql("UPDATE u SET v = 'y'")
    eventually(lambda: {i["v"] for i in running.items("u")} == {"y"}, "the other table's change")
    assert running.process.poll() is None


def test_a_dropped_journal_comes_back_before_it_hurts_for_long(running):
    db = running.connect()
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE t SET v = 'lost entry' WHERE id < 5")
    db.execute("DELETE FROM t WHERE id = 30")
    db.execute("DROP TABLE _syncd_journal")
    db.execute("COMMIT")

    def writes():
        # A connection whose trigger failed to compile does not look at the schema anew by itself:
        # SQLite checks it at the next statement that compiles, such as any SELECT.
        db.execute("SELECT count(*) FROM t").fetchone()
        try:
            db.execute("INSERT OR REPLACE INTO t(id, v) VALUES(300, 'x')")
            return True
        except sqlite3.OperationalError as error:
            assert "_syncd_journal" in str(error)
            return False

    eventually(writes, "the application's writes working again")
    db.close()
    running.settle()
    assert len(running.items("t")) == 50


def test_vacuum_and_reindex_change_nothing(running):
    put = running.status()["totals"]["items_put"]
    running.sql("VACUUM", "REINDEX", "ANALYZE")
    running.settle()
    running.sql("UPDATE t SET v = 'after' WHERE id = 1")
    running.settle()
    assert running.status()["totals"]["items_put"] == put + 1


def test_a_rebuild_while_another_process_writes(running):
    with writer(
        running.database,
        """
n = 0
while not stopping():
    n += 1
    db.execute("INSERT OR REPLACE INTO t(id, v) VALUES(?, ?)", (n % 80, str(n)))
    time.sleep(0.001)
""",
    ):
        for number in range(3):
            db = running.connect()
            for statement in (
                "BEGIN IMMEDIATE",
                "CREATE TABLE _new(id INTEGER PRIMARY KEY, v TEXT, n INTEGER)",
                "INSERT INTO _new(id, v, n) SELECT id, v, %d FROM t" % number,
                "DROP TABLE t",
                "ALTER TABLE _new RENAME TO t",
                "COMMIT",
            ):
                db.execute(statement)
            db.close()
            back(running)
    running.settle(60)


def test_a_copy_of_the_database_works_without_the_daemon(running):
    copy = running.database + ".copy"
    running.sql(("VACUUM INTO ?", (copy,)))
    running.database, original = copy, running.database
    running.sql(
        "INSERT INTO t(id, v) VALUES(900, 'x')",
        "UPDATE t SET v = 'y'",
        "DELETE FROM t WHERE id < 3",
    )
    assert running.sql("SELECT count(*) FROM t")[0][0] == 48
    running.database = original
    running.settle()


@pytest.mark.engine
def test_a_comparison_that_would_delete_much_waits_for_approval(running):
    """A wrong or emptied database must not empty DynamoDB."""
    running.configure({"sync": {"hold_deletes": "5%"}})
    assert running.ctl("reload").returncode == 0
    before = len(running.items("t"))
    trigger = running.sql(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 't'"
        " AND name GLOB '_syncd_*_d'"
    )[0][0]
    running.sql(
        "BEGIN IMMEDIATE", "DROP TRIGGER %s" % trigger, "DELETE FROM t WHERE id > 3", "COMMIT"
    )
    eventually(lambda: "held" in running.reasons(), "the table held")
    status = running.status()
    assert status["health"] == "critical" and not status["converged"]
    waited = running.ctl("wait", "--timeout", "10s")
    assert waited.returncode == 1 and "approve" in waited.stdout + waited.stderr
    assert len(running.items("t")) == before
    assert running.ctl("approve").returncode == 0
    running.settle()
    assert len(running.items("t")) == len(running.sql("SELECT id FROM t")) < before
    assert running.status()["health"] == "ok"
