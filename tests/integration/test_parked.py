"""A DynamoDB table that is away for long: its changes do not stay in the journal, and once it is back
the table is compared."""

import pytest

from fault_rules import Fault
from harness import eventually

ROWS = 2000
LIMIT = 100000  # entries of a parked table that the journal keeps


@pytest.fixture
def running(faulty):
    """A mirror of two tables, loaded."""
    faulty.sql(
        "PRAGMA journal_mode=wal",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE u(id INTEGER PRIMARY KEY, v TEXT)",
    )
    faulty.many("INSERT INTO t VALUES(?, 'first')", [(n,) for n in range(60)])
    faulty.many("INSERT INTO u VALUES(?, 'first')", [(n,) for n in range(ROWS)])
    faulty.start().settle()
    return faulty


def park(fault, mirror, kind, op=None):
    """Refuses u's operations, or `op` alone, and makes the daemon notice."""
    refused = fault.faults.add(Fault(kind, times=None, table=mirror.target("u"), op=op))
    mirror.sql("UPDATE u SET v = 'second' WHERE id = 0")
    eventually(lambda: mirror.table("u")["state"] == "parked", "the parked table")
    return refused


def change_often(mirror, changes):
    """So many changes of the rows below 500."""
    mirror.sql(*["UPDATE u SET v = 'change %d' WHERE id < 500" % n for n in range(changes // 500)])


def come_back(fault, mirror, refused):
    fault.faults.remove(refused)
    assert mirror.ctl("reload").returncode == 0
    eventually(lambda: "table_parked" not in mirror.reasons(), "the table at work again", 40)
    mirror.settle(60)


def has_let_go(mirror):
    """A table that cannot be written but described is open for a moment now and then."""
    status = mirror.status()
    table = next(t for t in status["tables"] if t["name"] == "u")
    return (
        table["state"] == "parked"
        and "once it can be written again the table is compared" in (table["reason"] or "")
        and not status["converged"]
        and mirror.journal_entries() == 0
    )


def check_let_go(mirror):
    # For a minute they are held; it is their number that counts here.
    eventually(lambda: has_let_go(mirror), "a parked table and an empty journal", 40)
    done = mirror.ctl("wait", "--timeout", "20s")
    assert done.returncode == 1 and "u" in done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["not_found", "access_denied"])
def test_a_parked_table_with_many_changes_leaves_the_journal(fault, running, kind):
    refused = park(fault, running, kind)
    change_often(running, LIMIT // 2)
    running.sql("UPDATE t SET v = 'flows'")
    eventually(lambda: {i["v"] for i in running.items("t")} == {"flows"}, "the other table's rows")
    assert running.journal_entries() >= LIMIT // 2, "they are let go of too early"
    assert "compared" not in (running.table("u")["reason"] or "")

    change_often(running, LIMIT // 2 + 1000)
    running.sql(
        "DELETE FROM u WHERE id BETWEEN 600 AND 699",
        "UPDATE u SET id = id + 100000 WHERE id BETWEEN 700 AND 709",
    )
    check_let_go(running)
    running.kill9()
    running.start()
    running.sql("DELETE FROM u WHERE id = 800", "UPDATE t SET v = 'flows on'")
    check_let_go(running)
    before = len(fault.batches())
    come_back(fault, running, refused)
    sent = [
        (operation, key)
        for request in fault.batches()[before:]
        for table, key, operation in request.writes
        if table == running.target("u")
    ]
    assert len(sent) == len(set(sent)) == 500 + 100 + 2 * 10 + 1, "only differences are sent"


@pytest.mark.parametrize("waiting", [1000, LIMIT // 2])
def test_killed_before_a_parked_table_leaves_the_journal(fault, running, waiting):
    """DescribeTable answers all the while, so that the table seems to be there again and again."""
    fault.faults.add(Fault("reset_after_apply", times=2))
    running.sql(
        "INSERT INTO u VALUES(5000, 'soon gone')", "UPDATE u SET v = 'soon back' WHERE id = 900"
    )
    refused = park(fault, running, "not_found", op="BatchWriteItem")
    change_often(running, waiting)
    assert running.journal_entries() > waiting
    running.kill9()
    running.sql("DELETE FROM u WHERE id = 5000", "UPDATE u SET v = 'first' WHERE id = 900")
    running.start()
    eventually(lambda: running.table("u")["state"] == "parked", "the parked table")

    def many_changes_let_go():
        change_often(running, 5000)
        return "compared" in (running.table("u")["reason"] or "")

    eventually(many_changes_let_go, "a comparison for so many changes", 40)
    running.sql("DELETE FROM u WHERE id BETWEEN 600 AND 699")
    check_let_go(running)
    running.restart()
    running.sql("DELETE FROM u WHERE id = 800")
    check_let_go(running)
    come_back(fault, running, refused)


def test_too_many_deletes_while_parked_are_held(fault, running):
    running.configure({"sync": {"hold_deletes": "5%"}})
    running.restart().settle()
    refused = park(fault, running, "access_denied")
    running.sql("DELETE FROM u WHERE id >= 1000")
    change_often(running, LIMIT + 1000)
    check_let_go(running)
    fault.faults.remove(refused)
    assert running.ctl("reload").returncode == 0
    eventually(lambda: running.table("u")["state"] == "held", "the comparison being held", 40)
    assert running.status()["health"] == "critical" and len(running.items("u")) == ROWS
    assert running.ctl("approve").returncode == 0
    running.settle(60)


def test_a_held_table_is_told_beside_many_parked_ones(fault, faulty):
    parked = ["a%02d" % n for n in range(20)]
    faulty.sql(*["CREATE TABLE %s(id INTEGER PRIMARY KEY)" % name for name in parked])
    faulty.sql("CREATE TABLE z(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.many("INSERT INTO z VALUES(?, 'first')", [(n,) for n in range(100)])
    faulty.configure({"sync": {"hold_deletes": "5%"}})
    faulty.start().settle()
    faulty.stop()
    for name in parked:
        fault.faults.add(
            Fault("access_denied", times=None, table=faulty.target(name), op="DescribeTable")
        )
    faulty.sql(*['DROP TRIGGER "%s"' % name for name in faulty.triggers("z")])
    faulty.sql("DELETE FROM z WHERE id >= 10")
    faulty.start()
    eventually(lambda: faulty.table("z")["state"] == "held", "the comparison being held", 40)
    eventually(lambda: "table_parked" in faulty.reasons(), "the parked tables")
    status = faulty.status()
    assert status["health"] == "critical" and "held" in {r["code"] for r in status["reasons"]}


def test_a_table_that_is_made_anew_during_a_pause_is_filled(faulty, running):
    """It takes writes as the one before, and no reply tells that all else is missing."""
    name = running.target("t")
    table = faulty.client.describe_table(TableName=name)["Table"]
    assert running.ctl("pause").returncode == 0
    faulty.client.delete_table(TableName=name)
    faulty.client.create_table(
        TableName=name,
        KeySchema=table["KeySchema"],
        AttributeDefinitions=table["AttributeDefinitions"],
        BillingMode="PAY_PER_REQUEST",
    )
    assert running.ctl("resume").returncode == 0
    eventually(lambda: len(running.by_id("t")) == 60, "all rows in the new table")
    running.settle()
    assert "is another than before" in running.log_text()


def test_a_table_that_was_lost_does_not_wait_for_those_that_are_well(fault, faulty):
    """Eight are asked about at a time, and one that is not ACTIVE is asked about for minutes."""
    names = ["t%d" % n for n in range(9)]
    faulty.sql(*["CREATE TABLE %s(id INTEGER PRIMARY KEY)" % n for n in names + ["u"]])
    faulty.start().settle()
    for name in names:
        fault.tables.by_name[faulty.target(name)].ready_at = float("inf")
    looks = fault.faults.add(Fault("delay", op="DescribeTable", times=None, seconds=0))
    assert faulty.ctl("pause").returncode == 0
    assert faulty.ctl("resume").returncode == 0
    eventually(lambda: looks.fired > 8, "looks at the tables")
    faulty.client.delete_table(TableName=faulty.target("u"))
    faulty.sql("INSERT INTO u VALUES(1)")
    eventually(lambda: faulty.target("u") in fault.tables.by_name, "the table made anew")
    eventually(lambda: sorted(faulty.by_id("u")) == [1], "its row")
