"""A world: one database, one application that writes to it all the while, one daemon, a fault server
before a real engine; and the checks that hold whatever was done to them."""

import contextlib
import ctypes
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import application
from engine_tables import EngineTables
from faultserver import ACCESS_KEY, SECRET_KEY, FaultServer
from harness import ROOT, BOUND, Endpoint, Mirror, dynamodb, eventually

HERE = os.path.dirname(os.path.abspath(__file__))
SMALL = b"size=12m"
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 0x40000, 2
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Broken(AssertionError):
    """A promise that was not kept."""


def private_mounts():
    """Whether this process may mount: what it mounts goes with it and is seen by nobody else."""
    return (
        os.geteuid() == 0
        and _libc.unshare(CLONE_NEWNS) == 0
        and _libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
    )


def end_with_parent():
    """SIGTERM when the process that made this one ends, however that comes."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def mount_small(path):
    os.mkdir(path)
    if _libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, SMALL) != 0:
        raise OSError(ctypes.get_errno(), "a tmpfs cannot be mounted at " + path)


class Writer:
    """The application's process."""

    def __init__(self, database, seed):
        self.process = subprocess.Popen(
            [sys.executable, "-B", os.path.join(HERE, "application.py"), database, seed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.transactions = self.rows = 0
        self.expect("ready")

    def expect(self, word):
        line = self.process.stdout.readline()
        if not line.startswith(word):
            raise Broken("the application failed: %s" % self.process.stderr.read()[-2000:])
        return line.split()[1:]

    def order(self, line, word):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.expect(word)

    def pause(self):
        self.transactions, self.rows = map(int, self.order("pause", "paused"))

    def go(self):
        self.order("go", "going")

    def end(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()


class World:
    """`small`: its files are on file systems of a few megabytes, which can be filled."""

    def __init__(self, engine, seed, small=False, settings=None):
        self.rng = random.Random(seed)
        self.small = small
        self.counts = {"samples": 0, "converged": 0, "compared": 0, "requests": 0}
        self.fired = {}
        self.violations = 0
        self.late = False  # something was carried out late: `wait` does not wait for its correction
        self.ballast = []
        self.mounted = []
        self.server = FaultServer()
        self.server.tables = EngineTables(engine)
        self.server.start()
        self.mirror = mirror = Mirror(Endpoint(self.server.url, ACCESS_KEY, SECRET_KEY))
        self.writer = None
        try:
            mirror.client = dynamodb(engine)
            if small:
                self.make_small()
            keys = {table: dict(given) for table, given in application.KEYS.items()}
            for table in application.SHARED:
                keys["table " + table]["target"] = mirror.prefix + "shared"
            mirror.configure({"sync": {"request_timeout": "1500ms"}, **keys})
            mirror.configure(settings or {})
            self.mode = self.rng.choice(("wal", "wal", "delete"))
            mirror.sql("PRAGMA journal_mode=" + self.mode)
            for statement in application.SCHEMA.split(";"):
                mirror.sql(statement)
            self.refill()
            self.writer = Writer(mirror.database, str(seed))
            mirror.start()
            self.settle()
        except BaseException:
            self.close()
            raise

    def make_small(self):
        mirror = self.mirror
        for name in ("data", "state"):
            path = os.path.join(mirror.dir, name)
            mount_small(path)
            self.mounted.append(path)
        mirror.database = os.path.join(self.mounted[0], "app.db")
        mirror.state = os.path.join(self.mounted[1], "state.db")
        mirror.configure(
            {"source": {"database": mirror.database}, "state": {"path": mirror.state}}
        )

    def close(self):
        if self.writer is not None:
            self.writer.end()
        with contextlib.suppress(Exception):
            self.mirror.kill9()
        for path in self.mounted:
            _libc.umount2(path.encode(), MNT_DETACH)
        with contextlib.suppress(Exception):
            self.mirror.close()
        self.server.stop()

    # The rows that the application leaves alone.

    def refill(self):
        self.mirror.sql(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 59) "
            "INSERT OR IGNORE INTO quiet SELECT i, 'row ' || i FROM n"
        )

    # The daemon's life.

    def alive(self):
        return self.mirror.process is not None and self.mirror.process.poll() is None

    def gone(self):
        """The daemon was killed, or has killed itself: its state file must be whole."""
        process, self.mirror.process = self.mirror.process, None
        code = process.wait(BOUND)
        self.check_state()
        return code

    def kill(self):
        self.mirror.process.kill()
        self.gone()

    def stop(self):
        self.mirror.stop(30)
        self.check_state()

    def end_somehow(self):
        if self.rng.random() < 0.5:
            self.stop()
        else:
            self.kill()

    def start(self, failpoint=None, wait=True):
        environment = self.mirror.environment
        environment.pop("SYNCD_FAILPOINT", None)
        if failpoint:
            environment["SYNCD_FAILPOINT"] = failpoint
        self.mirror.start(wait=wait)

    # What must hold.

    def check_state(self):
        """The state file as it would be found now; the daemon must not run."""
        with tempfile.TemporaryDirectory(prefix="syncd-state-") as where:
            for suffix in ("", "-wal"):
                if os.path.exists(self.mirror.state + suffix):
                    shutil.copy(self.mirror.state + suffix, os.path.join(where, "state" + suffix))
            if os.path.exists(os.path.join(where, "state")):
                self.integrity(os.path.join(where, "state"), "the state file")

    @staticmethod
    def integrity(path, what):
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as db:
            found = db.execute("PRAGMA integrity_check").fetchall()
        if found != [("ok",)]:
            raise Broken("integrity_check of %s: %r" % (what, found[:5]))

    def compare(self, claim):
        self.counts["compared"] += 1
        report = self.mirror.report()
        if not report.equal:
            raise Broken("%s, but the sides differ: %s" % (claim, report))
        return report

    def converged(self):
        """One sample, with the application paused; a claim is taken at its word."""
        self.counts["samples"] += 1
        if not self.mirror.status()["converged"]:
            return None
        self.counts["converged"] += 1
        return self.compare("`converged` was true")

    def sample(self, times=4):
        """Is `converged` never falsely true? In the middle of things, with writing held up."""
        self.writer.pause()
        for _ in range(times):
            try:
                self.converged()
            except (OSError, ValueError):
                pass  # no daemon just now
            time.sleep(0.01)
        self.writer.go()

    def letters_match(self, report):
        letters = self.mirror.dead_letters()
        want, got = sorted(d.table for d in report.dead), sorted(d["table"] for d in letters)
        if want != got:
            raise Broken("dead letters: %r, expected %r" % (letters, report.dead))

    def settle(self, timeout=60):
        """All faults are over: both sides become equal, and the daemon says so. Leaves the
        application paused."""
        self.writer.pause()
        if self.rng.random() < 0.3 and not self.late:
            self.mirror.wait(timeout)
            self.compare("`wait` had returned")
        report = eventually(self.patiently, "converged: true", timeout)
        self.late = False
        self.letters_match(report)
        self.integrity(self.mirror.database, "the database")
        violations = self.server.violations[self.violations :]
        self.violations += len(violations)
        if violations:
            raise Broken("the protocol was broken: %s" % violations[:3])
        self.count_requests()

    def patiently(self):
        if not self.alive():
            raise RuntimeError("the daemon ended by itself: %r" % self.mirror.process)
        try:
            return self.converged()
        except Broken as error:
            raise RuntimeError(str(error)) from None  # no "not yet"

    def count_requests(self):
        requests, self.server.requests = self.server.requests, []
        self.counts["requests"] += len(requests)
        for request in requests:
            if request.fault:
                self.fired[request.fault] = self.fired.get(request.fault, 0) + 1

    # Things to happen.

    def requests(self):
        return len(self.server.requests)

    def more_requests(self, n):
        """Waits for n more requests, or for a while: the application may be at rest."""
        goal, end = self.requests() + n, time.monotonic() + 3
        while self.requests() < goal and time.monotonic() < end and self.alive():
            time.sleep(0.002)

    def order(self, method, path):
        """An operator's request; the daemon may end in the middle of it."""
        with contextlib.suppress(OSError, ValueError, EOFError):
            return self.mirror.request(method, path)
        return None

    def limit_files(self, size):
        """The daemon's files cannot grow past `size`: a full disk, for it alone."""
        resource.prlimit(
            self.mirror.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)
        )

    def fill(self, which):
        """No block is left on a small file system."""
        path = os.path.join(self.mounted[which], "ballast")
        self.ballast.append(path)
        with contextlib.suppress(OSError), open(path, "wb", buffering=0) as out:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while out.write(b"\0" * size) == size:
                        pass

    def make_room(self):
        for path in self.ballast:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self.ballast = []

    def state_files(self):
        return [
            self.mirror.state + suffix
            for suffix in ("", "-wal", "-shm", "-journal")
            if os.path.exists(self.mirror.state + suffix)
        ]

    def frozen(self):
        return _Frozen(self.mirror)


class _Frozen:
    """The daemon does not run for the length of a block."""

    def __init__(self, mirror):
        self.mirror = mirror

    def __enter__(self):
        self.mirror.signal(signal.SIGSTOP)

    def __exit__(self, *exc):
        self.mirror.signal(signal.SIGCONT)


def failpoints():
    """The names that common/base/failpoint.h lists, held to those in the code."""
    with open(os.path.join(ROOT, "common", "base", "failpoint.h"), encoding="utf-8") as file:
        listed = re.findall(r"^ \*     (\w+) +", file.read(), re.M)
    used = []
    for top in ("common", "daemon"):
        for where, _, names in os.walk(os.path.join(ROOT, top)):
            for name in names:
                if name.endswith(".c"):
                    with open(os.path.join(where, name), encoding="utf-8") as file:
                        used += re.findall(r'FAILPOINT\("(\w+)"\)', file.read())
    if sorted(listed) != sorted(used):
        raise AssertionError(
            "common/base/failpoint.h lists other names than the code has, or one twice: %s"
            % sorted(set(listed) ^ set(used) or {n for n in used if used.count(n) > 1})
        )
    return listed
