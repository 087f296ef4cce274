"""Whose the DynamoDB tables are: items of others are never touched, a table that belongs to somebody
else is not written, and a lost state file leaves nothing stale."""

import contextlib
import os
import shutil
import sqlite3
import threading

import pytest

from fault_rules import Fault
from harness import eventually

pytestmark = pytest.mark.engine


def make_table(mirror, name="t", key=("id", "N"), sort=None):
    attributes = [key] + ([sort] if sort else [])
    mirror.client.create_table(
        TableName=mirror.target(name),
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in attributes],
        KeySchema=[
            {"AttributeName": n, "KeyType": role} for (n, _), role in zip(attributes, ("HASH", "RANGE"))
        ],
    )
    mirror.client.get_waiter("table_exists").wait(TableName=mirror.target(name))


def put(mirror, item, name="t"):
    mirror.client.put_item(TableName=mirror.target(name), Item=item)


def held(mirror, name="t"):
    """The sentence of a table that is held."""

    def look():
        table = mirror.table(name)
        return table["state"] == "held" and table["reason"]

    return eventually(look, "the table held")


def lose_state(mirror):
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(mirror.state + suffix)


def unseen(mirror, *statements):
    """Statements that no trigger notes."""
    with contextlib.closing(mirror.connect()) as db:
        for name in mirror.triggers():
            if name != "_syncd_cap":
                db.execute('DROP TRIGGER "%s"' % name)
        for statement in statements:
            db.execute(statement)


def converged(mirror):
    eventually(lambda: mirror.status()["converged"], "converged: true", timeout=40)


def markers(mirror, name="t"):
    found = mirror.client.query(
        TableName=mirror.settings["dynamodb"]["meta_table"],
        ConsistentRead=True,
        KeyConditionExpression="#i = :t",
        ExpressionAttributeNames={"#i": "id"},
        ExpressionAttributeValues={":t": {"S": "table#" + mirror.target(name)}},
    )
    return {item["kind"]["S"]: item for item in found["Items"]}


ROWS = ("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES(1,'a'),(2,'b'),(3,'c')")


# --- items of others


@pytest.mark.parametrize("order", [("attach", "--adopt"), ("approve",)])
def test_a_first_load_beside_items_of_others_waits_to_be_adopted(mirror, order):
    mirror.sql(*ROWS)
    make_table(mirror)
    put(mirror, {"id": {"N": "5000"}, "whose": {"S": "theirs"}})
    mirror.start()
    sentence = held(mirror)
    assert "at least 1" in sentence and "5000" in sentence and "--adopt" in sentence
    assert [i["id"] for i in mirror.items("t")] == [5000]
    assert mirror.ctl("health").returncode == 2
    waiting = mirror.ctl("wait", "--timeout", "5s")
    assert waiting.returncode == 1 and "items that are not ours" in waiting.stderr
    # Held over a restart, too.
    mirror.restart()
    held(mirror)
    assert mirror.ctl(*order).returncode == 0
    mirror.wait()
    converged(mirror)
    assert sorted(mirror.by_id("t")) == [1, 2, 3, 5000]
    # What comes later goes by without a question, and never takes theirs along.
    mirror.sql("DELETE FROM t WHERE id=2")
    assert mirror.ctl("resync", "--all", "--full").returncode == 0
    mirror.wait()
    mirror.restart()
    mirror.wait()
    assert sorted(mirror.by_id("t")) == [1, 3, 5000]
    assert mirror.by_id("t")[5000] == {"id": 5000, "whose": "theirs"}
    assert not markers(mirror)["owner"]["alone"]["BOOL"]


def test_adopting_beforehand(mirror):
    mirror.sql(*ROWS)
    make_table(mirror)
    put(mirror, {"id": {"N": "5000"}})
    assert mirror.ctl("attach", "--adopt").returncode == 0
    mirror.start().wait()
    assert sorted(mirror.by_id("t")) == [1, 2, 3, 5000]


def test_an_empty_table_is_ours_alone(mirror):
    mirror.sql(*ROWS)
    make_table(mirror)
    mirror.start().settle()
    marker = markers(mirror)["owner"]
    assert marker["alone"]["BOOL"] and marker["state"]["S"] == "active"
    assert marker["path"]["S"] == mirror.database


# --- a lost state file


