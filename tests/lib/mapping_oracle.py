"""What each SQLite row must become in DynamoDB: the rules of mapping, written a second time.

The mirror's own encoder is C; this shares nothing with it, so that a fault in one shows.

Rules: the primary key decides the DynamoDB key (one column: partition key; two: partition and sort;
more: the first, and the rest joined by '#' with '\\' before any '#' or '\\' inside a part). Every
column is an attribute under its own name, by the storage class of the value: INTEGER and REAL are N,
TEXT is S, BLOB is B, NULL is left out. DynamoDB's limits: keys are not empty and at most 2,048 and
1,024 bytes, N is 0 or within 1E-130 and 9.99…E+125, S is UTF-8, an item is at most 409,600 bytes.
convert., default., add., ttl_column, keep_key and source_id: see conversion_oracle.py for the first; a
default stands for NULL as SQLite would store it; a template has the converted values as text (bool and
json as they are stored), and of a NULL there is no added attribute.
"""

import decimal
import fnmatch
import re
import sqlite3

import conversion_oracle

ITEM_LIMIT = 409600
SMALLEST, TOO_LARGE = decimal.Decimal("1e-130"), decimal.Decimal("1e126")
EXACT = decimal.Context(prec=400)  # more digits than any value here has
KEY_LIMITS = (2048, 1024)
# Prefixes of the tables that migration tools make while they rebuild another.
REBUILDING = ("_alembic_tmp_", "new__", "__new_", "_knex_temp_alter", "temporary_")
OURS = ("_syncd_", "_litestream_", "sqlite_")
BUILT_IN_COLLATIONS = ("BINARY", "NOCASE", "RTRIM")


class UnmirroredTable(Exception):
    """This table cannot be mirrored, and why."""


class Unholdable(Exception):
    """This row cannot be an item: the column (or None), the reason, and the item's key if it has one."""

    def __init__(self, column, reason):
        super().__init__(reason)
        self.column = column
        self.reason = reason
        self.key_item = None


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def folded(name):
    """As SQLite compares names: without regard to the case of ASCII letters only."""
    return re.sub("[A-Z]+", lambda m: m[0].lower(), name)


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(folded(name), folded(p)) for p in patterns)


def as_list(value):
    """A list as the configuration writes it."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return list(value)


class Settings:
    """What syncd.conf's sections say about the mapping."""

    def __init__(self, sections):
        source = sections.get("source", {})
        self.tables = as_list(source.get("tables", "*"))
        self.exclude_tables = as_list(source.get("exclude_tables", ""))
        self.exclude_columns = as_list(source.get("exclude_columns", ""))
        self.source_id = source.get("source_id", "")
        self.table_name = sections.get("dynamodb", {}).get("table_name", "{table}")
        self.sections = {folded(name[len("table "):]): keys
                         for name, keys in sections.items() if name.startswith("table ")}

    def table(self, name):
        return self.sections.get(folded(name), {})

    def covers(self, name):
        return (matches(name, self.tables) and not matches(name, self.exclude_tables)
                and self.table(name).get("enabled", "yes").lower() in ("yes", "true", "on", "1"))

    def excludes(self, table, column):
        named = [folded(c) for c in as_list(self.table(table).get("exclude", ""))]
        return folded(column) in named or matches(f"{table}.{column}", self.exclude_columns)

    def renamed(self, table, column):
        return self.said(table, f"rename.{column}") or column

    def said(self, table, wanted):
        for key, value in self.table(table).items():
            if folded(key) == folded(wanted):
                return value
        return None


