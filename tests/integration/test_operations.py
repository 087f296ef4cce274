"""What operators see and do: status, health, pause, wait, reload, attach, detach, jobs."""

import json
import os
import re
import resource
import signal
import stat

import pytest

from fault_rules import Fault
from harness import eventually

pytestmark = pytest.mark.engine

T = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"


@pytest.fixture
def running(mirror):
    mirror.sql(T)
    mirror.many("INSERT INTO t VALUES(?, 'first')", [(n,) for n in range(40)])
    mirror.start().settle()
    return mirror


NUMBER = (int, float)
FIELDS = {
    "": {
        "version": str,
        "name": str,
        "pid": int,
        "uptime_seconds": NUMBER,
        "state": str,
        "health": str,
        "reasons": list,
        "converged": bool,
        "source": dict,
        "target": dict,
        "totals": dict,
        "lag_seconds": dict,
        "tables": list,
    },
    "source": {
        "database": str,
        "journal_entries": int,
        "oldest_pending_seconds": (int, float, type(None)),
        "wal_bytes": int,
        "journal_mode": str,
    },
    "target": {
        "endpoint": str,
        "region": str,
        "requests_in_flight": int,
        "last_success": (str, type(None)),
        "last_error": (dict, type(None)),
        "retry_in_seconds": (int, float, type(None)),
        "credentials": dict,
    },
    "totals": {
        name: int
        for name in (
            "changes",
            "items_put",
            "items_deleted",
            "requests",
            "retries",
            "throttled",
            "unprocessed",
            "dead_letters",
            "unconfirmed",
            "spared",
            "bytes_sent",
            "write_units",
        )
    },
    "lag_seconds": {name: (int, float, type(None)) for name in ("p50", "p99", "max")},
}
TABLE = {
    "name": str,
    "target": str,
    "state": str,
    "pending": int,
    "items_put": int,
    "items_deleted": int,
    "dead_letters": int,
    "reason": (str, type(None)),
}


def test_status_has_the_promised_fields(running):
    status = running.status()
    for section, fields in FIELDS.items():
        where = status[section] if section else status
        for name, kind in fields.items():
            assert isinstance(where[name], kind), "%s.%s is %r" % (section, name, where.get(name))
    for name, kind in TABLE.items():
        assert isinstance(status["tables"][0][name], kind), name
    assert status["source"]["database"] == running.database and status["name"] == "syncd"
    assert status["source"]["journal_entries"] == 0 and status["totals"]["items_put"] == 40
    assert status["tables"][0]["target"] == running.target("t")
    assert status["target"]["endpoint"].rstrip("/") == running.endpoint.url.rstrip("/")


def test_the_api_refuses_what_it_does_not_know(running):
    for method, path, code in (
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/status", 405),
        ("GET", "/v1/pause", 405),
    ):
        status, body = running.request(method, path)
        assert status == code and body["error"]["code"] and body["error"]["message"]


def test_the_socket_is_for_the_group(running):
    assert stat.S_IMODE(os.stat(running.socket).st_mode) == 0o660


def test_health_exit_codes(running):
    ok = running.ctl("health")
    assert ok.returncode == 0 and ok.stdout.startswith("OK")
    assert running.request("GET", "/v1/health") == (200, {"health": "ok", "reasons": []})
    running.sql("INSERT INTO t VALUES(100, CAST(x'ff' AS TEXT))")
    running.wait()
    warning = running.ctl("health")
    assert warning.returncode == 1 and warning.stdout.startswith("WARNING")
    running.stop()
    unknown = running.ctl("health")
    assert unknown.returncode == 3 and "UNKNOWN" in unknown.stdout + unknown.stderr


def test_metrics_are_prometheus_text(running):
    code, text = running.request("GET", "/metrics")
    assert code == 200
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            assert re.match(
                r'syncd_[a-z0-9_]+(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? (-?[0-9.eE+-]+|\+Inf)$', line
            ), line
            samples.setdefault(line.split("{")[0].split(" ")[0], []).append(line)
    for name in (
        "syncd_journal_entries",
        "syncd_healthy",
        "syncd_build_info",
        "syncd_last_success_timestamp_seconds",
    ):
        assert name in samples, name
    assert any(name.endswith("_total") for name in samples)
    assert running.ctl("metrics").stdout.strip() != ""


def test_pause_holds_sending_and_resume_lets_it_go(running):
    assert running.ctl("pause").returncode == 0
    running.sql("UPDATE t SET v = 'second'", "DELETE FROM t WHERE id = 1")
    eventually(lambda: running.status()["source"]["journal_entries"] >= 41, "the changes captured")
    status = running.status()
    assert (
        status["state"] == "paused"
        and status["health"] == "warning"
        and status["converged"] is False
    )
    assert running.reasons() == {"paused"}
    assert {i["v"] for i in running.items("t")} == {"first"}
    waiting = running.ctl("wait", "--timeout", "60s", timeout=30)
    assert waiting.returncode == 1 and "paused" in waiting.stdout + waiting.stderr
    assert running.ctl("resume").returncode == 0
    running.settle()
    assert running.status()["state"] == "running" and len(running.items("t")) == 39


