"""syncctl export to files, and how it reads DynamoDB: sections and whole items as JSON Lines and CSV,
full disks, throttling, the policy."""

import base64
import contextlib
import csv
import json
import os
import pty
import random
import resource
import select
import subprocess
from decimal import Decimal

import pytest

from export_story import Export, Story, table_of
from fault_rules import Fault
from harness import REGION, SYNCCTL


@pytest.fixture
def to_files(engine, tmp_path):
    """Without PostgreSQL."""
    made = []

    def one(**options):
        made.append(Export(engine, tmp_path, **options))
        return made[-1]

    yield one
    for export in made:
        export.close()



def as_text(row):
    """A row as a JSON line has it."""
    out = dict(row)
    for name in ("created_at", "updated_at"):
        text = row[name].strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
        out[name] = text
    return out


def test_what_refers_to_what_is_left_out_is_left_out(to_files):
    """Whichever of a record's references is the one that is wrong, and whatever the columns' order."""
    export = to_files(config='''
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
''')
    nodes = {1: (None, 1), 2: (1, 9), 3: (2, 1), 4: (3, 1), 5: (1, 1)}  # there is no owner 9
    items = [{"pk": {"S": "n"}, "sk": {"S": "N#%d" % n}, "owner": {"N": str(owner)},
              **({"parent": {"N": str(parent)}} if parent else {})} for n, (parent, owner) in nodes.items()]
    export.put([*items, {"pk": {"S": "o"}, "sk": {"S": "O#1"}}])
    lines = os.path.join(export.dir, "{table}.jsonl")
    report = export.run(to=lines, code=1)
    with open(lines.format(table="nodes"), encoding="utf-8") as out:
        assert sorted(json.loads(line)["id"] for line in out) == [1, 5]
    assert report["problems"] == {"reference": 3}


def test_sections_into_files(to_files):
    story, export = Story(conversations=20, messages=5, seed=7), to_files()
    export.put(story.items)
    text = export.run(to=os.path.join(export.dir, "all.jsonl"), code=2)
    assert "2 tables do not go into one file" in text and "{table}" in text
    lines, sheets = (os.path.join(export.dir, "{table}" + end) for end in (".jsonl", ".csv"))
    story.expect(export.run("--dry-run", to=lines, code=1))
    assert os.listdir(export.dir) == ["export.conf"]
    story.expect(export.run(to=lines, code=1))
    with open(lines.format(table="messages"), encoding="utf-8") as out:
        rows = {row["id"]: row for row in map(json.loads, out)}
    assert rows == {i: as_text(row) for i, row in story.messages.items()}
    assert os.stat(lines.format(table="messages")).st_mode & 0o777 == 0o600
    assert "is there; --force replaces it" in export.run(to=lines, code=2)
    export.run("--force", to=lines, code=1)
    story.expect(export.run(to=sheets, code=1))
    with open(sheets.format(table="conversations"), encoding="utf-8", newline="") as out:
        rows = {row["id"]: row for row in csv.DictReader(out)}
    assert set(rows) == set(story.conversations)
    for key, row in story.conversations.items():
        assert rows[key]["title"] == (row["title"] or "")
        assert rows[key]["is_active"] == "ft"[row["is_active"]]
        assert json.loads(rows[key]["filter_values"] or "null") == row["filter_values"]
    assert "is for PostgreSQL" in export.run("--verify", to=sheets, code=2)
    assert not [n for n in os.listdir(export.dir) if n.endswith(".partial")]


def plain(attribute):
    (kind, value), = attribute.items()
    if kind == "M":
        return {k: plain(v) for k, v in value.items()}
    if kind == "L":
        return [plain(v) for v in value]
    if kind in ("SS", "NS", "BS"):
        return sorted(plain({kind[0]: v}) for v in value)
    if kind == "N":
        return Decimal(value)
    if kind == "B":
        return base64.b64encode(value).decode()
    return None if kind == "NULL" else value


def sorted_lists(value, like):
    """Sets have no order: a list of one is sorted before it is compared."""
    (kind, inner), = like.items()
    if kind in ("SS", "NS", "BS"):
        return sorted(value)
    if kind == "M":
        return {k: sorted_lists(value[k], inner[k]) for k in inner}
    return value


