"""The oracle itself: it must see every difference, and nothing where there is none."""

import contextlib
import copy
import os
import sqlite3
import struct
import sys
from decimal import Decimal

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare  # noqa: E402
import mapping_oracle  # noqa: E402
import sample  # noqa: E402


class NoSuchTable(Exception):
    pass


class Store:
    """As much of a DynamoDB client as compare() asks for, over a dict of items."""

    class exceptions:
        ResourceNotFoundException = NoSuchTable

    def __init__(self, expected):
        self.tables = {name: (target.key_names, [self.stored(items[0])
                                                 for items in target.items.values()])
                       for name, target in expected.targets.items()}

    @staticmethod
    def stored(item):
        """As DynamoDB gives back: numbers as plain decimal text."""
        return {n: {k: format(Decimal(repr(v)) if isinstance(v, float) else v, "f")
                    if k == "N" else v for k, v in a.items()} for n, a in item.items()}

    def describe_table(self, TableName):
        if TableName not in self.tables:
            raise NoSuchTable
        return {"Table": {"KeySchema": [{"AttributeName": n} for n in self.tables[TableName][0]]}}

    def get_paginator(self, _):
        return self

    def paginate(self, TableName, ConsistentRead):
        assert ConsistentRead
        return [{"Items": self.tables[TableName][1]}, {"Items": []}]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("shop") / "shop.db")
    assert sample.create(path, 1000, 7) == 1000
    return path, Store(compare.expected_items(path))


