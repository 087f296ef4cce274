"""How far behind it is, and what is told of it: lag, use of the journal, pauses for a time."""

import datetime
import re
import time

import pytest

from fault_rules import Fault
from harness import eventually

T = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"


@pytest.fixture
def lagging(fault, faulty):
    faulty.configure({"sync": {"lag_warning": "1s", "lag_critical": "3s"}})
    faulty.sql(T)
    faulty.start().wait()
    return faulty


def level(mirror, code):
    """Of a reason, by the metrics; None where it is not given."""
    text = mirror.request("GET", "/metrics")[1]
    for word in ("warning", "critical"):
        if 'syncd_health_reason{code="%s",level="%s"} 1' % (code, word) in text:
            return word
    return None


def test_lag_becomes_a_warning_and_then_critical_and_is_over(fault, lagging):
    broken = fault.faults.add(Fault("internal", times=None))
    lagging.sql("INSERT INTO t VALUES(1, 'x')")
    eventually(lambda: level(lagging, "lag_warning") == "warning", "the warning")
    assert lagging.request("GET", "/v1/health")[0] == 200
    eventually(lambda: level(lagging, "lag_critical") == "critical", "what is critical")
    code, body = lagging.request("GET", "/v1/health")
    assert code == 503 and body["health"] == "critical"
    assert any("the oldest change waits for" in r["message"] for r in body["reasons"])
    assert lagging.ctl("health").returncode == 2
    fault.faults.clear()
    lagging.wait()
    eventually(lambda: lagging.reasons() & {"lag_warning", "lag_critical"} == set(), "no more lag")
    assert broken.fired > 0


def test_lag_is_told_while_a_table_is_loaded(fault, lagging):
    """A load that gets nowhere must not hide a change that waits."""
    fault.faults.add(Fault("internal", times=None))
    lagging.sql("INSERT INTO t VALUES(1, 'x')")
    eventually(lambda: lagging.status()["totals"]["retries"] > 0, "a request that failed")
    assert lagging.ctl("resync", "t", "--full").returncode == 0
    assert lagging.table("t")["state"] in ("loading", "comparing")
    eventually(lambda: "lag_critical" in lagging.reasons(), "the reason")
    assert lagging.table("t")["state"] in ("loading", "comparing")
    fault.faults.clear()
    lagging.wait()


def test_new_bounds_are_taken_by_reload(fault, lagging):
    fault.faults.add(Fault("internal", times=None))
    lagging.sql("INSERT INTO t VALUES(1, 'x')")
    eventually(lambda: "lag_critical" in lagging.reasons(), "the reason")
    lagging.configure({"sync": {"lag_warning": "1h", "lag_critical": "2h"}})
    assert lagging.ctl("reload").returncode == 0
    assert lagging.reasons() & {"lag_warning", "lag_critical"} == set()
    fault.faults.clear()
    lagging.wait()


# --- the journal and its limit --------------------------------------------------------------------


def test_use_of_the_journal_and_the_time_left(faulty):
    faulty.configure({"sync": {"journal_limit": "10000"}})
    faulty.sql(T)
    faulty.start().wait()
    source = faulty.status()["source"]
    assert source["journal_limit"] == 10000 and source["journal_full_in_seconds"] is None
    assert "syncd_journal_full_seconds +Inf" in faulty.request("GET", "/metrics")[1]
    assert faulty.ctl("pause").returncode == 0

    # Some more each second, so that there is a rate.
    written = 0

    def grows():
        nonlocal written
        faulty.many("INSERT INTO t VALUES(?, 'x')", [(written + n,) for n in range(4)])
        written += 4
        return faulty.status()["source"]["journal_full_in_seconds"]

    left = eventually(grows, "the time left")
    assert 0 < left < 10000
    text = faulty.request("GET", "/metrics")[1]
    metrics = dict(line.split() for line in text.splitlines() if not re.search("[{#]", line))
    assert metrics["syncd_journal_limit_entries"] == "10000"
    assert float(metrics["syncd_journal_full_seconds"]) > 0
    faulty.many("INSERT INTO t VALUES(?, 'x')", [(written + n,) for n in range(6000 - written)])
    page = faulty.ctl("status").stdout
    assert "60 % of its limit" in page and "full in " in page
    assert level(faulty, "journal_filling") is not None
    faulty.many("INSERT INTO t VALUES(?, 'x')", [(6000 + n,) for n in range(3200)])
    assert level(faulty, "journal_filling") == "critical" and faulty.status()["health"] == "critical"
    assert faulty.ctl("resume").returncode == 0
    faulty.wait(60)
    assert level(faulty, "journal_filling") is None
    eventually(
        lambda: faulty.status()["source"]["journal_full_in_seconds"] is None, "no growth any more"
    )


# --- pauses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "kill9"])
def test_a_pause_outlives_a_restart(fault, faulty, end):
    faulty.sql(T)
    faulty.start().wait()
    assert faulty.ctl("pause").returncode == 0
    getattr(faulty, end)()
    faulty.sql("INSERT INTO t VALUES(1, 'x')")
    faulty.start()
    eventually(lambda: faulty.status()["source"]["journal_entries"] == 1, "the change captured")
    status = faulty.status()
    assert "paused" in faulty.reasons() and status["paused_until"] is None
    assert not fault.items(faulty.target("t"))
    assert faulty.ctl("resume").returncode == 0
    faulty.settle()
    faulty.restart()
    assert faulty.status()["state"] != "paused" and "paused" not in faulty.reasons()


def test_a_pause_for_a_time_is_shown_and_outlives_a_restart(faulty):
    faulty.sql(T)
    faulty.start().wait()
    assert faulty.ctl("pause", "--for", "2h").returncode == 0

    def until():
        return datetime.datetime.fromisoformat(
            faulty.status()["paused_until"].replace("Z", "+00:00")
        )

    before = until()
    left = before - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(minutes=118) < left <= datetime.timedelta(hours=2)
    assert re.search("  paused for another (1h 59m|2h), ", faulty.ctl("status").stdout)
    faulty.restart()
    assert until() == before and "paused" in faulty.reasons()
    assert faulty.ctl("resume").returncode == 0
    assert faulty.status()["paused_until"] is None
    faulty.settle()


def test_a_pause_that_ended_while_nothing_ran_is_over(faulty):
    faulty.sql(T)
    faulty.start().wait()
    assert faulty.ctl("pause", "--for", "1s").returncode == 0
    over = time.time() + 1
    faulty.stop()
    faulty.sql("INSERT INTO t VALUES(1, 'x')")
    eventually(lambda: time.time() > over, "the end of the pause")
    faulty.start().settle()
    assert faulty.ctl("pause", "--for", "1s").returncode == 0
    faulty.restart()
    faulty.sql("INSERT INTO t VALUES(2, 'x')")
    eventually(lambda: faulty.status()["paused_until"] is None, "the end of the pause")
    faulty.settle()
    faulty.restart()
    assert "paused" not in faulty.reasons()
