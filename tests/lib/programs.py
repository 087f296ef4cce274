"""Programs of an application, generated from a seed: tables of every kind, and what is done to them.

    program = Program("7-3", 3)          # the same seed gives the same program
    for text in program.schema: ...      # its tables, to be made first
    unit = program.next_unit()           # a Unit: SQL that belongs together
    units = list(program.units(40))

A generator knows the schema it has made, also after columns came and went, but no row: so what it
says next depends on the seed alone. Values and keys come from small sets, so that rows meet. Every
statement is plain SQL with its values written out: a log of them can be fed to the sqlite3 shell.
"""

import random
from dataclasses import dataclass, field

# Rows that REPLACE removes through a second unique index, or through a key that compares without
# regard to case, fire no DELETE trigger: only lookups before the statement see them.
REPLACED_ROWS_ARE_CAPTURED = True

WORDS = ["a", "B", "b", "c#d", "e\\", "ä", "\U0001f600", "It's", "x y", "0012"]


@dataclass
class Unit:
    """Statements of one transaction if they begin one, else each by itself. `rebuilds`: the table
    that loses its triggers by it."""

    statements: list
    rebuilds: str = None


@dataclass
class Column:
    name: str
    type: str = ""
    constraint: str = ""
    generated: bool = False
    not_null: bool = False
    of_index: bool = False

    def sql(self):
        return " ".join(word for word in ('"%s"' % self.name, self.type, self.constraint) if word)


@dataclass
class Table:
    name: str
    kind: str
    key: list  # Columns
    columns: list  # other Columns
    options: str = ""
    key_clause: str = ""
    indexes: dict = field(default_factory=dict)  # name -> SQL
    unique: bool = False  # a unique index besides the key, or a key that ignores case
    triggers: dict = field(default_factory=dict)

    def create(self, name):
        parts = [c.sql() for c in self.key + self.columns] + ([self.key_clause] if self.key_clause else [])
        return "CREATE TABLE %s(%s)%s" % (name, ", ".join(parts), self.options)

    def plain(self):
        """Columns that a statement may set, besides the key's."""
        return [c for c in self.columns if not c.generated]


KEYS = {
    "integer": ([("id", "INTEGER", "PRIMARY KEY")], "", ""),
    "autoincrement": ([("id", "INTEGER", "PRIMARY KEY AUTOINCREMENT")], "", ""),
    "int": ([("id", "INT", "PRIMARY KEY NOT NULL")], "", ""),
    "text": ([("k", "TEXT", "PRIMARY KEY NOT NULL")], "", ""),
    "real": ([("k", "REAL", "PRIMARY KEY NOT NULL")], "", ""),
    "blob": ([("k", "BLOB", "PRIMARY KEY NOT NULL")], "", ""),
    "text_without_rowid": ([("k", "TEXT", "PRIMARY KEY")], " WITHOUT ROWID", ""),
    "strict": ([("id", "INTEGER", "PRIMARY KEY")], " STRICT", ""),
    "pair": ([("a", "TEXT", "NOT NULL"), ("b", "INTEGER", "NOT NULL")], "", "PRIMARY KEY(a, b)"),
    "pair_reversed": ([("a", "INTEGER", "NOT NULL"), ("b", "BLOB", "NOT NULL")], " WITHOUT ROWID",
                      "PRIMARY KEY(b DESC, a)"),
    "triple": ([("a", "TEXT", "NOT NULL"), ("b", "INTEGER", "NOT NULL"), ("c", "TEXT", "NOT NULL")],
               " WITHOUT ROWID", "PRIMARY KEY(a, b, c)"),
    "nocase": ([("k", "TEXT", "PRIMARY KEY COLLATE NOCASE NOT NULL")], "", ""),
    "rtrim": ([("k", "TEXT", "PRIMARY KEY COLLATE RTRIM")], " WITHOUT ROWID", ""),
}
UNIQUE = [
    "CREATE UNIQUE INDEX %s ON %s(u)",
    "CREATE UNIQUE INDEX %s ON %s(u, n)",
    "CREATE UNIQUE INDEX %s ON %s(n) WHERE n > 3",
    "CREATE UNIQUE INDEX %s ON %s(lower(u))",
    "CREATE UNIQUE INDEX %s ON %s(u COLLATE NOCASE DESC)",
    "CREATE UNIQUE INDEX %s ON %s(g)",
]


