"""What the service may do at its worst, and both sides equal afterwards, by the fault server."""

import pytest

from fault_rules import CORAL, Fault, attribute_equals
from faultserver import FaultServer
from harness import eventually, writer


@pytest.fixture
def running(faulty):
    """A mirror of one table of 60 rows, loaded."""
    faulty.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.many("INSERT INTO t VALUES(?, 'first')", [(n,) for n in range(60)])
    faulty.start().settle()
    return faulty


@pytest.mark.parametrize("count", range(1, 26))
def test_unprocessed_items_followed_by_newer_writes(fault, running, count):
    back = fault.faults.add(Fault("unprocessed", count=count, times=3, seed=count))
    running.sql(
        "UPDATE t SET v = 'second' WHERE id < 30", "DELETE FROM t WHERE id BETWEEN 20 AND 24"
    )
    eventually(lambda: back.fired > 0, "writes given back")
    running.sql(
        "UPDATE t SET v = 'third' WHERE id % 2 = 0",
        "INSERT INTO t VALUES(22, 'again')",
        "DELETE FROM t WHERE id = 3",
    )
    running.settle()
    assert back.spent() and running.status()["totals"]["unprocessed"] > 0


TRANSIENT = [
    "provisioned_throughput",
    "throttling",
    "request_limit",
    "internal",
    "unavailable",
    "replicated_conflict",
    "bad_crc",
    "truncated",
    "not_json",
    "empty",
    "html",
    "reset_before_read",
    "reset_after_read",
    "reset_after_apply",
    "reset_mid_reply",
]
ONCE = ["unrecognized_client", "expired_token", "skew"]


@pytest.mark.parametrize("kind, times", [(k, 3) for k in TRANSIENT] + [(k, 1) for k in ONCE])
def test_a_passing_fault_is_retried(fault, running, kind, times):
    passing = fault.faults.add(Fault(kind, times=times))
    running.sql("UPDATE t SET v = 'second'", "DELETE FROM t WHERE id > 50")
    running.wait()
    running.sql("INSERT INTO t VALUES(100, 'x')")
    running.settle(60)
    assert passing.spent()
    totals = running.status()["totals"]
    assert totals["retries"] >= 1
    assert running.dead_letters() == []


def test_throttling_is_counted_and_its_reasons_accepted(fault, running):
    reasons = [
        {
            "reason": "TableWriteKeyRangeThroughputExceeded",
            "resource": "arn:aws:dynamodb:x:0:table/t",
        }
    ]
    fault.faults.add(Fault("throttling", times=2, reasons=reasons))
    running.sql("UPDATE t SET v = 'second'")
    running.settle()
    assert running.status()["totals"]["throttled"] >= 2


def test_a_request_that_failed_may_have_been_applied(fault, running):
    applied = fault.faults.add(Fault("internal", times=4, apply=True))
    running.sql("UPDATE t SET v = 'second'")
    eventually(lambda: applied.fired > 0, "a failed request")
    running.sql("DELETE FROM t WHERE id < 10", "UPDATE t SET v = 'third' WHERE id > 40")
    running.settle()


def test_what_was_left_open_is_unconfirmed_until_the_horizon(fault, running):
    running.configure({"sync": {"unconfirmed_horizon": "1h"}})
    assert running.ctl("reload").returncode == 0
    left_open = fault.faults.add(Fault("reset_after_read", times=1))
    running.sql("UPDATE t SET v = 'second' WHERE id < 10")
    running.wait()
    assert left_open.fired > 0
    running.assert_equal()
    status = running.status()
    assert status["totals"]["unconfirmed"] == 10
    assert status["converged"] is False and status["health"] == "ok"
    assert "syncd_unconfirmed 10" in running.ctl("metrics").stdout

    # A restart does not forget it.
    running.stop()
    running.start().wait()
    status = running.status()
    assert status["totals"]["unconfirmed"] == 10 and status["converged"] is False


def test_what_was_left_open_is_sent_again_after_the_horizon(fault, running):
    left_open = fault.faults.add(Fault("reset_after_read", times=1))
    running.sql("UPDATE t SET v = 'second' WHERE id < 10")
    running.wait()
    assert left_open.fired > 0
    written = running.status()["totals"]["items_put"]
    running.settle()
    totals = running.status()["totals"]
    assert totals["unconfirmed"] == 0 and totals["items_put"] == written + 10


def test_a_request_too_large_for_the_service_is_halved(fault, running):
    large = fault.faults.add(Fault("too_large", times=None, when=lambda writes: len(writes) > 6))
    running.sql("UPDATE t SET v = 'second'")
    running.settle()
    assert large.fired > 0


def test_a_huge_reply_does_not_fill_memory(fault, running):
    with open("/proc/%d/status" % running.process.pid, encoding="ascii") as status:
        before = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    fault.faults.add(Fault("huge", times=1, size=96 * 1024 * 1024))
    running.sql("UPDATE t SET v = 'second'")
    running.settle()
    with open("/proc/%d/status" % running.process.pid, encoding="ascii") as status:
        after = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert after - before < 64 * 1024


