"""SIGTERM: what is committed before it is sent, if that gets on; what is not sent stays in the journal."""

import pytest

from fault_rules import Fault
from harness import eventually


@pytest.mark.engine
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_what_was_committed_just_before_is_sent(mirror, mode):
    mirror.sql("PRAGMA journal_mode=%s" % mode, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    mirror.start()
    mirror.settle()
    for i in range(5):
        mirror.many("INSERT INTO t(v) VALUES(?)", [("%d of %d" % (n, i),) for n in range(200)])
        mirror.stop()
        assert mirror.report().equal, "stop %d" % i
        assert mirror.journal_entries() == 0
        mirror.start()
        eventually(lambda: mirror.status()["converged"], "converged after the start")


def test_what_does_not_go_through_stays_in_the_journal(faulty, fault):
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES(1, 'old')")
    faulty.start()
    faulty.settle()
    fault.faults.add(Fault("unprocessed", count=25, times=10**6))
    faulty.sql("UPDATE t SET v = 'new'")
    faulty.stop()
    fault.faults.clear()
    assert faulty.journal_entries() == 1 and faulty.by_id("t")[1]["v"] == "old"
    faulty.start()
    faulty.settle()
