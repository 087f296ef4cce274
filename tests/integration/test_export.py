"""syncctl export to PostgreSQL: the guide's conversations and messages moved to a real server as its
reader would; what is wrong with items, found and told; and everything that goes wrong on the way."""

import datetime
import json
import os
import random
import re
import subprocess
from decimal import Decimal

import pytest

import postgres as pg
from export_story import EXAMPLE, Export, Story, table_of
from harness import eventually


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    reason = pg.missing()
    if reason:
        pytest.skip(reason)
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of all workers
    with pg.Postgres(template=str(root / "postgresql")) as running:
        yield running


@pytest.fixture
def make(engine, server, tmp_path):
    made = []

    def one(**options):
        made.append(Export(engine, tmp_path, server, **options))
        return made[-1]

    yield one
    for export in made:
        export.close()


def test_the_guide_from_end_to_end(make):
    story, export = Story(conversations=250, messages=10), make()
    export.put(story.items)
    before = export.items()

    # A look costs nothing, there or here.
    report = export.run("--all", "--dry-run", code=1)
    story.expect(report)
    assert report["dry_run"] and len(table_of(report, "messages")["samples"]) == 3
    assert export.query("SELECT count(*) FROM pg_class WHERE relname IN ('conversations','messages')"
                        " OR relname LIKE '%syncd%'") == [(0,)]
    text = export.run("--migrate", "--dry-run", code=1, text=True)
    assert "there is no table conversations in PostgreSQL" in text and "--create-tables" in text
    assert "dry run: nothing was changed" in text

    # The steps of the guide, one by one.
    text = export.run("--migrate", code=2)
    assert "there is no table conversations in PostgreSQL" in text and "--create-tables" in text
    report = export.run("--create-tables")
    assert [t["created"] for t in report["tables"]] == [True, True]
    assert export.query("SELECT count(*) FROM messages") == [(0,)]
    report = export.run("--migrate", code=1)
    story.expect(report)
    story.compare(export)
    assert table_of(report, "messages")["migrated"] == len(story.messages)
    assert table_of(report, "messages")["unchanged"] == 0

    # Again, with everything: nothing is written, and all is as the items say.
    (stamp,) = export.query("SELECT max(xmin::text::bigint) FROM messages")
    report = export.run("--all", "--verify", code=1)
    story.expect(report)
    story.compare(export)
    assert export.query("SELECT max(xmin::text::bigint) FROM messages") == [stamp]
    assert table_of(report, "messages")["unchanged"] == len(story.messages)
    assert sum(t["verified"] for t in report["tables"]) == len(story.messages) + len(story.conversations)
    assert sum(t["different"] + t["missing"] + t["extra"] for t in report["tables"]) == 0

    # What changed there is found; what changed on both sides comes to what the items say.
    ids = sorted(story.messages)
    export.query("UPDATE messages SET msg_metadata = '{\"tokens\": [1, 2.5, {\"x\": \"z\"}]}'"
                 " WHERE id = %s", (next(i for i in ids if story.messages[i]["msg_metadata"]),))
    export.query("UPDATE messages SET created_at = created_at + interval '1 microsecond'"
                 " WHERE id = %s", (ids[1],))
    export.query("DELETE FROM messages WHERE id = %s", (ids[-1],))
    export.query("INSERT INTO conversations VALUES(%s, 'other', NULL, NULL, true, now(), now())",
                 (story.uuid(),))
    report = export.run("--verify", code=1)
    sums = {f: sum(t[f] for t in report["tables"]) for f in ("different", "missing", "extra")}
    assert sums == {"different": 2, "missing": 1, "extra": 1}
    assert {f["reason"] for f in report["failures"] if f["kind"] == "difference"} == {
        "column msg_metadata is not what the item holds",
        "column created_at is not what the item holds",
        "there is no such row",
    }
    report = export.run("--migrate", code=1)
    assert table_of(report, "messages")["unchanged"] == len(story.messages) - 3
    export.query("DELETE FROM conversations WHERE user_id = 'other'")
    story.compare(export)
    assert export.items() == before