def mirrored_tables(db, settings):
    """Names of the ordinary tables that the settings cover, in the order of their making."""
    kinds = {text(r[1]): text(r[2]) for r in db.execute("PRAGMA main.table_list")}
    names = [text(r[0]) for r in db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")]
    for name in names:
        if kinds.get(name) != "table" or name.lower().startswith(OURS + REBUILDING):
            continue
        if settings.covers(name):
            yield name


def affinity(declared, strict):
    """sqlite.org/datatype3.html, 3.1."""
    kind = declared.upper()
    if strict and kind == "ANY":
        return None
    if "INT" in kind:
        return "N"
    if any(word in kind for word in ("CHAR", "CLOB", "TEXT")):
        return "S"
    if "BLOB" in kind:
        return "B"
    return "N" if kind else None


def expand(pattern, table):
    camel = "".join(w[:1].upper() + w[1:] for w in re.split(r"[_\-. ]", table))
    kebab = re.sub(r"(?<=[^A-Z_\-. ])(?=[A-Z])", "-", table)
    kebab = re.sub(r"[_\-. ]", "-", kebab).lower()
    return (pattern.replace("{table-kebab}", kebab).replace("{Table}", camel)
            .replace("{table}", table))


def number_size(number):
    """Bytes of an N: 1 + half the digits on either side of the point, rounded up, + 1 for a minus."""
    number = number.normalize(EXACT)
    if number == 0:
        return 1
    sign, digits, exponent = number.as_tuple()
    # Digits before the point, and after it, without leading or trailing zeros.
    whole = max(len(digits) + min(exponent, 0), 0)
    fraction = len(digits) - whole
    return 1 + (whole + 1) // 2 + (fraction + 1) // 2 + sign


def value_size(attribute):
    ((kind, value),) = attribute.items()
    if isinstance(value, conversion_oracle.RealText):
        return 1  # never near a limit
    if kind == "S":
        return len(value.encode())
    if kind == "B":
        return len(value)
    if kind in ("NULL", "BOOL"):
        return 1
    if kind == "L":
        return 3 + sum(1 + value_size(v) for v in value)
    if kind == "M":
        return 3 + sum(1 + len(n.encode()) + value_size(v) for n, v in value.items())
    return number_size(decimal.Decimal(repr(value)) if isinstance(value, float) else value)


def item_size(item):
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


class Text(bytes):
    """TEXT as its bytes, told from a BLOB."""


def encode(column, value):
    """One value as an attribute. A double stays a float, so that its bits can be compared."""
    if isinstance(value, int):
        return {"N": decimal.Decimal(value)}
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise Unholdable(column, "not a number that DynamoDB has")
        if value != 0 and not SMALLEST <= abs(decimal.Decimal(repr(value))) < TOO_LARGE:
            raise Unholdable(column, "a number out of DynamoDB's range")
        return {"N": value}
    if isinstance(value, Text):
        try:
            return {"S": bytes(value).decode("utf-8")}
        except UnicodeDecodeError:
            raise Unholdable(column, "text that is not UTF-8") from None
    return {"B": bytes(value)}


def as_stored(declared, value):
    """A default, as SQLite keeps it in a column declared so."""
    db = sqlite3.connect(":memory:")
    try:
        db.execute(f"CREATE TABLE t(c {declared})")
        db.execute("INSERT INTO t VALUES(?)", (value,))
        ((stored,),) = db.execute("SELECT c FROM t")
    finally:
        db.close()
    return Text(stored.encode()) if isinstance(stored, str) else stored


class Column:
    def __init__(self, info, strict, said):
        self.name = text(info[1])
        self.affinity = affinity(text(info[2]), strict)
        self.key_position = info[5]
        self.convert = said(f"convert.{self.name}") or ""
        if not self.convert and folded(said("ttl_column") or "") == folded(self.name):
            self.convert = "epoch"
        default = said(f"default.{self.name}")
        self.default = as_stored(text(info[2]), default) if default else None
        self.type = conversion_oracle.kind_of(self.convert, self.affinity)

    def stored(self):
        """In a template as it is stored: what no key can be."""
        return self.convert in ("", "bool", "json")

    def attribute(self, value):
        """Of a value that is not NULL. Raises Unholdable."""
        if not self.convert:
            return encode(self.name, value)
        try:
            return conversion_oracle.convert(self.convert, value, self.affinity)
        except conversion_oracle.Refused as why:
            raise Unholdable(self.name, str(why)) from None

    def scalar(self, value):
        return encode(self.name, value) if self.stored() else self.attribute(value)


class Mapping:
    """How one table's rows become items. Raises UnmirroredTable."""

    def __init__(self, db, table, settings):
        self.table = table
        self.settings = settings
        self.section = settings.table(table)
        self.strict = any(text(r[1]) == table and r[5]
                          for r in db.execute("PRAGMA main.table_list"))
        # Hidden columns (6th of table_xinfo): 2 and 3 are generated ones, which count as columns.
        infos = db.execute(f"PRAGMA table_xinfo({quoted(table)})").fetchall()
        self.columns = [Column(r, self.strict, lambda key: settings.said(table, key))
                        for r in infos if r[6] != 1]
        self.key = sorted((c for c in self.columns if c.key_position),
                          key=lambda c: c.key_position)
        self.check_key(db)
        self.columns = [c for c in self.columns if not settings.excludes(table, c.name)]
        self.target = self.section.get("target") or expand(settings.table_name, table)
        if not re.fullmatch(r"[A-Za-z0-9_.-]{3,255}", self.target):
            raise UnmirroredTable(f"{self.target!r} is no name for a DynamoDB table")
        self.plan_key()

    def check_key(self, db):
        if not self.key:
            raise UnmirroredTable("it has no primary key")
        for index in db.execute(f"PRAGMA index_list({quoted(self.table)})").fetchall():
            if text(index[3]) != "pk":
                continue
            for part in db.execute(f"PRAGMA index_xinfo({quoted(text(index[1]))})"):
                if part[5] and text(part[4]).upper() not in BUILT_IN_COLLATIONS:
                    raise UnmirroredTable(f"its key has the collation {text(part[4])}")
        for column in self.key:
            if column.affinity is None:
                raise UnmirroredTable(f"its key column {column.name!r} has no type")
            if self.settings.excludes(self.table, column.name):
                raise UnmirroredTable(f"its key column {column.name!r} is excluded")

    def plan_key(self):
        """key_parts: (attribute name, column) for a column's own value, else (name, template)."""
        section = self.section
        names = [section.get("partition_key_name"), section.get("sort_key_name")]
        self.attributes = {c.name: self.settings.renamed(self.table, c.name)
                           for c in self.columns}
        if section.get("partition_key"):
            sources = [s for s in (section["partition_key"], section.get("sort_key")) if s]
            parts = [self.configured_part(s) for s in sources]
        else:
            parts = list(self.key) if len(self.key) <= 2 else [self.key[0], self.key[1:]]
        self.key_parts = []
        for i, part in enumerate(parts):
            if isinstance(part, Column):
                if names[i]:
                    self.attributes[part.name] = names[i]
                name = self.attributes[part.name]
            elif isinstance(part, list):
                name = names[i] or "#".join(self.attributes[c.name] for c in part)
            else:
                name = names[i] or ("pk", "sk")[i]
            self.key_parts.append((name, part))
        self.key_names = [name for name, _ in self.key_parts]

    def configured_part(self, source):
        if "{" in source:
            return source
        names = [folded(c.name) for c in self.columns]
        constant = source.upper() == source and any(c.isalpha() for c in source)
        return source if constant and folded(source) not in names else self.key_column(source)

    def key_column(self, name):
        for column in self.columns:
            if folded(column.name) == folded(name):
                if column.type is None and not (column.convert and column.affinity):
                    raise UnmirroredTable(f"its key column {name!r} has no type")
                return column
        raise UnmirroredTable(f"its key names {name!r}, which it does not have")

    def rows(self, db):
        """Rows as lists of values by self.columns, TEXT told from BLOB."""
        names = ", ".join(quoted(c.name) for c in self.columns)
        kinds = ", ".join(f"typeof({quoted(c.name)}) = 'text'" for c in self.columns)
        count = len(self.columns)
        for row in db.execute(f"SELECT {names}, {kinds} FROM {quoted(self.table)}"):
            yield [Text(v) if is_text else v for v, is_text in zip(row[:count], row[count:])]

    def row_key(self, row):
        at = {c.name: i for i, c in enumerate(self.columns)}
        return tuple(row[at[c.name]] for c in self.key)

    def item(self, row):
        """The item of a row. Raises Unholdable."""
        values = {c.name: c.default if v is None else v for c, v in zip(self.columns, row)}
        kept = {c.name: v for c, v in zip(self.columns, row)}
        key = {}
        for i, (name, part) in enumerate(self.key_parts):
            key[name] = self.key_value(values, part)
            if not 0 < value_size(key[name]) <= KEY_LIMITS[i]:
                raise Unholdable(part.name if isinstance(part, Column) else None,
                                 "a key that is empty or too long")
        try:
            return self.whole_item(values, kept, key)
        except Unholdable as fault:
            fault.key_item = {n: plain(v) for n, v in key.items()}
            raise

    def whole_item(self, values, kept, key):
        item = dict(key)
        for column in self.columns:
            value, name = values[column.name], self.attributes[column.name]
            if name in item:
                continue
            if value is not None:
                item[name] = column.attribute(value)
            elif self.section.get("null") == "null":
                item[name] = {"NULL": True}
        self.add_attributes(item, values, kept)
        if item_size(item) > ITEM_LIMIT and self.section.get("oversize", "dead-letter") == "dead-letter":
            raise Unholdable(None, "an item over 400 KB")
        return item

    def add_attributes(self, item, values, kept):
        if self.section.get("keep_key", "no") == "yes":
            for column in self.columns:
                if column.convert.startswith("uuid5") and kept[column.name] is not None:
                    item["_key_" + self.attributes[column.name]] = encode(column.name,
                                                                          kept[column.name])
        for key, template in self.section.items():
            if not key.startswith("add."):
                continue
            named = [self.any_column(n) for n in re.findall(r"\{([^}]*)\}", template)
                     if not self.is_source(n)]
            if any(values[c.name] is None for c in named):
                continue
            if named and template[0] + template[-1] == "{}" and template.count("{") == 1:
                item[key[4:]] = named[0].scalar(values[named[0].name])
            else:
                item[key[4:]] = {"S": self.filled(template,
                                                  lambda c: c.scalar(values[c.name]))}

    def is_source(self, name):
        return folded(name) == "source_id" and self.settings.source_id

    def any_column(self, name):
        for column in self.columns:
            if folded(column.name) == folded(name):
                return column
        raise UnmirroredTable(f"it has no {name!r}")

    def filled(self, template, attribute):
        """A template, with the text of attribute(column) for each column that it names."""
        return re.sub(r"\{([^}]*)\}", lambda m: self.settings.source_id if self.is_source(m[1])
                      else self.as_text(attribute(self.any_column(m[1]))), template)

    def key_value(self, values, part):
        if isinstance(part, Column):
            return self.typed(values, part)
        if isinstance(part, list):
            texts = (self.as_text(self.typed(values, c)) for c in part)
            return {"S": "#".join(re.sub(r"([#\\])", r"\\\1", t) for t in texts)}
        return {"S": self.filled(part, lambda c: self.typed(values, self.key_column(c.name)))}

    def typed(self, values, column):
        """A key column's value, which must be of the column's affinity."""
        value = values[column.name]
        if value is None:
            raise Unholdable(column.name, "a key that is NULL")
        attribute = column.scalar(value)
        if column.stored() and column.affinity not in attribute:
            raise Unholdable(column.name, "a key of another type than the column's")
        return attribute

    @staticmethod
    def as_text(attribute):
        """A column inside a joined key or a template: text, decimal, or lower-case hex."""
        ((kind, value),) = attribute.items()
        if isinstance(value, float):
            raise NotImplementedError("this oracle knows no text for a REAL within a template")
        if kind == "S":
            return value
        return value.hex() if kind == "B" else format(value, "f")


def plain(attribute):
    """As boto3 gives it."""
    ((kind, value),) = attribute.items()
    return {kind: repr(value) if isinstance(value, float) else str(value)} if kind == "N" else attribute