def database(tmp_path, *statements):
    path = str(tmp_path / "t.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(*statement) if isinstance(statement, tuple) else db.execute(statement)
    return path


def only_item(path, settings=None):
    (target,) = compare.expected_items(path, settings).targets.values()
    ((item,),) = target.items.values()
    return target.key_names, item


def test_sample_is_deterministic_and_whole(tmp_path, shop):
    twin = str(tmp_path / "twin.db")
    sample.create(twin, 1000, 7)
    report = compare.compare(twin, shop[1])
    assert report.equal and (report.tables, report.items, report.dead) == (8, 1000, [])
    assert str(report).startswith("equal: 8 tables, 1,000 items, ")


def test_burst_changes_what_is_expected(tmp_path, shop):
    twin = str(tmp_path / "twin.db")
    sample.create(twin, 1000, 7)
    sample.burst(twin, 500, 3)
    report = compare.compare(twin, shop[1])
    assert report.missing and report.extra and report.different
    assert str(report).startswith("NOT equal")


def test_every_attribute_counts(shop):
    """Spoil each attribute of one item a table, one at a time: all are found."""
    path, store = shop
    for name, (keys, items) in store.tables.items():
        for attribute in items[0]:
            spoilt = copy.copy(store)
            item = {k: v for k, v in items[0].items() if k != attribute}
            if attribute in keys:
                item[attribute] = {"S": "no such key"}
            spoilt.tables = {**store.tables, name: (keys, [item, *items[1:]])}
            assert not compare.compare(path, spoilt).equal, (name, attribute)


def test_missing_table_and_wrong_key_are_differences(shop):
    path, store = shop
    spoilt = copy.copy(store)
    spoilt.tables = {k: v for k, v in store.tables.items() if k != "users"}
    assert [d.target for d in compare.compare(path, spoilt).missing] == ["users"]
    spoilt.tables = {**store.tables, "users": (["email"], [])}
    assert [d.target for d in compare.compare(path, spoilt).different] == ["users"]


@pytest.mark.parametrize("want, got, differs", [
    ({"N": Decimal(1)}, {"N": "1.00"}, False),
    ({"N": Decimal(1)}, {"S": "1"}, True),
    ({"N": Decimal(2**63 - 1)}, {"N": "9223372036854775808"}, True),
    ({"N": 0.1 + 0.2}, {"N": "0.30000000000000004"}, False),
    ({"N": 0.1 + 0.2}, {"N": "0.3"}, True),
    ({"N": 0.1}, {"N": "0.1000000000000000055511151231257827"}, True),
    ({"N": -0.0}, {"N": "0"}, False),
    ({"N": 1e22}, {"N": "10000000000000000000000"}, False),
    ({"S": "é"}, {"S": "e\u0301"}, True),
    ({"B": b""}, {"B": b""}, False),
    ({"NULL": True}, {"S": ""}, True),
])
def test_attributes_are_compared_exactly(want, got, differs):
    assert compare.attribute_differs(want, got) is differs


def test_long_keys_are_joined_and_escaped(tmp_path):
    path = database(tmp_path, "CREATE TABLE t(a TEXT, b INTEGER, c TEXT, d BLOB, v, "
                              "PRIMARY KEY(c, b, a, d))",
                    ("INSERT INTO t VALUES(?, 5, 'C', x'0aFF', NULL)", ("x#y\\",)))
    assert only_item(path, {"dynamodb": {"table_name": "p-{table}"}}) == (
        ["c", "b#a#d"], {"c": {"S": "C"}, "b#a#d": {"S": "5#x\\#y\\\\#0aff"}, "a": {"S": "x#y\\"},
                         "b": {"N": Decimal(5)}, "d": {"B": b"\x0a\xff"}})


def test_settings_change_the_items(tmp_path):
    path = database(tmp_path, "CREATE TABLE user_notes(owner INTEGER PRIMARY KEY, secret, made, x)",
                    "INSERT INTO user_notes VALUES(7, 's', 1, NULL)", "CREATE TABLE other(i)",
                    "CREATE TABLE tmp_x(i INTEGER PRIMARY KEY)")
    settings = {"source": {"exclude_columns": "*.SECRET", "exclude_tables": "tmp_*"},
                "dynamodb": {"table_name": "jaaz-{table-kebab}"},
                "table user_notes": {"partition_key": "U#{owner}", "rename.made": "madeAt",
                                     "null": "null"}}
    expected = compare.expected_items(path, settings)
    assert list(expected.targets) == ["jaaz-user-notes"]
    assert expected.skipped == {"other": "it has no primary key"}
    assert only_item(path, settings) == (["pk"], {
        "pk": {"S": "U#7"}, "owner": {"N": Decimal(7)}, "madeAt": {"N": Decimal(1)},
        "x": {"NULL": True}})


@pytest.mark.parametrize("literal, column", [
    ("9e999", "v"), ("-9e999", "v"), ("1e126", "v"), ("1e-131", "v"),
    ("CAST(x'ff' AS TEXT)", "v"), ("zeroblob(409600)", None)])
def test_what_dynamodb_cannot_hold_is_a_dead_letter(tmp_path, literal, column):
    path = database(tmp_path, "CREATE TABLE one(id INTEGER PRIMARY KEY, v)",
                    f"INSERT INTO one VALUES(1, {literal})")
    expected = compare.expected_items(path)
    assert [(d.table, d.key, d.column) for d in expected.dead] == [("one", (1,), column)]
    assert not expected.targets["one"].items and expected.targets["one"].unheld


@pytest.mark.parametrize("kind, literal", [
    ("TEXT", "''"), ("TEXT", "NULL"), ("TEXT", "x'31'"), ("INT NOT NULL", "'abc'"),
    ("BLOB", "'text'"), ("BLOB", "x''"), ("TEXT", "printf('%2049s', 'x')")])
def test_keys_that_cannot_be_keys_are_dead_letters(tmp_path, kind, literal):
    path = database(tmp_path, f"CREATE TABLE one(k {kind}, v, PRIMARY KEY(k))",
                    f"INSERT INTO one VALUES({literal}, 1)")
    expected = compare.expected_items(path)
    assert len(expected.dead) == 1 and not expected.targets["one"].items


@pytest.mark.parametrize("number, size", [
    ("0", 1), ("1", 2), ("-42", 3), ("3.14159", 5), ("100.5", 4), ("1E+20", 2), ("0.001", 2)])
def test_numbers_are_counted_as_dynamodb_counts_them(number, size):
    assert mapping_oracle.number_size(Decimal(number)) == size


def test_doubles_of_the_sample_are_holdable():
    for double in sample.DOUBLES:
        encoded = mapping_oracle.encode("v", double)
        assert struct.pack("<d", encoded["N"]) == struct.pack("<d", double)