def test_whole_items_into_files(to_files):
    """Any table, with a configuration of nothing."""
    export = to_files(config="")
    items = [
        {"pk": {"S": "k%d" % (i % 7)}, "sk": {"S": "s%d" % i}, "n": {"N": "1.5E-7"},
         "long": {"N": "12345678901234567890123456789012345678"},
         "text": {"S": "a,\"b\"\n%d\t\u2028é" % i}, "bytes": {"B": b"\x00%d" % i},
         "flag": {"BOOL": i % 2 == 0}, "none": {"NULL": True}, "names": {"SS": ["x", "y"]},
         "doc": {"M": {"a": {"L": [{"N": "1"}, {"S": ""}]}}}, "only%d" % (i % 3): {"N": str(i)}}
        for i in range(300)
    ]
    export.put(items)
    there = {(i["pk"]["S"], i["sk"]["S"]): i for i in items}
    lines = os.path.join(export.dir, "out.jsonl")
    # Without a configuration as well.
    for arguments in ({}, {"config": False}):
        report = export.run("--from", export.table, "--force", to=lines, **arguments)
        assert table_of(report, export.table)["migrated"] == 300
        with open(lines, encoding="utf-8", newline="\n") as out:
            read = [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in out]
        assert len(read) == 300
        for item in read:
            wanted = there[item["pk"], item["sk"]]
            assert set(item) == set(wanted)
            for name, value in item.items():
                assert sorted_lists(value, wanted[name]) == plain(wanted[name]), name
    export.run("--from", export.table, "--typed", "--force", to=lines)
    with open(lines, encoding="utf-8") as out:
        typed = [json.loads(line)["Item"] for line in out]
    assert {(i["pk"]["S"], i["sk"]["S"]) for i in typed} == set(there)
    assert all(i["long"] == {"N": "12345678901234567890123456789012345678"} for i in typed)
    sheet = os.path.join(export.dir, "out.csv")
    export.run(export.table, to=sheet)  # as an operand
    with open(sheet, encoding="utf-8", newline="") as out:
        reader = csv.DictReader(out)
        rows = list(reader)
    assert reader.fieldnames[:2] == ["pk", "sk"] and reader.fieldnames[2:] == sorted(
        {n for i in items for n in i} - {"pk", "sk"})
    for row in rows:
        wanted = there[row["pk"], row["sk"]]
        assert row["text"] == wanted["text"]["S"] and Decimal(row["n"]) == Decimal("1.5E-7")
        assert json.loads(row["doc"]) == {"a": [1, ""]} and row["none"] == ""
        only = [n for n in wanted if n.startswith("only")]
        assert [n for n in ("only0", "only1", "only2") if row[n]] == only


def test_a_full_disk_leaves_nothing(to_files):
    export = to_files(config="")
    export.put([{"pk": {"S": "k"}, "sk": {"S": "s%d" % i}, "t": {"S": "x" * 3000}} for i in range(900)])
    lines = os.path.join(export.dir, "out.jsonl")

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    text = export.run("--from", export.table, to=lines, code=3, before=small)
    assert "out.jsonl cannot be written" in text and "nothing is left of it" in text
    assert os.listdir(export.dir) == ["export.conf"]
    # What waits, too.
    export.configure('[export "t"]\nfrom = ConversationTable\ncolumn.sk = text\ncolumn.t = text\n'
                     'column.u = t text\ncolumn.v = t text\ncolumn.w = t text\ncolumn.x = t text\n'
                     'column.y = t text\ncolumn.z = t text\ncolumn.a = t text\ncolumn.b = t text\n')
    text = export.run(to=lines, code=3, before=small)
    assert "temporary file" in text and "TMPDIR" in text
    assert os.listdir(export.dir) == ["export.conf"]
    assert "the directory of" in export.run(to=os.path.join(export.dir, "no", "x.jsonl"), code=2)


