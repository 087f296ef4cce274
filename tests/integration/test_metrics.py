"""What monitors read: Prometheus text, the listener on the loopback, embedded metrics, and that the
queries of etc/ ask for what there is."""

import http.client
import json
import os
import re
import socket

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import ROOT, eventually

pytestmark = pytest.mark.engine

T = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def families(mirror):
    code, text = mirror.request("GET", "/metrics")
    assert code == 200 and text.endswith("\n")
    return {f.name: f for f in text_string_to_metric_families(text)}


def samples(mirror):
    return [s for f in families(mirror).values() for s in f.samples]


@pytest.fixture
def running(mirror):
    mirror.sql(T)
    mirror.many("INSERT INTO t VALUES(?, 'first')", [(n,) for n in range(40)])
    mirror.start().settle()
    return mirror


# --- Prometheus -----------------------------------------------------------------------------------


def test_the_text_is_what_a_parser_takes(running):
    running.sql('CREATE TABLE "a \\ ""b""" (id INTEGER PRIMARY KEY)')
    running.configure({'table a \\ "b"': {"target": running.prefix + "ab"}})
    running.restart()
    running.wait()
    found = families(running)
    for name, family in found.items():
        assert name.startswith("syncd_") and family.documentation and family.type != "unknown", name
        assert len({(s.name, tuple(sorted(s.labels.items()))) for s in family.samples}) == len(
            family.samples
        ), name
        if family.type == "counter":
            assert all(s.name.endswith("_total") and s.value >= 0 for s in family.samples), name
    assert {s.labels["table"] for s in found["syncd_table_pending"].samples} == {"t", 'a \\ "b"'}
    assert found["syncd_build_info"].samples[0].labels["version"]


def check_histogram(family):
    buckets = [s for s in family.samples if s.name.endswith("_bucket")]
    bounds = [float(s.labels["le"]) for s in buckets]
    counts = [s.value for s in buckets]
    value = {s.name[len(family.name) :]: s.value for s in family.samples if s not in buckets}
    assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf")
    assert counts == sorted(counts) and counts[-1] == value["_count"]
    assert value["_sum"] >= 0 and set(value) == {"_sum", "_count"}
    return value["_count"]


def test_histograms_count_every_write_and_request(running):
    found = families(running)
    assert {n for n, f in found.items() if f.type == "histogram"} == {
        "syncd_lag_seconds",
        "syncd_request_seconds",
        "syncd_ack_lock_seconds",
    }
    assert check_histogram(found["syncd_lag_seconds"]) == 40
    requests = found["syncd_requests"].samples[0].value
    assert check_histogram(found["syncd_request_seconds"]) == requests > 0
    check_histogram(found["syncd_ack_lock_seconds"])
    running.sql("UPDATE t SET v = 'second' WHERE id < 5")
    running.settle()
    assert check_histogram(families(running)["syncd_lag_seconds"]) == 45


def test_reasons_are_metrics(running):
    def reasons():
        return {
            (s.labels["code"], s.labels["level"])
            for s in samples(running)
            if s.name == "syncd_health_reason"
        }

    assert reasons() == set()
    assert running.ctl("pause", "--for", "1h").returncode == 0
    assert reasons() == {("paused", "warning")}
    value = {s.name: s.value for s in samples(running)}
    assert value["syncd_paused"] == 1 and 3500 < value["syncd_pause_left_seconds"] <= 3600


# --- the listener ---------------------------------------------------------------------------------


