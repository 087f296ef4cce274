"""`syncctl check` and `syncd --check`: what would be mirrored, how, and what cannot be and why."""

import json

import pytest

SCHEMA = [
    "CREATE TABLE plain(id INTEGER PRIMARY KEY, email TEXT UNIQUE, secret TEXT)",
    "CREATE TABLE pair(room TEXT NOT NULL, at INTEGER NOT NULL, body TEXT, PRIMARY KEY(room, at))",
    "CREATE TABLE triple(a TEXT, b TEXT, c INTEGER, v, PRIMARY KEY(a, b, c)) WITHOUT ROWID",
    "CREATE TABLE digests(k BLOB PRIMARY KEY NOT NULL, v REAL)",
    "CREATE TABLE generated(id INTEGER PRIMARY KEY, n INTEGER, twice INTEGER AS (n * 2) UNIQUE)",
    "CREATE TABLE wide(id INTEGER PRIMARY KEY, %s)" % ", ".join("column_%d TEXT" % n for n in range(199)),
    "CREATE TABLE loose(a, b)",
    "CREATE TABLE untyped(k PRIMARY KEY, v)",
    "CREATE TABLE wrong(k TEXT PRIMARY KEY COLLATE own, v)",
    'CREATE TABLE "two words"(id INTEGER PRIMARY KEY)',
    "CREATE VIEW seen AS SELECT email FROM plain",
    "CREATE VIRTUAL TABLE search USING fts5(body)",
    "CREATE TABLE left_alone(id INTEGER PRIMARY KEY)",
    "CREATE TABLE _alembic_tmp_plain(id INTEGER PRIMARY KEY)",
]
MIRRORED = ["digests", "generated", "pair", "plain", "triple", "wide"]
REFUSED = {
    "loose": "no primary key",
    "untyped": "no type",
    "wrong": "collation own",
    "two words": "target",
    "seen": "view",
    "search": "virtual table",
}
LEFT_OUT = {
    "left_alone": "configuration",
    "_alembic_tmp_plain": "other tools",
    "search_content": "virtual table",
}


@pytest.fixture
def checked(engine, make_mirror):
    mirror = make_mirror(
        engine,
        {
            "source": {"exclude_tables": "left_*", "exclude_columns": "*.secret"},
            "table plain": {"rename.email": "mail"},
        },
    )
    db = mirror.connect()
    db.create_collation("own", lambda a, b: (a > b) - (a < b))
    for statement in SCHEMA:
        db.execute(statement)
    db.close()
    return mirror


def blocks(output):
    """Paragraphs by their first line."""
    return {block.split("\n")[0]: block for block in output.split("\n\n")}


def test_every_table_is_told_of_in_its_place(checked):
    before = checked.schema()
    done = checked.ctl("check")
    assert done.returncode == 0, done.stderr
    found = blocks(done.stdout)
    told = [head.split('"')[1] for head in found if head.startswith('table "')]
    assert told == MIRRORED
    for title, expected in (("cannot be mirrored", REFUSED), ("left out", LEFT_OUT)):
        for name, reason in expected.items():
            (line,) = [li for li in found[title].split("\n") if li.startswith("    %s " % name)]
            assert reason in line
    starts = {len(line) - len(line[4:].split("  ", 1)[1].lstrip())
              for line in found["left out"].split("\n")[1:]}
    assert len(starts) == 1, "the reasons stand below each other"
    assert "6 tables mirrored, 6 cannot be," in done.stdout
    assert checked.run_to_end(["--check"]) == (0, done.stdout)
    assert checked.schema() == before and checked.tables_of_ours() == []


def test_a_table_says_its_key_its_columns_and_what_is_captured(checked):
    found = blocks(checked.ctl("check").stdout)
    plain = found['table "plain" -> %s: partition key id (N)' % checked.target("plain")]
    assert "columns   id N, email -> mail S\n" in plain
    assert "not sent  secret\n" in plain
    assert "captured  every change; rows that REPLACE removes are found by 1 lookup" in plain
    triple = next(b for h, b in found.items() if h.startswith('table "triple"'))
    assert "partition key a (S), sort key b#c (S)" in triple
    assert triple.endswith("captured  every change")
    wide = next(b for h, b in found.items() if h.startswith('table "wide"'))
    assert "column_198 S" in wide and all(len(line) <= 100 for line in wide.split("\n"))


def test_what_a_unique_index_hides_is_said(checked):
    """An index whose expression cannot be followed for certain."""
    checked.sql("CREATE TABLE odd(id INTEGER PRIMARY KEY, v TEXT)")
    db = checked.connect()
    db.create_function("own_function", 1, lambda v: v, deterministic=True)
    db.execute("CREATE UNIQUE INDEX odd_v ON odd(own_function(v))")
    db.close()
    odd = next(t for t in json.loads(checked.ctl("--json", "check").stdout)["tables"]
               if t["table"] == "odd")
    assert odd["mirrored"] and (odd["limit"] or odd["lookups"] == 1)


def test_json_says_the_same(checked):
    tables = {t["table"]: t for t in json.loads(checked.ctl("--json", "check").stdout)["tables"]}
    assert sorted(n for n, t in tables.items() if t["mirrored"]) == MIRRORED
    for name, reason in {**REFUSED, **LEFT_OUT}.items():
        assert reason in tables[name]["reason"] and not tables[name]["mirrored"]
    plain = tables["plain"]
    assert plain["columns"] == {"id": "id", "email": "mail"} and plain["excluded"] == ["secret"]
    assert plain["key"] == [{"name": "id", "type": "N"}] and plain["kind"] == "table"
    assert plain["lookups"] == 1 and plain["limit"] is None
    assert tables["triple"]["lookups"] == 0 and tables["triple"]["kind"] == "without_rowid"
    assert tables["seen"]["kind"] == "view" and tables["search"]["kind"] == "virtual"


def test_a_section_for_a_table_that_cannot_be_exits_2(checked):
    checked.configure({"table loose": {"target": "somewhere"}})
    done = checked.ctl("check")
    assert done.returncode == 2 and '"loose"' in done.stderr and "no primary key" in done.stderr
    assert checked.run_to_end(["--check"])[0] == 2


def test_tables_may_share_a_target_if_their_keys_are_of_one_kind(checked):
    checked.configure({"table left_too": {"target": "shared-one"},
                       "table left_three": {"target": "shared-one"}})
    checked.configure({"source": {"exclude_tables": "left_alone"}})
    checked.sql("CREATE TABLE left_too(id INTEGER PRIMARY KEY)",
                "CREATE TABLE left_three(id INTEGER PRIMARY KEY, v TEXT)")
    done = checked.ctl("check")
    assert done.returncode == 0 and done.stdout.count("-> shared-one:") == 2
    checked.sql("DROP TABLE left_three", "CREATE TABLE left_three(k TEXT PRIMARY KEY)")
    done = checked.ctl("check")
    assert done.returncode == 2 and "whose key is another" in done.stderr
