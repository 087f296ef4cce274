"""What nobody captured is found afterwards: by the daemon itself, or when the operator asks."""

import contextlib

import pytest

from harness import eventually
from triggerless import Triggerless

pytestmark = pytest.mark.engine

MISSED = (
    "UPDATE t SET v = 'missed' WHERE id < 10",
    "DELETE FROM t WHERE id >= 40",
    "INSERT INTO t VALUES(100, 'missed')",
)


@pytest.fixture
def running(mirror):
    mirror.sql(
        "PRAGMA journal_mode=wal",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE u(id INTEGER PRIMARY KEY, v TEXT)",
    )
    mirror.many("INSERT INTO t VALUES(?, 'first')", [(n,) for n in range(50)])
    mirror.many("INSERT INTO u VALUES(?, 'first')", [(n,) for n in range(20)])
    mirror.start().settle()
    return mirror


def healed(mirror):
    mirror.settle()
    found = mirror.by_id("t")
    assert len(found) == 41 and found[100]["v"] == found[9]["v"] == "missed"


def transaction(mirror, *statements):
    with contextlib.closing(mirror.connect()) as db:
        for statement in ("BEGIN IMMEDIATE", *statements, "COMMIT"):
            db.execute(statement)


@pytest.mark.parametrize("end", ["stop", "kill9"])
def test_triggers_removed_while_it_was_down(running, end):
    getattr(running, end)()
    drops = ['DROP TRIGGER "%s"' % name for name in sorted(running.triggers("t"))]
    transaction(running, *drops, *MISSED)
    running.start()
    healed(running)
    assert running.triggers("t")
    totals = running.status()["totals"]
    assert totals["items_deleted"] == 10
    # What is equal is not sent again, unless a kill left doubts about it.
    assert totals["items_put"] == 11 or end == "kill9"


def test_journal_and_triggers_removed_while_it_was_down(running):
    """A tool that drops what it does not know, rather than `syncctl uninstall`."""
    running.stop()
    drops = ['DROP TRIGGER "%s"' % name for name in sorted(running.triggers())]
    transaction(running, *drops, "DROP TABLE _syncd_journal", *MISSED)
    running.start()
    eventually(lambda: running.triggers("t") or "held" in running.reasons(), "triggers, or a question")
    if "held" in running.reasons():
        assert len(running.items("t")) == 50, "nothing is sent before the operator has agreed"
        assert running.ctl("approve").returncode == 0
    healed(running)


def test_rows_written_with_triggers_switched_off(running):
    """Nobody can see that: `syncctl resync` is told to look."""
    db = Triggerless(running.database)
    for statement in MISSED:
        db.execute(statement)
    db.close()
    assert not running.report().equal, "the change was captured: this test tests nothing"
    done = running.ctl("resync", "t")
    assert done.returncode == 0, done.stderr
    healed(running)


@pytest.mark.parametrize("alive", [True, False])
def test_a_truncated_journal_is_noticed_and_all_is_compared(running, alive):
    """With it goes what a transaction had captured."""
    if not alive:
        running.stop()
    transaction(running, *MISSED, "DELETE FROM _syncd_journal")
    if not alive:
        running.start()
    healed(running)
    running.sql("UPDATE u SET v = 'seen' WHERE id = 3")
    running.settle()


def test_a_dropped_journal_is_back_and_what_it_held_is_compared(running):
    transaction(running, *MISSED, "DROP TABLE _syncd_journal")
    eventually(
        lambda: running.sql("SELECT count(*) FROM sqlite_schema WHERE name = '_syncd_journal'")[0][0],
        "the journal back",
    )
    healed(running)
    running.sql("UPDATE u SET v = 'seen' WHERE id = 3")
    running.settle()


@pytest.mark.parametrize("tables", [2, 12])
def test_tables_rebuilt_one_after_the_other(running, tables):
    """While the triggers of one are put back, the next one loses its own."""
    names = ["more_%d" % n for n in range(tables)]
    running.stop()
    running.sql(*("CREATE TABLE %s(id INTEGER PRIMARY KEY, v TEXT)" % name for name in names))
    running.start().settle()
    for turn in range(3):
        for name in names:
            transaction(
                running,
                "CREATE TABLE new__x(id INTEGER PRIMARY KEY, v TEXT)",
                "INSERT INTO new__x SELECT id, v || 'a' FROM " + name,
                "DROP TABLE " + name,
                "ALTER TABLE new__x RENAME TO " + name,
                "INSERT INTO %s VALUES(%d, 'x')" % (name, turn),
            )
        running.settle()
    assert running.by_id(names[-1])[0]["v"] == "xaa"


def test_detached_over_kill_and_restart(running):
    """The order outlives everything, and what was missed meanwhile is found."""
    assert running.ctl("detach").returncode == 0
    transaction(running, MISSED[0])
    running.kill9()
    transaction(running, MISSED[1])
    running.start()
    eventually(lambda: "detached" in running.reasons(), "detached as a reason")
    transaction(running, MISSED[2])
    running.restart()
    eventually(lambda: "detached" in running.reasons(), "detached as a reason")
    assert running.triggers() == set() and running.status()["converged"] is False
    assert running.ctl("attach").returncode == 0
    healed(running)


MIGRATION = """
sqlite3 "$1" "PRAGMA legacy_alter_table=ON; BEGIN;
CREATE TABLE _alembic_tmp_t(id INTEGER PRIMARY KEY, v TEXT, added TEXT DEFAULT 'new');
INSERT INTO _alembic_tmp_t(id, v) SELECT id, v FROM t;
DROP TABLE t; ALTER TABLE _alembic_tmp_t RENAME TO t;
UPDATE t SET v = 'missed' WHERE id < 10; DELETE FROM t WHERE id >= 40;
INSERT INTO t(id, v) VALUES(100, 'missed'); COMMIT;"
"""


@pytest.mark.parametrize("alive", [True, False])
def test_detach_around_a_migration(running, alive):
    if not alive:
        running.stop()
    done = running.ctl("detach", "--", "sh", "-c", MIGRATION, "sh", running.database)
    assert done.returncode == 0, done.stderr
    if not alive:
        running.start()
    healed(running)
    assert running.by_id("t")[100]["added"] == "new" and running.triggers("t")


def test_the_daemon_killed_while_a_migration_is_detached(running):
    pid = running.process.pid
    script = 'kill -9 "$2"; ' + MIGRATION
    running.ctl("detach", "--", "sh", "-c", script, "sh", running.database, pid)
    running.process.wait()
    running.process = None
    running.start()
    if "detached" in running.reasons():
        assert running.ctl("attach").returncode == 0
    healed(running)
