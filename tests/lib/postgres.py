"""A PostgreSQL server of the test's own: a cluster in a temporary directory, on a Unix socket, with
passwords asked for. Debian's package and others' are found; the server refuses to run as root, so that
root starts it as somebody else.

    with Postgres() as server:
        server.query("SELECT 1")
        ... a client at server.uri() ...
"""

import contextlib
import fcntl
import glob
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

PLACES = ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/bin"]


def programs():
    """The directory with initdb and postgres in it, the newest; or None."""
    found = [d for place in PLACES for d in sorted(glob.glob(place), key=len, reverse=True)]
    return next((d for d in found if os.access(os.path.join(d, "initdb"), os.X_OK)), None)


def missing():
    """Why no server can be started here; None when one can."""
    if not programs():
        return "PostgreSQL's server is not here: scripts/install-deps --with-tests"
    try:
        import psycopg2  # noqa: F401
    except ImportError:
        return "psycopg2 is not here: pip install psycopg2-binary"
    return None


def _unprivileged():
    """Whom root hands the server to; None for everybody else."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("there is no user postgres or nobody to run the server as")


class Postgres:
    """`template`: a directory where a cluster is kept that the next one is a copy of (making one takes
    a second of processor time); several processes may name the same."""

    def __init__(self, template=None):
        self.template = template
        self.bin = programs()
        self.user = _unprivileged()
        self.dir = tempfile.mkdtemp(prefix="syncd-pg-", dir="/tmp")  # sockets' paths are short
        self.data = os.path.join(self.dir, "data")
        self.password = "canary-" + secrets.token_hex(8)
        self.running = False
        if self.user:
            os.chown(self.dir, self.user.pw_uid, self.user.pw_gid)
        os.chmod(self.dir, 0o755)

    def _as_user(self):
        if self.user:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)

    def _run(self, program, *arguments):
        done = subprocess.run(
            [os.path.join(self.bin, program), *arguments],
            preexec_fn=self._as_user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.dir,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            timeout=60,
        )
        assert done.returncode == 0, done.stdout

    def _make_cluster(self):
        secret = os.path.join(self.dir, "password")
        with open(secret, "w", encoding="utf-8") as out:
            out.write(self.password)
        os.chmod(secret, 0o644)
        self._run("initdb", "-D", self.data, "-U", "owner", "--pwfile=" + secret, "-N",
                  "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions")
        os.unlink(secret)

    def _copy_cluster(self):
        """From the template, which the first makes."""
        os.makedirs(self.template, exist_ok=True)
        kept, word = (os.path.join(self.template, n) for n in ("data", "password"))
        with open(os.path.join(self.template, "lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(word):
                self._make_cluster()
                shutil.copytree(self.data, kept)
                with open(word, "w", encoding="utf-8") as out:
                    out.write(self.password)
                return
        with open(word, encoding="utf-8") as secret:
            self.password = secret.read()
        shutil.copytree(kept, self.data)
        for where, _, names in os.walk(self.data) if self.user else ():
            for name in (".", *names):
                os.chown(os.path.join(where, name), self.user.pw_uid, self.user.pw_gid)

    def __enter__(self):
        if self.template:
            self._copy_cluster()
        else:
            self._make_cluster()
        self.start()
        return self

    def __exit__(self, *_):
        if self.running:
            self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        log = os.path.join(self.dir, "log")
        options = ("-c listen_addresses='' -c unix_socket_directories='%s' -c fsync=off"
                   " -c shared_buffers=16MB" % self.dir)
        self._run("pg_ctl", "-D", self.data, "-l", log, "-o", options, "-w", "-t", "60", "start")
        self.running = True

    def stop(self, mode="immediate"):
        self.running = False
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def _processes(self):
        """The server and its children."""
        with open(os.path.join(self.data, "postmaster.pid"), encoding="utf-8") as file:
            first = int(file.readline())
        with open("/proc/%d/task/%d/children" % (first, first), encoding="ascii") as children:
            return [first, *map(int, children.read().split())]

    @contextlib.contextmanager
    def frozen(self):
        """Says nothing meanwhile, and does not go: every process of it is stopped."""
        stopped = self._processes()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def uri(self, database="postgres", password=True):
        return "postgresql://owner%s@/%s?host=%s" % (
            ":" + self.password if password else "",
            database,
            urllib.parse.quote(self.dir, safe=""),
        )

    def connect(self, database="postgres"):
        import psycopg2

        db = psycopg2.connect(
            host=self.dir, user="owner", password=self.password, dbname=database
        )
        db.autocommit = True
        return db

    def query(self, sql, parameters=None, database="postgres"):
        """Rows of the statement, where it has any."""
        with self.connect(database) as db, db.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def make_database(self):
        """A fresh one: its name."""
        name = "d" + secrets.token_hex(6)
        db = self.connect()
        try:
            with db.cursor() as cursor:
                cursor.execute("CREATE DATABASE %s" % name)
        finally:
            db.close()
        return name