def test_a_pause_for_a_time_ends_by_itself(running):
    assert running.ctl("pause", "--for", "1s").returncode == 0
    running.sql("UPDATE t SET v = 'second'")
    eventually(lambda: running.status()["state"] == "running", "the end of the pause")
    running.settle()


def test_wait_returns_one_when_the_time_is_over(fault, faulty):
    faulty.sql(T)
    faulty.start().wait()
    fault.faults.add(Fault("internal", times=None))
    faulty.sql("INSERT INTO t VALUES(1, 'x')")
    done = faulty.ctl("wait", "--timeout", "300ms")
    assert done.returncode == 1
    fault.faults.clear()
    faulty.settle()


def test_sighup_takes_what_may_change_and_refuses_a_broken_file(running):
    running.configure({"log": {"level": "debug"}, "sync": {"linger": "1ms"}})
    running.signal(signal.SIGHUP)
    eventually(lambda: "reload" in running.log_text().lower(), "a word about the reload in the log")
    running.configure({"sync": {"linger": "5 parsecs"}})
    refused = running.ctl("reload")
    assert refused.returncode == 2 and "parsecs" in refused.stderr
    running.signal(signal.SIGHUP)
    running.sql("UPDATE t SET v = 'second'")
    running.settle()
    running.configure({"sync": {"linger": "2ms"}})
    accepted = running.ctl("reload")
    assert accepted.returncode == 0 and "linger" in accepted.stdout


def test_uninstall_leaves_the_schema_as_it_was(mirror):
    mirror.sql(
        "PRAGMA journal_mode=wal",
        T,
        "CREATE INDEX i ON t(v)",
        "CREATE VIEW w AS SELECT v FROM t",
        "CREATE TRIGGER own AFTER INSERT ON t BEGIN UPDATE t SET v = upper(v) WHERE id = NEW.id; END",
        "CREATE TABLE p(a TEXT NOT NULL, b INTEGER NOT NULL, u TEXT UNIQUE, PRIMARY KEY(a, b)) WITHOUT ROWID",
        "INSERT INTO t VALUES(1, 'x')",
    )
    before = mirror.schema()
    mirror.start().settle()
    assert mirror.schema() != before
    assert mirror.schema()[: len(before)] == before
    mirror.sql("INSERT INTO t VALUES(2, 'y')")
    mirror.settle()
    mirror.stop()
    data = mirror.sql("SELECT * FROM t")
    assert mirror.ctl("uninstall").returncode == 0
    assert mirror.schema() == before and mirror.sql("SELECT * FROM t") == data
    assert mirror.sql("PRAGMA integrity_check") == [("ok",)]


def test_uninstall_under_the_daemon_stays_uninstalled(running):
    assert running.ctl("uninstall").returncode == 0
    assert running.triggers() == set()
    eventually(lambda: "uninstalled" in running.reasons(), "uninstalled as a reason")
    running.sql("INSERT INTO t VALUES(500, 'free')", "CREATE TABLE other(id INTEGER PRIMARY KEY)")
    assert [r for r in running.schema() if r[1].startswith("_syncd_")] == []
    assert running.status()["converged"] is False


@pytest.mark.parametrize("alive", [True, False])
def test_detach_and_attach_find_what_was_missed(running, alive):
    if not alive:
        running.stop()
    assert running.ctl("detach").returncode == 0
    assert running.triggers() == set()
    running.sql(
        "UPDATE t SET v = 'missed' WHERE id < 5",
        "DELETE FROM t WHERE id > 35",
        "INSERT INTO t VALUES(70, 'missed')",
    )
    if alive:
        status = running.status()
        assert (
            "detached" in running.reasons()
            and status["health"] == "warning"
            and status["converged"] is False
        )
        waiting = running.ctl("wait", "--timeout", "60s", timeout=30)
        assert waiting.returncode == 1
    assert running.ctl("attach").returncode == 0
    assert running.triggers("t")
    if not alive:
        running.start()
    running.settle()
    assert len(running.items("t")) == 37
    assert "detached" not in running.reasons()


def test_a_detached_database_stays_detached_over_a_restart(running):
    assert running.ctl("detach").returncode == 0
    running.restart()
    eventually(lambda: "detached" in running.reasons(), "detached as a reason")
    assert running.triggers() == set()
    assert running.ctl("attach").returncode == 0
    running.settle()


