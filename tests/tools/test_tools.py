"""Migration tools as their registries give them, at a database that is mirrored and written.

Whatever a tool does to the database must end as it would without the mirror: the same exit code, the
same schema; and both sides must be equal afterwards. $SYNCD_TOOLS names the tools to try, all without
it; tests/tools/run installs and runs them.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys

import pytest

import compare
from harness import SYNCCTL, eventually
from mapping_oracle import Settings, mirrored_tables
from toolset import HERE, PACKAGES, STEPS, TOOLS

SEED = os.environ.get("SYNCD_TOOLS_SEED", "1")
# A table under a new name and without our triggers is taken up after a minute. That minute is waited
# for only on request; else the daemon is started anew, which takes every table up at once.
PATIENT = bool(os.environ.get("SYNCD_TOOLS_PATIENT"))
PATIENCE = 90
# A transaction that has read and then wants to write fails at once when another has committed in
# between: any writer does this to any tool. Whoever migrates tries again.
ATTEMPTS = 20
BUSY = ("SQLITE_BUSY", "database is locked")


def chosen():
    return os.environ.get("SYNCD_TOOLS", " ".join(TOOLS)).split()


class Application:
    """The program that writes while the tools migrate; see writer.py."""

    def __init__(self, database, left_alone, seed):
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "writer.py"), database, seed, left_alone],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the application failed:\n" + self.process.stderr.read()
        return line

    def say(self, word):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()

    def resume(self):
        self.say("resume")

    def pause(self):
        self.say("pause")
        return json.loads(self.answer())

    def close(self):
        self.say("stop")
        self.process.communicate(timeout=60)


def schema_of(database):
    """All of it that is not ours. Lines are sorted: Alembic writes a table's constraints, a line each,
    in an order that changes from run to run."""
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as db:
        found = db.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE '\\_syncd\\_%'"
            " ESCAPE '\\' ORDER BY type, name"
        ).fetchall()
    return [(*names, sorted(line.strip(" \t,") for line in (sql or "").splitlines()))
            for *names, sql in found]


class Rig:
    """A tool, a mirrored database that an application writes, and a control database that nobody
    mirrors or writes; every command runs on both."""

    def __init__(self, tool, mirror, where):
        self.tool = tool
        self.mirror = mirror
        self.control = os.path.join(where, "control.db")
        self.application = None
        self.committed = 0
        self.known = set()  # mirrored tables that the running daemon has met
        self.busy = []  # commands that were tried again

    def start(self, seed=SEED):
        """The tool makes the database; then the daemon and the application begin."""
        first = self.tool.up(1)
        self.on_control(first)
        self.check(self.tool.run(self.mirror.database, first), first)
        for database in (self.control, self.mirror.database):
            with contextlib.closing(sqlite3.connect(database)) as db:
                db.execute("PRAGMA journal_mode = wal")
        self.mirror.start().settle()
        self.known = set(self.tables())
        self.application = Application(self.mirror.database, self.tool.left_alone, seed)
        self.application.resume()
        return self

    def close(self):
        if self.application:
            self.application.close()

    @staticmethod
    def check(done, command):
        assert done.returncode == 0, "%s exited %d:\n%s" % (
            " ".join(command.arguments), done.returncode, done.stdout)
        return done.stdout

    def on_control(self, command):
        return self.check(self.tool.run(self.control, command), command)

    def on_mirrored(self, command, prefix=(), whole=True, attempts=ATTEMPTS):
        """Again when it was busy; what is done as a `whole` must then have left all as it was."""
        before, environment = schema_of(self.mirror.database), {}
        if prefix:
            environment = self.mirror.environment
        for _ in range(attempts):
            done = self.tool.run(self.mirror.database, command, prefix, environment)
            if done.returncode == 0 or not any(word in done.stdout for word in BUSY):
                break
            assert not whole or schema_of(self.mirror.database) == before, done.stdout
            self.busy.append(" ".join(command.arguments[-2:]))
        return self.check(done, command)

    def both(self, command, prefix=()):
        """The tool's word on the mirrored database."""
        self.on_control(command)
        output = self.on_mirrored(command, prefix)
        self.agree(" ".join(command.arguments))
        return output

    def tables(self):
        """The tables that must be mirrored by now."""
        skipped = compare.expected_items(self.mirror.database, self.mirror.settings).skipped
        with contextlib.closing(compare.open_readonly(self.mirror.database)) as db:
            return [t for t in mirrored_tables(db, Settings(self.mirror.settings))
                    if t not in skipped]

    def uncaptured(self):
        """Mirrored tables that have not all their triggers."""
        return {t for t in self.tables()
                if not {"i", "u", "d"} <= {n[-1] for n in self.mirror.triggers(t)}}

    def capture_all(self, what):
        """Waits until all triggers are there."""
        # A name that is new to the daemon is taken up after a minute, or at once by a restart.
        if set(self.tables()) - self.known and not PATIENT:
            self.mirror.restart()
            self.known = set()
        self.known |= set(self.tables())
        eventually(lambda: not self.uncaptured(), "the triggers back after " + what, PATIENCE)

    def agree(self, what):
        """Same schema as without us, triggers whole, both sides equal, the application alive."""
        assert schema_of(self.mirror.database) == schema_of(self.control), what
        self.capture_all(what)
        eventually(self.wrote, "a write of the application after " + what)
        self.mirror.settle(PATIENCE)
        self.application.resume()

    def wrote(self):
        """Leaves the application paused once it has committed something since the last time."""
        before, self.committed = self.committed, self.application.pause()["committed"]
        if self.committed > before:
            return True
        self.committed = before
        self.application.resume()
        return False