def test_a_clean_move_exits_0(make):
    story, export = Story(conversations=3, messages=2), make()
    export.put([i for i in story.items
                if i["sk"]["S"] not in story.wrong and i not in story.unmatched])
    report = export.run("--all", "--verify")
    assert report["clean"] and report["success_rate"] == 100.0 and report["failures"] == []
    story.compare(export)
    text = export.run("--all", "--verify", text=True)
    assert "there already table messages" in text and "success rate: 100.0 %" in text
    assert re.search(r"^messages +6 +6 +6 +0 +0$", text, re.M), text


# --- every type ------------------------------------------------------------------------------------

TYPES = """
[export "app.things"]
from = ConversationTable
match.sk = T#{n:integer}
column.n = bigint primary key
column.part = {n} smallint primary key
column."odd \\"name" = 'odd attribute' text
column.i = i integer
column.b = i bigint
column.d = d numeric
column.p = p numeric(6, 2)
column.f = f double precision
column.flag = flag boolean
column.at = at timestamptz
column.day = day date
column.bytes = bytes bytea
column.doc = doc json
column.parsed = parsed jsonb(parse)
column.parent = parent bigint
"""


def test_every_type_comes_out_exactly(make):
    export = make(config=TYPES)
    export.query("CREATE SCHEMA app")
    long = "0.1234567890123456789012345678901234567"
    full = {
        "pk": {"S": "x"}, "sk": {"S": "T#7"}, "odd attribute": {"S": "tab\t\\N \\x00 \u0085 é"},
        "i": {"N": "-2147483648"}, "d": {"N": long}, "p": {"N": "1234.5"}, "f": {"N": "0.1"},
        "flag": {"BOOL": True}, "at": {"S": "1969-12-31T23:59:59.123456-05:30"},
        "day": {"S": "2024-02-29"}, "bytes": {"B": b"\x00\xff\\"},
        "doc": {"M": {"big": {"N": "12345678901234567890123456789012345678"},
                      "set": {"NS": ["7"]}, "raw": {"B": b"\x01"}}},
        "parsed": {"S": '{"a": [1.50, "x"]}'}, "parent": {"NULL": True},
    }
    export.put([full, {"pk": {"S": "x"}, "sk": {"S": "T#-8"}}])
    report = export.run("--all", "--verify")
    assert table_of(report, "app.things")["verified"] == 2
    row = export.rows("app.things", "*, doc::text AS doc_text, parsed->'a' AS a")[7]
    assert row["odd \"name"] == full["odd attribute"]["S"]
    assert (row["i"], row["b"], row["part"]) == (-2147483648, -2147483648, 7)
    assert (row["d"], row["p"], row["f"]) == (Decimal(long), Decimal("1234.5"), 0.1)
    utc = datetime.timezone.utc
    assert row["at"] == datetime.datetime(1970, 1, 1, 5, 29, 59, 123456, utc)
    assert row["day"] == datetime.date(2024, 2, 29) and row["flag"] is True
    assert bytes(row["bytes"]) == b"\x00\xff\\" and row["a"] == [1.5, "x"]
    assert json.loads(row["doc_text"]) == {
        "big": 12345678901234567890123456789012345678, "set": [7], "raw": "AQ=="}
    assert row["parent"] is None and export.rows("app.things")[-8]["d"] is None


TREE = """
[export "nodes"]
from = ConversationTable
match.sk = N#{id:integer}
column.id = integer primary key
column.parent = parent integer references nodes(id)
column.owner = owner integer references owners
[export "owners"]
from = ConversationTable
match.sk = O#{id:integer}
column.id = integer primary key
"""


