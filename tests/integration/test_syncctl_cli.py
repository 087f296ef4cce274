"""syncctl against a small fake daemon: what it asks, what it prints, how it exits.

Needs the program only ($SYNCCTL, else build/syncctl), no DynamoDB and no syncd.
"""

import http.server
import json
import os
import pty
import re
import signal
import socket
import socketserver
import sqlite3
import subprocess
import threading
import unicodedata
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYNCCTL = os.environ.get("SYNCCTL", os.path.join(ROOT, "build", "syncctl"))

pytestmark = pytest.mark.skipif(
    not os.access(SYNCCTL, os.X_OK), reason="syncctl is not built: run make, or set SYNCCTL to the program"
)

STATUS = {
    "version": "0.1.0", "name": "library", "pid": 41, "uptime_seconds": 7530, "state": "running",
    "health": "ok", "reasons": [], "converged": True,
    "source": {"database": "/var/lib/library/app.db", "journal_entries": 0, "oldest_pending_seconds": 0,
               "wal_bytes": 4194304, "journal_mode": "wal"},
    "target": {"endpoint": "https://dynamodb.us-west-2.amazonaws.com", "region": "us-west-2",
               "requests_in_flight": 0, "last_success": "2024-01-02T03:04:05Z", "last_error": None,
               "retry_in_seconds": 0, "credentials": {"provider": "instance role", "expires": None}},
    "totals": {"changes": 12345, "items_put": 12000, "items_deleted": 345, "requests": 1, "retries": 0,
               "throttled": 0, "unprocessed": 0, "dead_letters": 0, "unconfirmed": 0, "spared": 0,
               "bytes_sent": 1572864, "write_units": 12345.5},
    "lag_seconds": {"p50": 0.012, "p99": 1.24, "max": 130.0},
    "tables": [{"name": "books", "target": "library-books", "state": "live", "pending": 0, "items_put": 12000,
                "items_deleted": 345, "dead_letters": 0, "reason": ""}],
}


def status(**changes):
    """STATUS with some fields replaced; those of its objects are merged."""
    out = json.loads(json.dumps(STATUS))
    for key, value in changes.items():
        if isinstance(value, dict):
            out[key].update(value)
        else:
            out[key] = value
    return out


class Daemon:
    """Canned answers by (method, path): (status, body), where body is text or something for JSON."""

    def __init__(self, path):
        self.path = path
        self.answers = {}
        self.asked = []
        daemon = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                url = urlsplit(self.path)
                daemon.asked.append((self.command, url.path, parse_qs(url.query)))
                code, body = daemon.answers.get(
                    (self.command, url.path),
                    (404, {"error": {"code": "not_found", "message": "there is nothing at " + url.path}}),
                )
                data = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

            def address_string(self):
                return "unix"

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(path, Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def will(self, method, path, body, code=200):
        self.answers[method, path] = (code, body)

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "syncd.sock")


@pytest.fixture
def daemon(path):
    d = Daemon(path)
    yield d
    d.stop()


