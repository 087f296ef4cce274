"""syncctl create-tables: what is made, compared, added, made anew, and printed; boto3 looks."""

import json

import pytest

from fault_rules import Fault
from harness import eventually

SCHEMA = (
    "CREATE TABLE users(id INTEGER PRIMARY KEY, email TEXT, score REAL)",
    "CREATE TABLE books(user_id INTEGER NOT NULL, isbn TEXT NOT NULL, title TEXT, added TEXT,"
    " cover BLOB, PRIMARY KEY(user_id, isbn))",
)
INDEXES = {
    "table users": {"index.by-email": "email", "index.by_score": "score, email : KEYS_ONLY"},
    "table books": {
        "rename.added": "addedAt",
        "index.by.isbn": "isbn, user_id : INCLUDE title, added",
        "index.by-added": "user_id, added:ALL",
    },
}
EXTRAS = {
    "dynamodb": {"tag.team": "books & more", "tag.Team": "two", "tag.empty.dot": "a=b", "deletion_protection": "yes"}
}


def described(mirror, table):
    return mirror.client.describe_table(TableName=mirror.target(table))["Table"]


def indexes(mirror, table):
    """{name: (keys, projection, included)}"""
    return {
        i["IndexName"]: (
            [k["AttributeName"] for k in i["KeySchema"]],
            i["Projection"]["ProjectionType"],
            sorted(i["Projection"].get("NonKeyAttributes", [])),
        )
        for i in described(mirror, table).get("GlobalSecondaryIndexes", [])
    }


def types(mirror, table):
    return {d["AttributeName"]: d["AttributeType"] for d in described(mirror, table)["AttributeDefinitions"]}


def tags(mirror, table):
    arn = described(mirror, table)["TableArn"]
    found, token = [], {}
    while True:
        page = mirror.client.list_tags_of_resource(ResourceArn=arn, **token)
        found += page["Tags"]
        if not page.get("NextToken"):
            return {t["Key"]: t["Value"] for t in found}
        token = {"NextToken": page["NextToken"]}


