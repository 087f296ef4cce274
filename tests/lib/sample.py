#!/usr/bin/env python3
"""A sample database for trying and testing the mirror: a small shop with a chat.

    sample.py create PATH [--rows N] [--seed S] [--journal wal|delete]
    sample.py burst PATH [--changes N] [--seed S]

`create` makes eight tables of every kind that is mirrored: rowid, WITHOUT ROWID and STRICT tables;
keys of one, two and three columns, of integers, text and blobs; generated columns; numbers at the
edges of what SQLite and doubles hold; text of many scripts. The same rows and seed give the same
database. `burst` changes it like a busy application does: from another process, in transactions of
one to some hundreds of changes, some of them rolled back.

Only the standard library; SQLite 3.37 or newer (STRICT).
"""

import argparse
import os
import random
import sqlite3
import string
import struct
import sys
import uuid

SCHEMA = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    bio TEXT,
    avatar BLOB,
    balance REAL NOT NULL DEFAULT 0,
    external_id INTEGER,
    created_at INTEGER NOT NULL
);
CREATE TABLE products (
    sku TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    price REAL NOT NULL,
    tax REAL NOT NULL,
    price_with_tax REAL GENERATED ALWAYS AS (round(price * (1 + tax), 2)) STORED,
    label TEXT GENERATED ALWAYS AS (sku || ': ' || title) VIRTUAL,
    weight NUMERIC,
    thumbnail BLOB
) WITHOUT ROWID;
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL,
    status TEXT NOT NULL,
    total REAL NOT NULL,
    coupon TEXT,
    signature BLOB,
    note ANY
) STRICT;
CREATE TABLE order_lines (
    order_id INTEGER NOT NULL,
    line INTEGER NOT NULL,
    sku TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    unit_price REAL NOT NULL,
    amount REAL GENERATED ALWAYS AS (quantity * unit_price) VIRTUAL,
    PRIMARY KEY (order_id, line)
);
CREATE TABLE messages (
    room TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    author TEXT NOT NULL,
    body TEXT,
    attachment BLOB,
    edited INTEGER,
    PRIMARY KEY (room, sent_at, author)
) WITHOUT ROWID;
CREATE TABLE files (
    digest BLOB PRIMARY KEY,
    media_type TEXT,
    content BLOB NOT NULL,
    bytes INTEGER GENERATED ALWAYS AS (length(content)) VIRTUAL
) WITHOUT ROWID;
CREATE TABLE sensor_readings (
    sensor TEXT NOT NULL,
    taken_at INTEGER NOT NULL,
    value REAL,
    raw INTEGER,
    remark,
    PRIMARY KEY (sensor, taken_at)
);
CREATE TABLE loans (
    "loan#" INTEGER PRIMARY KEY,
    "book title" TEXT,
    "order" INTEGER,
    "Größe" REAL
);
CREATE INDEX orders_by_user ON orders (user_id);
CREATE INDEX messages_by_author ON messages (author);
"""

DOUBLES = [0.1 + 0.2, 1e-7, 123456789.123, 5e-100, -0.0, 0.0, 1.0, 100.0, -273.15, 2.0**53, 1e22,
           1.7976931348623157e125, 1e-130, 9007199254740993.0, 1 / 3, 4.35, 1e15, 1e16, 123e-20]
INTEGERS = [2**63 - 1, -(2**63), 0, -1, 2**53 + 1, -(2**53) - 1, 10**18, 42]
TEXTS = ["", "plain", "naïve café", "Grüße aus Köln", "Привет, мир", "你好，世界", "こんにちは", "안녕하세요",
         "مرحبا بالعالم", "שלום עולם", "नमस्ते", "🙂👍🏽👩‍👩‍👧‍👦🇺🇳", "a\tb\nc\\d\"e'f/g", "\u0001\u001f\u007f", "e\u0301 = é",
         "zero\x00inside", "line\u2028separator", "x" * 3000, "𝒜𝓁𝓁 𝓂𝒶𝓉𝒽", "50 % #hash \\ back"]
ROOMS = ["general", "random", "книги", "café ☕", "a#b", "a\\", "a\\#b", "#", "日本語", "support/42"]
STATUSES = ["new", "paid", "sent", "returned"]
# Each table's share of all rows.
SHARES = [("users", 0.12), ("products", 0.06), ("orders", 0.16), ("order_lines", 0.28),
          ("messages", 0.20), ("files", 0.02), ("sensor_readings", 0.14), ("loans", 0.02)]


def random_double(rng):
    """Any double that DynamoDB can hold, by its bits, or one of the awkward ones."""
    if rng.random() < 0.5:
        return rng.choice(DOUBLES)
    while True:
        value = struct.unpack("<d", rng.getrandbits(64).to_bytes(8, "little"))[0]
        if 1e-130 <= abs(value) <= 9.9e125:
            return value


def random_integer(rng):
    return rng.choice(INTEGERS) if rng.random() < 0.3 else rng.randint(-(2**63), 2**63 - 1)


def random_text(rng):
    if rng.random() < 0.4:
        return rng.choice(TEXTS)
    return " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 9)))
                    for _ in range(rng.randint(1, 12)))


def random_blob(rng, most=200):
    return b"" if rng.random() < 0.1 else rng.randbytes(rng.randint(1, most))


def maybe(rng, value):
    """NULL one time in five."""
    return None if rng.random() < 0.2 else value


class Maker:
    """Makes rows, numbered and timed from `first` on: two makers far apart never meet."""

    def __init__(self, rng, first=1):
        self.rng = rng
        self.next = first
        self.clock = 1_700_000_000_000 + first * 1000

    def number(self):
        self.next += 1
        return self.next

    def tick(self):
        self.clock += self.rng.randint(1, 5000)
        return self.clock

    def users(self):
        rng, n = self.rng, self.number()
        return {"id": n, "email": f"user{n}@example.org", "name": random_text(rng) or "nobody",
                "bio": maybe(rng, random_text(rng)), "avatar": maybe(rng, random_blob(rng)),
                "balance": random_double(rng), "external_id": maybe(rng, random_integer(rng)),
                "created_at": self.tick()}

    def products(self):
        rng, n = self.rng, self.number()
        return {"sku": f"{rng.choice(['BK', 'ТМ', '本'])}-{n:06d}", "title": random_text(rng),
                "price": rng.randint(1, 100_000) / 100, "tax": rng.choice([0.0, 0.07, 0.19]),
                "weight": maybe(rng, rng.choice([1, 2.5, 0.333, "1.50", "heavy"])),
                "thumbnail": maybe(rng, random_blob(rng, 2000))}

    def orders(self):
        rng, n = self.rng, self.number()
        note = rng.choice([None, 7, 2.5, "by hand", b"\x00\xff", ""])
        return {"id": n, "user_id": rng.randint(1, max(n, 1)), "status": rng.choice(STATUSES),
                "total": rng.randint(1, 1_000_000) / 100, "coupon": maybe(rng, random_text(rng)),
                "signature": maybe(rng, random_blob(rng, 64)), "note": note}

    def order_lines(self):
        rng, n = self.rng, self.number()
        return {"order_id": n // 4, "line": n % 4 + 1, "sku": f"BK-{rng.randint(1, 5000):06d}",
                "quantity": rng.randint(1, 9), "unit_price": rng.randint(1, 100_000) / 100}

    def messages(self):
        rng, n = self.rng, self.number()
        return {"room": rng.choice(ROOMS), "sent_at": self.tick(),
                "author": rng.choice(["ann", "bob", "Ωmega", "x#y", "x\\"]) + str(n % 50),
                "body": maybe(rng, random_text(rng)), "attachment": maybe(rng, random_blob(rng)),
                "edited": maybe(rng, rng.randint(0, 1))}

    def files(self):
        rng = self.rng
        return {"digest": rng.randbytes(20), "media_type": maybe(rng, "image/png"),
                "content": random_blob(rng, 20_000)}

    def sensor_readings(self):
        rng = self.rng
        return {"sensor": f"sensor-{rng.randint(1, 40)}", "taken_at": self.tick(),
                "value": maybe(rng, random_double(rng)), "raw": maybe(rng, random_integer(rng)),
                "remark": rng.choice([None, 1, 1.5, "text", b"\x01"])}

    def loans(self):
        rng = self.rng
        return {"loan#": self.number(), "book title": maybe(rng, random_text(rng)),
                "order": maybe(rng, random_integer(rng)), "Größe": maybe(rng, random_double(rng))}

    def row(self, table):
        return getattr(self, table)()


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def insert(db, table, row, verb="INSERT"):
    columns = ", ".join(map(quoted, row))
    places = ", ".join("?" * len(row))
    db.execute(f"{verb} INTO {quoted(table)} ({columns}) VALUES ({places})", list(row.values()))


def create(path, rows=20000, seed=1, journal="wal"):
    """Makes the database at `path`, which must not exist. Returns how many rows it holds."""
    if os.path.exists(path):
        raise FileExistsError(f"{path} exists already; remove it or choose another path")
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA journal_mode = {journal}")
    db.executescript(SCHEMA)
    rng = random.Random(seed)
    db.execute("BEGIN")
    total = 0
    for table, share in SHARES:
        maker = Maker(rng, 0)
        for _ in range(round(rows * share)):
            insert(db, table, maker.row(table))
            total += 1
    db.execute("COMMIT")
    db.close()
    return total


class Burst:
    """One process's worth of changes to an existing sample database."""

    def __init__(self, db, seed):
        self.db = db
        self.rng = random.Random(seed)
        self.maker = Maker(self.rng, 1_000_000 + 100_000 * (seed % 1000))
        self.done = {"inserted": 0, "updated": 0, "deleted": 0, "rolled back": 0}
        self.keys = {}
        for table, _ in SHARES:
            names = [r[1] for r in sorted(db.execute(f"PRAGMA table_info({quoted(table)})"),
                                          key=lambda r: r[5]) if r[5]]
            listed = ", ".join(map(quoted, names))
            self.keys[table] = (" AND ".join(f"{quoted(n)} IS ?" for n in names), names, list(
                db.execute(f"SELECT {listed} FROM {quoted(table)} ORDER BY {listed}")))

    def some_key(self, table):
        keys = self.keys[table][2]
        return self.rng.choice(keys) if keys else None

    def update(self, table, where, names, key):
        fresh = self.maker.row(table)
        settable = [c for c in fresh if c not in names and c != "email"]
        changed = {c: fresh[c] for c in self.rng.sample(settable, self.rng.randint(1, len(settable)))}
        if self.rng.random() < 0.05:
            changed.update((n, fresh[n]) for n in names)
        sets = ", ".join(f"{quoted(c)} = ?" for c in changed)
        return self.db.execute(f"UPDATE OR REPLACE {quoted(table)} SET {sets} WHERE {where}",
                               [*changed.values(), *key]).rowcount

    def change(self, done):
        rng = self.rng
        table = rng.choice([t for t, _ in SHARES])
        where, names, _ = self.keys[table]
        key = self.some_key(table)
        kind = rng.random()
        if kind < 0.35 or key is None:
            row = self.maker.row(table)
            insert(self.db, table, row, "INSERT OR REPLACE")
            self.keys[table][2].append(tuple(row[n] for n in names))
            done["inserted"] += 1
        elif kind < 0.80:
            done["updated"] += self.update(table, where, names, key)
        else:
            done["deleted"] += self.db.execute(
                f"DELETE FROM {quoted(table)} WHERE {where}", key).rowcount

    def transaction(self, size):
        """A transaction of `size` changes; some fail as a whole, some in a savepoint only."""
        done = dict.fromkeys(self.done, 0)
        self.db.execute("BEGIN IMMEDIATE")
        for _ in range(size):
            undone = self.rng.random() < 0.03
            counted = dict.fromkeys(self.done, 0) if undone else done
            if undone:
                self.db.execute("SAVEPOINT attempt")
            self.change(counted)
            if undone:
                self.db.execute("ROLLBACK TO attempt")
                self.db.execute("RELEASE attempt")
        if self.rng.random() < 0.06:
            self.db.execute("ROLLBACK")
            self.done["rolled back"] += 1
            return
        self.db.execute("COMMIT")
        for what, count in done.items():
            self.done[what] += count

    def run(self, changes):
        transactions = 0
        while changes > 0:
            size = min(changes, self.rng.choice([1, 1, 1, 1, 2, 5, 20, 100, 300]))
            self.transaction(size)
            changes -= size
            transactions += 1
        return transactions


