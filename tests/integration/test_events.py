"""The events worth an alarm: each one's name and id stand in common/base/events.h, its explanation in
systemd/syncd.catalog, and each is really told; etc/cloudwatch/metric-filters finds them."""

import glob
import json
import os
import re
import resource
import signal

import botocore.session
import botocore.validate
import pytest

from fault_rules import Fault
from faultserver import ACCESS_KEY, SECRET_KEY
from harness import ROOT, eventually

T = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"
JSON = {"log": {"format": "json"}}


def header():
    """{name: (id, subject)} of the header."""
    with open(os.path.join(ROOT, "common/base/events.h"), encoding="utf-8") as text:
        found = re.findall(r'X\("(\w+)",\s*"(\w+)",[\s\\]*"([^"]+)"\)', text.read())
    assert len(found) == len({name for name, _, _ in found}) == len({id for _, id, _ in found})
    return {name: (id, subject) for name, id, subject in found}


EVENTS = header()


def lines(mirror):
    """Every line of the log; each is JSON and has what each line has."""
    out = [json.loads(line) for line in mirror.log_text().splitlines()]
    for line in out:
        assert {"ts", "level", "event", "msg"} <= set(line), line
        assert line.get("message_id") == EVENTS.get(line["event"], (None,))[0], line
    return out


def tells(mirror, *events):
    """Waits for these events."""
    eventually(
        lambda: set(events) <= {line["event"] for line in lines(mirror)},
        "the events " + ", ".join(events),
    )


def line_of(mirror, event):
    return next(line for line in lines(mirror) if line["event"] == event)


# --- each event, once. SCENARIOS: which of them a function brings about -------------------------------

SCENARIOS = {}


def telling(*events):
    def register(function):
        SCENARIOS[function.__name__] = (function, events)
        return function

    return register


@telling("started", "stopped", "health_changed", "paused", "resumed", "reload_failed")
def a_life(make):
    mirror = make()
    mirror.start().settle()
    assert mirror.ctl("pause").returncode == 0
    tells(mirror, "paused", "health_changed")
    assert mirror.ctl("resume").returncode == 0
    tells(mirror, "resumed")
    mirror.configure({"sync": {"linger": "5 parsecs"}})
    mirror.signal(signal.SIGHUP)
    tells(mirror, "reload_failed")
    mirror.stop()
    return mirror


@telling("dead_letter", "resync_begun", "resync_ended", "triggers_repaired", "uninstalled")
def rows_and_triggers(make):
    mirror = make()
    mirror.start().settle()
    mirror.sql("INSERT INTO t VALUES(1, 'x')", "INSERT INTO t VALUES(2, CAST(x'ff' AS TEXT))")
    tells(mirror, "dead_letter")
    assert line_of(mirror, "dead_letter")["table"] == "t"
    mirror.settle()
    assert not any(line["event"] == "resync_begun" for line in lines(mirror))
    assert mirror.ctl("resync", "t").returncode == 0
    tells(mirror, "resync_begun", "resync_ended")
    mirror.sql("DROP TRIGGER " + sorted(mirror.triggers("t"))[0])
    tells(mirror, "triggers_repaired")
    mirror.settle()
    drops = ["DROP TRIGGER " + name for name in mirror.triggers()]
    with mirror.connect() as db:
        db.execute("BEGIN")
        for statement in [*drops, "DROP TABLE _syncd_journal"]:
            db.execute(statement)
        db.execute("COMMIT")
    tells(mirror, "uninstalled")
    return mirror


@telling("table_parked", "table_open")
def a_table_that_is_not_there(make):
    mirror = make({"dynamodb": {"create_tables": "no"}})
    mirror.start()
    tells(mirror, "table_parked")
    assert mirror.ctl("create-tables").returncode == 0
    assert mirror.ctl("reload").returncode == 0
    tells(mirror, "table_open")
    return mirror


@telling("source_unavailable", "database_replaced", "held", "stalled", "stall_ended")
def another_database(make):
    mirror = make()
    mirror.start().settle()
    aside = mirror.database + ".aside"
    os.rename(mirror.database, aside)
    tells(mirror, "source_unavailable", "stalled")
    os.rename(aside, mirror.database)
    tells(mirror, "stall_ended")
    mirror.settle()
    other = make()
    os.replace(other.database, mirror.database)
    tells(mirror, "database_replaced", "held")
    return mirror


