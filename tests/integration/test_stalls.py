"""Health without a canary: what ought to move and does not is told, whatever the cause, and so is
that it moves again. Also the heartbeat, which beats only while all is well."""

import contextlib
import http.server
import threading

import pytest

from fault_rules import Fault
from harness import eventually

# Three quarters of lag_warning are what something may stand still for.
QUICK = {"sync": {"lag_warning": "2s", "request_timeout": "5m"}}


@pytest.fixture
def running(faulty):
    faulty.configure(QUICK)
    faulty.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.start().wait()
    eventually(lambda: healthy(faulty), "health ok")
    return faulty


def healthy(mirror):
    return mirror.request("GET", "/v1/health") == (200, {"health": "ok", "reasons": []})


def critical(mirror, code):
    status, body = mirror.request("GET", "/v1/health")
    assert status == 503, body
    return [r["message"] for r in body["reasons"] if r["code"] == code]


def test_a_request_that_hangs(fault, running):
    hangs = fault.faults.add(Fault("hold", times=1))
    running.sql("INSERT INTO t VALUES(1, 'x')")
    (message,) = eventually(lambda: critical(running, "stalled"), "stalled")
    assert "DynamoDB confirms none" in message
    assert running.ctl("health").returncode == 2
    fault.faults.remove(hangs)
    fault.release()
    eventually(lambda: healthy(running), "health ok")
    running.settle()


def test_refusals_without_an_end(fault, running):
    throttled = fault.faults.add(Fault("throttling", times=None))
    running.sql("INSERT INTO t VALUES(1, 'x')")
    eventually(lambda: critical(running, "stalled"), "stalled")
    fault.faults.remove(throttled)
    eventually(lambda: healthy(running), "health ok")
    running.settle()


def test_a_load_that_stands_still(fault, running):
    hangs = fault.faults.add(Fault("hold", times=None))
    running.many("INSERT INTO t VALUES(?, 'x')", [(n,) for n in range(20)])
    running.ctl("resync", "--all", "--full")
    eventually(lambda: critical(running, "stalled"), "stalled")
    fault.faults.remove(hangs)
    fault.release()
    eventually(lambda: healthy(running), "health ok")
    running.settle()


def test_slow_is_not_stalled(fault, running):
    running.configure({"sync": {"lag_warning": "4s"}, "dynamodb": {"max_requests_in_flight": "1"}})
    assert running.ctl("reload").returncode == 0
    slow = fault.faults.add(Fault("delay", times=None, seconds=0.4))
    running.many("INSERT INTO t VALUES(?, 'x')", [(n,) for n in range(300)])
    seen = set()

    def drained():
        seen.update(running.reasons())
        return running.status()["source"]["journal_entries"] == 0

    eventually(drained, "drained", 60)
    assert "stalled" not in seen
    fault.faults.remove(slow)
    running.settle()


def test_paused_and_parked_is_not_stalled(fault, running):
    """Known by names of their own."""
    denied = fault.faults.add(Fault("access_denied", times=None))
    running.sql("INSERT INTO t VALUES(1, 'x')")
    eventually(lambda: "table_parked" in running.reasons(), "parked")
    uptime = running.status()["uptime_seconds"]
    running.ctl("pause")
    seen = set()

    def later():
        seen.update(running.reasons())
        return running.status()["uptime_seconds"] > uptime + 3

    eventually(later, "longer than a stall")
    assert "stalled" not in seen and "paused" in seen
    fault.faults.remove(denied)


def test_the_journal_cannot_be_emptied(running):
    with contextlib.closing(running.connect()) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO t VALUES(1, 'x')")
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        (message,) = eventually(lambda: critical(running, "journal_locked"), "journal_locked")
        assert "transaction left open" in message
        db.execute("ROLLBACK")
    eventually(lambda: healthy(running), "health ok")


class Listener(http.server.ThreadingHTTPServer):
    """Counts what asks for it, and answers `status`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        self.asked, self.status = [], 200
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return "http://127.0.0.1:%d/ping/secret-word" % self.server_port


class Asked(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def listener():
    server = Listener()
    yield server
    server.shutdown()
    server.server_close()


def test_the_heart_beats_only_while_all_is_well(faulty, listener):
    faulty.configure({"control": {"heartbeat_url": listener.url, "heartbeat_interval": "1s"}})
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.start().wait()
    eventually(lambda: len(listener.asked) > 1, "two beats")
    assert set(listener.asked) == {"/ping/secret-word"}
    faulty.ctl("pause")
    eventually(lambda: "health is warning" in faulty.log_text(), "known to be paused")
    asked, uptime = len(listener.asked), faulty.status()["uptime_seconds"]
    eventually(lambda: faulty.status()["uptime_seconds"] > uptime + 3, "several intervals")
    assert len(listener.asked) <= asked + 1  # one may have been on its way
    faulty.ctl("resume")
    eventually(lambda: len(listener.asked) > asked + 1, "it beats again")


def test_a_heartbeat_that_fails_is_said_once_and_matters_to_nobody(faulty, listener):
    listener.status = 500
    faulty.configure({"control": {"heartbeat_url": listener.url, "heartbeat_interval": "1s"}})
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.start()
    eventually(lambda: len(listener.asked) > 2, "three beats")
    faulty.sql("INSERT INTO t VALUES(1, 'x')")
    faulty.settle()
    assert healthy(faulty)
    assert faulty.log_text().count("the heartbeat does not reach") == 1
    listener.status = 200
    eventually(lambda: "heartbeat_url again" in faulty.log_text(), "that it works again")
    assert "secret-word" not in faulty.log_text()


def test_a_heartbeat_over_plain_http_to_elsewhere_is_refused(faulty):
    faulty.configure({"control": {"heartbeat_url": "http://192.0.2.1/ping/secret-word"}})
    code, output = faulty.run_to_end()
    assert code == 2 and "heartbeat_url" in output and "use https" in output
    assert "secret-word" not in output
