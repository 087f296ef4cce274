"""The application: a process that writes to the database all the while, a transaction at a time.

    application.py DATABASE SEED

It obeys lines on its standard input: "pause" (answered "paused TRANSACTIONS ROWS" between two
transactions), "go" (answered "going"); their end is its own. Keys come from small ranges, so that rows
come, change, move and go again and again; `quiet` it leaves alone.
"""

import contextlib
import random
import select
import sqlite3
import sys
import time

SCHEMA = """
CREATE TABLE hot(id INTEGER PRIMARY KEY, v TEXT, n REAL);
CREATE TABLE word(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;
CREATE TABLE pair(a INTEGER, b TEXT, v TEXT, PRIMARY KEY(a, b));
CREATE TABLE trio(a TEXT, b INTEGER, c TEXT, v TEXT, PRIMARY KEY(a, b, c));
CREATE TABLE mail(id INTEGER PRIMARY KEY, address TEXT UNIQUE, v TEXT);
CREATE TABLE parent(id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE child(id INTEGER PRIMARY KEY, v TEXT,
                   parent INTEGER REFERENCES parent(id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE messages(id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, body TEXT);
CREATE TABLE slot(id INTEGER PRIMARY KEY, place INTEGER NOT NULL, v TEXT);
CREATE TABLE odd(id INTEGER PRIMARY KEY, v REAL);
CREATE TABLE flip(id INTEGER PRIMARY KEY, v INTEGER);
CREATE TABLE quiet(id INTEGER PRIMARY KEY, v TEXT);
"""
# Two tables share a target; rows of another meet at one key; a value that no item can hold.
KEYS = {
    "table users": {"partition_key": "USER#{id}", "sort_key": "PROFILE"},
    "table messages": {"partition_key": "USER#{user_id}", "sort_key": "MSG#{id}"},
    "table slot": {"partition_key": "place"},
}
SHARED = ("users", "messages")


