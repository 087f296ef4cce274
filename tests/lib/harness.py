"""Runs the real daemon over a real database, and asks it and DynamoDB how they are.

    with Mirror(endpoint) as mirror:
        mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
        mirror.start()
        mirror.sql("INSERT INTO t VALUES(1, 'x')")
        mirror.settle()            # waits, then compares both sides with the oracle

Nothing here sleeps for a fixed time: eventually() polls a condition and fails with the last value.
"""

import collections
import contextlib
import http.client
import json
import os
import pty
import secrets
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from decimal import Decimal

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

import compare

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYNCD = os.environ.get("SYNCD", os.path.join(ROOT, "build", "syncd"))
SYNCCTL = os.environ.get("SYNCCTL", os.path.join(ROOT, "build", "syncctl"))
REGION = "eu-test-1"
BOUND = float(os.environ.get("SYNCD_TEST_BOUND", "20"))

Endpoint = collections.namedtuple("Endpoint", "url access_key secret_key")


def eventually(condition, what="the condition", timeout=None):
    """The first true value of condition(), polled, less often when it takes its time: asking is most
    of what these tests do. AssertionError past the bound. An AssertionError, a connection failure or
    a DynamoDB table that is not there inside the condition is "not yet"."""
    pause = 0.01
    end = time.monotonic() + (timeout or BOUND)
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (AssertionError, OSError, http.client.HTTPException) as error:
            last = error
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            last = error
        if time.monotonic() > end:
            raise AssertionError(
                "%s did not come true within %g s; last: %r" % (what, timeout or BOUND, last)
            )
        time.sleep(pause)
        pause = min(pause * 1.2, 0.04)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.unix_path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.unix_path)


def dynamodb(endpoint):
    return boto3.client(
        "dynamodb",
        endpoint_url=endpoint.url,
        region_name=REGION,
        aws_access_key_id=endpoint.access_key,
        aws_secret_access_key=endpoint.secret_key,
        config=Config(retries={"total_max_attempts": 5}, max_pool_connections=4),
    )


def plain(item):
    """A DynamoDB item of scalars as plain values: numbers as Decimal, exact however long (boto3's own
    reader stops at 38 digits written out), binaries as bytes, NULL as None."""
    read = {"N": Decimal, "NULL": lambda _: None}
    return {
        name: read.get(kind, lambda v: v)(value)
        for name, attribute in item.items()
        for kind, value in attribute.items()
    }


