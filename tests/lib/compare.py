#!/usr/bin/env python3
"""Does DynamoDB hold exactly what SQLite's tables say?

An oracle of its own: it shares no code with syncd. What each row must become is derived here from
the rules of mapping alone (see `Mapping`), what is there is read by boto3 with consistent scans.

    compare.py DATABASE --endpoint URL [--region R] [--table-name PATTERN] [--config syncd.conf]

prints one line of truth, "equal: 8 tables, 20,431 items, 123,456 attributes" (exit 0), or what
differs (exit 1); 2 when one side cannot be read. As a module: expected_items(database, settings) and
compare(database, client, settings).

`settings` are sections of syncd.conf as a dict, lists as text with commas or as lists; keys that say
nothing about the mapping are passed over:

    {"source": {"tables": "*", "exclude_tables": "tmp_*", "exclude_columns": "user.token"},
     "dynamodb": {"table_name": "{table}"},
     "table chat": {"enabled": "no", "target": "…", "partition_key": "…", "sort_key": "…",
                    "partition_key_name": "…", "sort_key_name": "…", "exclude": "…",
                    "rename.created_at": "createdAt", "null": "null", "convert.created_at": "…",
                    "default.genre": "…", "add.NAME": "…", "ttl_column": "…", "keep_key": "yes"}}

Rows that DynamoDB cannot hold are expected as dead letters: listed, and no item is demanded of them.
"""

import argparse
import configparser
import decimal
import os
import pathlib
import re
import sqlite3
import struct
import sys
from collections import namedtuple
from dataclasses import dataclass, field

import boto3
import botocore.config

from conversion_oracle import RealText
from mapping_oracle import (EXACT, Mapping, Settings, Unholdable, UnmirroredTable,
                            mirrored_tables)
from oversize_reader import whole_items

Difference = namedtuple("Difference", "target key what")
DeadLetter = namedtuple("DeadLetter", "table key column reason")


@dataclass
class Target:
    """What one DynamoDB table must hold: canonical key -> list of items, any of which is right (two
    when rows collide). `unheld` are keys of rows that cannot be items: nothing is said of them."""

    key_names: list
    items: dict = field(default_factory=dict)
    unheld: set = field(default_factory=set)


@dataclass
class Expected:
    targets: dict = field(default_factory=dict)  # DynamoDB table -> Target
    dead: list = field(default_factory=list)  # DeadLetter
    skipped: dict = field(default_factory=dict)  # SQLite table -> why it is not mirrored


def as_decimal(value):
    """A double stands for its shortest text, as it does in DynamoDB."""
    return decimal.Decimal(repr(value) if isinstance(value, float) else value)


def canonical_key(item, names):
    """Keys are the same when DynamoDB says so: numbers by value."""
    parts = []
    for name in names:
        ((kind, value),) = item[name].items()
        parts.append((kind, as_decimal(value).normalize(EXACT) if kind == "N" else value))
    return tuple(parts)


def open_readonly(database):
    if not os.path.exists(database):
        raise FileNotFoundError(f"{database} does not exist")
    db = sqlite3.connect(f"{pathlib.Path(database).absolute().as_uri()}?mode=ro", uri=True,
                         isolation_level=None, timeout=30)
    # Bytes as they are: whether they are UTF-8 is part of the question.
    db.text_factory = bytes
    return db


def expected_items(database, settings=None):
    """What DynamoDB must hold, from one snapshot of the database file."""
    settings = Settings(settings or {})
    expected = Expected()
    db = open_readonly(database)
    try:
        db.execute("BEGIN")
        for table in mirrored_tables(db, settings):
            try:
                mapping = Mapping(db, table, settings)
            except UnmirroredTable as reason:
                expected.skipped[table] = str(reason)
                continue
            target = expected.targets.setdefault(mapping.target, Target(mapping.key_names))
            expect_rows(expected, target, mapping, db)
    finally:
        db.close()
    return expected


def expect_rows(expected, target, mapping, db):
    for row in mapping.rows(db):
        try:
            item = mapping.item(row)
        except Unholdable as fault:
            expected.dead.append(DeadLetter(mapping.table, mapping.row_key(row), fault.column,
                                            fault.reason))
            if fault.key_item is not None:
                target.unheld.add(canonical_key(fault.key_item, mapping.key_names))
            continue
        key = canonical_key(item, mapping.key_names)
        owners = target.items.setdefault(key, [])
        if owners:
            expected.dead.append(DeadLetter(mapping.table, mapping.row_key(row), None,
                                            "another row has the same DynamoDB key"))
        owners.append(item)


@dataclass
class Report:
    tables: int = 0
    items: int = 0
    attributes: int = 0
    missing: list = field(default_factory=list)
    extra: list = field(default_factory=list)
    different: list = field(default_factory=list)
    dead: list = field(default_factory=list)
    skipped: dict = field(default_factory=dict)

    @property
    def equal(self):
        return not (self.missing or self.extra or self.different)

    def __bool__(self):
        return self.equal

    def __str__(self):
        counts = (f"{self.tables:,} tables, {self.items:,} items, "
                  f"{self.attributes:,} attributes")
        notes = f"; {len(self.dead):,} rows that DynamoDB cannot hold" if self.dead else ""
        notes += f"; not mirrored: {', '.join(self.skipped)}" if self.skipped else ""
        if self.equal:
            return f"equal: {counts}{notes}"
        lines = [f"NOT equal: {len(self.missing):,} missing, {len(self.extra):,} extra, "
                 f"{len(self.different):,} different; compared {counts}{notes}"]
        for name in ("missing", "extra", "different"):
            found = getattr(self, name)
            lines += [f"  {name}: {d.target} {d.key}: {d.what}" for d in found[:5]]
            if len(found) > 5:
                lines.append(f"  {name}: … and {len(found) - 5:,} more")
        return "\n".join(lines)


