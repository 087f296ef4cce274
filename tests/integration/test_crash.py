"""Nothing is lost or left stale by an end of the daemon, whenever and however it comes."""

import concurrent.futures
import os
import random
import shutil
import signal

import pytest

from fault_rules import Fault
from harness import eventually, writer

LIVELY = """
rng = random.Random(args[0])
n = 0
while not stopping():
    n += 1
    db.execute("BEGIN IMMEDIATE")
    for _ in range(rng.randrange(1, 20)):
        k = rng.randrange(400)
        dice = rng.random()
        if dice < 0.25:
            db.execute("DELETE FROM t WHERE id = ?", (k,))
        elif dice < 0.3:
            db.execute("UPDATE OR REPLACE t SET id = ? WHERE id = ?", (rng.randrange(400), k))
        else:
            db.execute("INSERT INTO t VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET v = excluded.v", (k, n))
    db.execute("COMMIT")
    time.sleep(0.0005)
"""


@pytest.mark.engine
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_killed_at_random_moments_under_a_writer(mirror, mode):
    rng = random.Random(mode)
    mirror.sql("PRAGMA journal_mode=%s" % mode, "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER)")
    mirror.many("INSERT INTO t VALUES(?, 0)", [(n,) for n in range(0, 400, 2)])
    with writer(mirror.database, LIVELY, mode):
        for _ in range(10):
            mirror.start()
            goal = rng.randrange(60)
            eventually(
                lambda: mirror.status()["totals"]["changes"] >= goal, "%d changes seen" % goal
            )
            mirror.kill9()
    mirror.start()
    mirror.settle(60)


