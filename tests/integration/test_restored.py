"""Another state of the database, a copy of it, or another database comes to its path: either both
sides become equal, or it is held and nothing is sent."""

import contextlib
import os
import shutil
import sqlite3

import pytest

from harness import eventually

pytestmark = pytest.mark.engine

OLD, NEW = 40, 60  # rows in the backup, and afterwards


def at_rest(mirror):
    """The daemon has let go of the database: the application's last connection took the -wal along."""
    eventually(
        lambda: not mirror.status()["source"]["connected"]
        and not os.path.exists(mirror.database + "-wal"),
        "the database let go of",
    )


def backup(mirror, name="backup"):
    """A copy as people make it, with nobody writing."""
    path = os.path.join(mirror.dir, name)
    with contextlib.closing(mirror.connect()) as db, contextlib.closing(
        sqlite3.connect(path)
    ) as copy:
        db.backup(copy)
    return path


def rows(path, table="t"):
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return db.execute("SELECT * FROM %s ORDER BY 1" % table).fetchall()


@pytest.fixture
def running(mirror, request):
    """In WAL mode; the tests of backups take both kinds."""
    mirror.mode = getattr(request, "param", "wal")
    mirror.sql(
        "PRAGMA journal_mode=%s" % mirror.mode, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"
    )
    mirror.many("INSERT INTO t VALUES(?, 'old')", [(n,) for n in range(OLD)])
    mirror.start().settle()
    return mirror


both_modes = pytest.mark.parametrize("running", ["wal", "delete"], indirect=True)


def go_on(mirror):
    """What is in the backup is changed, so that coming back to it is a change both ways."""
    mirror.sql("UPDATE t SET v = 'new' WHERE id % 3 = 0", "DELETE FROM t WHERE id = 7")
    mirror.many("INSERT INTO t VALUES(?, 'new')", [(n,) for n in range(OLD, NEW)])
    mirror.settle()


def restored(mirror, content):
    """The database is exactly the backup, and DynamoDB follows it and what comes after."""
    eventually(lambda: len(mirror.items("t")) == OLD, "the items of the backup")
    mirror.settle()
    assert rows(mirror.database) == content
    mirror.sql("INSERT INTO t VALUES(1000, 'after')", "UPDATE t SET v = 'after' WHERE id = 1")
    mirror.settle()
    assert len(mirror.items("t")) == OLD + 1


def snapshot(mirror):
    return sorted(repr(sorted(i.items())) for i in mirror.items("t"))


def assert_held(mirror, before):
    eventually(lambda: "held" in mirror.reasons(), "the database held")
    status = mirror.status()
    assert status["health"] == "critical" and status["converged"] is False
    reason = next(r["message"] for r in status["reasons"] if r["code"] == "held")
    assert mirror.database in reason and "approve" in reason
    waited = mirror.ctl("wait", "--timeout", "30s")
    assert waited.returncode == 1 and "approve" in waited.stdout + waited.stderr
    assert all(t["state"] == "held" for t in status["tables"])
    assert status["totals"]["requests"] == mirror.status()["totals"]["requests"]
    assert snapshot(mirror) == before
    return reason


def drop_files(path):
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + suffix)


def another_database(path, mode="wal", count=3):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=%s" % mode)
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
        db.executemany("INSERT INTO t VALUES(?, 'wrong')", [(n,) for n in range(count)])


@both_modes
def test_a_backup_copied_over_while_the_daemon_runs(running):
    path = backup(running)
    content = rows(path)
    go_on(running)
    at_rest(running)
    shutil.copyfile(path, running.database)
    restored(running, content)


@both_modes
def test_a_backup_moved_over_while_the_daemon_runs(running):
    path = backup(running)
    content = rows(path)
    go_on(running)
    at_rest(running)
    os.replace(path, running.database)
    restored(running, content)