def environment(**more):
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
    return {**env, "TERM": "xterm", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", **more}


def run(*arguments, **more):
    return subprocess.run([SYNCCTL, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False, env=environment(**more))


@pytest.fixture
def ctl(path):
    return lambda *arguments, **more: run("--socket", path, *arguments, **more)


def on_terminal(*arguments, **more):
    """What the program writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([SYNCCTL, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
                               env=environment(**more))
    os.close(theirs)
    out = b""
    try:
        while chunk := os.read(ours, 65536):
            out += chunk
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    process.wait(timeout=60)
    return out.decode().replace("\r\n", "\n")


def width(line):
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line
    )


# Options, help, usage


def test_help_names_every_command_on_one_line():
    r = run("--help")
    assert (r.returncode, r.stderr) == (0, "")
    for name in ("status health tables metrics wait pause resume reload dead-letters resync check create-tables "
                 "attach detach uninstall").split():
        assert len(re.findall(r"^  %s  +\S.*$" % name, r.stdout, re.M)) == 1
        one = run(name, "--help")
        assert (one.returncode, one.stderr) == (0, "")
        assert one.stdout.startswith("usage: syncctl [OPTIONS] " + name)
    assert max(map(width, r.stdout.splitlines())) <= 80


def test_version():
    assert re.fullmatch(r"syncctl \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("arguments, sentence", [
    ([], "a command is missing"),
    (["statsu"], "there is no command statsu, perhaps status"),
    (["frobnicate"], "there is no command frobnicate"),
    (["--frob", "status"], "there is no option --frob"),
    (["status", "--frob"], "there is no option --frob"),
    (["status", "-x"], "there is no option -x"),
    (["status", "--watch=1"], "takes no value"),
    (["status", "--socket"], "--socket needs a value"),
    (["status", "now"], "status takes no operand (now)"),
    (["health", "now"], None),
    (["wait", "--timeout", "soon"], "--timeout soon is not a duration"),
    (["pause", "--for", "-5s"], "--for -5s is not a duration"),
    (["resync"], "name tables, or say --all"),
    (["resync", "books", "--all"], "name tables, or say --all"),
    (["dead-letters", "retry"], "retry takes ids, or --all"),
    (["dead-letters", "show"], "show takes one id"),
    (["dead-letters", "frob"], "is not one of list, show, retry, discard"),
    (["dead-letters", "--all"], "--all goes with retry; what is to be forgotten is named"),
    (["detach", "true"], "a command to run stands after --"),
])
def test_usage_errors_exit_2_and_ask_nobody(daemon, ctl, arguments, sentence):
    r = ctl(*arguments)
    if sentence is None:
        assert r.returncode == 3  # health knows only its own codes
        return
    assert r.returncode == 2
    assert sentence in r.stderr and r.stderr.count("\n") == 1 and "--help" in r.stderr
    assert (r.stdout, daemon.asked) == ("", [])


def test_socket_comes_from_the_configuration(daemon, tmp_path):
    daemon.will("GET", "/v1/health", {"health": "ok", "reasons": []})
    conf = tmp_path / "app.conf"
    conf.write_text("[source]\ndatabase = %s/app.db\n[dynamodb]\nregion = us-east-1\n[control]\nsocket = %s\n"
                    % (tmp_path, daemon.path))
    assert run("--config", conf, "health").returncode == 0
    assert run("health", "--config", conf).returncode == 0
    missing = run("--config", tmp_path / "none.conf", "status")
    assert missing.returncode == 2
    assert "none.conf" in missing.stderr and "--socket" in missing.stderr


# No daemon, and answers that are none


@pytest.mark.parametrize("arguments", [
    ["status"], ["tables"], ["metrics"], ["wait"], ["pause"], ["resume"], ["reload"], ["dead-letters"],
    ["resync", "--all"], ["--json", "status"],
])
def test_no_daemon_exits_3(ctl, path, arguments):
    r = ctl(*arguments)
    assert (r.returncode, r.stdout) == (3, "")
    assert r.stderr == "syncctl: no syncd answers on %s: is it running? (systemctl status syncd)\n" % path


def test_stale_socket_is_no_daemon(ctl, path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.close()
    assert ctl("status").returncode == 3
    assert "is it running?" in ctl("status").stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_permission_denied_names_the_group(daemon, tmp_path):
    os.chmod(daemon.path, 0o660)
    for d in [tmp_path, *tmp_path.parents]:
        if d.owner() == "root" and d.stat().st_mode & 0o077 == 0:
            os.chmod(d, 0o755)
    r = subprocess.run([SYNCCTL, "--socket", daemon.path, "status"], user=65534, group=65534, extra_groups=[],
                       capture_output=True, text=True, check=False)
    assert r.returncode == 3
    assert "join the group root" in r.stderr


def test_a_daemon_that_hangs_up(ctl, path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def hang_up():
        peer, _ = listener.accept()
        peer.recv(10)
        peer.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    r = ctl("status")
    thread.join()
    listener.close()
    assert r.returncode == 3
    assert "hung up" in r.stderr and path in r.stderr


@pytest.mark.parametrize("code, exit_code", [(400, 2), (403, 2), (404, 2), (409, 2), (500, 3), (503, 3)])
def test_errors_of_the_daemon(daemon, ctl, code, exit_code):
    daemon.will("GET", "/v1/status", {"error": {"code": "x", "message": "the moon is\x1b[2J too near"}}, code)
    r = ctl("status")
    assert (r.returncode, r.stdout) == (exit_code, "")
    assert r.stderr == "syncctl: the moon is?[2J too near\n"


@pytest.mark.parametrize("body", ["", "{", "[]", "<html>"])
def test_answers_that_are_not_ours(daemon, ctl, body):
    daemon.will("GET", "/v1/status", body)
    r = ctl("status")
    assert (r.returncode, r.stdout) == (3, "")
    assert "is it syncd?" in r.stderr


# status


def test_status_page(daemon, ctl):
    daemon.will("GET", "/v1/status", STATUS)
    r = ctl("status")
    assert (r.returncode, r.stderr) == (0, "")
    lines = r.stdout.splitlines()
    assert lines[0] == "syncd library  OK  running, converged"
    assert lines[1] == "  source   /var/lib/library/app.db, wal mode, 4.0 MiB of WAL, journal empty"
    assert lines[2] == "  target   us-west-2, https://dynamodb.us-west-2.amazonaws.com,"
    assert re.match(r"           0 requests in flight, last success \d+d( \d+h)? ago,$", lines[3])
    assert lines[4] == "           credentials: instance role"
    assert lines[5] == "  lag      p50 12ms, p99 1.2s, max 2m 10s"
    assert lines[6] == "  totals   12,345 changes, 12,000 put, 345 deleted, 1 request,"
    assert lines[7] == "           12,346 write units, 1.5 MiB sent, in 2h 5m"
    assert [line.split() for line in lines[8:]] == [
        [], "TABLE PENDING WRITTEN DELETED DEAD STATE".split(), "books 0 12,000 345 0 live".split()]


def test_status_says_what_is_pending_and_why(daemon, ctl):
    daemon.will("GET", "/v1/status", status(
        converged=False, health="critical", state="running",
        reasons=[{"code": "endpoint_unreachable", "message": "DynamoDB cannot be reached: " + "long story " * 12}],
        source={"journal_entries": 3210, "oldest_pending_seconds": 725},
        totals={"unconfirmed": 5},
        target={"last_success": None, "retry_in_seconds": 4.2,
                "last_error": {"code": "connect_failed", "message": "connection refused", "at": "2024-01-01T00:00:00Z",
                               "request_id": None}}))
    out = ctl("status").stdout
    assert out.splitlines()[0] == "syncd library  CRITICAL  running, 3,210 changes pending for 12m 5s"
    assert "5 unconfirmed" in out
    assert "no success yet" in out
    assert "retry in 4.2s" in out
    assert "connect_failed: connection refused" in out
    assert re.search(r"^- DynamoDB cannot be reached: long story", out, re.M)
    assert max(map(width, out.splitlines())) <= 80


def test_status_forgets_an_error_that_a_success_followed(daemon, ctl):
    old = {"code": "throttled", "message": "slow down", "at": "2024-01-01T00:00:00Z", "request_id": "R"}
    daemon.will("GET", "/v1/status", status(target={"last_error": old}))
    assert "slow down" not in ctl("status").stdout
    old["at"] = "2024-01-02T03:04:06Z"
    daemon.will("GET", "/v1/status", status(target={"last_error": old}))
    assert "throttled: slow down" in ctl("status").stdout


def table(name, **more):
    return dict({"name": name, "target": name, "state": "live", "pending": 0, "items_put": 1, "items_deleted": 0,
                 "dead_letters": 0, "reason": ""}, **more)


def test_status_shows_the_worst_tables_first_and_fifteen_at_most(daemon, ctl):
    tables = [table("t%02d" % i) for i in range(17)]
    tables += [table("busy", pending=7), table("loading", state="loading"), table("poisoned", dead_letters=2),
               table("stuck", state="parked", reason="no such table"), table("odd", state="refused")]
    daemon.will("GET", "/v1/status", status(tables=tables))
    lines = ctl("status").stdout.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("TABLE"))
    rows = lines[first + 1:]
    assert [row.split()[0] for row in rows[:5]] == ["poisoned", "stuck", "loading", "busy", "t00"]
    assert rows[15] == "\u2026 and 7 more: syncctl tables"
    assert len(rows) == 16


@pytest.mark.parametrize("name", ["x" * 300, "\u672c" * 60, "e\u0301" * 120, "\U0001f4da" * 60, "a\x1b[31mb\n"])
def test_status_fits_80_columns_whatever_the_names(daemon, ctl, name):
    big = 123456789012
    daemon.will("GET", "/v1/status", status(
        name=name, reasons=[{"code": "x", "message": name}, {"code": "y", "message": (name + " ") * 3}],
        health="warning", source={"database": "/srv/" + name, "journal_entries": big},
        target={"endpoint": "https://" + name, "last_error": {"code": name, "message": name, "at": None}},
        totals={key: big for key in STATUS["totals"]},
        tables=[table(name, pending=big, items_put=big, items_deleted=1, dead_letters=9, state="parked")]))
    r = ctl("status")
    assert r.returncode == 0
    for line in r.stdout.splitlines():
        assert width(line) <= 80, line
    assert "\x1b" not in r.stdout


def test_status_of_a_daemon_that_says_little(daemon, ctl):
    daemon.will("GET", "/v1/status", {"state": "starting"})
    r = ctl("status")
    assert r.returncode == 0
    assert "HEALTH UNKNOWN" in r.stdout and "not converged" in r.stdout and "nothing measured yet" in r.stdout


@pytest.mark.parametrize("command, method, route", [
    (["status"], "GET", "/v1/status"), (["tables"], "GET", "/v1/status"), (["health"], "GET", "/v1/health"),
    (["dead-letters"], "GET", "/v1/dead-letters"), (["pause"], "POST", "/v1/pause"),
    (["reload"], "POST", "/v1/reload"), (["resync", "books"], "POST", "/v1/resync"),
    (["wait"], "POST", "/v1/wait"), (["attach"], "POST", "/v1/attach"),
])
def test_json_is_the_daemons_byte_for_byte(daemon, ctl, command, method, route):
    body = '{ "health" : "ok","done":true,  "z":1.0e2,"a":"\\u00e9\u00e9" }'
    daemon.will(method, route, body)
    for arguments in (["--json", *command], [*command, "--json"]):
        r = ctl(*arguments)
        assert (r.returncode, r.stdout, r.stderr) == (0, body + "\n", "")


def test_colours_only_on_a_terminal_that_wants_them(daemon, path):
    daemon.will("GET", "/v1/status", STATUS)
    daemon.will("GET", "/v1/health", {"health": "ok", "reasons": []})
    for command in ("status", "health"):
        arguments = ["--socket", path, command]
        coloured = on_terminal(*arguments)
        assert "\x1b[32mOK\x1b[0m" in coloured
        plain = re.sub("\x1b\\[[0-9;]*m", "", coloured)
        assert on_terminal(*arguments, NO_COLOR="1") == plain
        assert on_terminal("--no-color", *arguments) == plain
        assert on_terminal(*arguments, TERM="dumb") == plain
        assert "\x1b" not in run(*arguments).stdout
        assert "\x1b[32m" in on_terminal(*arguments, NO_COLOR="")


def read_until(stream, text):
    """Lines up to one that holds `text`; the end of the stream fails."""
    out = ""
    while text not in out:
        line = stream.readline()
        assert line, "ended before %r: %r" % (text, out)
        out += line
    return out


def test_watch_goes_on_while_the_daemon_is_away(daemon, path):
    daemon.will("GET", "/v1/status", STATUS)
    process = subprocess.Popen([SYNCCTL, "--socket", path, "status", "--watch"], stdout=subprocess.PIPE, text=True,
                               env=environment())
    try:
        read_until(process.stdout, "converged")
        daemon.server.socket.close()  # new connections are refused from here on
        os.rename(path, path + ".away")
        read_until(process.stdout, "no syncd answers on")
        read_until(process.stdout, "trying again")
        back = Daemon(path)
        back.will("GET", "/v1/status", status(converged=False))
        try:
            read_until(process.stdout, "not converged")
        finally:
            back.stop()
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == -signal.SIGINT
        process.stdout.close()


def test_watch_draws_in_place_on_a_terminal(daemon, path):
    daemon.will("GET", "/v1/status", STATUS)
    ours, theirs = pty.openpty()
    process = subprocess.Popen([SYNCCTL, "--socket", path, "status", "--watch"], stdin=theirs, stdout=theirs,
                               stderr=theirs, env=environment())
    os.close(theirs)
    out = b""
    while out.count(b"\x1b[J") < 2:
        out += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == -signal.SIGINT
    os.close(ours)
    assert out.startswith(b"\x1b[2J\x1b[H")
    page = out.split(b"\x1b[H")[2].decode()
    assert "converged\x1b[K\r\n" in page
    assert page.index("converged") < page.index("books") < page.index("\x1b[J")


# health, tables, metrics


@pytest.mark.parametrize("health, http_status, exit_code, word", [
    ("ok", 200, 0, "OK"), ("warning", 200, 1, "WARNING"), ("critical", 503, 2, "CRITICAL")])
def test_health(daemon, ctl, health, http_status, exit_code, word):
    reasons = [{"code": "a", "message": "paused | by\nhand"}, {"code": "b", "message": "lag"}] if exit_code else []
    daemon.will("GET", "/v1/health", {"health": health, "reasons": reasons}, http_status)
    r = ctl("health")
    assert (r.returncode, r.stderr) == (exit_code, "")
    assert r.stdout == word + (" - paused / by hand; lag\n" if exit_code else " - nothing to report\n")


def test_health_unknown(daemon, ctl, tmp_path):
    r = run("--socket", tmp_path / "none.sock", "health")
    assert (r.returncode, r.stderr) == (3, "")
    assert r.stdout.startswith("UNKNOWN - no syncd answers on ")
    for code, body in ((200, "{}"), (200, "nonsense"), (500, '{"error":{"code":"x","message":"broken"}}'), (404, "{}")):
        daemon.will("GET", "/v1/health", body, code)
        r = ctl("health")
        assert r.returncode == 3
        assert r.stdout.startswith("UNKNOWN - ") and r.stdout.count("\n") == 1


def test_tables(daemon, ctl):
    long = "a" * 90
    daemon.will("GET", "/v1/status", status(tables=[
        table("books", target="library-books", pending=1234567), table(long, state="parked", reason="no such table")]))
    r = ctl("tables")
    assert r.returncode == 0
    lines = r.stdout.splitlines()
    assert lines[0].split() == "TABLE TARGET PENDING WRITTEN DELETED DEAD STATE".split()
    assert lines[1].split() == "books library-books 1,234,567 1 0 0 live".split()
    assert lines[2].split() == [long, long, "0", "1", "0", "0", "parked"]
    assert lines[3].strip() == "no such table"
    daemon.will("GET", "/v1/status", status(tables=[]))
    assert ctl("tables").stdout == "no tables are mirrored\n"


def test_metrics(daemon, ctl):
    text = "# HELP syncd_healthy 1 when well\nsyncd_healthy 1\n"
    daemon.will("GET", "/metrics", text)
    r = ctl("metrics")
    assert (r.returncode, r.stdout) == (0, text)


# Steering


def test_wait(daemon, ctl):
    daemon.will("POST", "/v1/wait", {"done": True})
    r = ctl("wait")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    daemon.will("POST", "/v1/wait", {"done": False, "reason": "sending is paused"})
    r = ctl("wait", "--timeout", "1500ms")
    assert (r.returncode, r.stdout, r.stderr) == (1, "", "syncctl: sending is paused\n")
    r = ctl("--json", "wait", "--timeout=2m")
    assert (r.returncode, json.loads(r.stdout)["done"]) == (1, False)
    assert [query for _, _, query in daemon.asked] == [{"timeout": ["60"]}, {"timeout": ["2"]}, {"timeout": ["120"]}]


def test_pause_resume_and_reload(daemon, ctl):
    daemon.will("POST", "/v1/pause", {"paused": True})
    daemon.will("POST", "/v1/resume", {"paused": False})
    daemon.will("POST", "/v1/reload", {"reloaded": True, "changed": ["sync.linger", "log.level"]})
    assert "until syncctl resume" in ctl("pause").stdout
    assert "for 2h;" in ctl("pause", "--for", "2h").stdout
    assert ctl("resume").stdout == "sending again\n"
    assert ctl("--quiet", "resume").stdout == ""
    assert ctl("reload").stdout == "reloaded: sync.linger, log.level\n"
    daemon.will("POST", "/v1/reload", {"reloaded": True, "changed": []})
    assert ctl("reload").stdout == "reloaded: nothing has changed\n"
    daemon.will("POST", "/v1/reload", {"error": {"code": "refused", "message": "table books: 3 rows"}}, 409)
    r = ctl("reload")
    assert (r.returncode, r.stderr) == (2, "syncctl: table books: 3 rows\n")
    assert [(path, query) for _, path, query in daemon.asked[:2]] == [("/v1/pause", {}), ("/v1/pause", {"for": ["7200"]})]


def test_resync(daemon, ctl):
    daemon.will("POST", "/v1/resync", {"tables": 1})
    r = ctl("resync", "books", "b&c=d \u00e9", "--full")
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout.startswith("2 tables will be sent in full;")
    assert [query for _, _, query in daemon.asked] == [
        {"table": ["books"], "full": ["1"]}, {"table": ["b&c=d \u00e9"], "full": ["1"]}]
    daemon.asked.clear()
    daemon.will("POST", "/v1/resync", {"tables": 5})
    assert ctl("resync", "--all").stdout.startswith("5 tables will be compared;")
    assert daemon.asked == [("POST", "/v1/resync", {"all": ["1"]})]
    daemon.will("POST", "/v1/resync", {"error": {"code": "not_found", "message": "table nope is not mirrored"}}, 404)
    assert ctl("resync", "nope").returncode == 2


LETTERS = {"dead_letters": [
    {"id": 7, "table": "books", "key": "id=7", "target": "library-books", "column": "notes", "reason": "item_too_large",
     "message": "the item would have 450,000 bytes", "first": "2024-01-02T03:04:05Z", "last": "2024-01-03T03:04:05Z",
     "attempts": 3},
    {"id": 12, "table": "books", "key": "id=" + "k" * 100, "target": "library-books", "column": "", "reason": "empty_key",
     "message": "the key is empty", "first": "2024-01-02T03:04:05Z", "last": "2024-01-03T03:04:05Z", "attempts": 1}]}


def test_dead_letters_list_and_show(daemon, ctl):
    daemon.will("GET", "/v1/dead-letters", LETTERS)
    lines = ctl("dead-letters").stdout.splitlines()
    assert lines[0].split() == "ID TABLE KEY COLUMN REASON LAST TRIES".split()
    assert lines[1].split()[:5] == "7 books id=7 notes item_too_large".split()
    assert lines[2].split()[2] == "id=" + "k" * 20 + "\u2026"
    assert ctl("dead-letters", "list").stdout.splitlines() == lines
    shown = ctl("dead-letters", "show", "7").stdout
    assert shown.startswith("dead letter 7\n")
    for field in ("library-books", "item_too_large", "the item would have 450,000 bytes", "2024-01-02T03:04:05Z ("):
        assert field in shown
    assert json.loads(ctl("dead-letters", "show", "12", "--json").stdout) == LETTERS["dead_letters"][1]
    assert max(map(width, ctl("dead-letters", "show", "12").stdout.splitlines())) <= 80
    missing = ctl("dead-letters", "show", "8")
    assert missing.returncode == 2 and "no dead letter 8" in missing.stderr
    daemon.will("GET", "/v1/dead-letters", {"dead_letters": []})
    assert ctl("dead-letters").stdout == "no dead letters\n"


def test_dead_letters_retry_and_discard(daemon, ctl):
    daemon.will("POST", "/v1/dead-letters/retry", {"retried": 2})
    daemon.will("POST", "/v1/dead-letters/discard", {"discarded": 1})
    assert ctl("dead-letters", "retry", "7", "12").stdout == "2 dead letters will be sent again\n"
    assert ctl("dead-letters", "retry", "--all").stdout == "2 dead letters will be sent again\n"
    assert ctl("dead-letters", "discard", "7").stdout == "1 dead letter forgotten\n"
    assert [query["id"] for _, _, query in daemon.asked] == [["7", "12"], ["all"], ["7"]]
    r = ctl("dead-letters", "discard", "7", "8")
    assert r.returncode == 1 and "1 of 2" in r.stderr
    daemon.asked.clear()
    daemon.will("POST", "/v1/dead-letters/retry", {"retried": 100})
    assert ctl("dead-letters", "retry", *range(200)).returncode == 0
    assert [len(query["id"]) for _, _, query in daemon.asked] == [100, 100]


# With or without the daemon


@pytest.fixture
def database(tmp_path):
    path = str(tmp_path / "app.db")
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)")
    db.close()
    return path


def test_attach_and_uninstall_go_through_the_daemon(daemon, ctl):
    for verb in ("attach", "detach", "uninstall"):
        daemon.will("POST", "/v1/" + verb, {"attached": verb == "attach"})
    assert ctl("attach").stdout.startswith("attached")
    assert ctl("detach").stdout.startswith("detached")
    assert ctl("uninstall").stdout.startswith("uninstalled")
    assert ctl("uninstall", "--all").returncode == 0
    assert daemon.asked == [("POST", "/v1/attach", {}), ("POST", "/v1/detach", {}), ("POST", "/v1/uninstall", {}),
                            ("POST", "/v1/uninstall", {"all": ["1"]})]


def schema(database):
    db = sqlite3.connect(database)
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid").fetchall()
    db.close()
    return rows


def test_without_a_daemon_the_work_is_done_here(ctl, database):
    before = schema(database)
    for command in ("attach", "detach", "attach", "uninstall"):
        r = ctl("--database", database, "--region", "us-east-1", command)
        assert r.returncode == 0, r.stderr
    assert schema(database) == before


def test_another_databases_daemon_is_left_alone(daemon, ctl, database):
    daemon.will("GET", "/v1/status", STATUS)
    daemon.will("POST", "/v1/detach", {"attached": False})
    options = ["--database", database, "--region", "us-east-1"]
    r = ctl(*options, "detach")
    assert r.returncode == 0, r.stderr
    assert [asked[1] for asked in daemon.asked] == ["/v1/status"]
    daemon.will("GET", "/v1/status", status(source={"database": os.path.join(os.path.dirname(database), ".", "app.db")}))
    assert ctl(*options, "detach").returncode == 0
    assert [asked[1] for asked in daemon.asked] == ["/v1/status", "/v1/status", "/v1/detach"]


def test_local_work_needs_a_configuration(ctl, tmp_path):
    r = ctl("--config", tmp_path / "none.conf", "attach")
    assert r.returncode == 2 and "none.conf" in r.stderr


@pytest.mark.parametrize("command, exit_code", [
    (["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -TERM $$"], 143), (["/no/such/program"], 127),
    (["/"], 126)])
def test_detach_runs_a_command_and_attaches_whatever_happens(daemon, ctl, command, exit_code):
    daemon.will("POST", "/v1/detach", {"attached": False})
    daemon.will("POST", "/v1/attach", {"attached": True})
    assert ctl("detach", "--", *command).returncode == exit_code
    assert [asked[1] for asked in daemon.asked] == ["/v1/detach", "/v1/attach"]


def test_detach_survives_the_signals_that_end_its_command(daemon, path):
    daemon.will("POST", "/v1/detach", {"attached": False})
    daemon.will("POST", "/v1/attach", {"attached": True})
    process = subprocess.Popen([SYNCCTL, "--socket", path, "detach", "--", "sh", "-c", "echo ready; exec sleep 1000"],
                               stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment())
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 128 + signal.SIGINT
    process.stdout.close()
    assert [asked[1] for asked in daemon.asked] == ["/v1/detach", "/v1/attach"]


def test_detach_failing_runs_nothing_and_attach_failing_is_loud(daemon, ctl, tmp_path):
    daemon.will("POST", "/v1/detach", {"error": {"code": "busy", "message": "the database is locked"}}, 503)
    r = ctl("detach", "--", "touch", tmp_path / "ran")
    assert r.returncode == 3
    assert "was not run: the database is locked" in r.stderr and not (tmp_path / "ran").exists()
    daemon.will("POST", "/v1/detach", {"attached": False})
    daemon.will("POST", "/v1/attach", {"error": {"code": "busy", "message": "the database is locked"}}, 409)
    r = ctl("detach", "--", "touch", tmp_path / "ran")
    assert r.returncode == 3
    assert "STILL DETACHED" in r.stderr and "the database is locked" in r.stderr and (tmp_path / "ran").exists()
