"""Clocks that disagree: the service's from the first request on or at once, and this machine's own, which
an operator or a time daemon sets while the daemon works. The service takes signatures that are within
five minutes of its time."""

import pytest

from harness import eventually, movable_clock, writer

MINUTE = 60
FAR = 5 * MINUTE  # beyond it signatures are refused
MOST_IN_FLIGHT = 8

WRITE_ON = """
rng = random.Random(7)
n = 0
while not stopping():
    n += 1
    db.execute("BEGIN IMMEDIATE")
    for _ in range(rng.randrange(1, 20)):
        db.execute("INSERT OR REPLACE INTO t VALUES(?, ?)", (rng.randrange(200), "%d" % n))
    db.execute("DELETE FROM t WHERE id = ?", (rng.randrange(200),))
    db.execute("COMMIT")
    time.sleep(0.002)
"""


@pytest.fixture
def table(faulty):
    faulty.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.many("INSERT INTO t VALUES(?, 'first')", [(n,) for n in range(60)])
    return faulty


def assert_equal(fault, mirror):
    """Both sides, without a client of ours, whose signatures the service would refuse."""
    eventually(lambda: mirror.status()["converged"], "converged: true", 60)
    there = {
        int(i["id"]["N"]): i["v"]["S"] for i in fault.items(mirror.target("t")).values()
    }
    assert there == dict(mirror.sql("SELECT id, v FROM t"))
    assert mirror.dead_letters() == [] and fault.violations == []


def refused(fault):
    return sum(r.status == 400 for r in list(fault.requests))


@pytest.mark.parametrize("minutes", [4, -4, 6, -6, 20, -20])
def test_a_service_of_another_time(fault, table, minutes):
    fault.verifier.clock_offset = minutes * MINUTE
    table.start()
    table.wait(60)
    table.sql("UPDATE t SET v = 'second'", "DELETE FROM t WHERE id > 50")
    table.wait(60)
    assert_equal(fault, table)
    # The first reply, a refusal or not, tells the service's time. (Two tables are not there yet.)
    assert refused(fault) <= (MOST_IN_FLIGHT if abs(minutes * MINUTE) > FAR else 0) + 2
    eventually(lambda: "clock_skew" in table.reasons(), "the clocks' difference as a reason")
    text = next(r["message"] for r in table.status()["reasons"] if r["code"] == "clock_skew")
    assert ("behind" if minutes > 0 else "ahead of") in text and table.status()["health"] == "warning"
    fault.verifier.clock_offset = 0
    table.sql("UPDATE t SET v = 'third'")
    table.settle(60)
    eventually(lambda: table.status()["health"] == "ok", "health ok again")


def test_the_services_time_steps_while_rows_are_written(fault, table):
    table.start().settle()
    steps = [6, -6, 20, -20, 4, 0]
    with writer(table.database, WRITE_ON):
        for minutes in steps:
            fault.verifier.clock_offset = minutes * MINUTE
            done = len(fault.batches())
            eventually(
                lambda: sum(r.status == 200 for r in fault.batches()[done:]) >= 20,
                "requests accepted after the step",
            )
    table.wait(60)
    assert_equal(fault, table)
    assert refused(fault) <= len(steps) * (MOST_IN_FLIGHT + 1), "each step costs what was in flight"
    eventually(lambda: table.status()["health"] == "ok", "health ok again")


@pytest.fixture
def machine(table):
    table.set_clock = movable_clock(table)
    return table


def test_this_machines_time_steps_while_rows_are_written(fault, machine):
    machine.start().settle()
    steps = [6, -6, 20, -20, 24 * 60, 0]
    with writer(machine.database, WRITE_ON):
        for minutes in steps:
            machine.set_clock(minutes * MINUTE)
            done = len(fault.batches())
            eventually(
                lambda: sum(r.status == 200 for r in fault.batches()[done:]) >= 20,
                "requests accepted after the step",
            )
    machine.wait(60)
    assert_equal(fault, machine)
    assert refused(fault) <= len(steps) * (MOST_IN_FLIGHT + 1)
    status = machine.status()
    assert 0 <= status["uptime_seconds"] < 3600 and 0 <= status["lag_seconds"]["max"] < 300


@pytest.mark.parametrize("hours", [-48, 48])
def test_what_waits_for_a_time_does_not_wait_for_the_wall_clock(fault, machine, hours):
    machine.start().settle()
    assert machine.ctl("pause", "--for", "1s").returncode == 0
    machine.set_clock(hours * 3600)
    machine.sql("UPDATE t SET v = 'while paused'")
    eventually(lambda: machine.status()["state"] == "running", "the end of the pause")
    machine.wait(60)
    assert_equal(fault, machine)
    fault.refuse_connections()
    machine.sql("UPDATE t SET v = 'while away'")
    eventually(lambda: "endpoint_unreachable" in machine.reasons(), "the endpoint unreachable")
    machine.set_clock(0)
    fault.listen()
    machine.wait(60)
    assert_equal(fault, machine)


def test_this_machines_time_is_set_while_nothing_is_sent(fault, machine):
    machine.set_clock(10 * MINUTE)
    machine.start().settle(60)
    eventually(lambda: "clock_skew" in machine.reasons(), "the clocks' difference as a reason")
    asked = len(fault.requests)
    machine.set_clock(0)
    eventually(lambda: machine.status()["health"] == "ok", "health ok again", 10)
    assert len(fault.requests) == asked