def test_rows_that_syncd_made_smaller_come_out_whole(fault_endpoint, faulty, tmp_path):
    """A mirrored table, with rows that were compressed and rows that were cut in pieces."""
    faulty.configure({"table big": {"oversize": "split", "partition_key": "a", "sort_key": "b"}})
    faulty.sql("CREATE TABLE big(a TEXT, b TEXT, body TEXT, PRIMARY KEY(a, b))")
    noise = random.Random(3)
    rows = {"small": "x", "packed": "y" * 1_500_000,
            "split": "".join(chr(noise.randrange(33, 0x3000)) for _ in range(600_000))}
    faulty.many("INSERT INTO big VALUES('k', ?, ?)", list(rows.items()))
    faulty.start()
    faulty.settle()
    faulty.stop()
    lines = os.path.join(str(tmp_path), "out.jsonl")
    done = subprocess.run(
        [SYNCCTL, "--region", REGION, "--endpoint-url", fault_endpoint.url, "export", "--from",
         faulty.target("big"), "--to", lines],
        env=faulty.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with open(lines, encoding="utf-8") as out:
        found = [json.loads(line) for line in out]
    assert {i["b"]: i["body"] for i in found} == rows and len(found) == 3


# --- reading ---------------------------------------------------------------------------------------


def test_it_reads_patiently_and_asks_for_nothing_else(fault, fault_endpoint, tmp_path):
    """Through throttling and resets, in parts, once each, within its rate; and by no other call."""
    export = Export(fault_endpoint, tmp_path, config="")
    export.put([{"pk": {"S": "k%d" % i}, "sk": {"S": "s"}} for i in range(500)])
    fault.tables.page_items = 40
    fault.faults.add(Fault("throttling", op="Scan", times=3))
    fault.faults.add(Fault("reset_after_read", op="Scan", times=2))
    seen = len(fault.requests)
    lines = os.path.join(export.dir, "out.jsonl")
    export.run("--from", export.table, "--segments", "3", to=lines)
    with open(lines, encoding="utf-8") as out:
        keys = [json.loads(line)["pk"] for line in out]
    assert sorted(keys) == sorted("k%d" % i for i in range(500))
    assert {r.op for r in fault.requests[seen:]} == {"DescribeTable", "Scan"}
    fault.faults.add(Fault("access_denied", op="Scan", times=1))
    assert "Scan" in export.run("--from", export.table, "--force", to=lines, code=3)
    with open(lines, encoding="utf-8") as out:
        assert len(out.readlines()) == 500  # what was there stays


def test_the_policy_names_what_is_read(tmp_path):
    config = tmp_path / "e.conf"
    config.write_text('[export "b"]\nfrom = Two\ncolumn.id = text\n[export "a"]\nfrom = One\n'
                      'column.id = text\n[export "c"]\nfrom = Two\ncolumn.id = text\n')
    done = subprocess.run(
        [SYNCCTL, "--config", str(config), "--region", "us-west-2", "iam-policy", "--for", "export"],
        capture_output=True, text=True, check=True)
    (statement,) = json.loads(done.stdout)["Statement"]
    assert statement["Action"] == ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Scan"]
    assert statement["Resource"] == ["arn:aws:dynamodb:us-west-2:*:table/One",
                                     "arn:aws:dynamodb:us-west-2:*:table/Two"]


def test_on_a_terminal_it_is_coloured_and_shows_how_far_it_is(to_files):
    story, export = Story(conversations=20, messages=5, seed=9), to_files()
    export.put(story.items)
    command = [w for w in export.command("--rate", "12", to=os.path.join(export.dir, "{table}.csv")) if w != "--json"]
    parent, child = pty.openpty()
    process = subprocess.Popen(command, env={**export.environment, "TERM": "xterm"}, stdin=child,
                               stdout=child, stderr=child, cwd=export.dir)
    os.close(child)
    seen = b""
    while True:
        ready, _, _ = select.select([parent], [], [], 60)
        assert ready, seen
        with contextlib.suppress(OSError):
            piece = os.read(parent, 65536)
            seen += piece
            if piece:
                continue
        break
    os.close(parent)
    assert process.wait(10) == 1
    assert b"\x1b[" in seen and b"success rate" in seen and b"scan" in seen