def test_what_is_referred_to_comes_first(make):
    """A table that refers to itself, deep, in batches that are small; the order of sections is no
    order of filling."""
    export = make(config=TREE)
    numbers = list(range(60))
    random.Random(5).shuffle(numbers)
    items = [{"pk": {"S": "x%d" % n}, "sk": {"S": "N#%d" % n}, "owner": {"N": "1"},
              **({"parent": {"N": str(n - 1)}} if n else {})} for n in numbers]
    items.append({"pk": {"S": "o"}, "sk": {"S": "O#1"}})
    # The orphan's children go with it.
    for n, parent in ((100, 99), (101, 100), (102, 101)):
        items.append({"pk": {"S": "x"}, "sk": {"S": "N#%d" % n}, "parent": {"N": str(parent)}})
    export.put(items)
    report = export.run("--all", "--batch-size", "7", code=1)
    assert table_of(report, "nodes")["migrated"] == 60 and report["problems"] == {"reference": 3}
    assert {n: row["parent"] for n, row in export.rows("nodes").items()} == {
        n: n - 1 if n else None for n in range(60)}


def test_circles_and_other_mistakes_are_told_before_anything(make):
    export = make(config=TREE + 'column.first = first integer references nodes(id)\n')
    for config, sentence in (
        (None, "the references of table nodes and others form a circle"),
        (TREE.replace("integer primary key", "integer"), 'no column is its primary key'),
        (TREE.replace("from = ConversationTable\nmatch.sk = O", "match.sk = O"), "from is missing"),
        (TREE.replace("column.parent = parent", "column.parent = {no}"), "no match line captures {no}"),
    ):
        if config:
            export.configure(config)
        text = export.run("--all", code=2)
        assert sentence in text
    export.configure(TREE)
    text = export.run("--all", "--from", "Elsewhere", code=2)
    assert 'no [export "TABLE"] section says what becomes of the items of DynamoDB table Elsewhere' in text
    assert "is no URI" not in export.run("--from", "x", to="file.txt", code=2)
    assert export.query("SELECT count(*) FROM pg_class WHERE relname IN ('nodes', 'owners')") == [(0,)]


# --- what PostgreSQL refuses -----------------------------------------------------------------------


def test_the_guilty_record_is_found_and_the_rest_goes_on(make):
    story, export = Story(conversations=30, messages=6, seed=2), make()
    export.put(story.items)
    export.run("--create-tables")
    export.query("ALTER TABLE messages ADD CONSTRAINT no_four CHECK (content NOT LIKE 'message 4%')")
    export.query("ALTER TABLE conversations ADD UNIQUE (title)")
    twins = [i for i, row in story.conversations.items() if row["title"]][:2]
    report = export.run("--migrate", code=1)
    refused = {f["key"]: f["reason"] for f in report["failures"] if f["kind"] == "database"}
    four = {i for i, row in story.messages.items() if row["content"].startswith("message 4")}
    assert {key.rsplit("#", 1)[1] for key in refused} == four
    assert all("no_four" in reason and "message 4" not in reason for reason in refused.values())
    for key in four:
        del story.messages[key]
    story.compare(export)
    assert table_of(report, "messages")["failed"] == len(four)
    # Two that cannot both be there: one of them is, and messages of the other cannot.
    export.query("TRUNCATE conversations, messages")
    same = next(i for i in story.items if i["sk"]["S"] == "CONV#" + twins[1])
    export.put([{**same, "title": {"S": story.conversations[twins[0]]["title"]}}])
    report = export.run("--migrate", code=1)
    failed = [f for f in report["failures"] if f["kind"] == "database" and f["table"] == "conversations"]
    assert len(failed) == 1 and "duplicate key" in failed[0]["reason"]
    gone = failed[0]["key"].rsplit("#", 1)[1]
    assert set(export.rows("conversations")) == set(story.conversations) - {gone}
    assert set(export.rows("messages")) == {
        i for i, row in story.messages.items() if row["conversation_id"] != gone}