@both_modes
@pytest.mark.parametrize("how", [shutil.copyfile, os.replace])
@pytest.mark.parametrize("clean", [True, False])
def test_a_backup_put_in_place_while_the_daemon_is_stopped(running, how, clean):
    path = backup(running)
    content = rows(path)
    go_on(running)
    if clean:
        running.stop()
    else:
        running.kill9()
        running.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    drop = [running.database + s for s in ("-wal", "-shm", "-journal")]
    for name in drop:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    how(path, running.database)
    running.start()
    restored(running, content)


@both_modes
def test_a_backup_restored_into_the_live_file(running):
    path = backup(running)
    content = rows(path)
    go_on(running)
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(
        running.connect()
    ) as db:
        source.backup(db)
    restored(running, content)


def test_a_backup_of_a_time_before_the_last_restart(running):
    """Its nonce is of an earlier process, which is still remembered."""
    path = backup(running)
    content = rows(path)
    running.restart()
    go_on(running)
    running.kill9()
    drop_files(running.database)
    os.replace(path, running.database)
    running.start()
    restored(running, content)


def test_a_held_back_restore_waits_for_approval(running):
    """The same database in an older state heals, but within hold_deletes."""
    running.configure({"sync": {"hold_deletes": "5%"}})
    assert running.ctl("reload").returncode == 0
    path = backup(running)
    go_on(running)
    at_rest(running)
    shutil.copyfile(path, running.database)
    eventually(lambda: running.table("t")["state"] == "held", "the table held")
    assert len(running.items("t")) == NEW
    assert running.ctl("approve").returncode == 0
    running.settle()
    assert len(running.items("t")) == OLD


@both_modes
def test_vacuum(running):
    running.sql("DELETE FROM t WHERE id % 2 = 0", "VACUUM", "INSERT INTO t VALUES(500, 'x')")
    running.settle()
    running.stop()
    running.sql("INSERT INTO t VALUES(501, 'x')", "VACUUM")
    running.start().settle()
    assert "held" not in running.reasons()


@pytest.mark.parametrize("stopped", [True, False])
def test_a_vacuumed_copy_moved_over(running, stopped):
    path = os.path.join(running.dir, "vacuumed")
    running.sql(("VACUUM INTO ?", (path,)))
    content = rows(path)
    go_on(running)
    if stopped:
        running.stop()
        drop_files(running.database)
    else:
        at_rest(running)
    os.replace(path, running.database)
    if stopped:
        running.start()
    restored(running, content)


def elsewhere(mirror):
    """The mirror of a copy on another path, as a developer would have it."""
    mirror.stop()
    directory = os.path.join(mirror.dir, "elsewhere")
    os.mkdir(directory)
    copy = os.path.join(directory, "app.db")
    shutil.copyfile(mirror.database, copy)
    mirror.original, mirror.database = mirror.database, copy
    mirror.configure({"source": {"database": copy}})
    return copy


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize("way", ["approve", "adopt"])
def test_a_copy_on_another_path_is_held(running, with_state, way):
    before = snapshot(running)
    elsewhere(running)
    running.sql("UPDATE t SET v = 'developed'", "DELETE FROM t WHERE id > 20")
    if not with_state:
        drop_files(running.state)
    running.start()
    reason = assert_held(running, before)
    if with_state:
        assert running.original in reason
    running.restart()
    assert_held(running, before)
    assert running.ctl("attach").returncode == 2
    assert_held(running, before)
    order = ("approve",) if way == "approve" else ("attach", "--adopt")
    assert running.ctl(*order).returncode == 0
    eventually(lambda: "held" not in running.reasons(), "the database taken up")
    eventually(lambda: running.status()["converged"], "converged")
    assert {i["v"] for i in running.items("t") if i["id"] <= 20} == {"developed"}
    if with_state:  # without it nothing is known of the items that are there
        running.settle()
    running.restart()
    eventually(lambda: running.status()["converged"], "converged after a restart")
    assert "held" not in running.reasons()


def test_adopting_while_the_daemon_is_stopped(running):
    before = snapshot(running)
    elsewhere(running)
    refused = running.ctl("attach")
    assert refused.returncode == 2 and "copy" in refused.stderr
    assert running.ctl("attach", "--adopt").returncode == 0
    assert snapshot(running) == before
    running.start().settle()