@pytest.mark.parametrize("command, code", [(["true"], 0), (["sh", "-c", "exit 7"], 7)])
def test_detach_around_a_command(running, command, code):
    db = running.database
    done = running.ctl("detach", "--", *command)
    assert done.returncode == code
    assert running.triggers("t")
    seen = os.path.join(running.dir, "seen")
    script = "sqlite3 '%s' \"SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'\" > '%s'" % (
        db,
        seen,
    )
    assert running.ctl("detach", "--", "sh", "-c", script).returncode == 0
    with open(seen, encoding="ascii") as text:
        assert text.read().strip() == "0"
    running.settle()


def test_tables_are_not_created_unless_asked(mirror):
    mirror.configure({"dynamodb": {"create_tables": "no"}})
    mirror.sql(
        T,
        "CREATE TABLE p(a TEXT NOT NULL, b INTEGER NOT NULL, PRIMARY KEY(a, b))",
        "INSERT INTO t VALUES(1, 'x')",
    )
    dry = mirror.ctl("create-tables", "--dry-run")
    assert (
        dry.returncode == 0
        and mirror.target("t") in dry.stdout
        and mirror.target("p") in dry.stdout
    )
    assert mirror.tables_of_ours() == []
    mirror.start()
    eventually(lambda: "table_parked" in mirror.reasons(), "parked tables")
    assert mirror.table("t")["state"] == "parked" and mirror.status()["health"] == "warning"
    made = mirror.ctl("create-tables")
    assert made.returncode == 0, made.stderr
    assert mirror.tables_of_ours() == sorted(mirror.target(t) for t in ("meta", "t", "p"))
    schema = mirror.client.describe_table(TableName=mirror.target("p"))["Table"]
    assert [k["AttributeName"] for k in schema["KeySchema"]] == ["a", "b"]
    assert {d["AttributeName"]: d["AttributeType"] for d in schema["AttributeDefinitions"]} == {
        "a": "S",
        "b": "N",
    }
    mirror.ctl("reload")
    mirror.settle(60)
    assert (
        mirror.ctl("create-tables").returncode == 0
    ), "tables that are there already are no failure"


def test_check_prints_the_mapping(mirror):
    mirror.sql(
        T,
        "CREATE TABLE loose(a)",
        "CREATE TABLE p(a TEXT NOT NULL, b INTEGER NOT NULL, c TEXT NOT NULL, PRIMARY KEY(a, b, c))",
    )
    before = mirror.schema()
    for code, output in (
        mirror.run_to_end(["--check"]),
        (lambda d: (d.returncode, d.stdout))(mirror.ctl("check")),
    ):
        assert code == 0
        assert mirror.target("t") in output and "b#c" in output and "loose" in output
    assert mirror.schema() == before


def test_log_lines_are_json_when_asked(running):
    running.configure({"log": {"format": "json", "level": "debug"}})
    os.truncate(running.log_path, 0)
    running.restart()
    running.sql("INSERT INTO t VALUES(300, 9e999)")
    running.wait()
    running.stop()
    text = running.log_text().lstrip("\x00")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert len(lines) >= 3
    for line in lines:
        assert {"ts", "level", "event", "msg"} <= set(line) and line["level"] in (
            "error",
            "warning",
            "info",
            "debug",
        )


def test_resync_sends_what_differs(running):
    assert running.ctl("resync", "t").returncode == 0
    running.settle()
    running.client.delete_item(TableName=running.target("t"), Key={"id": {"N": "3"}})
    assert running.ctl("resync", "t", "--full").returncode == 0
    running.settle()
    assert len(running.items("t")) == 40


def test_tables_and_status_pages(running):
    for command in ("status", "tables"):
        done = running.ctl(command)
        assert done.returncode == 0 and "t" in done.stdout
        assert all(len(line) <= 80 for line in done.stdout.splitlines() if command == "status")
    assert json.loads(running.ctl("--json", "status").stdout)["pid"] == running.process.pid


def test_version_and_help(mirror):
    for program in (mirror.run_to_end(["--version"]), mirror.run_to_end(["--help"])):
        assert program[0] == 0 and "syncd" in program[1]
    code, output = mirror.run_to_end(["--no-such-option"])
    assert code == 2 and output.strip()


def test_a_state_file_that_cannot_grow_is_said_and_nothing_is_lost(running):
    pid = running.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (96 * 1024, hard))
    running.many("INSERT OR REPLACE INTO t VALUES(?, ?)", [(n, "row %d" % n) for n in range(6000)])
    eventually(lambda: "state_unwritable" in running.reasons(), "the reason")
    status = running.status()
    assert status["health"] == "critical" and not status["converged"]
    assert running.ctl("wait", "--timeout", "1s").returncode == 1
    assert running.journal_entries() > 0
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    running.settle(60)
    assert running.status()["health"] == "ok"
