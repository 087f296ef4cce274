"""Rows too large for a DynamoDB item: compressed, split, put together again by what the README says of
the format, with none of syncd's code."""

import random

import pytest
from compare import scan
from harness import eventually, plain
from oversize_reader import Torn, whole_items

pytestmark = pytest.mark.engine

SPLIT = {"table docs": {"oversize": "split"}}
KEYS = ("a", "b")


def raw_items(mirror):
    return list(scan(mirror.client, mirror.target("docs")))


def put_together(items):
    """Every row of a table's items: key -> attributes."""
    rows = [plain(item) for item in whole_items(items, KEYS)]
    assert not any("_syncd_chunk" in row for row in rows), "chunks that no head names"
    return {(row["a"], row["b"]): row for row in rows}


def rows_of(mirror, columns="a, b, n, body"):
    names = columns.split(", ")
    return {
        (row[0], row[1]): {k: v for k, v in zip(names, row) if v is not None}
        for row in mirror.sql("SELECT %s FROM docs" % columns)
    }


def settled(mirror, timeout=60):
    """Everything is there, and nothing is uncertain any more."""
    eventually(lambda: mirror.status()["converged"], "convergence", timeout)
    rows = put_together(raw_items(mirror))
    assert rows == rows_of(mirror)
    return rows


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def prose(seed, size):
    words = ["journal", "item", "chunk", "ünïcödé", "\n", "\\", '"', "table", "\t\x01"]
    rng = random.Random(seed)
    return " ".join(rng.choice(words) for _ in range(size // 6))


CREATE = "CREATE TABLE docs(a TEXT, b TEXT, n INTEGER, body, PRIMARY KEY(a, b))"


# --- tests -----------------------------------------------------------------------------------------


def test_rows_of_up_to_4_mb_arrive_and_change(mirror):
    mirror.configure(SPLIT)
    mirror.sql(CREATE)
    sizes = [500_000, 1_000_000, 2_500_000, 4_000_000]
    mirror.many(
        "INSERT INTO docs VALUES('load', ?, 1, ?)",
        [("r%d" % i, noise(i, size)) for i, size in enumerate(sizes)] + [("tiny", b"x")],
    )
    mirror.start()
    settled(mirror)
    # By the journal: text too, and beside tiny rows.
    mirror.many(
        "INSERT INTO docs VALUES('live', ?, 2, ?)",
        [("r%d" % i, noise(i + 9, size)) for i, size in enumerate(sizes)]
        + [("t%d" % i, prose(i, size)) for i, size in enumerate(sizes)]
        + [("tiny%d" % i, "x" * i) for i in range(200)],
    )
    settled(mirror)
    heads = [i for i in mirror.items("docs") if "_syncd_packed" in i]
    assert len(heads) == 12
    # Shrinking and growing, to the other side of both limits; what is deleted leaves nothing.
    mirror.sql(
        ("UPDATE docs SET body = ? WHERE a = 'live' AND b = 'r3'", (noise(50, 600_000),)),
        ("UPDATE docs SET body = ? WHERE a = 'live' AND b = 'r2'", (b"small",)),
        ("UPDATE docs SET body = ? WHERE a = 'live' AND b = 'tiny7'", (noise(51, 3_000_000),)),
        ("UPDATE docs SET body = ? WHERE a = 'live' AND b = 'r1'", (prose(52, 900_000),)),
        "UPDATE docs SET b = 'moved' WHERE a = 'live' AND b = 'r0'",
        "DELETE FROM docs WHERE a = 'load'",
    )
    rows = settled(mirror)
    assert ("live", "moved") in rows and not any(a == "load" for a, _ in rows)
    mirror.sql("DELETE FROM docs")
    assert settled(mirror) == {}
    assert mirror.items("docs") == []
    assert mirror.dead_letters() == []


def test_a_reader_never_finds_a_torn_row(mirror):
    """Each time it looks the row is whole, in one of the versions that it had."""
    mirror.configure(SPLIT)
    mirror.sql(CREATE)
    versions = [noise(i, 700_000 + 50_000 * (i % 3)) for i in range(12)]
    mirror.sql(("INSERT INTO docs VALUES('a', 'b', 0, ?)", (versions[0],)))
    mirror.start()
    settled(mirror)
    seen = []

    def read_head():
        found = mirror.client.get_item(
            TableName=mirror.target("docs"),
            Key={"a": {"S": "a"}, "b": {"S": "b"}},
            ConsistentRead=True,
        )
        return found["Item"]

    def look():
        # Head and chunks are read one after the other, so that a chunk may go in between: then the
        # head has changed.
        while True:
            head = read_head()
            version = head["_syncd_packed"]["B"][20:36].hex()
            chunks = [i for i in raw_items(mirror) if "~%s~" % version in i["b"]["S"]]
            try:
                return put_together([head] + chunks)[("a", "b")]
            except Torn:
                assert read_head() != head, "a head stands without its chunks"

    for number, body in enumerate(versions):
        mirror.sql(("UPDATE docs SET n = ?, body = ?", (number, body)))
        for _ in range(3):
            row = look()
            assert row["body"] == versions[int(row["n"])]
            seen.append(int(row["n"]))
    assert seen == sorted(seen)
    settled(mirror)
    assert [i["b"] for i in mirror.items("docs") if "_syncd_packed" in i] == ["b"]


def test_killed_at_any_moment_nothing_is_left_over(mirror):
    mirror.configure(SPLIT)
    mirror.sql(CREATE)
    mirror.start()
    rng = random.Random(5)
    for number in range(12):
        name = "r%d" % rng.randrange(3)
        size = rng.choice([10, 500_000, 1_200_000])
        mirror.sql(
            ("REPLACE INTO docs VALUES('a', ?, ?, ?)", (name, number, noise(number, size)))
        )
        if rng.random() < 0.3:
            mirror.sql("DELETE FROM docs WHERE b = 'r%d'" % rng.randrange(3))
        requests = mirror.status()["totals"]["requests"]
        eventually(
            lambda: mirror.status()["totals"]["requests"] > requests
            or mirror.status()["converged"],
            "a request",
        )
        mirror.kill9()
        mirror.start()
    settled(mirror)


def test_compress_keeps_what_fits_and_sets_the_rest_aside(mirror):
    mirror.configure({"table docs": {"oversize": "compress"}})
    mirror.sql(CREATE)
    mirror.start()
    mirror.sql(
        ("INSERT INTO docs VALUES('a', 'text', 1, ?)", (prose(1, 2_000_000),)),
        ("INSERT INTO docs VALUES('a', 'noise', 1, ?)", (noise(1, 500_000),)),
        ("INSERT INTO docs VALUES('a', 'huge', 1, zeroblob(17000000))", ()),
    )
    eventually(lambda: len(mirror.dead_letters()) == 2, "dead letters")
    letters = {d["key"]: d for d in mirror.dead_letters()}
    assert letters["a='a', b='noise'"]["reason"] == "item_too_large"
    assert "compressed" in letters["a='a', b='noise'"]["message"]
    assert letters["a='a', b='huge'"]["reason"] == "item_too_large"
    eventually(lambda: mirror.status()["converged"], "convergence")
    rows = put_together(raw_items(mirror))
    assert rows == {k: v for k, v in rows_of(mirror).items() if k[1] == "text"}
    # With split it is well, and back again what is there stays, as it would of any dead letter.
    mirror.stop()
    mirror.configure(SPLIT)
    mirror.sql("DELETE FROM docs WHERE b = 'huge'")
    mirror.start()
    settled(mirror)
    assert mirror.dead_letters() == []
    before = mirror.status()["totals"]["items_put"]
    assert mirror.ctl("resync", "docs").returncode == 0
    settled(mirror)
    assert mirror.status()["totals"]["items_put"] == before, "what is equal is not sent"


def test_a_table_without_a_sort_key_cannot_split(mirror):
    mirror.configure(SPLIT)
    mirror.sql("CREATE TABLE docs(id TEXT PRIMARY KEY, body)")
    code, output = mirror.run_to_end(arguments=["--check"])
    assert code == 2
    assert "oversize = split needs a sort key" in output