def burst(path, changes=2000, seed=2):
    """Changes the database at `path`. Returns counts of what was done, and of transactions."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} does not exist; make it with: sample.py create {path}")
    db = sqlite3.connect(path, isolation_level=None, timeout=30)
    db.execute("PRAGMA synchronous = NORMAL")
    work = Burst(db, seed)
    transactions = work.run(changes)
    db.close()
    return {**work.done, "transactions": transactions}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("create", help="make the database")
    make.add_argument("path")
    make.add_argument("--rows", type=int, default=20000)
    make.add_argument("--seed", type=int, default=1)
    make.add_argument("--journal", choices=["wal", "delete", "truncate", "persist"], default="wal")
    change = commands.add_parser("burst", help="change it")
    change.add_argument("path")
    change.add_argument("--changes", type=int, default=2000)
    change.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    try:
        if args.command == "create":
            total = create(args.path, args.rows, args.seed, args.journal)
            print(f"{args.path}: {len(SHARES)} tables, {total:,} rows")
        else:
            did = burst(args.path, args.changes, args.seed)
            counts = ", ".join(f"{count:,} {what}" for what, count in did.items()
                               if what not in ("transactions", "rolled back"))
            print(f"{counts} in {did['transactions']:,} transactions "
                  f"({did['rolled back']:,} of them rolled back)")
    except (OSError, sqlite3.Error) as error:
        print(f"sample.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
