"""Flow control by the real daemon: tables with a capacity, hot keys, the cap, a service that comes
back. How well it does over time is measured in virtual time, in tests/unit/pure."""

import re
import time

import pytest

from fault_rules import Fault
from faultserver import FaultServer
from harness import Endpoint, eventually


class Limited(FaultServer):
    """Takes `capacity` writes a second of each table that has one, a tenth of that at once, and of
    keys that `hot` is true for `hot_capacity`; the others come back unprocessed."""

    def __init__(self):
        super().__init__()
        self.capacity = {}
        self.hot = lambda write: False
        self.hot_capacity = 1
        self.buckets = {}
        self.passed = self.left = 0

    def passes(self, name, capacity):
        now = time.monotonic()
        tokens, at = self.buckets.get(name, (1.0, now))
        tokens = min(tokens + (now - at) * capacity, max(1.0, capacity / 10))
        self.buckets[name] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1

    def takes(self, write):
        if self.hot(write) and not self.passes("hot", self.hot_capacity):
            return False
        capacity = self.capacity.get(write.table)
        return capacity is None or self.passes(write.table, capacity)

    def write_batch(self, request, call, unprocessed):
        left = [w for w in request.writes if not self.takes(w)]
        self.left += len(left)
        self.passed += len(request.writes) - len(left)
        return super().write_batch(request, call, left)


@pytest.fixture
def limited():
    with Limited() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def over(limited, make_mirror):
    """A mirror over a service with capacities, not started."""
    from faultserver import ACCESS_KEY, SECRET_KEY

    return make_mirror(Endpoint(limited.url, ACCESS_KEY, SECRET_KEY))


def limit(mirror, table):
    text = mirror.ctl("metrics").stdout
    name = re.escape(mirror.target(table))
    found = re.search(r'^syncd_write_limit_units\{target="%s"\} (\S+)$' % name, text, re.M)
    return float(found.group(1))


def fill(mirror, table, rows, first=0):
    mirror.many("INSERT INTO %s VALUES(?, 'x')" % table, [(first + n,) for n in range(rows)])


def two_tables(mirror):
    mirror.sql(
        "PRAGMA journal_mode=wal",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE u(id INTEGER PRIMARY KEY, v TEXT)",
    )
    mirror.start().settle()


def test_a_table_over_its_capacity_is_limited_and_arrives(limited, over):
    two_tables(over)
    limited.capacity[over.target("t")] = 500
    fill(over, "t", 3000)
    eventually(lambda: limit(over, "t") > 0, "a limit of the table")
    fill(over, "u", 1000)
    over.settle(60)
    assert limit(over, "u") == 0
    assert 0 < limited.left < limited.passed / 2


def test_throttled_requests_limit_their_table_only(fault, faulty):
    two_tables(faulty)
    faulty_table = faulty.target("t")
    fault.faults.add(Fault("provisioned_throughput", times=2, table=faulty_table))
    fill(faulty, "t", 200)
    faulty.settle(60)
    assert limit(faulty, "t") > 0
    assert limit(faulty, "u") == 0


def test_hot_keys_leave_their_table_without_a_limit(limited, over):
    two_tables(over)
    limited.hot = lambda write: write.key[0].endswith("7") and len(write.key[0]) == 2
    limited.hot_capacity = 5
    fill(over, "t", 3000)
    over.settle(60)
    assert limited.left > 0
    assert limit(over, "t") == 0


def test_throttling_by_key_range_leaves_the_table_without_a_limit(fault, faulty):
    two_tables(faulty)
    reasons = [{"reason": "TableWriteKeyRangeThroughputExceeded", "resource": "arn:aws:x"}]
    throttled = fault.faults.add(Fault("throttling", times=5, reasons=reasons))
    fill(faulty, "t", 300)
    faulty.settle(60)
    assert throttled.spent() and faulty.status()["totals"]["throttled"] == 5
    assert limit(faulty, "t") == 0


def test_the_cap_on_write_units_is_kept(fault, faulty):
    faulty.configure({"dynamodb": {"write_units_per_second": 400}})
    two_tables(faulty)
    fill(faulty, "t", 600)
    fill(faulty, "u", 600)
    faulty.settle(60)
    writes = [r for r in fault.batches() if r.writes]
    assert sum(len(r.writes) for r in writes) == 1200
    # Three seconds' worth: a quarter of one may be saved up, and a request overdrawn.
    assert writes[-1].at - writes[0].at > 2


def test_the_wait_that_the_service_asks_for_is_kept(fault, faulty):
    two_tables(faulty)
    before = len(fault.batches())
    fault.faults.add(Fault("unavailable", times=1, headers={"x-amz-retry-after": "1500"}))
    faulty.sql("INSERT INTO t VALUES(1, 'x')")
    faulty.settle()
    failed, again = fault.batches()[before:][:2]  # a third one settles what the failure left open
    assert again.at - failed.at > 1.4  # backoff_max is 200 ms


def test_one_request_asks_whether_the_service_is_back(fault, faulty):
    two_tables(faulty)
    away = fault.faults.add(Fault("unavailable", times=None))
    fill(faulty, "t", 1000)
    # More than were in flight at first: what was sent before it went away has failed.
    eventually(lambda: away.fired > 16, "several tries")
    fault.faults.add(Fault("hold", times=1))
    fault.faults.remove(away)
    eventually(lambda: fault.held() == 1, "the request that asks")
    faulty.sql("INSERT INTO u VALUES(1, 'x')")
    eventually(lambda: faulty.table("u")["pending"] == 1, "a change of the other table read")
    assert faulty.status()["target"]["requests_in_flight"] == 1
    fault.release()
    faulty.settle(60)


@pytest.mark.parametrize("client", ["own", "libcurl"])
def test_a_reload_lets_more_requests_fly(fault, faulty, client):
    faulty.configure({"dynamodb": {"max_requests_in_flight": "1", "http_client": client}})
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.start().settle()
    faulty.configure({"dynamodb": {"max_requests_in_flight": "32"}})
    assert faulty.ctl("reload").returncode == 0
    fault.faults.add(Fault("delay", times=None, seconds=0.5))
    faulty.many("INSERT INTO t VALUES(?, 'first')", [(n,) for n in range(5000)])
    faulty.settle(60)
    assert fault.max_in_flight == 32
