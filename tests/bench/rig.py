"""What every bench needs: its own directory, the sink, the writer, the daemon, and their counters.

Only the standard library. Everything started here ends with the Rig that started it, whatever
happens; nothing outside its directory is touched.
"""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
SYNCD = os.environ.get("SYNCD", os.path.join(BUILD, "syncd"))
SYNCCTL = os.environ.get("SYNCCTL", os.path.join(BUILD, "syncctl"))
TICKS = os.sysconf("SC_CLK_TCK")
BOUND = 60

SCHEMA = (
    "CREATE TABLE bench(id INTEGER PRIMARY KEY, name TEXT, mail TEXT, city TEXT, amount REAL, "
    "quantity INTEGER, created_at INTEGER)"
)


class BenchError(Exception):
    """A bench could not do its work; its text says why."""


def eventually(condition, what, bound=BOUND, pause=0.005):
    """The first true value of condition(); BenchError past the bound."""
    end = time.monotonic() + bound
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise BenchError("%s did not come true within %g s" % (what, bound))
        time.sleep(pause)


def percentile(values, percent):
    """The value that `percent` of them do not pass (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, int(-(-len(ordered) * percent // 100)) - 1)]


def median_of(rounds):
    """Medians of rounds that are dictionaries of numbers with the same keys."""
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


# --- what the kernel says of a process --------------------------------------------------------------


def cpu_seconds(pid):
    """utime + stime of all its threads; in steps of the kernel's tick."""
    with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _threads(pid, name):
    for thread in os.listdir("/proc/%d/task" % pid):
        with contextlib.suppress(FileNotFoundError):
            with open("/proc/%d/task/%s/%s" % (pid, thread, name), encoding="ascii") as file:
                yield file.read()


def running_seconds(pid):
    """Time on a processor of the threads it has now, to the nanosecond."""
    return sum(int(text.split()[0]) for text in _threads(pid, "schedstat")) / 1e9


def context_switches(pid):
    """Voluntary ones, of the threads it has now: each time one went to sleep, to be woken again."""
    return sum(
        int(line.split()[1])
        for text in _threads(pid, "status")
        for line in text.splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def is_quiet(pid, seconds=1.0):
    """Did it wake fewer than three times within that time? What was ordered of it is then done."""
    before = context_switches(pid)
    time.sleep(seconds)
    return context_switches(pid) - before < 3


def memory_mb(pid, field):
    """VmRSS (now) or VmHWM (peak), in MB of 10^6 bytes."""
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024 / 1e6
    raise BenchError("/proc/%d/status has no %s" % (pid, field))


# --- the sink ---------------------------------------------------------------------------------------


class Sink:
    """A running sink; see sink/sink.c."""

    def __init__(self, process, certificate=None):
        self.process = process
        self.certificate = certificate
        line = process.stdout.readline().strip()
        if not line:
            raise BenchError("the sink did not start")
        self.port = int(line)
        self.url = "%s://127.0.0.1:%d" % ("https" if certificate else "http", self.port)
        self.trust = ssl.create_default_context(cafile=certificate) if certificate else None

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=BOUND, context=self.trust) as reply:
            return json.load(reply)

    def stats(self):
        return self.get("/stats")

    def arrivals(self):
        """key -> when the first request with it had come in whole (ns)."""
        found = {}
        for key, when in self.get("/arrivals"):
            found.setdefault(key, when)
        return found


# --- the daemon -------------------------------------------------------------------------------------