class Application:
    def __init__(self, database, seed):
        self.rng = random.Random(seed)
        self.db = sqlite3.connect(database, timeout=60, isolation_level=None)
        self.db.execute("PRAGMA foreign_keys=ON")
        # The disk is not what is tried here, and both modes must commit quickly.
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.counter = 0
        self.transactions = self.rows = 0

    def value(self):
        self.counter += 1
        return "%d %s" % (self.counter, "x" * self.rng.randrange(40))

    def hot(self, run):
        k = self.rng.randrange(150)
        dice = self.rng.random()
        if dice < 0.2:
            run("DELETE FROM hot WHERE id = ?", k)
        elif dice < 0.3:
            run("UPDATE OR REPLACE hot SET id = ? WHERE id = ?", self.rng.randrange(150), k)
        elif dice < 0.4:
            run("UPDATE hot SET v = v WHERE id BETWEEN ? AND ?", k, k + 5)
        else:
            run("REPLACE INTO hot VALUES(?, ?, ?)", k, self.value(), self.rng.random())

    def word(self, run):
        k = "word %d" % self.rng.randrange(80)
        if self.rng.random() < 0.3:
            run("DELETE FROM word WHERE k = ?", k)
        else:
            run("INSERT OR REPLACE INTO word VALUES(?, ?)", k, self.value().encode())

    def pair(self, run):
        a, b = self.rng.randrange(8), "b%d" % self.rng.randrange(8)
        dice = self.rng.random()
        if dice < 0.2:
            run("DELETE FROM pair WHERE a = ?", a)
        elif dice < 0.4:
            run("UPDATE OR REPLACE pair SET b = ? WHERE a = ? AND b = ?", "moved", a, b)
        else:
            run("REPLACE INTO pair VALUES(?, ?, ?)", a, b, self.value())

    def trio(self, run):
        key = (
            "a%d" % self.rng.randrange(4),
            self.rng.randrange(4),
            self.rng.choice(("c", "c#", "c\\")),
        )
        if self.rng.random() < 0.3:
            run("DELETE FROM trio WHERE a = ? AND b = ? AND c = ?", *key)
        else:
            run("REPLACE INTO trio VALUES(?, ?, ?, ?)", *key, self.value())

    def mail(self, run):
        k, address = self.rng.randrange(60), "%d@example.com" % self.rng.randrange(60)
        if self.rng.random() < 0.2:
            run("DELETE FROM mail WHERE address = ?", address)
        elif self.rng.random() < 0.3:
            run("UPDATE OR REPLACE mail SET address = ? WHERE id = ?", address, k)
        else:
            run("REPLACE INTO mail VALUES(?, ?, ?)", k, address, self.value())

    def family(self, run):
        p = self.rng.randrange(12)
        dice = self.rng.random()
        if dice < 0.15:
            run("DELETE FROM parent WHERE id = ?", p)
        elif dice < 0.3:
            run("UPDATE OR IGNORE parent SET id = ? WHERE id = ?", self.rng.randrange(12), p)
        elif dice < 0.6:
            run("INSERT OR REPLACE INTO parent VALUES(?, ?)", p, self.value())
        else:
            run(
                "INSERT OR REPLACE INTO child SELECT ?, ?, id FROM parent WHERE id = ?",
                self.rng.randrange(60),
                self.value(),
                p,
            )

    def shared(self, run):
        u = self.rng.randrange(10)
        dice = self.rng.random()
        if dice < 0.1:
            run("DELETE FROM messages WHERE user_id = ?", u)
        elif dice < 0.3:
            run(
                "UPDATE messages SET user_id = ? WHERE id = ?",
                self.rng.randrange(10),
                self.rng.randrange(60),
            )
        elif dice < 0.5:
            run("REPLACE INTO users VALUES(?, ?)", u, self.value())
        elif dice < 0.6:
            run("DELETE FROM users WHERE id = ?", u)
        else:
            run("REPLACE INTO messages VALUES(?, ?, ?)", self.rng.randrange(60), u, self.value())

    def slot(self, run):
        k, place = self.rng.randrange(30), self.rng.randrange(24)
        dice = self.rng.random()
        if dice < 0.3:
            run("DELETE FROM slot WHERE id = ?", k)
        elif dice < 0.6:
            run("UPDATE slot SET place = ? WHERE id = ?", place, k)
        else:
            run("REPLACE INTO slot VALUES(?, ?, ?)", k, place, self.value())

    def odd(self, run):
        k = self.rng.randrange(12)
        if self.rng.random() < 0.3:
            run("DELETE FROM odd WHERE id = ?", k)
        else:
            run("REPLACE INTO odd VALUES(?, ?)", k, self.rng.choice((9e999, 0.1 * k, -0.0, 1e300)))

    def flip(self, run):
        """Few rows and two values: what an item was once it will soon be again."""
        k = self.rng.randrange(40)
        if self.rng.random() < 0.25:
            run("DELETE FROM flip WHERE id = ?", k)
        else:
            run("REPLACE INTO flip VALUES(?, ?)", k, self.rng.randrange(2))

    def transaction(self):
        kinds = (self.hot, self.word, self.pair, self.trio, self.mail, self.family, self.shared)
        kinds += (self.hot, self.slot, self.odd, self.flip, self.flip)
        before = self.db.total_changes

        def run(text, *parameters):
            self.db.execute(text, parameters)

        try:
            self.db.execute("BEGIN IMMEDIATE")
            for _ in range(self.rng.choice((1, 1, 2, 5, 20))):
                self.rng.choice(kinds)(run)
            self.db.execute("ROLLBACK" if self.rng.random() < 0.05 else "COMMIT")
        except sqlite3.OperationalError as error:
            # A full disk is the application's own trouble, and it goes on when there is room again.
            if "full" not in str(error) and "disk I/O" not in str(error):
                raise
            with contextlib.suppress(sqlite3.OperationalError):
                self.db.execute("ROLLBACK")
            time.sleep(0.01)
        self.transactions += 1
        self.rows += self.db.total_changes - before


def main():
    application = Application(sys.argv[1], sys.argv[2])
    going = True
    print("ready", flush=True)
    while True:
        wait = application.rng.random() * 0.006 if going else None
        if select.select([sys.stdin], [], [], wait)[0]:
            line = sys.stdin.readline().strip()
            if line == "pause":
                going = False
                print("paused %d %d" % (application.transactions, application.rows), flush=True)
            elif line == "go":
                going = True
                print("going", flush=True)
            else:
                return
        elif going:
            application.transaction()


if __name__ == "__main__":
    main()