def created(mirror, *arguments):
    done = mirror.ctl("create-tables", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def ready(mirror):
    mirror.sql(*SCHEMA)
    return mirror


@pytest.mark.engine
def test_all_that_is_configured_is_made(ready):
    ready.configure(INDEXES)
    ready.configure(EXTRAS)
    done = created(ready)
    assert done.stdout.split()[::2] == ["created"] * 3  # and meta_table
    assert indexes(ready, "users") == {
        "by-email": (["email"], "ALL", []),
        "by_score": (["score", "email"], "KEYS_ONLY", []),
    }
    assert indexes(ready, "books") == {
        "by.isbn": (["isbn", "user_id"], "INCLUDE", ["addedAt", "title"]),
        "by-added": (["user_id", "addedAt"], "ALL", []),
    }
    assert types(ready, "users") == {"id": "N", "email": "S", "score": "N"}
    assert types(ready, "books") == {"user_id": "N", "isbn": "S", "addedAt": "S"}
    for table in ("users", "books"):
        about = described(ready, table)
        assert about["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert about["DeletionProtectionEnabled"] is True
        assert about["TableStatus"] == "ACTIVE"
        assert all(i["IndexStatus"] == "ACTIVE" for i in about["GlobalSecondaryIndexes"])
        assert tags(ready, table) == {"team": "books & more", "Team": "two", "empty.dot": "a=b"}
    again = created(ready)
    assert again.stdout.split()[::2] == ["there"] * 3


@pytest.mark.engine
def test_provisioned_capacity_goes_to_indexes_too(ready):
    ready.configure(INDEXES)
    ready.configure({"dynamodb": {"billing_mode": "PROVISIONED", "read_capacity": "7", "write_capacity": "3"}})
    created(ready, "users")
    about = described(ready, "users")
    for what in [about, *about["GlobalSecondaryIndexes"]]:
        units = what["ProvisionedThroughput"]
        assert (units["ReadCapacityUnits"], units["WriteCapacityUnits"]) == (7, 3)
    assert ready.tables_of_ours() == [ready.target("users")]  # only what was named


def test_the_daemon_makes_the_same(ready):
    ready.configure(INDEXES)
    ready.configure(EXTRAS)
    ready.sql("INSERT INTO users VALUES(1, 'a@b', 1.5), (2, NULL, NULL)")
    ready.start()
    ready.settle()
    assert set(indexes(ready, "users")) == {"by-email", "by_score"}
    assert described(ready, "books")["DeletionProtectionEnabled"] is True
    assert tags(ready, "books")["team"] == "books & more"
    created(ready)  # which finds no difference


def ttl(mirror, table):
    about = mirror.client.describe_time_to_live(TableName=mirror.target(table))["TimeToLiveDescription"]
    return about.get("AttributeName") if about["TimeToLiveStatus"] == "ENABLED" else None


TTL = {"table books": {"ttl_column": "added", "rename.added": "goneAt"}}


@pytest.mark.engine
def test_items_expire_by_the_attribute_of_ttl_column(ready):
    created(ready, "users")
    ready.configure(TTL)
    created(ready)
    assert ttl(ready, "books") == "goneAt" and ttl(ready, "users") is None
    ready.configure({"table books": {"ttl_column": None}, "table users": {"ttl_column": "score"}})
    code, tables = differences(ready)
    assert code == 1
    (found,) = tables[ready.target("books")]["differences"]
    assert (found["aspect"], found["missing"]) == ("ttl", False) and "goneAt" in found["message"]
    (found,) = tables[ready.target("users")]["differences"]
    assert (found["aspect"], found["missing"]) == ("ttl", True) and "score" in found["message"]
    created(ready, "--update", "users")
    assert ttl(ready, "users") == "score"


def test_the_daemon_sets_it_on_tables_that_it_makes(ready):
    ready.configure(TTL)
    ready.start()
    ready.settle()
    assert ttl(ready, "books") == "goneAt" and ttl(ready, "users") is None


def test_one_table_expires_by_one_attribute(ready):
    target = ready.prefix + "one"
    ready.configure(
        {
            "table users": {"target": target, "partition_key": "U#{id}", "ttl_column": "score"},
            "table books": {"target": target, "partition_key": "B#{isbn}", "ttl_column": "added"},
        }
    )
    done = ready.ctl("check")
    assert done.returncode == 2 and "by added and by score" in done.stderr


def query(mirror, table, index, name, value):
    page = mirror.client.query(
        TableName=mirror.target(table),
        IndexName=index,
        KeyConditionExpression="#k = :v",
        ExpressionAttributeNames={"#k": name},
        ExpressionAttributeValues={":v": value},
    )
    return page["Items"]


def test_rows_in_and_out_of_an_index(ready):
    """NULL leaves the attribute out even where null = null; what no index takes is a dead letter."""
    ready.configure(INDEXES)
    ready.configure({"table users": {"null": "null"}})
    ready.many(
        "INSERT INTO users VALUES(?, ?, ?)",
        [
            (1, "a@b", 1.5),
            (2, None, None),
            (3, "", 1.0),
            (4, "c@d", "not a number"),
            (5, b"\x01", 2.0),
            (6, "x" * 1024, 1.0),
            (7, "x" * 1025, 1.0),
        ],
    )
    ready.start()
    ready.wait()
    letters = {d["key"]: (d["column"], d["reason"]) for d in ready.dead_letters()}
    assert letters == {
        "id=3": ("email", "key_empty"),
        "id=4": ("score", "key_type"),
        "id=5": ("email", "key_type"),
        "id=7": ("email", "key_too_long"),
    }
    assert {i["id"] for i in ready.items("users")} == {1, 2, 6}
    assert set(next(i for i in ready.items("users") if i["id"] == 2)) == {"id"}
    assert [i["id"]["N"] for i in query(ready, "users", "by-email", "email", {"S": "a@b"})] == ["1"]
    ready.sql("UPDATE users SET email = 'e@f', score = 3 WHERE id IN (3, 4, 5, 7)")
    ready.wait()
    assert ready.dead_letters() == []
    found = query(ready, "users", "by-email", "email", {"S": "e@f"})
    assert sorted(i["id"]["N"] for i in found) == ["3", "4", "5", "7"]


def differences(mirror, *arguments):
    done = mirror.ctl("--json", "create-tables", *arguments)
    tables = {t["table"]: t for t in json.loads(done.stdout)["tables"]}
    return done.returncode, tables


@pytest.mark.engine
def test_what_is_there_is_compared_and_left_alone(ready):
    created(ready)
    before = described(ready, "books")
    ready.configure(INDEXES)
    ready.configure(EXTRAS)
    ready.configure({"dynamodb": {"billing_mode": "PROVISIONED"}})
    code, tables = differences(ready)
    assert code == 1
    found = tables[ready.target("books")]
    assert found["outcome"] == "differs"
    assert [(d["aspect"], d["missing"]) for d in found["differences"]] == [
        ("index", True),
        ("index", True),
        ("billing", False),
        ("tags", True),
        ("tags", True),
        ("tags", True),
        ("protection", True),
    ]
    assert found["differences"][0]["message"] == "index by.isbn is missing"
    assert "PAY_PER_REQUEST" in found["differences"][2]["message"]
    assert described(ready, "books") == before
    plain = ready.ctl("create-tables")
    assert plain.returncode == 1
    assert "index by-email is missing" in plain.stdout and "create-tables --update" in plain.stdout


@pytest.mark.engine
def test_update_adds_what_is_missing(ready):
    created(ready)
    ready.configure(INDEXES)
    ready.configure(EXTRAS)
    done = created(ready, "--update")
    assert done.stdout.count("updated") == 3 and "added: index by-email is missing" in done.stdout
    assert set(indexes(ready, "users")) == {"by-email", "by_score"}
    assert set(indexes(ready, "books")) == {"by.isbn", "by-added"}
    assert tags(ready, "users")["Team"] == "two"
    assert described(ready, "users")["DeletionProtectionEnabled"] is True
    assert differences(ready)[0] == 0
    # Nothing is taken away, and nothing that is there is changed.
    ready.configure({"table users": {"index.by-email": "email, score"}})
    code, tables = differences(ready, "--update")
    assert code == 1 and "cannot be changed" in tables[ready.target("users")]["differences"][0]["message"]
    ready.configure({"table users": {"index.by-email": None}})
    code, tables = differences(ready)
    (note,) = tables[ready.target("users")]["differences"]
    assert code == 0 and note["note"] and "of which the configuration says nothing" in note["message"]


@pytest.mark.engine
def test_another_key_is_refused(ready):
    created(ready, "users")
    ready.configure({"table books": {"target": ready.target("users")}, "source": {"tables": "books"}})
    done = ready.ctl("create-tables")
    assert done.returncode == 2
    assert "has the key id (N), but the mapping needs user_id (N), isbn (S)" in done.stderr


# Made anew.


def put(mirror, table, **key):
    mirror.client.put_item(TableName=mirror.target(table), Item=key)


@pytest.mark.engine
def test_force_asks_for_the_name(ready):
    created(ready, "users")
    put(ready, "users", id={"N": "1"})
    target = ready.target("users")
    refused = ready.ctl("create-tables", "--force", "users")
    assert refused.returncode == 2 and "--yes" in refused.stderr
    code, shown = ready.ctl_on_terminal("create-tables", "--force", "users", typed=target + "x")
    assert code == 1 and "nothing was done" in shown and "region eu-test-1" in shown
    assert len(ready.items("users")) == 1
    code, shown = ready.ctl_on_terminal("create-tables", "--force", "users", typed=target)
    assert code == 0 and "recreated" in shown, shown
    assert ready.items("users") == []
    put(ready, "users", id={"N": "1"})
    assert "recreated" in created(ready, "--force", "--yes", "users").stdout
    assert ready.items("users") == []


def test_the_daemon_fills_a_table_made_anew(ready):
    ready.sql("INSERT INTO users VALUES(1, 'a@b', 1.5)")
    ready.start()
    ready.settle()
    ready.stop()
    created(ready, "--force", "--yes")
    ready.start()
    ready.settle()
    assert len(ready.items("users")) == 1


@pytest.mark.engine
def test_a_protected_table_is_not_deleted(ready):
    ready.configure(EXTRAS)
    created(ready, "users")
    done = ready.ctl("create-tables", "--force", "--yes", "users")
    assert done.returncode == 2 and "protect" in done.stderr


@pytest.mark.parametrize(
    "arguments, part",
    [
        (("--force", "--update"), "say one of them"),
        (("--force", "--dry-run"), "leave --force and --update out"),
        (("--format", "yaml"), "none of cloudformation and terraform"),
        (("none_such",), 'table "none_such" is not mirrored'),
    ],
)
def test_what_is_refused(ready, arguments, part):
    done = ready.ctl("create-tables", *arguments)
    assert done.returncode == 2 and part in done.stderr and done.stdout == ""
    assert ready.tables_of_ours() == []


# What no engine here has: a service that takes its time, refuses, and has backups.

WITH_BACKUPS = {"dynamodb": {"point_in_time_recovery": "yes", "tag.a": "1", "tag.b": "2", "tag.c": "3"}}


def test_recovery_is_switched_on_once_backups_are_there(faulty, fault):
    faulty.sql(*SCHEMA)
    faulty.configure(WITH_BACKUPS)
    fault.tables.backups_unavailable = 2
    fault.tables.creating_seconds = 0.3
    created(faulty, "users")
    assert fault.tables.by_name[faulty.target("users")].recovery
    assert [r.status for r in fault.requests if r.op == "UpdateContinuousBackups"] == [400, 400, 200]
    created(faulty, "users")


def test_a_reload_while_meta_table_is_made(fault, faulty):
    fault.tables.creating_seconds = 2.0
    faulty.sql(*SCHEMA)
    faulty.start()
    eventually(
        lambda: faulty.settings["dynamodb"]["meta_table"] in faulty.tables_of_ours(), "meta_table begun"
    )
    for _ in range(5):
        assert faulty.ctl("reload").returncode == 0
    faulty.settle()
    assert "marker_missing" not in faulty.log_text()


def test_what_a_new_table_lacks_is_told_and_added_later(faulty, fault):
    faulty.sql(*SCHEMA)
    faulty.configure(WITH_BACKUPS)
    denied = fault.faults.add(Fault("access_denied", times=None, op="UpdateContinuousBackups"))
    done = faulty.ctl("create-tables", "users")
    assert done.returncode == 3 and "point-in-time recovery is still off" in done.stderr
    fault.faults.remove(denied)
    done = faulty.ctl("create-tables", "users")
    assert done.returncode == 1 and "point-in-time recovery is off" in done.stdout
    assert "updated" in created(faulty, "--update", "users").stdout
    assert fault.tables.by_name[faulty.target("users")].recovery


def test_the_daemon_goes_on_without_it(faulty, fault):
    faulty.sql(*SCHEMA, "INSERT INTO users VALUES(1, 'a', 1)")
    faulty.configure(WITH_BACKUPS)
    fault.faults.add(Fault("access_denied", times=None, op="UpdateContinuousBackups"))
    faulty.start()
    faulty.settle()
    assert "point-in-time recovery is still off" in faulty.log_text()


def test_a_creation_that_was_cut_off_is_finished(faulty, fault):
    faulty.sql(*SCHEMA)
    faulty.configure(WITH_BACKUPS)
    fault.faults.add(Fault("reset_after_apply", op="CreateTable"))
    first = faulty.ctl("create-tables", "users")
    assert faulty.target("users") in fault.table_names()
    assert first.returncode in (0, 3)
    assert faulty.ctl("create-tables", "--update", "users").returncode == 0
    assert fault.tables.by_name[faulty.target("users")].recovery
    assert faulty.ctl("create-tables", "users").returncode == 0


def test_killed_between_the_calls_it_is_finished(faulty, fault):
    faulty.sql(*SCHEMA)
    faulty.configure(WITH_BACKUPS)
    held = fault.faults.add(Fault("hold", times=None, op="UpdateContinuousBackups"))
    faulty.ctl_killed(fault, held, "create-tables")
    assert len(fault.table_names()) == 1  # one after another
    assert faulty.ctl("create-tables", "--update").returncode == 0
    assert all(t.recovery for t in fault.tables.by_name.values())
    assert differences(faulty)[0] == 0


def test_a_refusal_to_say_is_no_difference(faulty, fault):
    faulty.sql(*SCHEMA)
    created(faulty, "users")
    fault.faults.add(Fault("access_denied", times=None, op="DescribeTimeToLive"))
    done = created(faulty, "users")
    assert "note: " in done.stdout and "DescribeTimeToLive" in done.stdout


# Printed.


def requests(mirror, *arguments):
    lines = created(mirror, "--dry-run", *arguments).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_the_requests_are_those_that_would_be_sent(faulty, fault):
    faulty.sql(*SCHEMA)
    faulty.configure(INDEXES)
    faulty.configure(EXTRAS)
    faulty.configure(WITH_BACKUPS)
    printed = requests(faulty)
    assert fault.requests == [] and fault.table_names() == []
    made = [p["request"] for p in printed if p["operation"] == "CreateTable"]
    for request in made:
        faulty.client.create_table(**request)
    for p in printed:
        if p["operation"] == "UpdateContinuousBackups":
            faulty.client.update_continuous_backups(**p["request"])
    assert {p["operation"] for p in printed} == {"CreateTable", "UpdateContinuousBackups"}
    created(faulty)  # finds nothing to say against them
    assert differences(faulty)[0] == 0


def test_a_cloudformation_template_is_createtable_in_other_words(ready):
    ready.configure(INDEXES)
    ready.configure(EXTRAS)
    ready.configure(WITH_BACKUPS)
    template = json.loads(created(ready, "--format", "cloudformation").stdout)
    assert template["AWSTemplateFormatVersion"] == "2010-09-09"
    wanted = {p["request"]["TableName"]: p["request"] for p in requests(ready) if p["operation"] == "CreateTable"}
    found = {}
    for name, resource in template["Resources"].items():
        assert name.isalnum() and resource["Type"] == "AWS::DynamoDB::Table"
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
        properties = resource["Properties"]
        assert properties.pop("PointInTimeRecoverySpecification") == {"PointInTimeRecoveryEnabled": True}
        found[properties["TableName"]] = properties
    assert found == wanted
    assert ready.tables_of_ours() == []


def test_a_terraform_template_says_the_same(ready):
    ready.configure(INDEXES)
    ready.configure(EXTRAS)
    ready.configure(WITH_BACKUPS)
    ready.configure({"dynamodb": {"tag.odd": "$${x} %{y}"}})
    template = json.loads(created(ready, "--format", "terraform").stdout)
    tables = {t["name"]: t for t in template["resource"]["aws_dynamodb_table"].values()}
    books = tables[ready.target("books")]
    assert (books["hash_key"], books["range_key"]) == ("user_id", "isbn")
    assert {(a["name"], a["type"]) for a in books["attribute"]} == {
        ("user_id", "N"),
        ("isbn", "S"),
        ("addedAt", "S"),
    }
    by_name = {i["name"]: i for i in books["global_secondary_index"]}
    assert by_name["by.isbn"] == {
        "name": "by.isbn",
        "hash_key": "isbn",
        "range_key": "user_id",
        "projection_type": "INCLUDE",
        "non_key_attributes": ["title", "addedAt"],
    }
    assert books["billing_mode"] == "PAY_PER_REQUEST" and "read_capacity" not in books
    assert books["tags"]["team"] == "books & more"
    assert books["tags"]["odd"] == "$${x} %%{y}"  # not to be read as an expression
    assert books["deletion_protection_enabled"] is True
    assert books["point_in_time_recovery"] == {"enabled": True}
    assert books["lifecycle"] == {"prevent_destroy": True}


# Indexes that cannot be.


@pytest.mark.parametrize(
    "value, part",
    [
        ("nothing", '"nothing" is no column'),
        ("loose", "convert.loose = string"),
        ("flag", "add.NAME = {flag}"),
        ("email, email", "as partition key and as sort key"),
        ("email, score, id", "takes partition key[, sort key]"),
        (", email", "takes partition key[, sort key]"),
        ("email : SOME", "none of ALL, KEYS_ONLY and INCLUDE"),
        ("email : INCLUDE", "takes 1 to 100 attributes"),
        ("email : INCLUDE(score", 'has no ")"'),
    ],
)
def test_check_refuses_an_index_and_says_what_to_write(mirror, value, part):
    mirror.sql("CREATE TABLE users(id INTEGER PRIMARY KEY, email TEXT, score REAL, loose, flag INT)")
    mirror.configure({"table users": {"convert.flag": "bool", "index.one": value}})
    done = mirror.ctl("check")
    assert done.returncode == 2 and part in done.stderr and 'index "one"' in done.stderr


def test_check_shows_indexes(ready):
    ready.configure(INDEXES)
    done = ready.ctl("check")
    assert done.returncode == 0, done.stderr
    assert "by_score: partition key score (N), sort key email (S), KEYS_ONLY" in done.stdout
    found = json.loads(ready.ctl("--json", "check").stdout)["tables"]
    (books,) = (t for t in found if t["table"] == "books")
    assert {i["name"] for i in books["indexes"]} == {"by.isbn", "by-added"}


def test_tables_that_share_a_target_share_its_indexes(ready):
    """Both write to one table; its index is asked for by one, and holds for the rows of both."""
    target = ready.prefix + "one"
    ready.sql("CREATE TABLE notes(id INTEGER PRIMARY KEY, email TEXT)")
    ready.configure(
        {
            "source": {"tables": "users, notes"},
            "table users": {"target": target, "partition_key": "USER#{id}", "index.by-email": "email"},
            "table notes": {"target": target, "partition_key": "NOTE#{id}"},
        }
    )
    ready.sql("INSERT INTO users VALUES(1, 'a@b', 1)", "INSERT INTO notes VALUES(1, 'a@b'), (2, '')")
    ready.start()
    ready.wait()
    found = ready.client.query(
        TableName=target,
        IndexName="by-email",
        KeyConditionExpression="email = :v",
        ExpressionAttributeValues={":v": {"S": "a@b"}},
    )["Items"]
    assert sorted(i["pk"]["S"] for i in found) == ["NOTE#1", "USER#1"]
    assert [(d["table"], d["reason"]) for d in ready.dead_letters()] == [("notes", "key_empty")]
    eventually(lambda: ready.status()["health"] == "warning", "a dead letter is told")


def test_one_attribute_has_one_type_over_all_tables_of_a_target(ready):
    target = ready.prefix + "one"
    ready.configure(
        {
            "table users": {"target": target, "partition_key": "USER#{id}", "index.one": "score"},
            "table books": {
                "target": target,
                "partition_key": "BOOK#{isbn}",
                "rename.title": "score",
                "index.two": "title",
            },
        }
    )
    done = ready.ctl("create-tables", "--dry-run")
    assert done.returncode == 2 and "attribute score" in done.stderr and "type S" in done.stderr
    assert ready.ctl("check").returncode == 2


def test_the_others_go_on_while_a_table_is_being_made(fault, faulty):
    """DynamoDB takes minutes for a table with indexes, and whoever writes others is not to wait."""
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "CREATE TABLE u(id INTEGER PRIMARY KEY, v)")
    faulty.sql("INSERT INTO t VALUES(1,'a')", "INSERT INTO u VALUES(1,'a')")
    faulty.start().settle()
    fault.tables.creating_seconds = 15.0
    faulty.configure({"table u": {"target": faulty.prefix + "another"}})
    done = faulty.ctl("reload", "--apply")
    assert done.returncode == 0, done.stderr
    faulty.sql("INSERT INTO t VALUES(2,'b')", "INSERT INTO u VALUES(2,'b')")
    eventually(lambda: 2 in faulty.by_id("t"), "the other table's row", timeout=8)
    assert not faulty.status()["converged"]
    faulty.settle()
    assert sorted(faulty.by_id("u")) == [1, 2]


def test_the_others_go_on_beside_a_table_that_cannot_be_made(fault, faulty):
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES(1,'a')")
    faulty.start().settle()
    faulty.stop()
    limit = {"code": "com.amazonaws.dynamodb.v20120810#LimitExceededException"}
    full = fault.faults.add(Fault("request_limit", op="CreateTable", times=None, **limit))
    faulty.sql("CREATE TABLE u(id INTEGER PRIMARY KEY, v)", "INSERT INTO u VALUES(1,'a')")
    faulty.sql("INSERT INTO t VALUES(2,'b')")
    faulty.start()
    eventually(lambda: 2 in faulty.by_id("t"), "the other table's row")
    assert not faulty.status()["converged"] and faulty.table("u")["state"] == "parked"
    fault.faults.remove(full)
    eventually(lambda: faulty.status()["converged"], "convergence", timeout=40)
    faulty.settle()
    assert sorted(faulty.by_id("u")) == [1]


def test_no_table_is_left_behind_where_nothing_answered_before(fault, faulty):
    """A machine whose network is up late: none had been looked at, and all are at once."""
    for table in "tuvw":
        faulty.sql(f"CREATE TABLE {table}(id INTEGER PRIMARY KEY, v)", f"INSERT INTO {table} VALUES(1,'a')")
    faulty.start().settle()
    faulty.stop()
    fault.refuse_connections()
    slow = {"op": "DescribeTable", "table": faulty.prefix + "w"}
    fault.faults.add(Fault("delay", times=None, seconds=0.5, **slow))
    faulty.start()
    eventually(lambda: faulty.status()["uptime_seconds"] > 11, "longer than a start has patience", timeout=30)
    fault.listen()
    faulty.settle(60)
    assert "unlooked" not in faulty.log_text()
