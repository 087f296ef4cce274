"""The canary: a row of the daemon's own goes through trigger, journal and DynamoDB and is read back;
health is critical when it does not. Time is compressed by the settings."""

import contextlib
import time

import pytest

from fault_rules import Fault
from harness import eventually

CANARY = {
    "sync": {"canary": "3s", "request_timeout": "500ms"},
    "dynamodb": {"meta_table": "test-meta"},
}


@pytest.fixture
def watched(faulty):
    faulty.configure(CANARY)
    faulty.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.start()
    comes_back(faulty)
    return faulty


def health(mirror):
    return mirror.request("GET", "/v1/health")


def well(mirror):
    return health(mirror)[0] == 200 and health(mirror)[1]["health"] == "ok"



def comes_back(mirror):
    eventually(lambda: well(mirror) and mirror.status()["canary"]["last_back"], "a canary came back")


def late(mirror, part=""):
    code, body = health(mirror)
    assert code == 503, body
    return [
        r["message"]
        for r in body["reasons"]
        if r["code"] == "canary_late" and part in r["message"]
    ]


def becomes_late(mirror, part=""):
    return eventually(lambda: late(mirror, part), "canary_late: " + part)


def becomes_well(mirror):
    eventually(lambda: well(mirror), "health ok")


def beats(mirror):
    return [row[0] for row in mirror.sql("SELECT beat FROM _syncd_canary")]


def test_it_goes_round_and_hides_itself(watched, fault):
    (item,) = [i for i in fault.items("test-meta").values() if i["kind"] != {"S": "owner"}]
    assert set(item) == {"id", "kind", "beat", "at"} and item["kind"] == {"S": "canary"}
    first = beats(watched)
    eventually(lambda: beats(watched) != first, "another beat")
    watched.sql("INSERT INTO t VALUES(1, 'x')")
    watched.settle()
    status = watched.status()
    assert [t["name"] for t in status["tables"]] == ["t"]
    assert "_syncd_canary" not in watched.ctl("tables").stdout
    assert "syncd_canary_age_seconds" in watched.ctl("metrics").stdout
    assert watched.ctl("resync", "_syncd_canary").returncode == 2
    assert watched.ctl("resync", "--all").stdout.startswith("1 table")


def test_paused_it_rests_and_leaves_the_database_alone(watched):
    watched.ctl("pause")
    eventually(lambda: not watched.status()["source"]["connected"], "at rest")
    before = beats(watched)
    wakeups = watched.ctl("metrics").stdout
    line = next(s for s in wakeups.splitlines() if s.startswith("syncd_source_wakeups_total"))
    uptime = watched.status()["uptime_seconds"]
    eventually(lambda: watched.status()["uptime_seconds"] > uptime + 4, "longer than a canary")
    assert line in watched.ctl("metrics").stdout and beats(watched) == before
    assert watched.reasons() == {"paused"}
    watched.ctl("resume")
    eventually(lambda: beats(watched) != before, "a beat")
    becomes_well(watched)


def test_the_network_dies_and_comes_back(watched, fault):
    fault.refuse_connections()
    becomes_late(watched)
    fault.listen()
    becomes_well(watched)


@pytest.mark.parametrize("kind", ["unrecognized_client", "expired_token", "skew"])
def test_credentials_fail_and_come_back(watched, fault, kind):
    rules = [
        fault.faults.add(Fault(kind, times=None, op=op))
        for op in ("BatchWriteItem", "GetItem", "DescribeTable")
    ]
    becomes_late(watched)
    for rule in rules:
        fault.faults.remove(rule)
    becomes_well(watched)


def test_nothing_is_acknowledged(watched, fault):
    stuck = fault.faults.add(Fault("hold", times=None))
    becomes_late(watched)
    fault.faults.remove(stuck)
    fault.release()
    becomes_well(watched)


def test_dynamodb_says_yes_and_forgets(watched, fault):
    """Every write is acknowledged and none is there: only reading it back tells."""
    lie = fault.faults.add(Fault("lie", times=None))
    becomes_late(watched, "older one")
    assert watched.status()["totals"]["retries"] == 0
    fault.faults.remove(lie)
    becomes_well(watched)


