"""A DynamoDB table that takes nothing for long, with a backlog of tens of thousands: the other tables'
changes pass it, and a process that is killed meanwhile loses nothing."""

import pytest

from fault_rules import Fault
from harness import eventually

BACKLOG = 20000


@pytest.fixture
def running(faulty):
    """Two mirrored tables, loaded. The backlog is to be still there when it is looked at."""
    faulty.configure({"sync": {"backoff_max": "1s"}})
    faulty.sql(
        "PRAGMA journal_mode=wal",
        "CREATE TABLE slow(id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE quick(id INTEGER PRIMARY KEY, v TEXT)",
    )
    faulty.many("INSERT INTO quick VALUES(?, 'first')", [(n,) for n in range(50)])
    faulty.start().settle()
    return faulty


def throttle(fault, table):
    """As DynamoDB does: a request that holds nothing else is refused, of others these writes are left
    unprocessed."""
    whole = Fault(
        "provisioned_throughput", times=None, when=lambda writes: all(t == table for t, _ in writes)
    )
    part = Fault("unprocessed", times=None, table=table, only=table)
    return [fault.faults.add(whole), fault.faults.add(part)]


def backlog(mirror):
    mirror.sql(
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "INSERT INTO slow SELECT i, 'first' FROM n" % BACKLOG
    )


def quick_passes(mirror, text):
    mirror.sql("UPDATE quick SET v = '%s'" % text)
    eventually(lambda: {i["v"] for i in mirror.items("quick")} == {text}, "the other table's rows")
    assert mirror.table("slow")["items_put"] == 0
    assert not mirror.status()["converged"]


def test_a_throttled_tables_backlog_lets_the_others_pass(fault, running):
    refused = throttle(fault, running.target("slow"))
    backlog(running)
    for text in ("second", "third"):
        quick_passes(running, text)
    running.sql("UPDATE slow SET v = 'second' WHERE id % 3 = 0", "DELETE FROM slow WHERE id % 3 = 1")
    quick_passes(running, "fourth")
    assert 0 < running.table("slow")["pending"] < BACKLOG / 2, "its backlog is not left in the journal"
    running.kill9()
    running.start()
    quick_passes(running, "fifth")
    for rule in refused:
        fault.faults.remove(rule)
    running.restart()  # what it has learnt of the table's limit would take a minute to forget
    running.settle(60)
    running.assert_equal()