def ask(port, path, method="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers={"Host": host} if host else {})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text


def test_the_listener_reads_and_does_nothing_else(mirror):
    port = free_port()
    mirror.configure({"control": {"listen": "127.0.0.1:%d" % port}})
    mirror.sql(T)
    mirror.start().settle()
    assert ask(port, "/metrics")[0] == 200 and "syncd_healthy 1" in ask(port, "/metrics")[1]
    assert json.loads(ask(port, "/v1/health")[1]) == {"health": "ok", "reasons": []}
    assert json.loads(ask(port, "/v1/status")[1])["pid"] == mirror.process.pid
    assert ask(port, "/metrics", host="localhost:%d" % port)[0] == 200
    for path in ("/v1/pause", "/v1/resume", "/v1/detach", "/v1/uninstall", "/v1/wait"):
        assert ask(port, path, "POST")[0] == 404
    assert ask(port, "/v1/dead-letters")[0] == 404 and ask(port, "/metrics", "POST")[0] == 405
    # A name that somebody else resolves to this machine.
    for host in ("example.org", "127.0.0.1.example.org:%d" % port, "10.0.0.1"):
        code, text = ask(port, "/v1/status", host=host)
        assert code == 403 and json.loads(text)["error"]["code"] == "forbidden"
    assert mirror.status()["state"] == "running"
    mirror.restart()
    assert ask(port, "/v1/health")[0] == 200


@pytest.mark.parametrize("where", ["0.0.0.0:9847", "[::]:9847", "10.1.2.3:9847", "9847", "127.0.0.1:0"])
def test_other_addresses_than_the_loopback_are_refused(mirror, where):
    mirror.configure({"control": {"listen": where}})
    code, output = mirror.run_to_end()
    assert code == 2 and "syncd.conf:" in output and "listen" in output and where in output, output
    assert "127.0.0.1:" in output


def test_a_port_that_is_taken_is_said(mirror):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = "127.0.0.1:%d" % taken.getsockname()[1]
        mirror.configure({"control": {"listen": where}})
        mirror.sql(T)
        code, output = mirror.run_to_end()
    assert code == 2 and "[control] listen = %s: another process listens there" % where in output


# --- embedded metrics -----------------------------------------------------------------------------


def embedded(mirror):
    """Those lines, each held to the format's specification."""
    out = []
    for line in mirror.log_text().splitlines():
        line = json.loads(line)
        if "_aws" not in line:
            continue
        assert line["_aws"]["Timestamp"] > 1700000000000
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        for dimensions in directive["Dimensions"]:
            assert 0 < len(dimensions) <= 30
            assert all(isinstance(line[d], str) and line[d] for d in dimensions)
        assert 0 < len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert set(metric) == {"Name", "Unit"}
            assert metric["Unit"] in ("None", "Count", "Percent", "Seconds", "Bytes")
            assert isinstance(line[metric["Name"]], (int, float)), metric
        out.append(line)
    return out


def emf_names():
    """As the source tells them."""
    with open(os.path.join(ROOT, "daemon/emf.c"), encoding="utf-8") as text:
        found = re.findall(r'^ +\{"(\w+)", "\w+",', text.read(), re.M)
    assert found
    return set(found)


def test_embedded_metrics_on_request(mirror):
    mirror.configure({"log": {"format": "json", "emf_interval": "1s", "emf_namespace": "app/syncd"}})
    mirror.sql(T)
    mirror.start()
    mirror.many("INSERT INTO t VALUES(?, 'x')", [(n,) for n in range(30)])
    mirror.settle()
    put = mirror.status()["totals"]["items_put"]
    assert put >= 30
    eventually(lambda: sum(line["ItemsPut"] for line in embedded(mirror)) == put, "the sum")
    lines = embedded(mirror)
    eventually(lambda: embedded(mirror)[-1]["Healthy"] == 1, "good health")
    directive = lines[0]["_aws"]["CloudWatchMetrics"][0]
    assert directive["Namespace"] == "app/syncd" and directive["Dimensions"] == [["Host", "Name"]]
    assert {m["Name"] for m in directive["Metrics"]} == emf_names()
    assert lines[0]["Host"] == socket.gethostname() and lines[0]["Name"] == "syncd"


def test_no_embedded_metrics_unless_asked_for(mirror):
    mirror.configure({"log": {"format": "json"}})
    mirror.sql(T)
    mirror.start().settle()
    mirror.stop()
    assert embedded(mirror) == []


# --- what etc/ asks for ---------------------------------------------------------------------------

WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def expressions():
    with open(os.path.join(ROOT, "etc/prometheus/syncd.rules.yml"), encoding="utf-8") as text:
        rules = re.findall(r"^ +expr: '(.*)'$", text.read(), re.M)
    with open(os.path.join(ROOT, "etc/grafana/syncd.json"), encoding="utf-8") as text:
        board = json.load(text)
    panels = [t["expr"] for p in board["panels"] for t in p["targets"]]
    variables = [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    assert len(rules) >= 10 and len(panels) >= 10 and variables
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
    return rules + panels + variables


def test_every_query_names_a_metric_and_labels_that_exist(running):
    """What the service adds to each: job and instance."""
    assert running.ctl("pause").returncode == 0  # a reason
    known = {}
    for sample in samples(running):
        known.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    asked = set()
    for expression in expressions():
        names = re.findall(r"(syncd_\w+)(?:\{([^}]*)\})?", expression)
        assert names or "up{" in expression, expression
        for name, selector in names:
            assert name in known, expression
            asked.add(name)
            labels = re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", selector)
            assert set(labels) <= known[name], expression
        of_these = set().union(*(known[name] for name, _ in names)) if names else set()
        for group in re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expression):
            assert {label.strip() for label in group.split(",")} <= of_these, expression
    assert {"syncd_healthy", "syncd_lag_seconds_bucket", "syncd_journal_full_seconds"} <= asked


def test_codes_in_queries_are_codes_of_health():
    with open(os.path.join(ROOT, "daemon/health.c"), encoding="utf-8") as text:
        source = text.read()
    for path in ("access.c", "sender.c", "targets.c"):
        with open(os.path.join(ROOT, "daemon", path), encoding="utf-8") as text:
            source += text.read()
    codes = set(re.findall(r'"([a-z_]+)"', source))
    for expression in expressions():
        for code in re.findall(r'code=~?"([^"]+)"', expression):
            assert any(re.fullmatch(code, known) for known in codes), expression
