"""A database whose daemon is gone does not fill the disk; and when the daemon is back, all is found."""

import os

import pytest

from harness import eventually

pytestmark = pytest.mark.engine

# The trigger that keeps the limit looks at every 4,096th entry.
LIMIT, STEP = 1000, 4096
CHANGES = 30000


@pytest.fixture
def limited(engine, make_mirror):
    mirror = make_mirror(engine, {"sync": {"journal_limit": LIMIT}})
    mirror.sql(
        "PRAGMA journal_mode=wal",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER)",
        "CREATE TABLE quiet(id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO quiet VALUES(1, 'x')",
    )
    mirror.many("INSERT INTO t VALUES(?, 0)", [(n,) for n in range(200)])
    mirror.start().settle()
    return mirror


def write(mirror, changes=CHANGES):
    """Changes of a few rows, many times over; the longest that the journal was meanwhile."""
    longest = 0
    for start in range(0, changes, 1000):
        mirror.many(
            "INSERT INTO t VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET v = excluded.v",
            [(n % 300, start + n) for n in range(1000)],
        )
        longest = max(longest, mirror.journal_entries())
    mirror.sql("DELETE FROM t WHERE id BETWEEN 100 AND 149")
    return longest


def limit_said(mirror):
    return "its limit was reached" in mirror.log_text()


@pytest.mark.parametrize("end", ["stop", "kill9"])
def test_the_journal_of_an_orphan_stays_within_its_limit(limited, end):
    getattr(limited, end)()
    assert write(limited) <= LIMIT + STEP
    size = os.path.getsize(limited.database)
    write(limited)
    limited.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    # The entries' room is used again: the file is what it was, give or take some pages.
    assert os.path.getsize(limited.database) <= size + 64 * 4096
    os.truncate(limited.log_path, 0)
    limited.start().settle(60)
    assert limit_said(limited), limited.log_text()
    assert len(limited.items("t")) == 250
    limited.sql("UPDATE t SET v = -1 WHERE id = 5")
    limited.settle()


def test_a_journal_within_its_limit_needs_no_comparison(limited):
    limited.stop()
    write(limited, 500)
    os.truncate(limited.log_path, 0)
    limited.start().settle()
    assert not limit_said(limited), limited.log_text()


def test_a_paused_daemon_says_that_the_limit_was_passed(limited):
    """It goes on by comparing, not by what is left of the journal."""
    assert limited.ctl("pause").returncode == 0
    os.truncate(limited.log_path, 0)
    assert write(limited) <= LIMIT + STEP
    eventually(lambda: limit_said(limited), "the warning in the log")
    assert limited.status()["converged"] is False
    assert limited.ctl("resume").returncode == 0
    limited.settle(60)
    assert len(limited.items("t")) == 250


def test_a_new_limit_is_taken_by_reload(limited):
    limited.configure({"sync": {"journal_limit": 2000000}})
    assert limited.ctl("reload").returncode == 0
    eventually(
        lambda: "2000000" in limited.sql(
            "SELECT sql FROM sqlite_schema WHERE name = '_syncd_cap'")[0][0],
        "the trigger with the new limit",
    )
    assert limited.ctl("pause").returncode == 0
    write(limited, 10000)
    assert limited.journal_entries() >= 10000
    assert limited.ctl("resume").returncode == 0
    limited.settle(60)
