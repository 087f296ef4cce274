"""syncctl purge: what is ours goes, what is not stays; boto3 puts the foreign items and counts."""

import json
import os

import pytest

from fault_rules import Fault

USERS = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)"
NOTES = "CREATE TABLE notes(id INTEGER PRIMARY KEY, name TEXT)"


def fill(mirror, table, count, first=1):
    mirror.many("INSERT INTO %s VALUES(?, ?)" % table, [(i, "n%d" % i) for i in range(first, first + count)])


@pytest.fixture
def sent(mirror):
    """Sixty users in DynamoDB, and no daemon."""
    mirror.sql(USERS)
    fill(mirror, "users", 60)
    mirror.start()
    mirror.settle()
    mirror.stop()
    return mirror


def put_into(mirror, name, item):
    mirror.client.batch_write_item(RequestItems={name: [{"PutRequest": {"Item": item}}]})


def put(mirror, table, **item):
    put_into(mirror, mirror.target(table), item)


def forget(mirror):
    """The state file is lost."""
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(mirror.state + suffix):
            os.unlink(mirror.state + suffix)


def remove(mirror, table, **key):
    mirror.client.batch_write_item(
        RequestItems={mirror.target(table): [{"DeleteRequest": {"Key": key}}]}
    )


def purged(mirror, *arguments):
    done = mirror.ctl("--json", "purge", "--yes", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return {t["table"]: t for t in json.loads(done.stdout)["tables"]}


def filled_again(mirror):
    """A daemon that starts later spares nothing."""
    mirror.start()
    mirror.settle()
    mirror.stop()


@pytest.mark.engine
def test_ours_goes_and_foreign_items_stay(sent):
    put(sent, "users", id={"N": "1000"}, theirs={"S": "x"})
    put(sent, "users", id={"N": "-7"})
    found = purged(sent)[sent.target("users")]
    assert (found["deleted"], found["ours"], found["not_ours"]) == (60, 60, 2)
    assert {int(i["id"]) for i in sent.items("users")} == {1000, -7}
    again = purged(sent)[sent.target("users")]
    assert (again["deleted"], again["not_ours"]) == (0, 2)
    assert sent.sql("SELECT count(*) FROM users") == [(60,)]


@pytest.mark.engine
def test_a_later_daemon_sends_everything_again(sent):
    purged(sent)
    assert sent.items("users") == []
    filled_again(sent)
    assert len(sent.items("users")) == 60


def test_the_question_shows_where_and_how_many(sent):
    put(sent, "users", id={"N": "1000"})
    refused = sent.ctl("purge")
    assert refused.returncode == 2 and "--yes" in refused.stderr
    code, shown = sent.ctl_on_terminal("purge", typed="n")
    assert code == 1 and "nothing was done" in shown
    for part in ("Delete 60 items", "account 000000000000", "region eu-test-1", sent.endpoint.url, '"1000"'):
        assert part in shown, shown
    assert len(sent.items("users")) == 61
    code, shown = sent.ctl_on_terminal("purge", typed="y")
    assert code == 0 and "60 items deleted, 1 left" in shown, shown
    assert len(sent.items("users")) == 1


def test_not_while_a_daemon_runs(sent):
    sent.start()
    done = sent.ctl("purge", "--yes")
    assert done.returncode == 1 and "stop it first" in done.stderr and str(sent.process.pid) in done.stderr
    sent.settle()
    assert len(sent.items("users")) == 60


@pytest.mark.engine
def test_tables_are_deleted_unless_they_hold_more(sent):
    put(sent, "users", id={"N": "1000"})
    done = sent.ctl("purge", "--yes", "--delete-tables")
    assert done.returncode == 1 and "not ours (1, such as" in done.stderr
    assert len(sent.items("users")) == 61
    remove(sent, "users", id={"N": "1000"})
    assert purged(sent, "--delete-tables")[sent.target("users")]["table_deleted"] is True
    assert sent.target("users") not in sent.tables_of_ours()
    gone = purged(sent, "--delete-tables")[sent.target("users")]
    assert gone["missing"] is True and gone["deleted"] == 0
    filled_again(sent)
    assert len(sent.items("users")) == 60


@pytest.mark.engine
def test_one_table_of_several(mirror):
    mirror.sql(USERS, NOTES)
    fill(mirror, "users", 5)
    fill(mirror, "notes", 7)
    mirror.start()
    mirror.settle()
    mirror.stop()
    assert list(purged(mirror, "notes")) == [mirror.target("notes")]
    assert len(mirror.items("users")) == 5 and mirror.items("notes") == []
    assert mirror.ctl("purge", "--yes", "none_such").returncode == 2


def shared(mirror):
    """Two tables in one DynamoDB table, told apart by their keys."""
    target = mirror.prefix + "one"
    mirror.sql(USERS, NOTES)
    mirror.configure(
        {
            "table users": {"target": target, "partition_key": "USER#{id}"},
            "table notes": {"target": target, "partition_key": "NOTE#{id}"},
        }
    )
    fill(mirror, "users", 30)
    fill(mirror, "notes", 30)
    mirror.start()
    mirror.settle()
    mirror.stop()
    return target


def keys(mirror):
    return {i["pk"] for i in mirror.items("users")}


@pytest.mark.engine
def test_tables_that_share_a_target(mirror):
    shared(mirror)
    found = purged(mirror, "notes")[mirror.target("notes")]
    assert (found["deleted"], found["not_ours"]) == (30, 30)
    assert keys(mirror) == {"USER#%d" % i for i in range(1, 31)}
    refused = mirror.ctl("purge", "--yes", "--delete-tables", "notes")
    assert refused.returncode == 1 and "other tables of the database" in refused.stderr
    filled_again(mirror)
    assert len(keys(mirror)) == 60


@pytest.mark.engine
def test_without_a_state_file_the_mark_tells(sent):
    """Plain keys say nothing; but the table was marked as ours alone when it was first written."""
    forget(sent)
    assert purged(sent)[sent.target("users")]["deleted"] == 60


@pytest.mark.engine
def test_not_what_another_database_has(sent):
    """Its state file knows the items; the marker says that they are another's by now."""
    meta = sent.settings["dynamodb"]["meta_table"]
    (marker,) = sent.client.scan(TableName=meta)["Items"]
    marker.update(database={"S": "0" * 32}, generation={"S": "1" * 32}, path={"S": "/elsewhere.db"})
    put_into(sent, meta, marker)
    done = sent.ctl("purge", "--yes")
    assert done.returncode == 1 and "belongs to another database: /elsewhere.db" in done.stderr
    marker.update(state={"S": "handed_over"})
    put_into(sent, meta, marker)
    done = sent.ctl("purge", "--yes", "--delete-tables")
    assert done.returncode == 1 and "handed over" in done.stderr
    assert len(sent.items("users")) == 60


@pytest.mark.engine
def test_without_a_state_file_the_templates_tell(mirror):
    """Another machine's items carry another text of their own in their keys."""
    target = mirror.prefix + "one"
    mirror.sql(USERS)
    mirror.configure({"table users": {"target": target, "partition_key": "m1#{id}"}})
    fill(mirror, "users", 40)
    mirror.start()
    mirror.settle()
    mirror.stop()
    for i in range(10):
        put(mirror, "users", pk={"S": "m2#%d" % i})
    put(mirror, "users", pk={"S": "m1#not a number"})
    forget(mirror)
    found = purged(mirror)[target]
    assert (found["deleted"], found["not_ours"]) == (40, 11)
    assert keys(mirror) == {"m2#%d" % i for i in range(10)} | {"m1#not a number"}


@pytest.fixture
def many(faulty):
    """As `sent`, on the service that misbehaves."""
    faulty.sql(USERS)
    fill(faulty, "users", 600)
    faulty.start()
    faulty.settle()
    faulty.stop()
    return faulty


def test_what_is_left_unprocessed_is_sent_again(many, fault):
    put(many, "users", id={"N": "1000"})
    fault.faults.add(Fault("unprocessed", times=10, count=7))
    fault.faults.add(Fault("throttling", times=3))
    fault.faults.add(Fault("reset_after_apply", times=2))
    assert purged(many)[many.target("users")]["deleted"] == 600
    assert [i["id"] for i in many.items("users")] == [1000]


def kill_amid(mirror, fault):
    """kill -9 once some deletions are done, and others on their way."""
    before = len(fault.batches())
    held = fault.faults.add(
        Fault("hold", times=None, when=lambda writes: len(fault.batches()) > before + 8)
    )
    mirror.ctl_killed(fault, held, "purge", "--yes")


def test_interrupted_it_goes_on(many, fault):
    """Killed amid the deletions: what is left is known as ours still, and nothing is spared later."""
    put(many, "users", id={"N": "1000"})
    kill_amid(many, fault)
    left = len(many.items("users"))
    assert 1 < left < 601
    found = purged(many)[many.target("users")]
    assert found["not_ours"] == 1 and [i["id"] for i in many.items("users")] == [1000]
    filled_again_beside(many)


def filled_again_beside(mirror):
    remove(mirror, "users", id={"N": "1000"})
    filled_again(mirror)
    assert len(mirror.items("users")) == 600


def test_killed_and_never_taken_up_again(many, fault):
    """A daemon after a purge that was cut off sends everything, deleted or not."""
    kill_amid(many, fault)
    assert len(many.items("users")) < 600
    filled_again(many)
    assert len(many.items("users")) == 600


def test_without_the_right_nothing_is_half_done(many, fault):
    fault.faults.add(Fault("access_denied", times=None, op="Scan"))
    done = many.ctl("purge", "--yes")
    assert done.returncode in (2, 3) and "Scan" in done.stderr, done.stderr
    fault.faults.clear()
    fault.faults.add(Fault("access_denied", times=None))
    done = many.ctl("purge", "--yes")
    assert done.returncode in (2, 3) and "BatchWriteItem" in done.stderr
    fault.faults.clear()
    assert len(many.items("users")) == 600
    filled_again(many)


def test_what_purge_needs(many, fault):
    del fault.requests[:]
    purged(many)
    printed = json.loads(many.ctl("iam-policy", "--for", "purge").stdout)
    allowed = {a.split(":")[1] for s in printed["Statement"] for a in s["Action"]}
    assert {r.op for r in fault.requests} | {"DeleteTable"} == allowed