class Mirror:
    """One database, one configuration, at most one daemon at a time. `settings` maps a section
    ("sync", or "table NAME") to keys. Closing stops the daemon and removes files and tables."""

    def __init__(self, endpoint, settings=None, environment=None):
        self.endpoint = endpoint
        self.dir = tempfile.mkdtemp(prefix="syncd-")
        self.prefix = "t%s-" % secrets.token_hex(4)
        self.database = os.path.join(self.dir, "app.db")
        self.socket = os.path.join(self.dir, "s.sock")
        self.config = os.path.join(self.dir, "syncd.conf")
        self.state = os.path.join(self.dir, "state.db")
        self.log_path = os.path.join(self.dir, "log")
        self.process = None
        self.expected_exit = 0
        self.client = dynamodb(endpoint)
        self.settings = {
            "source": {"database": self.database},
            "dynamodb": {
                "region": REGION,
                "endpoint_url": endpoint.url,
                "create_tables": "yes",
                "table_name": self.prefix + "{table}",
                "meta_table": self.prefix + "meta",
                "keep_schema": "no",  # but where it is what is tested: others count requests
                "http_client": os.environ.get("SYNCD_TEST_HTTP_CLIENT", "own"),
            },
            # Whoever waits for what was left open (a kill, a reset) waits for a second.
            "sync": {
                "backoff_base": "5ms",
                "backoff_max": "200ms",
                "hold_deletes": "100%",
                "unconfirmed_horizon": "1s",
            },
            "state": {"path": self.state},
            "control": {"socket": self.socket},
            "log": {"format": "text"},
        }
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": self.dir,
            "AWS_ACCESS_KEY_ID": endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self.environment.update(environment or {})
        self.configure(settings or {})

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        try:
            if self.process is not None:
                self.stop()
        finally:
            self.kill9()
            with contextlib.suppress(Exception):
                self.drop_tables()
            shutil.rmtree(self.dir, ignore_errors=True)

    # The configuration.

    def configure(self, settings):
        """Merges settings and writes the file; None removes a key."""
        for section, keys in settings.items():
            merged = self.settings.setdefault(section, {})
            for key, value in keys.items():
                if value is None:
                    merged.pop(key, None)
                else:
                    merged[key] = value
        lines = []
        for section, keys in self.settings.items():
            name = section
            if section.startswith("table "):
                name = 'table "%s"' % section[6:].replace("\\", "\\\\").replace('"', '\\"')
            lines.append("[%s]" % name)
            lines += ["%s = %s" % pair for pair in keys.items()]
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")

    def target(self, table):
        return self.settings.get("table " + table, {}).get("target", self.prefix + table)

    # The source.

    def connect(self, **options):
        db = sqlite3.connect(self.database, timeout=30, isolation_level=None, **options)
        return db

    def sql(self, *statements):
        """Runs statements (text, or (text, parameters)), each a transaction of its own; rows of the
        last one."""
        rows = []
        with contextlib.closing(self.connect()) as db:
            for statement in statements:
                text, parameters = (statement, ()) if isinstance(statement, str) else statement
                rows = db.execute(text, parameters).fetchall()
        return rows

    def many(self, text, rows):
        with contextlib.closing(self.connect()) as db:
            db.execute("BEGIN")
            db.executemany(text, rows)
            db.execute("COMMIT")

    def schema(self):
        """Everything about the schema that uninstall must leave as it was."""
        return self.sql("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")

    def triggers(self, table=None):
        found = self.sql(
            "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '_syncd_*'"
        )
        return {name for name, of in found if table in (None, of)}

    def journal_entries(self):
        """Changes in the journal, whether acknowledged or not, counted from the outside."""
        return self.sql("SELECT count(*) FROM _syncd_journal WHERE t <> 0")[0][0]

    # The daemon.

    def start(self, wait=True, arguments=(), prefix=()):
        """Starts syncd; with `wait`, returns once its socket answers."""
        assert self.process is None, "the daemon runs already"
        assert os.access(SYNCD, os.X_OK), "%s is missing: build it (make), or set SYNCD" % SYNCD
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [*prefix, SYNCD, "--config", self.config, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            cwd=self.dir,
        )
        self.log.close()
        self.expected_exit = 0
        if wait:
            eventually(self._answers, "the daemon answering on its socket")
        return self

    def _answers(self):
        if self.process.poll() is not None:
            code = self.process.returncode
            self.process = None
            raise RuntimeError(
                "syncd ended at once with exit code %d:\n%s" % (code, self.log_tail())
            )
        return self.request("GET", "/v1/status")[0] == 200

    def run_to_end(self, arguments=(), prefix=(), timeout=BOUND):
        """Runs syncd where it must end by itself: (exit code, its output)."""
        done = subprocess.run(
            [*prefix, SYNCD, "--config", self.config, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            cwd=self.dir,
        )
        return done.returncode, done.stdout

    def stop(self, timeout=15):
        """SIGTERM; asserts a clean end."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                "syncd did not stop within %g s of SIGTERM:\n%s" % (timeout, self.log_tail())
            )
        assert code == self.expected_exit, "syncd ended with exit code %d:\n%s" % (
            code,
            self.log_tail(),
        )
        return code

    def kill9(self):
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self):
        self.stop()
        return self.start()

    def signal(self, number):
        self.process.send_signal(number)

    def log_text(self):
        with contextlib.suppress(FileNotFoundError), open(
            self.log_path, encoding="utf-8", errors="replace"
        ) as log:
            return log.read()
        return ""

    def log_tail(self, lines=40):
        return "\n".join(self.log_text().splitlines()[-lines:])

    # Asking.

    def request(self, method, path, timeout=BOUND):
        """(status code, body as JSON where it is JSON) over the control socket."""
        connection = _UnixConnection(self.socket, timeout)
        try:
            connection.request(method, path)
            reply = connection.getresponse()
            text = reply.read().decode("utf-8")
        finally:
            connection.close()
        with contextlib.suppress(ValueError):
            return reply.status, json.loads(text)
        return reply.status, text

    def status(self):
        code, body = self.request("GET", "/v1/status")
        assert code == 200, body
        return body

    def table(self, name):
        return next(t for t in self.status()["tables"] if t["name"] == name)

    def reasons(self):
        return {r["code"] for r in self.status()["reasons"]}

    def dead_letters(self):
        code, body = self.request("GET", "/v1/dead-letters")
        assert code == 200, body
        return body["dead_letters"]

    def ctl_on_terminal(self, *arguments, typed, timeout=60):
        """syncctl with a terminal to ask on, where `typed` is typed in: (exit code, what it showed)."""
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [SYNCCTL, "--config", self.config, "--socket", self.socket, *map(str, arguments)],
            env=self.environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        os.write(master, (typed + "\n").encode())
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while chunk := os.read(master, 65536):
                shown += chunk
        os.close(master)
        return process.wait(timeout), shown.decode()

    def ctl(self, *arguments, timeout=60, config=True):
        options = ["--config", self.config] if config else []
        return subprocess.run(
            [SYNCCTL, *options, "--socket", self.socket, *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=timeout,
        )

    def ctl_killed(self, fault, held, *arguments):
        """syncctl, killed once a request waits under the fault `held`, which ends with it."""
        process = subprocess.Popen(
            [SYNCCTL, "--config", self.config, *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(fault.held, "a request on its way")
        process.kill()
        process.wait()
        fault.faults.remove(held)
        fault.release()

    def wait(self, timeout=30):
        """Everything committed so far is in DynamoDB or a dead letter."""
        done = self.ctl("wait", "--timeout", "%ds" % timeout, timeout=timeout + 15)
        assert done.returncode == 0, "syncctl wait: %s%s\n%s" % (
            done.stdout,
            done.stderr,
            self.log_tail(),
        )

    # The target.

    def items(self, table):
        """Every item of a table's target, plain."""
        pages = self.client.get_paginator("scan").paginate(
            TableName=self.target(table), ConsistentRead=True
        )
        return [plain(item) for page in pages for item in page["Items"]]

    def by_id(self, table, key="id"):
        return {item[key]: item for item in self.items(table)}

    def tables_of_ours(self):
        pages = self.client.get_paginator("list_tables").paginate()
        return [n for page in pages for n in page["TableNames"] if n.startswith(self.prefix)]

    def drop_tables(self):
        for name in self.tables_of_ours():
            about = self.client.describe_table(TableName=name)["Table"]
            if about.get("DeletionProtectionEnabled"):
                self.client.update_table(TableName=name, DeletionProtectionEnabled=False)
            self.client.delete_table(TableName=name)

    def report(self):
        return compare.compare(self.database, self.client, self.settings)

    def assert_equal(self):
        report = self.report()
        assert report.equal, "%s\n%s" % (report, self.log_tail())
        return report

    def settle(self, timeout=30):
        """Waits for the daemon, compares, and asks that it says so too. Rows that cannot be held must
        be its dead letters, one for one."""
        self.wait(timeout)
        report = self.assert_equal()
        eventually(lambda: self.status()["converged"], "converged: true")
        letters = self.dead_letters()
        expected, found = (
            sorted(d.table for d in report.dead),
            sorted(d["table"] for d in letters),
        )
        assert expected == found, "dead letters: %r, expected: %r" % (letters, report.dead)
        return report


def movable_clock(mirror):
    """set_clock(seconds): the wall clock of the daemon, and of it alone, is ahead by so much. To be
    called before the daemon starts."""
    library, shift = os.path.join(mirror.dir, "wallclock.so"), os.path.join(mirror.dir, "shift")
    source = os.path.join(ROOT, "tests", "lib", "wallclock.c")
    subprocess.run(
        [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", library, source], check=True
    )

    def set_clock(seconds):
        with open(shift, "r+b" if os.path.exists(shift) else "wb") as out:
            out.write(struct.pack("=q", seconds))

    set_clock(0)
    mirror.environment.update(LD_PRELOAD=library, WALLCLOCK=shift)
    if "ASAN_OPTIONS" in mirror.environment:
        mirror.environment["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
    return set_clock


# For writer(): rows of t(id, v) come, change and go without a pause.
WRITE_ON = """
n = 0
while not stopping():
    n += 1
    db.execute("INSERT OR REPLACE INTO t VALUES(?, ?)", (n % 300, "%d" % n))
    if n % 7 == 0:
        db.execute("DELETE FROM t WHERE id = ?", (n * 31 % 300,))
    time.sleep(0.001)
"""


@contextlib.contextmanager
def writer(database, code, *arguments):
    """A Python program of its own that writes to the database: `code` sees db (autocommit), args and
    stopping(), which tells that the block has ended; it must then return. Its failure is the test's.
    """
    program = (
        "import sqlite3, sys, select, random, time\n"
        "def stopping(): return bool(select.select([sys.stdin], [], [], 0)[0])\n"
        "db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n"
        "args = sys.argv[2:]\n"
        "print('ready', flush=True)\n" + code + "\ndb.close()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, database, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        yield process
        _, errors = process.communicate("stop\n", timeout=60)
        assert process.returncode == 0, errors
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