@telling("journal_unknown")
def a_lost_state_file(make):
    mirror = make()
    mirror.start().settle()
    mirror.stop()
    for path in glob.glob(mirror.state + "*"):
        os.unlink(path)
    mirror.start()
    tells(mirror, "journal_unknown")
    return mirror


@telling("journal_filling", "journal_relieved", "journal_overflow")
def a_journal_that_fills(make):
    mirror = make({"sync": {"journal_limit": 1000}})
    mirror.start().settle()
    assert mirror.ctl("pause").returncode == 0
    mirror.many("INSERT INTO t VALUES(?, 'x')", [(n,) for n in range(950)])
    tells(mirror, "journal_filling")
    assert line_of(mirror, "journal_filling")["code"] == "journal_filling"
    assert mirror.ctl("resume").returncode == 0
    tells(mirror, "journal_relieved")
    mirror.settle()
    mirror.stop()
    for _ in range(8):
        mirror.sql("UPDATE t SET v = v || 'y'")
    mirror.start()
    tells(mirror, "journal_overflow")
    mirror.settle(60)
    return mirror


@telling("state_unwritable", "state_writable")
def a_full_disk(make):
    mirror = make()
    mirror.start().settle()
    limits = resource.prlimit(mirror.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(mirror.process.pid, resource.RLIMIT_FSIZE, (96 * 1024, limits[1]))
    mirror.many("INSERT INTO t VALUES(?, ?)", [(n, "row %d" % n) for n in range(3000)])
    tells(mirror, "state_unwritable")
    resource.prlimit(mirror.process.pid, resource.RLIMIT_FSIZE, limits)
    tells(mirror, "state_writable")
    mirror.settle(60)
    return mirror


@telling("endpoint_unreachable", "throttled_long", "throttling_ended")
def a_service_in_trouble(make, fault):
    mirror = make({"sync": {"lag_warning": "1s"}})
    fault.refuse_connections()
    mirror.start()
    tells(mirror, "endpoint_unreachable")
    fault.listen()
    assert mirror.ctl("reload").returncode == 0
    mirror.wait()
    fault.faults.add(Fault("provisioned_throughput", times=None))
    mirror.sql("INSERT INTO t VALUES(1, 'x')")
    tells(mirror, "throttled_long")
    assert mirror.target("t") in line_of(mirror, "throttled_long")["msg"]
    fault.faults.clear()
    tells(mirror, "throttling_ended")
    return mirror


@telling("credentials_failed", "credentials_restored")
def keys_that_are_refused(make, fault):
    mirror = make()
    mirror.start().wait()
    fault.forbid(ACCESS_KEY)
    mirror.sql("INSERT INTO t VALUES(1, 'x')")
    tells(mirror, "credentials_failed")
    fault.allow(ACCESS_KEY, SECRET_KEY)
    tells(mirror, "credentials_restored")
    mirror.wait()
    return mirror


# --- tests ----------------------------------------------------------------------------------------


@pytest.fixture
def make(fault_endpoint, make_mirror):
    def one(settings=None):
        mirror = make_mirror(fault_endpoint, JSON)
        mirror.configure(settings or {})
        mirror.sql(T)
        return mirror

    return one


@pytest.mark.parametrize("name", SCENARIOS)
def test_events_carry_their_name_and_id(name, make, fault):
    function, events = SCENARIOS[name]
    mirror = function(make, fault) if "fault" in function.__code__.co_varnames else function(make)
    tells(mirror, *events)
    for pattern in patterns().values():
        for line in lines(mirror):
            matches(pattern, line)


def test_every_event_is_told_by_some_scenario():
    assert {event for _, events in SCENARIOS.values() for event in events} == set(EVENTS)


def test_the_catalog_explains_every_event():
    with open(os.path.join(ROOT, "systemd/syncd.catalog"), encoding="utf-8") as text:
        entries = re.split(r"^-- ", text.read(), flags=re.M)[1:]
    found = {}
    for entry in entries:
        head, body = entry.split("\n\n", 1)
        id, *fields = head.splitlines()
        fields = dict(field.split(": ", 1) for field in fields)
        assert fields["Defined-By"] == "syncd" and len(body.strip()) > 20, entry
        assert all(len(line) <= 80 for line in entry.splitlines()), entry
        found[id] = fields["Subject"]
    assert len(found) == len(entries)
    assert found == dict(EVENTS.values())


def test_what_the_catalog_quotes_is_told(make):
    """@SYNCD_…@ stands for a field of the event."""
    with open(os.path.join(ROOT, "systemd/syncd.catalog"), encoding="utf-8") as text:
        quoted = set(re.findall(r"@SYNCD_(\w+)@", text.read()))
    assert quoted == {"TARGET", "TABLE", "HEALTH", "CODE", "SECONDS"}
    mirror = a_table_that_is_not_there(make)
    assert line_of(mirror, "table_parked")["target"] == line_of(mirror, "table_open")["target"]
    mirror = another_database(make)
    assert line_of(mirror, "stalled")["code"] and int(line_of(mirror, "stall_ended")["seconds"]) >= 0
    assert line_of(mirror, "health_changed")["health"] in ("ok", "warning", "critical")


# CloudWatch's patterns for JSON, as far as ours go: { $.a = "x" || $.b = "y" }.


def parse(pattern):
    inner = re.fullmatch(r"\{ (.*) \}", pattern).group(1)
    out = [re.fullmatch(r'\$\.(\w+) = "(\w+)"', term).groups() for term in inner.split(" || ")]
    assert out
    return out


def matches(pattern, line):
    return any(line.get(name) == value for name, value in parse(pattern))


def filters():
    found = sorted(glob.glob(os.path.join(ROOT, "etc/cloudwatch/metric-filters/*.json")))
    assert found
    for path in found:
        with open(path, encoding="utf-8") as text:
            yield json.load(text)


def patterns():
    return {f["filterName"]: f["filterPattern"] for f in filters()}


def shape_of(service, operation):
    model = botocore.session.get_session().get_service_model(service)
    return model.operation_model(operation).input_shape


def check_input(service, operation, given):
    report = botocore.validate.ParamValidator().validate(given, shape_of(service, operation))
    assert not report.has_errors(), report.generate_report()


def test_metric_filters_are_what_the_service_takes_and_name_events():
    for given in filters():
        check_input("logs", "PutMetricFilter", given)
        for name, value in parse(given["filterPattern"]):
            assert name in ("event", "level"), given
            assert value in (EVENTS if name == "event" else ("error", "warning")), given


def test_metric_filters_find_their_lines_and_no_other(make):
    mirror = another_database(make)
    mirror.stop()
    expected = {
        "syncd-stalled": {"stalled"},
        "syncd-held": {"held", "database_replaced"},
        "syncd-resync": {"journal_unknown"},
        "syncd-errors": {"source_unavailable", "held", "stalled", "health_changed"},
    }
    for name, pattern in patterns().items():
        found = {line["event"] for line in lines(mirror) if matches(pattern, line)}
        if name == "syncd-errors":
            assert found <= expected[name] and {"stalled", "held"} <= found
        else:
            assert found == expected.get(name, set()), name


def test_alarms_watch_metrics_that_are_made(make):
    from test_metrics import emf_names

    made = {t["metricName"] for f in filters() for t in f["metricTransformations"]} | emf_names()
    for path in glob.glob(os.path.join(ROOT, "etc/cloudwatch/alarms/*.json")):
        with open(path, encoding="utf-8") as text:
            alarm = json.load(text)
        check_input("cloudwatch", "PutMetricAlarm", alarm)
        assert alarm["MetricName"] in made and alarm["Namespace"] == "syncd", path
        # A metric of the log's numbers has dimensions, one of a filter has none.
        dimensions = {d["Name"] for d in alarm.get("Dimensions", [])}
        assert dimensions == ({"Host", "Name"} if alarm["MetricName"] in emf_names() else set())


def test_a_log_level_of_the_command_line_outlives_a_reload(faulty):
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.configure({"log": {"level": "error"}})
    faulty.start(arguments=["--log-level", "info"]).settle()
    faulty.signal(signal.SIGHUP)
    eventually(lambda: "configuration reloaded" in faulty.log_text(), "the reload in the log")