def test_a_lost_state_file_leaves_nothing_stale(mirror):
    mirror.sql(*ROWS, "CREATE TABLE u(id TEXT PRIMARY KEY, v)", "INSERT INTO u VALUES('x', 1)")
    mirror.start().settle()
    mirror.stop()
    unseen(mirror, "DELETE FROM t WHERE id=2", "UPDATE t SET v='new' WHERE id=3", "DELETE FROM u")
    lose_state(mirror)
    mirror.start()
    converged(mirror)
    mirror.settle()
    assert sorted(mirror.by_id("t")) == [1, 3] and mirror.items("u") == []


def test_what_keys_tell_is_ours_beside_items_of_others(make_mirror, engine):
    mirror = make_mirror(
        engine,
        {"table t": {"partition_key": "T#{id}", "partition_key_name": "pk"}},
    )
    mirror.sql(*ROWS)
    make_table(mirror, key=("pk", "S"))
    put(mirror, {"pk": {"S": "X#9"}})
    put(mirror, {"pk": {"S": "T#nine"}})
    mirror.start()
    assert "at least 2" in held(mirror)
    mirror.ctl("approve")
    mirror.wait()
    mirror.stop()
    unseen(mirror, "DELETE FROM t WHERE id=2")
    lose_state(mirror)
    mirror.start()
    converged(mirror)
    assert sorted(i["pk"] for i in mirror.items("t")) == ["T#1", "T#3", "T#nine", "X#9"]


def test_older_copies_of_both_files_are_noticed_by_the_marker(mirror):
    mirror.sql(*ROWS)
    mirror.start().settle()
    mirror.stop()
    copies = {}
    for path in (mirror.database, mirror.state):
        copies[path] = path + ".copy"
        with contextlib.closing(sqlite3.connect(path)) as db, contextlib.closing(
            sqlite3.connect(copies[path])
        ) as copy:
            db.backup(copy)
    mirror.start()
    mirror.sql("UPDATE t SET v='later'", "INSERT INTO t VALUES(4,'d')")
    mirror.settle()
    mirror.stop()
    for path, copy in copies.items():
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + suffix)
        shutil.copyfile(copy, path)
    mirror.start()
    converged(mirror)
    mirror.settle()
    assert "later life" in mirror.log_text()
    assert sorted(mirror.by_id("t")) == [1, 2, 3]


def test_a_marker_that_is_written_at_the_second_try_is_ours(fault, faulty):
    """The one before stands there until then: no later life has written there."""
    faulty.sql(*ROWS)
    faulty.start().settle()
    fault.faults.add(Fault("internal", op="PutItem", times=1))
    faulty.restart()
    faulty.settle()
    assert "a later life" not in faulty.log_text()
    assert faulty.status()["totals"]["items_put"] == 0


# --- two databases on one table


def second_of(make_mirror, engine, first, settings=None):
    other = make_mirror(engine, settings)
    other.configure(
        {
            "dynamodb": {
                "table_name": first.prefix + "{table}",
                "meta_table": first.settings["dynamodb"]["meta_table"],
            }
        }
    )
    return other


def test_a_second_database_on_a_table_is_held(make_mirror, engine):
    first = make_mirror(engine)
    first.sql(*ROWS)
    first.start().settle()
    other = second_of(make_mirror, engine, first)
    other.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES(1,'other')")
    other.start()
    other.prefix, own = first.prefix, other.prefix
    sentence = held(other)
    assert "belongs to another database" in sentence and first.database in sentence
    assert other.ctl("health").returncode == 2
    first.sql("INSERT INTO t VALUES(4,'d')")
    first.settle()
    # The operator may say that it has the table from now on; then the first is held.
    first.stop()
    assert other.ctl("approve").returncode == 0
    other.wait()
    assert other.by_id("t")[1]["v"] == "other"
    first.start()
    assert other.database in held(first)
    other.prefix = own


def test_machines_that_share_a_table_leave_each_others_items_alone(make_mirror, engine):
    keys = {"table t": {"partition_key": "{source_id}#{id}", "partition_key_name": "pk"}}
    machines = []
    for name in ("berlin", "paris"):
        settings = dict(keys, source={"source_id": name})
        first = machines[0] if machines else None
        m = second_of(make_mirror, engine, first, settings) if first else make_mirror(engine, settings)
        m.sql(*ROWS)
        m.start()
        machines.append(m)
    berlin, paris = machines
    paris_prefix, paris.prefix = paris.prefix, berlin.prefix

    def share(name):
        return sorted(i["pk"].split("#")[1] for i in berlin.items("t") if i["pk"].startswith(name))

    for m in machines:
        m.wait()
    assert share("berlin") == share("paris") == ["1", "2", "3"]
    assert set(markers(berlin)) == {"owner#berlin", "owner#paris"}
    # One loses its state file while rows go unseen; the other compares all it has.
    berlin.stop()
    unseen(berlin, "DELETE FROM t WHERE id=2")
    lose_state(berlin)
    berlin.start()
    assert paris.ctl("resync", "--all", "--full").returncode == 0
    for m in machines:
        m.wait()
        converged(m)
    assert share("berlin") == ["1", "3"] and share("paris") == ["1", "2", "3"]
    paris.sql("DELETE FROM t WHERE id=1")
    paris.wait()
    assert share("berlin") == ["1", "3"] and share("paris") == ["2", "3"]
    # And one that says nothing of sharing is held.
    third = second_of(make_mirror, engine, berlin, {"table t": {"partition_key": "T#{id}", "partition_key_name": "pk"}})
    third.sql(*ROWS)
    third.start()
    third.prefix, own = berlin.prefix, third.prefix
    assert "another database" in held(third)
    paris.prefix, third.prefix = paris_prefix, own


