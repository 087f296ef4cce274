"""With nothing to do the daemon lets go of the database, and misses nothing of what comes then."""

import contextlib
import os
import sqlite3
import stat

import pytest

from harness import eventually

pytestmark = pytest.mark.engine


def wal_of(mirror):
    return [mirror.database + suffix for suffix in ("-wal", "-shm")]


def at_rest(mirror):
    eventually(lambda: not mirror.status()["source"]["connected"], "the database let go of")


def samples(mirror):
    text = mirror.request("GET", "/metrics")[1]
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] not in ("", "#"))


@pytest.fixture(params=["wal", "delete"])
def running(mirror, request):
    mirror.mode = request.param
    mirror.sql(
        "PRAGMA journal_mode=%s" % mirror.mode, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"
    )
    mirror.start().settle()
    return mirror


def opened(mirror):
    """Files of the database that the daemon has open."""
    names = set()
    directory = "/proc/%d/fd" % mirror.process.pid
    for fd in os.listdir(directory):
        with contextlib.suppress(OSError):
            names.add(os.readlink(os.path.join(directory, fd)))
    return names & {mirror.database, *wal_of(mirror), mirror.database + "-journal"}


def test_an_idle_daemon_holds_no_file_of_the_database(running):
    at_rest(running)
    assert opened(running) == set()
    assert not any(os.path.exists(name) for name in wal_of(running))
    status = running.status()
    assert status["converged"] and status["health"] == "ok"
    assert status["source"]["journal_mode"] == running.mode
    assert running.ctl("wait", "--timeout", "10s").returncode == 0
    assert opened(running) == set(), "asking does not open it"


def test_a_commit_after_a_rest_is_seen_at_once(running):
    for number in range(3):
        at_rest(running)
        running.sql("INSERT INTO t VALUES(%d, 'x')" % number)
        # Without the safety look once a second: it is the event that wakes it.
        eventually(lambda: number in running.by_id("t"), "the row")
        running.settle()


def test_a_connected_application_keeps_its_wal(running):
    with contextlib.closing(running.connect()) as db:
        for number in range(3):
            db.execute("INSERT INTO t VALUES(?, 'x')", (number,))
            at_rest(running)
            assert db.execute("SELECT count(*) FROM t").fetchone() == (number + 1,)
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO t VALUES(10, 'x')")
        db.execute("COMMIT")
        running.settle()
    at_rest(running)
    assert not any(os.path.exists(name) for name in wal_of(running))


def test_what_it_leaves_alone_does_not_wake_it(running):
    at_rest(running)
    eventually(lambda: int(float(samples(running)["syncd_uptime_seconds"])) > 0)
    before = samples(running)
    with contextlib.closing(running.connect()) as db:
        assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
    for name in ("neighbour", "app.db.bak"):
        with open(os.path.join(running.dir, name), "w", encoding="ascii") as out:
            out.write("x")
    uptime = float(before["syncd_uptime_seconds"])
    eventually(
        lambda: float(samples(running)["syncd_uptime_seconds"]) > uptime + 5, "some seconds more"
    )
    after = samples(running)
    assert after["syncd_source_wakeups_total"] == before["syncd_source_wakeups_total"]
    assert opened(running) == set()


def changed(db, mode):
    try:
        return db.execute("PRAGMA journal_mode=%s" % mode).fetchone() == (mode,)
    except sqlite3.OperationalError as error:
        assert "locked" in str(error)
        return False


@pytest.mark.parametrize("rest", [True, False])
def test_the_application_changes_the_journal_mode(mirror, rest):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    mirror.start().settle()
    for number, mode in enumerate(("wal", "delete", "truncate", "wal", "persist", "wal")):
        if rest:
            at_rest(mirror)
        with contextlib.closing(mirror.connect()) as db:
            # Leaving WAL mode takes the database for itself alone, which it is within seconds.
            eventually(lambda: changed(db, mode), "journal mode %s" % mode)
            db.execute("INSERT INTO t VALUES(?, ?)", (number, mode))
            db.execute("UPDATE t SET v = v || '!'")
        mirror.settle()
        eventually(
            lambda: (mirror.status()["source"]["journal_mode"] == "wal") is (mode == "wal"),
            "the journal mode said",
        )
    assert len(mirror.items("t")) == 6


def test_orders_while_it_rests(running):
    running.sql("INSERT INTO t VALUES(1, CAST(x'ff' AS TEXT))", "INSERT INTO t VALUES(2, 'x')")
    running.wait()
    at_rest(running)
    assert running.ctl("dead-letters", "retry", "--all").returncode == 0
    at_rest(running)
    assert running.ctl("resync", "t", "--full").returncode == 0
    running.wait()
    at_rest(running)
    assert running.ctl("reload").returncode == 0
    assert running.ctl("detach").returncode == 0
    assert opened(running) == set(), "detached: nothing to do there"
    running.sql("UPDATE t SET v = 'fits' WHERE id = 1")
    assert running.ctl("attach").returncode == 0
    running.settle()
    at_rest(running)
    running.stop()
    running.start().settle()


def test_files_made_on_waking_are_the_owners(running):
    """Opening a database in WAL mode makes -wal and -shm, which the application must be able to
    open: with the owner and mode of the database, also when it is root who makes them."""
    as_root = os.geteuid() == 0
    os.chmod(running.database, 0o660)
    if as_root:
        os.chown(running.database, 65534, 65534)
    at_rest(running)
    running.sql("INSERT INTO t VALUES(1, 'x')")
    running.settle()
    for name in wal_of(running):
        with contextlib.suppress(FileNotFoundError):
            made = os.stat(name)
            assert stat.S_IMODE(made.st_mode) == 0o660, name
            if as_root:
                assert (made.st_uid, made.st_gid) == (65534, 65534), name
    at_rest(running)
