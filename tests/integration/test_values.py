"""Values arrive exactly, and what DynamoDB cannot hold is set aside with its reason."""

import math
import random
import struct
from decimal import Decimal

import pytest

from harness import eventually

pytestmark = pytest.mark.engine

INTEGERS = [0, 1, -1, 9007199254740993, 2**63 - 1, -(2**63), 10**18, -(10**17) - 1]
DOUBLES = [
    0.1 + 0.2,
    1e-7,
    123456789.123,
    5e-100,
    1e125,
    -1e125,
    9.99999999999999e125,
    1e-130,
    1.0,
    -1.5,
    math.pi,
    1 / 3,
    2.0**53 + 2,
    1e15,
    1e16,
    1e17,
    123456789012345680.0,
    1e22,
    1e23,
    4.35,
    0.000123,
    9007199254740993.0,
    1.7976931348623157e100,
    2.2250738585072014e-100,
]
TEXTS = [
    "",
    "plain",
    "ünïcödé",
    "日本語テキスト",
    "עברית",
    "\U0001f600\U0001f468‍\U0001f469‍\U0001f467",
    "e\u0301 not é",
    "line\nbreak\ttab\r",
    'quote " backslash \\ slash /',
    "\x01\x1f\x7f",
    "nul\x00inside",
    "\x00",
    "\u2028\u2029",
    "\uffff\ufffd",
    "x" * 5000,
    "<script>&amp;</script>",
    '{"S":"x"}',
]
BLOBS = [b"", b"\x00", bytes(range(256)), b"\xff" * 1000, b"a", b"ab", b"abc"]


def bits(value):
    return struct.pack("<d", value)


def test_chosen_values_of_every_type(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    mirror.start().wait()
    values = INTEGERS + DOUBLES + TEXTS + BLOBS + [None]
    mirror.many("INSERT INTO t VALUES(?, ?)", enumerate(values))
    mirror.settle()
    found = mirror.by_id("t")
    for number, value in enumerate(values):
        got = found[number].get("v")
        if isinstance(value, float):
            assert isinstance(got, Decimal) and bits(float(got)) == bits(value), value
        else:
            assert got == value, value
        assert ("v" in found[number]) == (value is not None)


def random_double(rng):
    while True:
        value = struct.unpack("<d", rng.getrandbits(64).to_bytes(8, "little"))[0]
        if math.isfinite(value) and 1e-130 <= abs(value) < 1e126:
            return value


def random_text(rng):
    def character():
        while True:
            code = rng.choice(
                [
                    rng.randrange(128),
                    rng.randrange(0x800),
                    rng.randrange(0x10000),
                    rng.randrange(0x110000),
                ]
            )
            if not 0xD800 <= code < 0xE000:
                return chr(code)

    return "".join(character() for _ in range(rng.randrange(0, 40)))


def random_value(rng):
    kind = rng.randrange(6)
    if kind == 0:
        return None
    if kind == 1:
        return rng.randrange(-(2**63), 2**63) >> rng.randrange(64)
    if kind == 2:
        return random_double(rng)
    if kind == 3:
        return round(rng.uniform(-1e6, 1e6), rng.randrange(8))
    if kind == 4:
        return random_text(rng)
    return bytes(rng.randrange(256) for _ in range(rng.randrange(60)))


@pytest.mark.parametrize("seed", [1, 2])
def test_random_values_of_every_type(mirror, seed):
    rng = random.Random(seed)
    mirror.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b INTEGER, c REAL, d TEXT, e BLOB, f NUMERIC)"
    )
    mirror.start().wait()
    rows = [(n, *[random_value(rng) for _ in range(6)]) for n in range(1500)]
    mirror.many("INSERT INTO t VALUES(?, ?, ?, ?, ?, ?, ?)", rows)
    for number in range(1500):
        if rng.random() < 0.1:
            mirror.sql(
                (
                    "UPDATE t SET a = ?, c = ? WHERE id = ?",
                    (random_value(rng), random_value(rng), number),
                )
            )
    report = mirror.settle(60)
    assert report.items == 1500 and mirror.dead_letters() == []
    doubles = mirror.sql("SELECT id, a FROM t WHERE typeof(a) = 'real'")
    found = mirror.by_id("t")
    assert len(doubles) > 200
    assert all(bits(float(found[i]["a"])) == bits(v) for i, v in doubles)


def test_random_keys_of_every_type(mirror):
    rng = random.Random(5)
    mirror.sql(
        "CREATE TABLE s(k TEXT PRIMARY KEY NOT NULL)",
        "CREATE TABLE b(k BLOB PRIMARY KEY NOT NULL)",
        "CREATE TABLE r(k REAL PRIMARY KEY NOT NULL)",
        "CREATE TABLE j(a INTEGER, b TEXT, c TEXT, PRIMARY KEY(a, b, c)) WITHOUT ROWID",
    )
    mirror.start().wait()
    texts = {random_text(rng) or "x" for _ in range(300)}
    mirror.many("INSERT OR IGNORE INTO s VALUES(?)", [(t,) for t in texts])
    mirror.many(
        "INSERT OR IGNORE INTO b VALUES(?)",
        [(random_text(rng).encode() or b"x",) for _ in range(300)],
    )
    mirror.many("INSERT OR IGNORE INTO r VALUES(?)", [(random_double(rng),) for _ in range(300)])
    parts = ["", "a", "b#", "#b", "a#b", "\\", "\\#", "#\\", "a\\", "##", "\\\\"]
    mirror.many("INSERT INTO j VALUES(1, ?, ?)", [(a, b) for a in parts for b in parts])
    mirror.settle(60)
    assert len(mirror.items("j")) == len(parts) ** 2
    mirror.sql("DELETE FROM s", "DELETE FROM b", "DELETE FROM r", "DELETE FROM j WHERE b <> 'a'")
    mirror.settle(60)
    assert mirror.items("s") == mirror.items("b") == mirror.items("r") == [] and len(
        mirror.items("j")
    ) == len(parts)