# --- handing over


def test_what_was_handed_over_is_never_written_again(mirror):
    mirror.sql(*ROWS)
    mirror.start().settle()
    done = mirror.ctl("handover")
    assert done.returncode == 0, done.stderr
    assert mirror.ctl("handover").returncode == 0  # twice does nothing twice
    assert markers(mirror)["owner"]["state"]["S"] == "handed_over"
    assert "handed_over" in mirror.reasons() and mirror.triggers() == set()
    put(mirror, {"id": {"N": "1"}, "v": {"S": "theirs"}})
    put(mirror, {"id": {"N": "9"}, "v": {"S": "theirs"}})
    mirror.sql("UPDATE t SET v='late' WHERE id=1")

    def untouched():
        found = mirror.by_id("t")
        assert sorted(found) == [1, 2, 3, 9] and found[1]["v"] == "theirs"

    mirror.restart()
    assert "handed_over" in mirror.reasons()
    untouched()
    # Put the triggers in, and it is held; nor do other orders release it.
    assert mirror.ctl("attach").returncode == 0
    assert "handed over" in held(mirror)
    mirror.ctl("approve")
    assert mirror.ctl("attach", "--adopt").returncode == 0
    mirror.ctl("resync", "--all", "--full")
    assert "handed over" in held(mirror)
    # Another state file, and a database of another machine.
    mirror.stop()
    lose_state(mirror)
    mirror.start()
    assert "handed over" in held(mirror)
    mirror.stop()
    lose_state(mirror)
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(mirror.database + suffix)
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES(2,'again')")
    mirror.start()
    assert "handed over" in held(mirror)
    mirror.ctl("attach", "--adopt")
    assert "handed over" in held(mirror)
    untouched()


def test_sides_that_differ_are_not_handed_over(mirror):
    mirror.sql(*ROWS)
    mirror.start().settle()
    put(mirror, {"id": {"N": "1"}, "v": {"S": "theirs"}})
    refused = mirror.ctl("handover")
    assert refused.returncode == 1, refused.stdout
    assert "different  t id=1: v is" in refused.stdout
    assert "not handed over" in refused.stderr and "t: 0 missing, 0 extra, 1 different" in refused.stderr
    refused = mirror.ctl("--json", "handover")
    assert (refused.returncode, refused.stdout) == (1, "") and "1 different" in refused.stderr
    assert mirror.triggers() and markers(mirror)["owner"]["state"]["S"] == "active"
    # Mended as it says, and then handed over.
    assert "verify --repair" in refused.stderr
    assert mirror.ctl("verify", "--repair").returncode == 1
    mirror.wait()
    assert mirror.ctl("handover").returncode == 0
    assert markers(mirror)["owner"]["state"]["S"] == "handed_over"