def test_slow_and_delayed_replies(fault, running):
    fault.faults.add(Fault("slow", times=2, seconds=0.001))
    fault.faults.add(Fault("delay", times=2, seconds=0.05))
    running.sql("UPDATE t SET v = 'second'")
    running.sql("UPDATE t SET v = 'third' WHERE id < 40")
    running.settle()


def test_a_reply_that_never_comes_is_given_up(fault, faulty):
    faulty.configure({"sync": {"request_timeout": "300ms"}})
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.start().wait()
    held = fault.faults.add(Fault("hold", times=2))
    faulty.sql("INSERT INTO t VALUES(1, 'x')")
    faulty.settle()
    assert held.fired == 2


def test_a_redirect_is_not_followed(fault, running):
    with FaultServer() as elsewhere:
        fault.faults.add(Fault("redirect", times=1, location=elsewhere.url + "/"))
        running.sql("UPDATE t SET v = 'second'")
        running.settle()
        assert elsewhere.accepted == 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_storm_of_faults_under_a_writer(fault, running, share):
    kinds = [
        "internal",
        "reset_after_apply",
        "reset_after_read",
        "bad_crc",
        "throttling",
        "truncated",
        "unavailable",
    ]
    for number, kind in enumerate(kinds):
        fault.faults.add(Fault(kind, fraction=share / len(kinds), seed=number))
    fault.faults.add(Fault("unprocessed", fraction=share, share=0.6, seed=99))
    with writer(
        running.database,
        """
rng = random.Random(4)
for n in range(250):
    db.execute("BEGIN IMMEDIATE")
    for _ in range(rng.randrange(1, 30)):
        k = rng.randrange(120)
        if rng.random() < 0.3:
            db.execute("DELETE FROM t WHERE id = ?", (k,))
        else:
            db.execute("INSERT INTO t VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET v = excluded.v", (k, str(n)))
    db.execute("COMMIT")
""",
    ):
        pass
    fault.faults.clear()
    running.settle(60)
    assert fault.violations == []


def test_a_poisoned_item_is_found_and_set_aside(fault, running):
    fault.faults.add(
        Fault(
            "poison",
            times=None,
            when=attribute_equals("v", {"S": "bad"}),
            message="refused by rule 7",
        )
    )
    running.sql("UPDATE t SET v = 'second'", "UPDATE t SET v = 'bad' WHERE id = 17")
    running.wait()
    (letter,) = running.dead_letters()
    assert (
        letter["table"] == "t"
        and letter["key"] == "id=17"
        and "refused by rule 7" in letter["message"]
    )
    found = running.by_id("t")
    assert found[17]["v"] in ("first", "second") and all(
        i["v"] == "second" for k, i in found.items() if k != 17
    )
    running.sql("UPDATE t SET v = 'good' WHERE id = 17")
    running.settle()
    assert running.dead_letters() == []


def test_several_poisoned_items_in_one_batch(fault, running):
    fault.faults.add(Fault("poison", times=None, when=attribute_equals("v", {"S": "bad"})))
    running.sql("UPDATE t SET v = CASE WHEN id IN (3, 4, 11, 24) THEN 'bad' ELSE 'second' END")
    running.wait()
    assert sorted(d["key"] for d in running.dead_letters()) == ["id=11", "id=24", "id=3", "id=4"]
    assert sum(i["v"] == "second" for i in running.items("t")) == 56
    fault.faults.clear()
    assert running.ctl("dead-letters", "retry", "--all").returncode == 0
    running.settle()


def test_a_serialization_error_is_bisected_too(fault, running):
    poison = Fault(
        "poison",
        times=None,
        when=attribute_equals("v", {"S": "bad"}),
        code=CORAL + "SerializationException",
    )
    fault.faults.add(poison)
    running.sql("UPDATE t SET v = CASE id WHEN 30 THEN 'bad' ELSE 'second' END")
    running.wait()
    assert [d["key"] for d in running.dead_letters()] == ["id=30"]


@pytest.mark.parametrize("kind", ["access_denied", "not_found"])
def test_a_table_that_is_refused_is_parked_alone_and_comes_back(fault, running, kind):
    running.sql("CREATE TABLE u(id INTEGER PRIMARY KEY, v TEXT)")
    running.restart().settle()
    refused = fault.faults.add(Fault(kind, times=None, table=running.target("u")))
    running.sql("INSERT INTO u VALUES(1, 'x')", "UPDATE t SET v = 'flows'")
    eventually(lambda: "table_parked" in running.reasons(), "the parked table as a reason")
    status = running.status()
    assert status["health"] == "warning" and status["converged"] is False
    assert running.table("u")["state"] == "parked" and running.table("u")["reason"]
    eventually(lambda: {i["v"] for i in running.items("t")} == {"flows"}, "the other table's rows")
    done = running.ctl("wait", "--timeout", "20s")
    assert done.returncode == 1 and "u" in done.stdout + done.stderr
    fault.faults.remove(refused)
    assert running.ctl("reload").returncode == 0
    eventually(lambda: "table_parked" not in running.reasons(), "the table at work again", 40)
    running.settle()