def test_reading_back_is_forbidden(watched, fault):
    denied = fault.faults.add(Fault("access_denied", times=None, op="GetItem"))
    becomes_late(watched, "AccessDenied")
    fault.faults.remove(denied)
    becomes_well(watched)


def test_its_table_is_forbidden_and_nobody_waits_for_it(watched, fault):
    rules = [
        fault.faults.add(Fault("access_denied", times=None, table="test-meta")),
        fault.faults.add(Fault("access_denied", times=None, op="GetItem")),
    ]
    # Parked tables are looked at by DescribeTable, which is allowed: it must fail too.
    rules.append(fault.faults.add(Fault("access_denied", times=None, op="DescribeTable")))
    becomes_late(watched)
    watched.sql("INSERT INTO t VALUES(1, 'x')")
    watched.wait()
    assert len(fault.items(watched.target("t"))) == 1 and watched.status()["converged"]
    for rule in rules:
        fault.faults.remove(rule)
    watched.ctl("reload")
    becomes_well(watched)


def test_the_database_is_locked_for_ever(watched):
    with contextlib.closing(watched.connect()) as db:
        db.execute("BEGIN IMMEDIATE")
        becomes_late(watched, "locked")
        db.execute("ROLLBACK")
    becomes_well(watched)


@pytest.mark.parametrize("name", ["%_i", "%_u", "%"])
def test_triggers_vanish_without_a_trace(watched, name):
    """Edited out by writable_schema: the schema's version stays as it was."""
    watched.sql("INSERT INTO t VALUES(1, 'before')")
    watched.wait()
    with contextlib.closing(watched.connect()) as db:
        db.execute("PRAGMA writable_schema=ON")
        db.execute(
            "DELETE FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 't' AND name LIKE ?",
            ("_syncd_" + name,),
        )
    watched.sql("INSERT INTO t VALUES(2, 'unseen')", "UPDATE t SET v = 'unseen' WHERE id = 1")
    missed = 2 if name == "%_i" else 1
    eventually(lambda: watched.by_id("t").get(missed, {}).get("v") == "unseen", "the missed row")
    watched.settle()
    becomes_well(watched)


def test_a_backlog_is_no_stall(watched, fault):
    """The canary waits its turn behind other changes: the lag settings judge that."""
    slow = fault.faults.add(Fault("delay", times=None, seconds=0.3))
    watched.configure({"dynamodb": {"max_requests_in_flight": "1"}})
    assert watched.ctl("reload").returncode == 0
    watched.many("INSERT INTO t VALUES(?, 'x')", [(n,) for n in range(500)])
    while watched.status()["source"]["journal_entries"] > 30:
        assert health(watched)[0] == 200, health(watched)
        time.sleep(0.05)
    fault.faults.remove(slow)
    watched.settle()
    becomes_well(watched)


def test_uninstall_takes_it_out(watched):
    assert watched.ctl("uninstall").returncode == 0
    assert [r for r in watched.schema() if r[1].startswith("_syncd_")] == []
    assert watched.ctl("attach").returncode == 0
    becomes_well(watched)
    eventually(lambda: beats(watched), "the canary is back")


def test_switched_off_it_is_taken_out(watched, fault):
    watched.stop()
    watched.configure({"sync": {"canary": "0s"}})
    watched.start()
    watched.sql("INSERT INTO t VALUES(1, 'x')")
    watched.settle()
    assert not [r for r in watched.schema() if "canary" in r[1]]
    assert watched.status()["canary"] is None and watched.status()["health"] == "ok"
    assert [t["name"] for t in watched.status()["tables"]] == ["t"]
    watched.stop()
    watched.configure({"sync": {"canary": "3s"}})
    watched.start()
    eventually(lambda: beats(watched), "the canary is back")
    becomes_well(watched)


def test_create_tables_makes_its_table(faulty, fault):
    faulty.configure(CANARY)
    faulty.configure({"dynamodb": {"create_tables": "no"}})
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    assert faulty.ctl("create-tables").returncode == 0
    assert "test-meta" in fault.table_names()
    faulty.start()
    comes_back(faulty)


def test_rollback_mode(faulty):
    faulty.configure(CANARY)
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.start()
    comes_back(faulty)
    first = beats(faulty)
    eventually(lambda: beats(faulty) != first, "another beat")
    faulty.sql("INSERT INTO t VALUES(1, 'x')")
    faulty.settle()