def test_a_table_that_is_otherwise_is_told(make):
    export = make()
    export.query("CREATE TABLE conversations(id uuid, user_id text)")
    text = export.run("--migrate", code=2)
    assert 'table conversations in PostgreSQL is not as [export "conversations"] says' in text
    assert '"title"' in text
    export.query("DROP TABLE conversations")
    export.run("--create-tables")
    export.query("ALTER TABLE messages DROP CONSTRAINT messages_pkey")
    text = export.run("--migrate", code=2)
    assert "table messages in PostgreSQL is not as" in text and "ON CONFLICT" in text
    export.query("DROP TABLE messages")
    export.query("CREATE VIEW messages AS SELECT 1 AS id")
    assert "table messages in PostgreSQL is not as" in export.run("--all", code=2)


# --- interruptions ---------------------------------------------------------------------------------


def slow(export):
    """Each statement that writes messages takes a while."""
    export.query("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
                 " $$BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END$$")
    export.query("CREATE TRIGGER slow AFTER INSERT ON messages FOR EACH STATEMENT"
                 " EXECUTE FUNCTION slow()")


def begun(export):
    (count,), = export.query("SELECT count(*) FROM messages")
    return count > 40


def test_killed_in_the_middle_and_run_again(make):
    story, export = Story(conversations=60, messages=8, seed=3), make()
    export.put(story.items)
    export.run("--create-tables")
    slow(export)
    for _ in range(2):
        export.query("TRUNCATE conversations, messages")
        process = export.start("--migrate", "--batch-size", "10")
        eventually(lambda: begun(export), "messages in PostgreSQL")
        process.kill()
        process.communicate()
        assert len(export.rows("messages")) < len(story.messages)
        assert [n for n in os.listdir(export.dir) if n != "export.conf"] == []
    export.query("DROP TRIGGER slow ON messages")
    story.expect(export.run("--migrate", "--verify", code=1))
    story.compare(export)


def test_the_server_goes_down_in_the_middle(make, server):
    story, export = Story(conversations=60, messages=8, seed=4), make()
    export.put(story.items)
    export.run("--create-tables")
    slow(export)
    process = export.start("--migrate", "--batch-size", "10")
    eventually(lambda: begun(export), "messages in PostgreSQL")
    server.stop("immediate")
    try:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 3 and out == ""
        assert "rows were migrated before that" in err and "run the same command again" in err
        assert "PostgreSQL cannot be reached" in export.run("--migrate", code=3)
        assert export.run("--all", "--dry-run", code=1)["notes"][0].startswith(
            "PostgreSQL cannot be reached")
    finally:
        server.start()
    export.query("DROP TRIGGER slow ON messages")
    story.expect(export.run("--migrate", "--verify", code=1))
    story.compare(export)


def test_dynamodb_goes_away_or_has_no_such_table(make):
    export = make()
    text = export.run("--all", "--from", export.table + "x", code=2)
    assert "no [export" in text
    export.configure(open(EXAMPLE, encoding="utf-8").read().replace("ConversationTable", "NoSuchTable"))
    text = export.run("--all", code=2)
    assert "there is no DynamoDB table NoSuchTable" in text
    assert export.query("SELECT count(*) FROM conversations") == [(0,)]


# --- passwords -------------------------------------------------------------------------------------


def test_a_password_is_seen_nowhere(make, server):
    story, export = Story(conversations=40, messages=4, seed=6), make()
    export.put(story.items)
    export.run("--create-tables")
    slow(export)
    process = export.start("--migrate", "--verify", "--batch-size", "5")
    eventually(lambda: begun(export), "messages in PostgreSQL")
    with open("/proc/%d/cmdline" % process.pid, "rb") as title:
        assert server.password.encode() not in title.read()
    seen = process.communicate(timeout=60)
    assert server.password not in seen[0] + seen[1] and export.database in seen[0]
    canary = server.password
    for uri in (
        "postgresql://owner:%s@nowhere.invalid/x" % canary,
        "postgresql://owner:%s@127.0.0.1:1/x" % canary,
        "postgresql://owner:%s@/x?host=%s&nonsense=1" % (canary, server.dir),
        "postgresql://owner:%s%%zz@/x" % canary,
        "postgresql://owner:a@%s@/x" % canary,
        "postgresql://owner:%s@/nosuchdatabase?host=%s" % (canary, server.dir),
        "postgresql:///x?user=owner&password=%s&host=/nowhere" % canary,
        "postgresql://owner:%sx@/%s?host=%s" % (canary, export.database, server.dir),
        "postgres://%s" % canary + ":x:y:z@@",
        canary,
        "mysql://owner:%s@/x" % canary,
    ):
        text = subprocess.run(export.command("--migrate", to=uri), env=export.environment,
                              capture_output=True, text=True, timeout=60)
        assert text.returncode in (2, 3) and text.stderr.startswith("syncctl: "), (uri, text)
        assert canary not in text.stdout + text.stderr, uri