class Daemon:
    """A running syncd over one database."""

    def __init__(self, config, log):
        self.config = config
        self.log = log
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def start(self, environment):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [SYNCD, "--config", self.config],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def fail(self, what):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            tail = "".join(log.readlines()[-10:])
        raise BenchError("%s; the end of its log:\n%s" % (what, tail))

    def ctl(self, *arguments):
        return subprocess.run(
            [SYNCCTL, "--config", self.config, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def wait(self, bound=BOUND):
        """`syncctl wait`, from the moment there is somebody to ask."""

        def done():
            answer = self.ctl("wait", "--timeout", "%ds" % bound)
            if self.process.poll() is not None:
                self.fail("syncd ended with exit code %d" % self.process.returncode)
            if answer.returncode not in (0, 3):
                self.fail("syncctl wait: " + answer.stdout.strip())
            return answer.returncode == 0

        eventually(done, "an answer to syncctl wait", bound, pause=0.002)
        return self

    def status(self):
        answer = self.ctl("--json", "status")
        if answer.returncode != 0:
            self.fail("syncctl status: " + answer.stdout.strip())
        return json.loads(answer.stdout)

    def stop(self):
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise BenchError("syncd did not stop within 20 s of SIGTERM") from None
        if code != 0:
            self.fail("syncd ended with exit code %d" % code)


# --- all of it --------------------------------------------------------------------------------------


class Rig(contextlib.AbstractContextManager):
    """One bench's directory, programs and processes."""

    def __init__(self, programs):
        self.programs = programs
        self.directory = tempfile.mkdtemp(prefix="syncd-bench-")
        self.processes = []
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": self.directory,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def __exit__(self, *exception):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def forget(self, name):
        """Removes a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.path(name))

    def scanned(self, database, segments, page):
        """Answers Scan with the items that the database's table is, made beforehand (scanned.py)."""
        server = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "scanned.py"), database, "bench", "id",
             str(segments), str(page)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(server)
        return Sink(server)

    def timed(self, items, *arguments):
        """One run of syncctl over so many items: its rate, and what it takes."""
        began = time.monotonic()
        process = subprocess.Popen(
            [SYNCCTL, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise BenchError("syncctl ended with exit code %d: %s" % (process.returncode, said))
        return {
            "rate": items / (time.monotonic() - began),
            "cpu_us": (used.ru_utime + used.ru_stime) * 1e6 / items,
            "peak_mb": used.ru_maxrss * 1024 / 1e6,
        }

    def sink(self, *options, https=False, key="id:N"):
        certificate = None
        if https:
            certificate = self.path("sink-%d.pem" % len(self.processes))
            options += ("--tls", certificate)
        process = subprocess.Popen(
            [self.programs["sink"], "--key", key, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return Sink(process, certificate)

    def end(self, sink):
        sink.process.terminate()
        sink.process.wait()

    def write_config(self, name, database, sink, **dynamodb):
        """A configuration with syncd's defaults, but for these settings of [dynamodb]: its path."""
        config = self.path(name + ".conf")
        if sink.certificate:
            dynamodb["ca_file"] = sink.certificate
        with open(config, "w", encoding="utf-8") as out:
            out.write(
                "[source]\ndatabase = %s\n[dynamodb]\nregion = eu-test-1\nendpoint_url = %s\nkeep_schema = no\n"
                "%s[state]\npath = %s\n[control]\nsocket = %s\n[log]\nformat = text\n"
                % (database, sink.url, "".join("%s = %s\n" % pair for pair in dynamodb.items()),
                   self.path(name + ".state"), self.path(name + ".sock"))
            )
        return config

    def daemon(self, database, sink, name="syncd", environment=None, **dynamodb):
        """Starts syncd with its defaults over a database. A second one of the same name takes up the
        first one's state."""
        config = self.write_config(name, database, sink, **dynamodb)
        daemon = Daemon(config, self.path(name + ".log")).start(dict(self.environment, **(environment or {})))
        self.processes.append(daemon.process)
        return daemon

    def place(self, name):
        """Where the database of this name goes: a directory of its own, without the state. The daemon
        watches the whole directory, so that a neighbour's writes would wake it, and that wake-up
        would be on the neighbour's bill."""
        os.makedirs(self.path(name), exist_ok=True)
        return os.path.join(self.path(name), "app.db")

    def database(self, name, rows=0, mode="wal", schema=SCHEMA):
        """A new database with table bench (or another schema), holding `rows` rows numbered from 1."""
        path = self.place(name)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = %s" % mode)
            db.executescript(schema)
        if rows:
            self.write(path, transactions=-(-rows // 1000), rows=min(rows, 1000))
        return path

    def writing(self, database, **options):
        """The command that runs the writer."""
        arguments = ["--%s=%s" % pair for pair in options.items()]
        return [self.programs["writer"], "--database", database, *arguments]

    def write(self, database, **options):
        """Runs the writer: ([(id, began, committed), ...] in ns, how often it met a lock)."""
        done = subprocess.run(
            self.writing(database, **options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError("the writer failed (see above)")
        lines = done.stdout.splitlines()
        return [tuple(map(int, line.split())) for line in lines[:-1]], int(lines[-1].split()[1])


def build(directory):
    """Compiles the C programs into `directory`: name -> path."""
    compiler = os.environ.get("CC", "cc").split()
    buf = os.path.join(ROOT, "common", "base", "buf.c")
    sink = [os.path.join(HERE, "sink", part + ".c") for part in ("request", "answer", "tls")]
    programs = {"sink/sink": [*sink, buf, "-luv", "-lssl", "-lcrypto", "-ljansson"],
                "writer": ["-lsqlite3"], "hammer": [buf, "-lssl", "-lcrypto"],
                "limit": [buf, "-lsqlite3", "-lcrypto"],
                "contender": ["-lsqlite3"], "worker": ["-lsqlite3"],
                "synctimes": ["-shared", "-fPIC"]}
    for source, rest in list(programs.items()):
        name = os.path.basename(source)
        out = os.path.join(directory, name)
        command = [*compiler, "-std=gnu17", "-O2", "-D_GNU_SOURCE", "-I" + os.path.join(ROOT, "common")]
        if subprocess.run([*command, "-o", out, os.path.join(HERE, source + ".c"), *rest],
                          check=False).returncode != 0:
            raise BenchError("tests/bench/%s.c could not be compiled (see above)" % source)
        programs[name] = out
    return programs