@pytest.fixture(params=chosen())
def rig(request, mirror, tmp_path):
    assert request.param in TOOLS, "no such tool: " + request.param
    made = TOOLS[request.param]
    assert os.path.exists(os.path.join(PACKAGES, made.name, "complete")), (
        "%s is not installed: tests/tools/run --install %s" % (made.name, made.name))
    mirror.configure(made.settings)
    rig = Rig(made(str(tmp_path)), mirror, str(tmp_path))
    print("to repeat: SYNCD_TOOLS_SEED=%s tests/tools/run %s" % (SEED, made.name))
    yield rig
    rig.close()
    print("tried again because it was busy: %s" % (", ".join(rig.busy) or "none"))


def test_a_history_of_migrations_up_down_and_up(rig):
    rig.start()
    for number in range(2, STEPS + 1):
        rig.both(rig.tool.up(number))
    for number in range(STEPS, 1, -1):
        rig.both(rig.tool.down(number))
    for number in range(2, STEPS + 1):
        rig.both(rig.tool.up(number))


def test_under_detach(rig):
    rig.start()
    rig.both(rig.tool.up(2))
    prefix = [SYNCCTL, "--config", rig.mirror.config, "detach", "--"]
    rig.both(rig.tool.up(3), prefix)
    rig.both(rig.tool.up(4), prefix)


def test_looking_for_differences_finds_nothing_of_ours(rig):
    commands = rig.tool.differences()
    if not commands:
        pytest.skip("%s has no such command" % rig.tool.name)
    rig.start()
    for number in range(2, STEPS + 1):
        rig.on_control(command := rig.tool.up(number))
        rig.on_mirrored(command)
    for command in commands:
        said = rig.both(command)
        assert "_syncd_" not in said and "_syncd_" not in rig.tool.written()
        assert said == rig.on_control(command)


def journal_entry(rig):
    """Where the schema holds the journal: another place after it was dropped and made anew."""
    return rig.mirror.sql("SELECT rowid FROM sqlite_master WHERE name = '_syncd_journal'")


def test_a_careless_tool_is_healed(rig):
    """Without the snippet. The application's writes may fail while the journal is not there, and on
    no account longer."""
    commands = rig.tool.careless()
    if not commands:
        pytest.skip("%s never looks at tables that it does not know" % rig.tool.name)
    rig.mirror.configure(rig.tool.careless_settings)
    rig.start(SEED + "+")
    for number in range(2, STEPS + 1):
        rig.on_control(command := rig.tool.up(number))
        rig.on_mirrored(command)
    rig.capture_all("the migrations")
    *propose, apply = commands
    for command in propose:
        rig.on_mirrored(command)
    assert "_syncd_journal" in rig.tool.written()
    before = journal_entry(rig)
    prefix = []
    if not rig.tool.drops_journal:  # it makes every table anew: nobody else may write meanwhile
        rig.application.pause()
        rig.on_control(apply)
        prefix = [SYNCCTL, "--config", rig.mirror.config, "detach", "--"]
    rig.on_mirrored(apply, prefix, whole=False)
    rig.application.resume()
    eventually(lambda: journal_entry(rig), "the journal back")
    rig.agree(" ".join(apply.arguments))
    assert (journal_entry(rig) != before) == rig.tool.drops_journal


def test_nobody_is_busy_because_of_us(rig):
    """Without an application only the daemon could be in a tool's way."""
    commands = [rig.tool.up(number) for number in range(2, STEPS + 1)]
    if rig.tool.name == "rails":
        # It rebuilds table after table, each in a transaction that reads first.
        commands += rig.tool.careless()[:1] + rig.tool.careless()[1:] * 5
    else:
        commands += [rig.tool.down(number) for number in range(STEPS, 1, -1)]
    rig.start()
    rig.application.pause()
    for command in commands:
        rig.on_mirrored(command, whole=False, attempts=1)