def test_a_handover_that_is_not_to_verify(mirror):
    mirror.sql(*ROWS)
    mirror.start().settle()
    put(mirror, {"id": {"N": "1"}, "v": {"S": "theirs"}})
    done = mirror.ctl("handover", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert mirror.by_id("t")[1]["v"] == "theirs"


def test_without_the_right_to_look_nothing_is_handed_over(fault, faulty):
    faulty.sql(*ROWS)
    faulty.start().wait()
    eventually(lambda: faulty.status()["converged"], "convergence")
    fault.faults.add(Fault("access_denied", op="Scan", times=None))
    refused = faulty.ctl("handover")
    assert refused.returncode in (1, 3) and "not handed over" in refused.stderr
    assert "--no-verify" in refused.stderr and faulty.triggers()
    assert faulty.ctl("handover", "--no-verify").returncode == 0


def test_what_was_handed_over_can_be_taken_back(mirror):
    mirror.sql(*ROWS)
    mirror.start().settle()
    assert mirror.ctl("handover").returncode == 0
    put(mirror, {"id": {"N": "1"}, "v": {"S": "theirs"}})
    put(mirror, {"id": {"N": "9"}, "v": {"S": "theirs"}})
    mirror.sql("INSERT INTO t VALUES(4,'d')", "DELETE FROM t WHERE id=3")
    asked = mirror.ctl("handover", "--undo")
    assert asked.returncode == 2 and "--yes" in asked.stderr
    mirror.restart()
    done = mirror.ctl("handover", "--undo", "--yes")
    assert done.returncode == 0, done.stderr
    mirror.wait()
    converged(mirror)
    mirror.settle()
    assert sorted(mirror.by_id("t")) == [1, 2, 4] and mirror.by_id("t")[1]["v"] == "a"
    assert markers(mirror)["owner"]["state"]["S"] == "active"
    mirror.restart()
    mirror.settle()


def test_a_handover_whose_marker_took_long_can_be_taken_back(fault, faulty):
    """A held table is looked at again every ten seconds, and is while its marker is on its way."""
    faulty.sql(*ROWS)
    faulty.start().settle()
    refusing = fault.faults.add(Fault("throttling", op="PutItem", times=None))
    asked = threading.Thread(target=faulty.ctl, args=("handover", "--no-verify"))
    asked.start()
    eventually(lambda: "handed_over" in faulty.reasons(), "the handover begun")
    looks = fault.faults.add(Fault("delay", op="DescribeTable", times=None, seconds=0))
    eventually(lambda: looks.fired, "another look at the table", timeout=30)
    fault.faults.clear()
    asked.join(60)
    assert markers(faulty)["owner"]["state"]["S"] == "handed_over"
    faulty.sql("INSERT INTO t VALUES(4,'d')")
    assert faulty.ctl("handover", "--undo", "--yes").returncode == 0
    faulty.wait()
    faulty.settle()
    assert markers(faulty)["owner"]["state"]["S"] == "active"


def test_markers_that_a_restart_left_unwritten_are_not_said_to_be_there(fault, faulty):
    faulty.sql(*ROWS)
    faulty.start().settle()
    fault.faults.add(Fault("access_denied", op="PutItem", times=None))
    assert faulty.ctl("handover", "--no-verify").returncode != 0
    faulty.restart()
    fault.faults.clear()
    eventually(lambda: faulty.ctl("handover").returncode == 0, "the handover", timeout=40)
    assert markers(faulty)["owner"]["state"]["S"] == "handed_over"
    assert "handed_over" in faulty.reasons() and faulty.triggers() == set()


def test_tables_that_have_no_number_are_handed_over(fault, faulty):
    """Not every service tells a TableId."""
    fault.tables.numbered = False
    faulty.sql(*ROWS)
    faulty.start().settle()
    done = faulty.ctl("handover", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert markers(faulty)["owner"]["state"]["S"] == "handed_over"


def test_what_was_handed_over_and_is_deleted_then_is_not_made_anew(fault, faulty):
    faulty.sql(*ROWS)
    faulty.start().settle()
    assert faulty.ctl("handover", "--no-verify").returncode == 0
    faulty.client.delete_table(TableName=faulty.target("t"))
    looks = fault.faults.add(Fault("delay", op="DescribeTable", times=None, seconds=0, table=faulty.target("t")))
    eventually(lambda: looks.fired > 1, "two looks at the table", timeout=40)
    assert faulty.target("t") not in fault.tables.by_name


def test_nothing_is_handed_over_that_is_not_there(mirror):
    mirror.sql(*ROWS)
    mirror.start().settle()
    assert mirror.ctl("pause").returncode == 0
    mirror.sql("INSERT INTO t VALUES(4,'d')")
    refused = mirror.ctl("handover", "--timeout", "5s")
    assert refused.returncode == 1 and "paused" in refused.stderr
    assert mirror.triggers()
    assert markers(mirror)["owner"]["state"]["S"] == "active"


def test_without_markers_nothing_is_handed_over(mirror):
    mirror.sql(*ROWS)
    make_table(mirror)
    mirror.configure({"dynamodb": {"create_tables": "no", "meta_table": mirror.prefix + "none"}})
    mirror.start().settle()
    assert "nothing in DynamoDB says whose the tables are" in mirror.log_text()
    refused = mirror.ctl("handover")
    assert refused.returncode == 1 and "create-tables" in refused.stderr
    mirror.settle()