def test_a_database_that_was_moved_is_followed(running):
    elsewhere(running)
    drop_files(running.original)
    running.start().settle()
    assert "was moved" in running.log_text()
    put = running.status()["totals"]["items_put"]
    running.sql("INSERT INTO t VALUES(600, 'x')")
    running.settle()
    assert running.status()["totals"]["items_put"] == put + 1 == 1
    running.restart().settle()


def test_a_copy_from_another_host_is_held(running):
    """Both files came along: the state file says that it was made elsewhere."""
    before = snapshot(running)
    running.stop()
    with contextlib.closing(sqlite3.connect(running.state)) as state:
        state.execute("UPDATE meta SET value = zeroblob(16) WHERE name = 'host'")
        state.commit()
    running.sql("DELETE FROM t WHERE id = 1")
    running.start()
    assert "another host" in assert_held(running, before)
    assert running.ctl("approve").returncode == 0
    running.settle()
    running.restart().settle()


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize("how", [shutil.copyfile, os.replace])
@pytest.mark.parametrize("which", ["unknown", "mirrored"])
def test_another_database_at_the_path_is_held(running, make_mirror, engine, stopped, how, which):
    before = snapshot(running)
    other = os.path.join(running.dir, "other.db")
    another_database(other, running.mode)
    if which == "mirrored":
        second = make_mirror(engine, {"source": {"database": other}})
        second.database = other
        second.start().settle()
        second.stop()
    keep = os.path.join(running.dir, "keep.db")
    if stopped:
        running.stop()
    else:
        at_rest(running)
    shutil.copyfile(running.database, keep)
    how(other, running.database)
    if stopped:
        running.start()
    assert_held(running, before)
    assert len(rows(running.database)) == 3
    # The right one comes back, and all is well without a word from the operator.
    os.replace(keep, running.database)
    running.settle()
    assert snapshot(running) == before and running.status()["health"] == "ok"


def test_another_database_that_is_approved(running):
    at_rest(running)
    other = os.path.join(running.dir, "other.db")
    another_database(other, running.mode)
    before = snapshot(running)
    os.replace(other, running.database)
    assert_held(running, before)
    assert running.ctl("approve").returncode == 0
    running.settle()
    assert len(running.items("t")) == 3
    running.restart().settle()


def test_an_approval_is_for_what_was_held(running):
    """Another wrong file in its place is held anew."""
    before = snapshot(running)
    elsewhere(running)
    running.start()
    assert_held(running, before)
    running.stop()
    drop_files(running.database)
    another_database(running.database, running.mode)
    with contextlib.closing(sqlite3.connect(running.state)) as state:
        state.execute("REPLACE INTO meta(name, value) VALUES('approved', zeroblob(16))")
        state.commit()
    running.start()
    assert_held(running, before)


@both_modes
@pytest.mark.parametrize("stopped", [True, False])
def test_an_empty_file_at_the_path(running, stopped):
    before = snapshot(running)
    if stopped:
        running.stop()
        drop_files(running.database)
    else:
        at_rest(running)
    with open(running.database, "wb"):
        pass
    if stopped:
        running.start()
    eventually(lambda: "not_a_database" in running.reasons(), "the empty file said")
    assert snapshot(running) == before and not running.status()["converged"]
    drop_files(running.database)
    another_database(running.database, running.mode, 0)
    assert_held(running, before)


def test_a_lost_state_file_is_healed_where_the_database_was(running):
    running.stop()
    drop_files(running.state)
    running.sql("UPDATE t SET v = 'changed' WHERE id < 5", "INSERT INTO t VALUES(70, 'x')")
    running.start().settle()
    assert "held" not in running.reasons()


def test_a_lost_journal_does_not_make_it_another_database(running):
    running.stop()
    running.sql("DROP TABLE _syncd_journal")
    running.start().settle()
    running.stop()
    for name in running.triggers():
        running.sql('DROP TRIGGER "%s"' % name)
    running.sql("DELETE FROM t WHERE id = 2")
    running.start().settle()
    assert "held" not in running.reasons()