@pytest.mark.engine
def test_killed_during_the_first_load(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    mirror.many("INSERT INTO t VALUES(?, ?)", [(n, "row %d" % n) for n in range(8000)])
    for goal in (1, 500, 2000):
        mirror.start()
        eventually(lambda: mirror.status()["totals"]["items_put"] >= goal, "%d items put" % goal)
        mirror.kill9()
        mirror.sql(
            "DELETE FROM t WHERE id BETWEEN %d AND %d" % (goal, goal + 40),
            "UPDATE t SET v = 'new %d' WHERE id %% 97 = 0" % goal,
        )
    mirror.start()
    mirror.settle(60)


def test_killed_with_requests_in_flight_that_were_applied(fault, faulty):
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.start().wait()
    for kind in ("reset_after_read", "reset_after_apply", "hold"):
        held = fault.faults.add(Fault(kind, times=None))
        faulty.many("INSERT OR REPLACE INTO t VALUES(?, ?)", [(n, kind) for n in range(60)])
        faulty.sql("DELETE FROM t WHERE id > 50")
        eventually(lambda: held.fired > 0, "a request that ends badly")
        faulty.kill9()
        fault.faults.clear()
        faulty.start()
        faulty.settle()
        fault.release()
        assert len(fault.items(faulty.target("t"))) == 51


def test_changes_made_while_it_was_down_are_found(fault, faulty):
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.many("INSERT INTO t VALUES(?, 'old')", [(n,) for n in range(100)])
    faulty.start().settle()
    faulty.stop()
    faulty.sql(
        "UPDATE t SET v = 'new' WHERE id < 10",
        "DELETE FROM t WHERE id >= 90",
        "INSERT INTO t VALUES(200, 'x')",
    )
    faulty.start().settle()
    put = faulty.status()["totals"]
    assert put["items_put"] == 11 and put["items_deleted"] == 10


@pytest.mark.engine
def test_sigterm_and_sigint_end_it_cleanly(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    mirror.start().wait()
    mirror.sql("INSERT INTO t VALUES(1)")
    assert mirror.stop(timeout=10) == 0
    assert not os.path.exists(mirror.socket)
    mirror.start()
    mirror.signal(signal.SIGINT)
    assert mirror.process.wait(10) == 0
    mirror.process = None
    mirror.start().settle()


def test_sigterm_finishes_what_is_in_flight(fault, faulty):
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    faulty.start().wait()
    fault.faults.add(Fault("hold"))
    faulty.sql("INSERT INTO t VALUES(1)")
    eventually(lambda: fault.held() == 1, "a request in flight")
    process = faulty.process
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(faulty.stop, timeout=10)
        eventually(lambda: says_it_stops(faulty), "the daemon stopping")
        assert process.poll() is None
        fault.release()
        assert stopped.result() == 0
    assert len(fault.items(faulty.target("t"))) == 1
    faulty.start().settle()


def says_it_stops(mirror):
    """Whether the daemon says that it is stopping, or no longer says anything."""
    try:
        return mirror.status()["state"] == "stopping"
    except OSError:
        return True


@pytest.mark.engine
def test_a_second_daemon_on_the_same_database_is_refused(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    mirror.start().wait()
    pid = mirror.status()["pid"]
    assert pid == mirror.process.pid
    other = os.path.join(mirror.dir, "other.sock")
    mirror.configure({"control": {"socket": other}})
    code, output = mirror.run_to_end()
    assert code in (2, 3) and str(pid) in output, output
    mirror.configure({"control": {"socket": mirror.socket}})
    code, output = mirror.run_to_end()
    assert code in (2, 3) and str(pid) in output, output
    mirror.sql("INSERT INTO t VALUES(1)")
    mirror.settle()


@pytest.mark.engine
def test_a_stale_socket_and_lock_file_do_not_stop_a_start(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    mirror.start().wait()
    mirror.kill9()
    assert os.path.exists(mirror.socket)
    mirror.start()
    mirror.sql("INSERT INTO t VALUES(1)")
    mirror.settle()


def test_a_write_that_was_carried_out_unseen_is_no_reason_to_spare_a_later_one(fault, faulty):
    """Its row comes to be one that no item can hold before the daemon is back."""
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v REAL)", "INSERT INTO t VALUES(1, 0.5)")
    faulty.start().settle()
    applied = fault.faults.add(Fault("delay", seconds=30))
    faulty.sql("UPDATE t SET v = 0.7")
    eventually(lambda: applied.fired, "a request carried out, and no reply")
    faulty.kill9()
    faulty.sql("UPDATE t SET v = 9e999")
    faulty.start()
    eventually(faulty.dead_letters, "the dead letter")
    faulty.sql("UPDATE t SET v = 0.5")
    faulty.settle()


@pytest.mark.engine
def test_deletes_wait_in_the_journal_for_a_state_file_that_was_lost(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    mirror.many("INSERT INTO t VALUES(?, 'x')", [(n,) for n in range(300)])
    mirror.start().settle()
    mirror.stop()
    mirror.sql("DELETE FROM t WHERE id < 100")
    for suffix in ("", "-wal"):
        if os.path.exists(mirror.state + suffix):
            os.unlink(mirror.state + suffix)
    mirror.start().settle(60)


def test_an_older_state_file_spares_nothing_by_what_it_says(fault, faulty):
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.many("INSERT INTO t VALUES(?, 'old')", [(n,) for n in range(60)])
    faulty.start().settle()
    faulty.stop()
    older = faulty.state + ".older"
    shutil.copy(faulty.state, older)
    faulty.start()
    faulty.sql("UPDATE t SET v = 'new'")
    faulty.settle()
    faulty.stop()
    os.replace(older, faulty.state)
    # What it says of the items is what the rows come to be before anything was compared.
    fault.refuse_connections()
    faulty.start()
    faulty.sql("UPDATE t SET v = 'old'")
    fault.listen()
    faulty.settle()


@pytest.mark.engine
def test_a_lost_state_file_loses_no_row(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    mirror.many("INSERT INTO t VALUES(?, 'x')", [(n,) for n in range(300)])
    mirror.start().settle()
    mirror.stop()
    for suffix in ("", "-wal", "-shm", "-journal"):
        if os.path.exists(mirror.state + suffix):
            os.unlink(mirror.state + suffix)
    mirror.sql("UPDATE t SET v = 'y' WHERE id < 5", "INSERT INTO t VALUES(900, 'z')")
    mirror.start().settle(60)


@pytest.mark.engine
def test_the_same_database_in_an_older_state_keeps_its_rows_right(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    mirror.many("INSERT INTO t VALUES(?, 'old')", [(n,) for n in range(200)])
    mirror.start().settle()
    mirror.stop()
    backup = os.path.join(mirror.dir, "backup.db")
    shutil.copy(mirror.database, backup)
    mirror.start()
    mirror.sql("UPDATE t SET v = 'new' WHERE id < 20")
    mirror.settle()
    mirror.stop()
    for suffix in ("-wal", "-shm"):
        if os.path.exists(mirror.database + suffix):
            os.unlink(mirror.database + suffix)
    os.replace(backup, mirror.database)
    mirror.start().settle(60)
    assert {i["v"] for i in mirror.items("t")} == {"old"}