def test_passwords_come_the_usual_ways(make, server):
    export = make()
    assert "no password supplied" in export.run("--create-tables", to=export.uri(password=False), code=3)
    passfile = os.path.join(export.dir, "pgpass")
    with open(passfile, "w", encoding="utf-8") as out:
        out.write("*:*:*:owner:%s\n" % server.password)
    os.chmod(passfile, 0o600)
    services = os.path.join(export.dir, "services")
    with open(services, "w", encoding="utf-8") as out:
        out.write("[there]\nhost=%s\nuser=owner\ndbname=%s\npassword=%s\n"
                  % (server.dir, export.database, server.password))
    for uri, extra in ((export.uri(password=False), {"PGPASSFILE": passfile}),
                       (export.uri(password=False), {"PGPASSWORD": server.password}),
                       ("postgresql:///?service=there", {"PGSERVICEFILE": services})):
        export.environment = {
            **{k: v for k, v in export.environment.items() if not k.startswith("PG")}, **extra}
        report = export.run("--create-tables", to=uri)
        assert report["to"].endswith("/" + export.database)


def test_copy_reads_what_was_written_as_csv(make):
    story, export = Story(conversations=12, messages=3, seed=8), make()
    export.put(story.items)
    export.run("--create-tables")
    export.run(to=os.path.join(export.dir, "{table}.csv"), code=1)
    db = export.server.connect(export.database)
    try:
        with db.cursor() as cursor:
            for table in ("conversations", "messages"):
                with open(os.path.join(export.dir, table + ".csv"), "rb") as sheet:
                    cursor.copy_expert("COPY %s FROM STDIN (FORMAT csv, HEADER)" % table, sheet)
    finally:
        db.close()
    story.compare(export)


def test_a_server_that_says_nothing_is_given_up(make, server):
    story, export = Story(conversations=20, messages=8, seed=10), make()
    export.put(story.items)
    export.run("--create-tables")
    slow(export)
    process = export.start("--migrate", "--batch-size", "2", "--timeout", "1s")
    eventually(lambda: begun(export), "messages in PostgreSQL")
    with server.frozen():
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3 and "has said nothing for 1 s" in err
        assert "rows were migrated before that" in err
    story.expect(export.run("--migrate", code=1))
    story.compare(export)
    # A lock of somebody else's is no different, and nothing is left half.
    holder = server.connect(export.database)
    holder.autocommit = False
    try:
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE messages IN EXCLUSIVE MODE")
            assert "has said nothing for 1 s" in export.run("--migrate", "--timeout", "1s", code=3)
    finally:
        holder.close()


def test_a_table_that_takes_nothing_is_not_asked_for_ever(make):
    config = ('[export "t"]\nfrom = ConversationTable\nmatch.sk = N#{id:integer}\n'
              'column.id = integer primary key\n')
    export = make(config=config)
    export.put([{"pk": {"S": "x%d" % (n % 9)}, "sk": {"S": "N#%d" % n}} for n in range(1100)])
    export.query("CREATE TABLE t(id integer PRIMARY KEY, more text NOT NULL)")
    text = export.run("--migrate", code=2)
    assert "table t: each of the first 1000 records was refused" in text and '"more"' in text