CANNOT = [
    ("number_range", "9e999"),
    ("number_range", "-9e999"),
    ("number_range", "1e126"),
    ("number_range", "1e-131"),
    ("invalid_utf8", "CAST(x'61ff62' AS TEXT)"),
    ("invalid_utf8", "CAST(x'eda080' AS TEXT)"),
]


@pytest.mark.parametrize("reason, literal", CANNOT)
def test_a_value_that_cannot_be_held_is_a_dead_letter_until_it_can(mirror, reason, literal):
    mirror.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES(1, 'good'), (2, 'good')"
    )
    mirror.start().wait()
    mirror.sql("UPDATE t SET v = %s WHERE id = 2" % literal, "INSERT INTO t VALUES(3, 'after')")
    mirror.wait()
    (letter,) = mirror.dead_letters()
    assert (letter["table"], letter["key"], letter["column"]) == ("t", "id=2", "v")
    assert letter["target"] == mirror.target("t")
    assert letter["reason"] == reason or (reason, letter["reason"]) == (
        "number_range",
        "not_a_number",
    )
    assert letter["message"].strip()
    assert mirror.by_id("t")[3]["v"] == "after"
    assert mirror.reasons() == {"dead_letters"} and mirror.status()["health"] == "warning"
    assert mirror.table("t")["dead_letters"] == mirror.status()["totals"]["dead_letters"] == 1
    mirror.sql("UPDATE t SET v = 'mended' WHERE id = 2")
    mirror.settle()
    assert mirror.dead_letters() == [] and mirror.by_id("t")[2]["v"] == "mended"
    assert mirror.status()["health"] == "ok"


def test_an_item_at_the_size_limit_passes_and_one_byte_more_does_not(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    mirror.start().wait()
    room = 409600 - len("id") - 2 - len("v")
    mirror.sql(
        ("INSERT INTO t VALUES(1, ?), (2, ?)", ("x" * room, "y" * (room + 1))),
        ("INSERT INTO t VALUES(3, ?)", (b"z" * room,)),
    )
    mirror.wait(60)
    (letter,) = mirror.dead_letters()
    assert letter["key"] == "id=2" and letter["reason"] == "item_too_large"
    assert set(mirror.by_id("t")) == {1, 3}
    mirror.assert_equal()


def test_keys_that_cannot_be_keys_are_dead_letters(mirror):
    mirror.sql(
        "CREATE TABLE t(k TEXT PRIMARY KEY, v)",
        "CREATE TABLE p(a TEXT, b TEXT, v, PRIMARY KEY(a, b))",
    )
    mirror.start().wait()
    mirror.sql(
        "INSERT INTO t VALUES('', 1), ('ok', 2), (NULL, 3)",
        ("INSERT INTO t VALUES(?, 4), (?, 5)", ("k" * 2048, "k" * 2049)),
        ("INSERT INTO p VALUES('a', ?, 1), ('a', ?, 2)", ("k" * 1024, "k" * 1025)),
        "INSERT INTO t VALUES(x'00', 6)",
    )
    mirror.wait()
    assert sorted((d["table"], d["reason"]) for d in mirror.dead_letters()) == [
        ("p", "key_too_long"),
        ("t", "key_empty"),
        ("t", "key_null"),
        ("t", "key_too_long"),
        ("t", "key_type"),
    ]
    assert {len(i["k"]) for i in mirror.items("t")} == {2, 2048}
    mirror.sql("DELETE FROM t WHERE k <> 'ok' OR k IS NULL", "DELETE FROM p WHERE v = 2")
    mirror.settle()
    assert mirror.dead_letters() == []


def test_a_dead_letter_is_shown_retried_and_discarded(mirror):
    mirror.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES(1, 9e999), (2, 9e999)"
    )
    mirror.start().wait()
    first, second = sorted(mirror.dead_letters(), key=lambda d: d["key"])
    shown = mirror.ctl("dead-letters", "show", first["id"])
    assert shown.returncode == 0 and "id=1" in shown.stdout
    listed = mirror.ctl("dead-letters", "list")
    assert listed.returncode == 0 and "id=1" in listed.stdout and "id=2" in listed.stdout
    assert mirror.ctl("dead-letters", "retry", first["id"]).returncode == 0
    mirror.wait()
    assert len(mirror.dead_letters()) == 2
    assert mirror.ctl("dead-letters", "discard", second["id"]).returncode == 0
    eventually(
        lambda: [d["key"] for d in mirror.dead_letters()] == ["id=1"], "one dead letter left"
    )


def test_a_deleted_row_takes_its_dead_letter_along(mirror):
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES(1, 'x')")
    mirror.start().wait()
    mirror.sql("UPDATE t SET v = 9e999")
    mirror.wait()
    assert len(mirror.dead_letters()) == 1
    mirror.sql("DELETE FROM t")
    mirror.settle()
    assert mirror.dead_letters() == [] and mirror.items("t") == []


def test_dead_letters_outlive_the_daemon(mirror):
    mirror.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES(1, 9e999), (2, 1)"
    )
    mirror.start().wait()
    before = mirror.dead_letters()
    mirror.restart().wait()
    assert (
        [(d["table"], d["key"], d["reason"]) for d in mirror.dead_letters()]
        == [(d["table"], d["key"], d["reason"]) for d in before]
        != []
    )