class Program:
    def __init__(self, seed, number):
        self.rng = random.Random("program %s" % seed)
        self.name = "p%d" % number
        self.serial = 0
        self.tables = [self.make_table(self.name + "_m")]
        if self.rng.random() < 0.5:
            self.tables.append(self.make_child(self.name + "_c", self.tables[0]))
        self.schema = []
        for table in self.tables:
            self.schema += [table.create(table.name), *table.indexes.values(), *table.triggers.values()]

    # The schema.

    def make_table(self, name):
        rng = self.rng
        kind = rng.choice(list(KEYS))
        columns, options, clause = KEYS[kind]
        strict = "STRICT" in options
        table = Table(name, kind, [Column(*c) for c in columns], [
            Column("v", "TEXT"),
            Column("n", "INTEGER", rng.choice(["", "DEFAULT 0", "NOT NULL DEFAULT 5"])),
            Column("u", "TEXT"),
            Column("x", "ANY" if strict else rng.choice(["", "NUMERIC", "REAL", "BLOB"])),
        ], options, clause)
        table.columns[1].not_null = "NOT NULL" in table.columns[1].constraint
        stored = rng.choice(["STORED", "VIRTUAL"])
        table.columns.append(Column(
            "g", "TEXT", "GENERATED ALWAYS AS (coalesce(u, '-') || coalesce(n, '')) " + stored, True))
        table.unique = kind in ("nocase", "rtrim")
        rng.shuffle(table.columns)
        if rng.random() < 0.4:
            self.add_index(table, rng.choice(UNIQUE))
        if rng.random() < 0.3:
            self.add_index(table, "CREATE INDEX %s ON %s(v)")
        return table

    def make_child(self, name, parent):
        """Rows that follow a parent's, by the parent's own trigger or by its key."""
        rng = self.rng
        child = Table(name, "child", [Column("id", "INTEGER", "PRIMARY KEY")],
                      [Column("v", "TEXT"), Column("n", "INTEGER")])
        if len(parent.key) == 1 and rng.random() < 0.6:
            action = rng.choice(["CASCADE", "SET NULL"])
            key = parent.key[0]
            child.columns.append(Column("p", key.type, "REFERENCES %s(%s) ON DELETE %s ON UPDATE CASCADE"
                                        % (parent.name, key.name, action)))
        else:
            moment, row = rng.choice([("AFTER INSERT", "NEW"), ("AFTER DELETE", "OLD"),
                                      ("BEFORE UPDATE", "OLD")])
            parent.triggers["own"] = (
                "CREATE TRIGGER %s_own %s ON %s BEGIN INSERT OR REPLACE INTO %s(id, v) "
                "VALUES(abs(length(%s.v)) + %d, %s.v); END"
                % (parent.name, moment, parent.name, name, row, rng.randrange(3), row))
        return child

    def add_index(self, table, pattern):
        self.serial += 1
        name = "%s_i%d" % (table.name, self.serial)
        table.indexes[name] = pattern % (name, table.name)
        table.unique |= "UNIQUE" in pattern
        return table.indexes[name]

    # Values, as SQL.

    def literal(self, column):
        rng = self.rng
        if not column.not_null and "PRIMARY" not in column.constraint and rng.random() < 0.12:
            return "NULL"
        kind = column.type
        if column.name == "p":
            return self.key_literal(column)
        if column.name == "x" and kind != "REAL":
            kind = rng.choice(["INTEGER", "REAL", "TEXT", "BLOB"])
        if kind in ("INTEGER", "INT"):
            return str(rng.choice([rng.randrange(12), rng.randrange(12), -rng.randrange(5)]))
        if kind == "REAL":
            return repr(rng.randrange(10) / 4 - 1)
        if kind == "BLOB":
            return "x'%02x'" % rng.randrange(12)
        return self.word(rng.choice(WORDS) + str(rng.randrange(3)))

    def word(self, text):
        return "'%s'" % text.replace("'", "''")

    def key_literal(self, column):
        rng = self.rng
        if column.type in ("INTEGER", "INT"):
            return str(rng.randrange(25))
        if column.type == "REAL":
            return repr(rng.randrange(25) / 8)
        if column.type == "BLOB":
            return "x'%02x'" % (1 + rng.randrange(20))
        return self.word(rng.choice(["a", "A", "b", "b ", "c#", "ü"]) + rng.choice(["", "1", "2", " "]))

    def values(self, table):
        return ", ".join([self.key_literal(c) for c in table.key]
                         + [self.literal(c) for c in table.plain()])

    def names(self, table):
        return ", ".join('"%s"' % c.name for c in table.key + table.plain())

    def where(self, table):
        rng = self.rng
        key = table.key[-1]
        return rng.choice([
            "%s = %s" % (key.name, self.key_literal(key)),
            "%s >= %s" % (key.name, self.key_literal(key)),
            "n %% 3 = %d" % rng.randrange(3),
            "v = " + self.literal(Column("v", "TEXT")),
            "n IS NULL OR n < %d" % rng.randrange(8),
        ])

    def clause(self, table):
        """A conflict clause."""
        words = ["", "", " OR IGNORE", " OR FAIL", " OR ABORT", " OR ROLLBACK"]
        if REPLACED_ROWS_ARE_CAPTURED or not table.unique:
            words += [" OR REPLACE"] * 3
        return self.rng.choice(words)

    # Statements.

    def insert(self, t):
        return "INSERT%s INTO %s(%s) VALUES(%s)" % (self.clause(t), t.name, self.names(t),
                                                    self.values(t))

    def insert_many(self, t):
        rows = ", ".join("(%s)" % self.values(t) for _ in range(self.rng.randrange(2, 9)))
        clause = self.clause(t) if self.rng.random() < 0.3 else " OR IGNORE"
        return "INSERT%s INTO %s(%s) VALUES %s" % (clause, t.name, self.names(t), rows)

    def insert_select(self, t):
        key = t.key[-1]
        moved = {"TEXT": "substr(%s || '1', 1, 6)", "BLOB": "x'21'"}.get(key.type, "%s + 3")
        selected = ['"%s"' % c.name for c in t.key[:-1]]
        selected += [moved % key.name if "%s" in moved else moved]
        selected += ['"%s"' % c.name for c in t.plain()]
        return "INSERT OR IGNORE INTO %s(%s) SELECT %s FROM %s WHERE %s" % (
            t.name, self.names(t), ", ".join(selected), t.name, self.where(t))

    def upsert(self, t):
        keys = ", ".join(c.name for c in t.key)
        end = self.rng.choice(["DO NOTHING", "DO UPDATE SET v = excluded.v",
                               "DO UPDATE SET n = coalesce(n, 0) + 1, v = 'again' WHERE n < 6"])
        return "INSERT INTO %s(%s) VALUES(%s) ON CONFLICT(%s) %s" % (
            t.name, self.names(t), self.values(t), keys, end)

    def insert_default(self, t):
        keys = ", ".join(c.name for c in t.key)
        return "INSERT%s INTO %s(%s) VALUES(%s)" % (
            self.clause(t), t.name, keys, ", ".join(self.key_literal(c) for c in t.key))

    def update(self, t):
        column = self.rng.choice(t.plain())
        returning = self.rng.choice(["", "", " RETURNING *"])
        return 'UPDATE%s %s SET "%s" = %s WHERE %s%s' % (
            self.clause(t), t.name, column.name, self.literal(column), self.where(t), returning)

    def update_nothing(self, t):
        return "UPDATE %s SET v = v" % t.name

    def update_from(self, t):
        return ("UPDATE %s SET v = s.w FROM (SELECT n AS m, max(v) AS w FROM %s GROUP BY n) AS s "
                "WHERE n = s.m AND %s" % (t.name, t.name, self.where(t)))

    def move_key(self, t):
        key = self.rng.choice(t.key)
        to = self.key_literal(key)
        if key.type in ("INTEGER", "INT", "REAL") and self.rng.random() < 0.4:
            to = "%s + %d" % (key.name, self.rng.randrange(1, 4))
        return "UPDATE%s %s SET %s = %s WHERE %s" % (
            self.clause(t), t.name, key.name, to, self.where(t))

    def move_rowid(self, t):
        if t.kind not in ("integer", "autoincrement", "strict", "child"):
            return self.move_key(t)
        alias = self.rng.choice(["rowid", "oid", "_rowid_"])
        return "UPDATE%s %s SET %s = %s WHERE id = %s" % (
            self.clause(t), t.name, alias, self.rng.randrange(25), self.rng.randrange(25))

    def delete(self, t):
        returning = self.rng.choice(["", "", " RETURNING 1"])
        return "DELETE FROM %s WHERE %s%s" % (t.name, self.where(t), returning)

    def delete_all(self, t):
        return "DELETE FROM " + t.name

    def delete_by_query(self, t):
        return "WITH w(m) AS (SELECT max(n) FROM %s) DELETE FROM %s WHERE n = (SELECT m FROM w)" % (
            t.name, t.name)

    STATEMENTS = [(insert, 20), (insert_many, 14), (insert_select, 4), (upsert, 10),
                  (insert_default, 3), (update, 14), (update_nothing, 2), (update_from, 3),
                  (move_key, 8), (move_rowid, 4), (delete, 8), (delete_all, 1),
                  (delete_by_query, 2)]

    def statement(self):
        rng = self.rng
        (make,) = rng.choices([s for s, _ in self.STATEMENTS], [w for _, w in self.STATEMENTS])
        return make(self, rng.choice(self.tables))

    def transaction(self):
        rng = self.rng
        out = ["BEGIN IMMEDIATE"]
        saved = 0
        for _ in range(rng.randrange(2, 9)):
            dice = rng.random()
            if dice < 0.12:
                saved += 1
                out.append("SAVEPOINT s%d" % saved)
            elif dice < 0.25 and saved:
                out.append("ROLLBACK TO s%d" % rng.randrange(1, saved + 1))
                saved = int(out[-1][-1])
            else:
                out.append(self.statement())
        return out + [rng.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"])]

    # Schema changes.

    def add_column(self, t):
        self.serial += 1
        column = Column("e%d" % self.serial, "TEXT",
                        self.rng.choice(["", "DEFAULT 'new'", "NOT NULL DEFAULT 'new'"]))
        column.not_null = "NOT NULL" in column.constraint
        t.columns.append(column)
        return ["ALTER TABLE %s ADD COLUMN %s" % (t.name, column.sql())]

    def extra(self, t):
        return [c for c in t.columns if c.name.startswith("e")]

    def rename_column(self, t):
        if not self.extra(t):
            return self.add_column(t)
        column = self.rng.choice(self.extra(t))
        self.serial += 1
        old, column.name = column.name, "e%d" % self.serial
        # Another connection's ALTER is only seen by ALTER after a SELECT, with or without triggers.
        return ["SELECT count(*) FROM " + t.name,
                "ALTER TABLE %s RENAME COLUMN %s TO %s" % (t.name, old, column.name)]

    def drop_column(self, t):
        if not self.extra(t):
            return self.add_column(t)
        column = self.rng.choice(self.extra(t))
        t.columns.remove(column)
        return ["SELECT count(*) FROM " + t.name,
                "ALTER TABLE %s DROP COLUMN %s" % (t.name, column.name)]

    def change_index(self, t):
        if t.indexes and self.rng.random() < 0.5:
            name = self.rng.choice(list(t.indexes))
            del t.indexes[name]
            t.unique = t.kind in ("nocase", "rtrim") or any("UNIQUE" in s for s in t.indexes.values())
            return ["DROP INDEX " + name]
        return [self.add_index(t, "CREATE INDEX %s ON %s(v, n)")]

    def change_unique_index(self, t):
        """A unique index comes: rows that would stand in its way go first."""
        if t.kind == "child" or t.unique:
            return self.change_index(t)
        return ["BEGIN IMMEDIATE", "DELETE FROM " + t.name,
                self.add_index(t, self.rng.choice(UNIQUE)), "COMMIT"]

    def rebuild(self, t):
        """As migration tools do, in one of the ways that they have."""
        rng = self.rng
        fresh = rng.choice(["_alembic_tmp_" + t.name, "new__" + t.name, "_new_" + t.name])
        names = self.names(t)
        condition = rng.choice(["", "", " WHERE n IS NULL OR n <> 2"])
        changed = names.replace('"v"', "upper(v)") if rng.random() < 0.3 else names
        afterwards = [*t.indexes.values(), *t.triggers.values()]
        way = rng.choice(["new", "new", "aside", "loose"])
        if way == "aside":
            old = "old_" + t.name
            work = ["ALTER TABLE %s RENAME TO %s" % (t.name, old), t.create(t.name),
                    "INSERT INTO %s(%s) SELECT %s FROM %s%s" % (t.name, names, changed, old, condition),
                    "DROP TABLE " + old]
        else:
            work = [t.create(fresh),
                    "INSERT INTO %s(%s) SELECT %s FROM %s%s" % (fresh, names, changed, t.name, condition),
                    "DROP TABLE " + t.name, "ALTER TABLE %s RENAME TO %s" % (fresh, t.name)]
        work += afterwards
        for _ in range(rng.randrange(3)):
            work.append(self.statement())
        # The tool has a connection's settings of its own for a while.
        before = ["PRAGMA foreign_keys=OFF", "PRAGMA legacy_alter_table=ON"]
        after = ["PRAGMA legacy_alter_table=OFF"]
        if way != "loose":
            work = ["BEGIN IMMEDIATE"] + work + ["COMMIT"]
        return Unit(before + work + after, rebuilds=t.name)

    CHANGES = [(add_column, 4), (rename_column, 3), (drop_column, 3), (change_index, 3),
               (change_unique_index, 2)]

    # The program itself.

    def next_unit(self, rebuild=True):
        """What the program does next; without a rebuild where that is not allowed."""
        rng = self.rng
        dice = rng.random()
        table = rng.choice(self.tables)
        if dice < 0.05:
            again = self.rebuild(table)
            return again if rebuild else Unit([self.statement()])
        if dice < 0.10:
            (change,) = rng.choices([c for c, _ in self.CHANGES], [w for _, w in self.CHANGES])
            return Unit(change(self, table))
        if dice < 0.12:
            pragma = rng.choice(["recursive_triggers", "foreign_keys"])
            return Unit(["PRAGMA %s=%s" % (pragma, rng.choice(["ON", "OFF"]))])
        if dice < 0.13:
            return Unit([rng.choice(["VACUUM", "ANALYZE", "REINDEX"])])
        if dice < 0.35:
            return Unit(self.transaction())
        return Unit([self.statement()])