def test_the_service_goes_away_and_comes_back(fault, running):
    fault.refuse_connections()
    running.sql("UPDATE t SET v = 'second'", "DELETE FROM t WHERE id < 5")
    eventually(
        lambda: "endpoint_unreachable" in running.reasons(), "the endpoint reported unreachable"
    )
    status = running.status()
    assert status["health"] in ("warning", "critical") and status["converged"] is False
    assert status["source"]["journal_entries"] >= 60 and status["target"]["last_error"]["message"]
    # Null while a try is on its way.
    eventually(
        lambda: running.status()["target"]["retry_in_seconds"] is not None, "the next try announced"
    )
    running.sql("INSERT INTO t VALUES(500, 'while away')")
    fault.listen()
    running.settle(60)
    assert running.status()["health"] == "ok"


def test_started_before_the_service(fault, faulty):
    fault.refuse_connections()
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES(1)")
    faulty.start()
    eventually(
        lambda: "endpoint_unreachable" in faulty.reasons(), "the endpoint reported unreachable"
    )
    faulty.sql("INSERT INTO t VALUES(2)")
    fault.listen()
    faulty.settle(60)
    assert faulty.status()["health"] == "ok"


def test_it_never_asks_more_than_max_requests_in_flight(fault, faulty):
    faulty.configure({"dynamodb": {"max_requests_in_flight": 3}})
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.start().wait()
    fault.faults.add(Fault("hold", times=3))
    faulty.many("INSERT INTO t VALUES(?, 'x')", [(n,) for n in range(500)])
    eventually(lambda: fault.held() == 3, "three requests in flight")
    assert faulty.status()["target"]["requests_in_flight"] == 3
    fault.release()
    faulty.settle()
    assert fault.max_in_flight == 3


def test_newer_values_wait_for_the_request_in_flight(fault, running):
    fault.faults.add(Fault("hold"))
    running.sql("UPDATE t SET v = 'in flight' WHERE id = 1")
    eventually(lambda: fault.held() == 1, "a request in flight")
    for number in range(5):
        running.sql("UPDATE t SET v = 'newer %d' WHERE id = 1" % number)
    fault.release()
    running.settle()
    assert running.by_id("t")[1]["v"] == "newer 4"
    ours = [r for r in fault.batches() if any(key == ("1",) for _, key, _ in r.writes)]
    assert len(ours) <= 4, "each of several values of one key was sent on its own"


def test_rows_written_with_the_same_values_cost_nothing(fault, running):
    before = len(fault.batches())
    running.sql("UPDATE t SET v = v")
    running.settle()
    assert len(fault.batches()) == before
    assert running.status()["totals"]["spared"] == 60


def test_batches_are_filled(fault, faulty):
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.many("INSERT INTO t VALUES(?, 'x')", [(n,) for n in range(5000)])
    faulty.start().settle()
    assert len(fault.batches()) <= 220
    assert fault.accepted <= 12 + 8, "connections are kept and used again"


def test_large_items_keep_a_batch_within_its_bytes(fault, faulty):
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)")
    faulty.many("INSERT INTO t VALUES(?, randomblob(390000))", [(n,) for n in range(60)])
    faulty.start().settle(60)
    assert fault.violations == []


@pytest.mark.parametrize("kind", ["unrecognized_client", "access_denied"])
def test_credentials_refused_for_all_is_critical_and_heals(fault, running, kind):
    refused = fault.faults.add(Fault(kind, times=None))
    running.sql("UPDATE t SET v = 'second'")
    wanted = {"unrecognized_client": "credentials_refused", "access_denied": "table_parked"}[kind]
    eventually(lambda: wanted in running.reasons(), wanted)
    assert (
        running.status()["health"]
        == {"credentials_refused": "critical", "table_parked": "warning"}[wanted]
    )
    fault.faults.remove(refused)
    running.ctl("reload")
    eventually(lambda: running.status()["health"] == "ok", "health ok again", 40)
    running.settle()


def test_a_wrong_clock_is_overcome(fault, running):
    fault.verifier.clock_offset = 1200
    running.sql("UPDATE t SET v = 'second'")
    running.wait(60)
    assert {item["v"]["S"] for item in fault.items(running.target("t")).values()} == {"second"}
    fault.verifier.clock_offset = 0
    running.sql("UPDATE t SET v = 'third'")
    running.settle(60)


def test_an_endpoint_that_nobody_asks_is_not_called_unreachable(fault, faulty):
    faulty.configure({"sync": {"request_timeout": "1s"}})
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.start().wait()
    fault.refuse_connections()
    faulty.sql("INSERT INTO t VALUES(1, 'x')")
    eventually(lambda: "endpoint_unreachable" in faulty.reasons(), "the endpoint unreachable")
    assert faulty.ctl("pause").returncode == 0
    fault.listen()
    asked = len(fault.requests)
    eventually(lambda: faulty.reasons() == {"paused"}, "the pause as the only reason", 60)
    assert faulty.status()["health"] == "warning" and len(fault.requests) == asked
    assert faulty.ctl("resume").returncode == 0
    faulty.settle()