def bits(double):
    return struct.pack("<d", double)


def attribute_differs(want, got):
    """`want` carries a double as {"N": float}, everything else as DynamoDB's JSON shape."""
    ((kind, value),) = want.items()
    if kind not in got:
        return True
    if kind == "L":
        return len(value) != len(got[kind]) or any(map(attribute_differs, value, got[kind]))
    if kind == "M":
        return set(value) != set(got[kind]) or any(attribute_differs(v, got[kind][n])
                                                   for n, v in value.items())
    if isinstance(value, RealText):
        return (got[kind].lstrip("-") == "" or not re.search(r"[.eI]", got[kind])
                or bits(float(got[kind])) != bits(float(value)))
    if kind != "N":
        return got[kind] != value
    number = decimal.Decimal(got["N"])
    if not isinstance(value, float):
        return number != value
    # -0.0 becomes 0. Otherwise the same bits, from a text no longer than the shortest.
    if bits(float(got["N"])) != bits(value + 0.0):
        return True
    return digits(number) > digits(decimal.Decimal(repr(value)))


def digits(number):
    return len(number.normalize(EXACT).as_tuple().digits)


def shown(attribute):
    """An attribute in a line of a report: long values by their beginning."""
    ((kind, value),) = attribute.items()
    words = repr(value) if isinstance(value, (bytes, str)) and kind != "N" else str(value)
    return f"{kind} {words if len(words) <= 60 else words[:60] + '…'}"


def item_differs(want, got):
    """None when equal, else words."""
    for name in want:
        if name not in got:
            return f"attribute {name!r} is missing (should be {shown(want[name])})"
        if attribute_differs(want[name], got[name]):
            return f"attribute {name!r} is {shown(got[name])} (should be {shown(want[name])})"
    for name in got:
        if name not in want:
            return f"attribute {name!r} should not be there (is {shown(got[name])})"
    return None


def scan(client, table):
    pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    for page in pages:
        yield from page["Items"]


def shown_key(key):
    return ", ".join(shown({kind: value}) for kind, value in key)


def compare_target(report, name, target, items):
    seen = set()
    for got in items:
        report.items += 1
        report.attributes += len(got)
        key = canonical_key(got, target.key_names)
        seen.add(key)
        if key in target.items:
            reasons = [item_differs(want, got) for want in target.items[key]]
            if all(reasons):
                report.different.append(Difference(name, shown_key(key), reasons[0]))
        elif key not in target.unheld:
            report.extra.append(Difference(name, shown_key(key), "no row is like this"))
    for key in target.items:
        if key not in seen and key not in target.unheld:
            report.missing.append(Difference(name, shown_key(key), "the row has no item"))


def compare(database, client, settings=None):
    """SQLite against DynamoDB, item for item, attribute for attribute."""
    expected = expected_items(database, settings)
    report = Report(dead=expected.dead, skipped=expected.skipped)
    for name, target in sorted(expected.targets.items()):
        report.tables += 1
        try:
            schema = client.describe_table(TableName=name)["Table"]["KeySchema"]
        except client.exceptions.ResourceNotFoundException:
            report.missing.append(Difference(name, "-", "the table does not exist"))
            continue
        names = [part["AttributeName"] for part in schema]
        if names != target.key_names:
            report.different.append(Difference(name, "-", f"the key is {names} "
                                                          f"(should be {target.key_names})"))
            continue
        compare_target(report, name, target, whole_items(scan(client, name), names))
    return report


def make_client(endpoint, region="us-east-1"):
    """A client for an endpoint; for one on loopback with made-up credentials unless some are set."""
    made_up = {}
    if endpoint and "AWS_ACCESS_KEY_ID" not in os.environ:
        made_up = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return boto3.client("dynamodb", endpoint_url=endpoint, region_name=region,
                        config=botocore.config.Config(retries={"mode": "standard"}), **made_up)


def read_settings(path):
    """A configuration file as `settings`. Its .d directory is not read."""
    parser = configparser.ConfigParser(delimiters=("=",), comment_prefixes=("#", ";"), strict=False,
                                       interpolation=None, empty_lines_in_values=False)
    parser.optionxform = str
    with open(path, encoding="utf-8") as file:
        parser.read_file(file)
    return {section_name(name): {key: os.path.expandvars(value.strip("\""))
                                 for key, value in section.items()}
            for name, section in parser.items() if name != "DEFAULT"}


def section_name(name):
    """`table "a \\"b\\""` is written `table a "b"` in settings."""
    quoted = re.fullmatch(r'table\s+"(.*)"', name)
    return "table " + re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else name


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("database")
    parser.add_argument("--endpoint", default=None)
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--table-name", default=None, help="pattern, such as shop-{table}")
    parser.add_argument("--config", default=None, help="a configuration file of syncd")
    args = parser.parse_args()
    try:
        settings = read_settings(args.config) if args.config else {}
        if args.table_name:
            settings.setdefault("dynamodb", {})["table_name"] = args.table_name
        report = compare(args.database, make_client(args.endpoint, args.region), settings)
    except (OSError, sqlite3.Error, configparser.Error, botocore.exceptions.BotoCoreError,
            botocore.exceptions.ClientError) as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    print(report)
    return 0 if report.equal else 1


if __name__ == "__main__":
    sys.exit(main())
