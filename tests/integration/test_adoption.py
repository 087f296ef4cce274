"""Tables that appear, vanish or change their name count only when it has stayed so for a minute: a
migration passes through names that mean nothing."""

import time

import pytest

from harness import eventually

pytestmark = pytest.mark.engine

MINUTE = 60


@pytest.fixture
def running(mirror):
    mirror.configure({"table scrap": {"on_drop": "delete"}, "table worn": {"on_drop": "keep"}})
    mirror.sql(
        "PRAGMA journal_mode=wal",
        *("CREATE TABLE %s(id INTEGER PRIMARY KEY, v TEXT)" % t
          for t in ("stays", "scrap", "worn", "early", "rebuilt")),
    )
    for table in ("stays", "scrap", "worn", "early", "rebuilt"):
        mirror.many("INSERT INTO %s VALUES(?, 'first')" % table, [(n,) for n in range(20)])
    mirror.start().settle()
    return mirror


def states(mirror):
    return {t["name"]: t["state"] for t in mirror.status()["tables"]}


def count(mirror, table):
    """Items of the target, None when there is no such table."""
    try:
        return len(mirror.items(table))
    except mirror.client.exceptions.ResourceNotFoundException:
        return None


@pytest.mark.timeout(240)
def test_after_a_minute(running):
    began = time.monotonic()
    running.sql(
        "CREATE TABLE fresh(id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO fresh VALUES(1, 'one')",
        "DROP TABLE scrap",
        "DROP TABLE worn",
        "ALTER TABLE early RENAME TO late",
        "ALTER TABLE rebuilt RENAME TO rebuilt_aside",
        "UPDATE stays SET v = 'second'",
    )
    eventually(lambda: states(running).get("scrap") == "dropped", "scrap seen to be gone")
    # A table that was set aside for a moment is compared when it is back, and nothing else.
    running.sql(
        "INSERT INTO rebuilt_aside VALUES(100, 'unseen')",
        "DELETE FROM rebuilt_aside WHERE id < 5",
        "ALTER TABLE rebuilt_aside RENAME TO rebuilt",
    )
    eventually(lambda: sorted(running.by_id("rebuilt")) == [*range(5, 20), 100], "rebuilt again")
    assert not running.status()["converged"]
    seen = states(running)
    assert "fresh" not in seen and "late" not in seen and seen["worn"] == seen["early"] == "dropped"
    assert count(running, "fresh") is None and count(running, "late") is None
    assert count(running, "scrap") == count(running, "worn") == count(running, "early") == 20
    assert time.monotonic() - began < MINUTE, "this machine is too slow to tell"

    eventually(lambda: count(running, "scrap") == 0, "scrap's items deleted", timeout=90)
    eventually(lambda: count(running, "fresh") == 1, "fresh taken up", timeout=60)
    eventually(lambda: count(running, "late") == 20, "late taken up", timeout=60)
    assert time.monotonic() - began >= MINUTE
    running.settle()
    assert count(running, "worn") == count(running, "early") == 20  # on_drop = keep
    assert set(states(running)) == {"stays", "rebuilt", "fresh", "late"}
    running.sql("INSERT INTO late VALUES(50, 'x')", "DELETE FROM fresh")
    running.settle()


@pytest.mark.timeout(240)
def test_a_table_dropped_while_the_daemon_was_away(running):
    running.stop()
    running.sql("DROP TABLE scrap", "CREATE TABLE worn_too(id INTEGER PRIMARY KEY)")
    running.start()
    eventually(lambda: states(running).get("scrap") == "dropped", "scrap seen to be gone")
    assert count(running, "scrap") == 20
    running.kill9()
    running.start()
    eventually(lambda: count(running, "scrap") == 0, "scrap's items deleted", timeout=90)
    running.settle()
