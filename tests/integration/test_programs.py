"""Generated programs of many applications at once, under a daemon that has a hard life.

Each run is one database with the tables of many programs, several connections, and a daemon that is
stopped, killed, paused and detached, whose triggers and journal are taken away. Then both sides are
compared. A failing run prints its seed and what was done to the tables that differ:

    SYNCD_PROGRAMS=7 pytest tests/integration/test_programs.py      # run 7 alone; 0-99: many

The order of events comes from the seed; when the daemon is met by them does not.
"""

import os
import random
import re
import sqlite3

import pytest

import programs
from harness import eventually
from triggerless import Triggerless

pytestmark = pytest.mark.engine

PROGRAMS, UNITS, CONNECTIONS = 32, 26, 3  # of one run; units of a program


def seeds():
    given = os.environ.get("SYNCD_PROGRAMS", "1-10")
    first, _, last = given.partition("-")
    return range(int(first), int(last or first) + 1)


class Run:
    """What was lost with triggers or journal is found by comparing with what was sent. So one thing
    stays out of these runs, as the README says: an item that is sent for the first time while the
    daemon is killed, its row deleted while the triggers are missing. `unsure` are the tables for
    which that could be; a wait ends it."""

    def __init__(self, mirror, seed):
        self.mirror = mirror
        self.rng = random.Random("run %d" % seed)
        self.programs = [programs.Program("%d-%d" % (seed, n), n) for n in range(PROGRAMS)]
        self.left = [UNITS] * PROGRAMS
        self.log = []
        self.killed = False
        mode = self.rng.choice(["wal", "wal", "delete", "truncate", "persist"])
        self.connections = [mirror.connect() for _ in range(CONNECTIONS)]
        self.execute(0, "PRAGMA journal_mode=" + mode)
        for program in self.programs:
            self.execute(0, "BEGIN")
            for text in program.schema:
                self.execute(0, text)
            self.execute(0, "COMMIT")
        self.unsure = {t.name for t in self.tables()}

    def tables(self):
        return [t for program in self.programs for t in program.tables]

    def close(self):
        for db in self.connections:
            db.close()

    def note(self, text):
        self.log.append("-- " + text)

    # The application.

    def execute(self, number, text):
        """One statement; False when a constraint refused it."""
        self.log.append("/* %d */ %s;" % (number, text))
        try:
            self.connections[number].execute(text).fetchall()
        except sqlite3.IntegrityError as error:
            self.note(str(error))
            return False
        except sqlite3.Error as error:
            self.note(str(error))
            raise AssertionError("%s: %s" % (text, error)) from error
        return True

    def unit(self, number, unit):
        """A transaction that a conflict has rolled back ends there."""
        inside = False
        for text in unit.statements:
            if inside and not self.connections[number].in_transaction:
                if not text.startswith("PRAGMA"):
                    continue
                inside = False
            self.execute(number, text)
            inside = inside or text.startswith("BEGIN")

    def some_units(self, count, rebuild=True):
        for _ in range(count):
            busy = [n for n in range(PROGRAMS) if self.left[n]]
            if not busy:
                return
            n = self.rng.choice(busy)
            self.left[n] -= 1
            names = {t.name for t in self.programs[n].tables}
            allowed = rebuild and not (self.killed or names & self.unsure)
            unit = self.programs[n].next_unit(allowed)
            if unit.rebuilds:
                self.unsure.add(unit.rebuilds)
            self.unit(self.rng.randrange(CONNECTIONS), unit)

    # The daemon.

    def start(self):
        self.note("start")
        self.mirror.start()

    def wait(self):
        """Often compares, too: what is lost next may heal what was wrong before."""
        self.note("wait")
        self.mirror.wait(60)
        if self.rng.random() < 0.4:
            self.mirror.assert_equal()
        self.unsure = set()
        self.killed = False

    def restart(self):
        self.note("SIGTERM")
        self.mirror.stop()
        self.some_units(self.rng.randrange(12))
        self.start()

    def kill(self):
        self.note("kill -9")
        self.mirror.kill9()
        self.killed = True
        self.some_units(self.rng.randrange(12))
        self.start()
        if self.rng.random() < 0.5:
            self.wait()

    def pause(self):
        self.note("pause")
        assert self.mirror.ctl("pause").returncode == 0
        self.some_units(self.rng.randrange(4, 20))
        self.note("resume")
        assert self.mirror.ctl("resume").returncode == 0

    def detach(self):
        """Detached, killed or stopped in between, and attached with the daemon there or not."""
        self.wait()
        self.note("detach")
        assert self.mirror.ctl("detach").returncode == 0
        assert self.mirror.triggers() == set()
        self.some_units(4)
        end = self.rng.choice([None, self.mirror.stop, self.mirror.kill9])
        if end:
            self.note("ends by " + end.__name__)
            end()
            self.some_units(3)
            if self.rng.random() < 0.5:
                self.start()
                end = None
                self.some_units(3)
        self.note("attach")
        done = self.mirror.ctl("attach")
        assert done.returncode == 0, done.stderr
        if end:
            self.start()
        self.unsure = {t.name for t in self.tables()}

    def drop_triggers(self):
        table = self.rng.choice(self.tables()).name
        if table in self.unsure or self.killed:
            self.wait()
        names = sorted(self.mirror.triggers(table))
        if self.rng.random() < 0.5:
            names = [self.rng.choice(names)]
        self.note("triggers of %s dropped" % table)
        self.unsure.add(table)
        program = self.programs[int(re.match(r"p(\d+)_", table)[1])]
        self.unit(0, programs.Unit(["BEGIN IMMEDIATE", *('DROP TRIGGER "%s"' % n for n in names),
                                    *(program.statement() for _ in range(4)), "COMMIT"]))

    def drop_journal(self):
        self.wait()
        self.note("journal dropped")
        self.lose_journal("DROP TABLE _syncd_journal")
        self.connections_see_the_journal()

    def connections_see_the_journal(self):
        """A connection looks at the schema anew with the next statement that it compiles."""
        eventually(
            lambda: self.mirror.sql(
                "SELECT count(*) FROM sqlite_schema WHERE name = '_syncd_journal'")[0][0],
            "the journal back",
        )
        for db in self.connections:
            db.execute("SELECT count(*) FROM sqlite_schema").fetchall()

    def truncate_journal(self):
        self.wait()
        self.note("journal truncated")
        self.lose_journal("DELETE FROM _syncd_journal")

    def lose_journal(self, how):
        """With it go the entries of a transaction."""
        program = self.rng.choice(self.programs)
        self.execute(0, "BEGIN IMMEDIATE")
        for _ in range(5):
            self.execute(0, program.statement())
            if not self.connections[0].in_transaction:
                self.execute(0, "BEGIN IMMEDIATE")
        self.execute(0, how)
        self.execute(0, "COMMIT")
        self.unsure = {t.name for t in self.tables()}

    def triggers_off(self):
        """What nobody can see is found by a resync, which the operator asks for."""
        self.wait()
        program = self.rng.choice(self.programs)
        self.note("ENABLE_TRIGGER off for what follows, then resync")
        db = Triggerless(self.mirror.database)
        for _ in range(5):
            text = program.statement()
            self.log.append("/* off */ %s;" % text)
            db.execute(text)
        db.close()
        names = [t.name for t in program.tables]
        self.unsure |= set(names)
        done = self.mirror.ctl("resync", *names)
        assert done.returncode == 0, done.stderr

    def resync(self):
        self.wait()
        table = self.rng.choice(self.tables()).name
        arguments = self.rng.choice([["--all"], [table], [table, "--full"]])
        self.note("resync " + " ".join(arguments))
        done = self.mirror.ctl("resync", *arguments)
        assert done.returncode == 0, done.stderr

    EVENTS = [(restart, 3), (kill, 5), (pause, 2), (detach, 1), (drop_triggers, 3),
              (drop_journal, 1), (truncate_journal, 1), (triggers_off, 2), (resync, 2)]

    def play(self):
        self.some_units(PROGRAMS, rebuild=False)
        self.start()
        if self.rng.random() < 0.5:
            self.wait()
        while any(self.left):
            self.some_units(self.rng.randrange(5, 40))
            (event,) = self.rng.choices([e for e, _ in self.EVENTS], [w for _, w in self.EVENTS])
            event(self)
        self.note("the end")
        self.mirror.settle(60)

    def story(self, tables):
        """The log, as far as it concerns these tables' programs; all of it when none is named."""
        names = {re.match(r"p\d+_", t)[0] for t in tables}
        if not names:
            return "\n".join(self.log[-150:])
        concerned = re.compile("|".join(r"\b(\w+__?)?%s" % n for n in sorted(names)))
        return "\n".join(
            line for line in self.log
            if line.startswith("-- ") or concerned.search(line) or "_syncd_" in line
            or re.search(r"\*/ (BEGIN|COMMIT|ROLLBACK|SAVEPOINT|PRAGMA|VACUUM)", line)
        )


@pytest.mark.parametrize("seed", seeds())
def test_programs(mirror, seed):
    run = Run(mirror, seed)
    try:
        run.play()
        assert mirror.sql("PRAGMA integrity_check") == [("ok",)]
    except BaseException as error:
        tables = set(re.findall(r"^  \w+: \S+-(p\d+_[mc]) ", str(error), re.M))
        print("--- run %d, tables %s\n%s" % (seed, sorted(tables) or "all", run.story(tables)))
        raise
    finally:
        run.close()
