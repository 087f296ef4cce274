"""syncctl iam-policy: what is printed is what is sent, no more and no less; and what a refusal says."""

import json
import os
import re

import pytest

from fault_rules import Fault
from harness import ROOT, eventually

DENIED = (
    "User: arn:aws:iam::123456789012:user/app is not authorized to perform: dynamodb:%s on resource: "
    "arn:aws:dynamodb:eu-test-1:123456789012:table/%s because no identity-based policy allows it"
)


def policy(mirror, *arguments):
    done = mirror.ctl("iam-policy", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pairs(printed):
    return {
        (action.split(":")[1], resource)
        for statement in printed["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def actions(printed):
    return {action for action, _ in pairs(printed)}


@pytest.fixture
def ready(faulty):
    faulty.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE u(id INTEGER PRIMARY KEY)",
        "CREATE VIEW w AS SELECT * FROM t",
    )
    return faulty


def test_the_table_of_operations_is_what_the_code_sends():
    sent = set()
    for folder in ("daemon", "common"):
        for where, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                if name.endswith(".c"):
                    with open(os.path.join(where, name), encoding="utf-8") as source:
                        calls = re.findall(
                            r'(?:ddb_start|job_call|job_call_start|restore_call)\([^;"]*?,\s*(\S+?),',
                            source.read(),
                        )
                    # Only a name that is written there can be compared; two files hand on their callers'.
                    handing_on = name in ("call.c", "restore_find.c")
                    passed_on = {"const", "operation", "c->operation"} if handing_on else {"const"}
                    assert all(c.startswith('"') for c in calls if c not in passed_on), (name, calls)
                    sent |= {c.strip('"') for c in calls if c.startswith('"')}
    with open(os.path.join(ROOT, "common/dynamodb/operations.c"), encoding="utf-8") as source:
        text = source.read()
    rows = re.findall(r'\{"(\w+)",.*?(true|false)\}', text, re.DOTALL)
    assert {name for name, is_sent in rows if is_sent == "true"} == sent
    assert sent >= {"BatchWriteItem", "DescribeTable", "CreateTable"}


def test_everything_in_it_is_used_and_nothing_else(ready, fault):
    ready.configure({"sync": {"canary": "3s"}, "dynamodb": {"meta_table": "test-meta"}})
    ready.client.create_table(  # which is looked at, as it may hold anything
        TableName=ready.target("t"),
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    ready.sql("INSERT INTO t VALUES(1, 'x')")
    ready.start().wait()
    eventually(lambda: ready.status()["canary"]["last_back"], "a canary")
    assert {r.op for r in fault.requests} == actions(policy(ready))
    written = {w[0] for r in fault.batches() for w in r.writes}
    allowed = {r.split("/")[1] for action, r in pairs(policy(ready)) if action == "BatchWriteItem"}
    assert written == allowed - {ready.target("u")}  # which has no row


def test_what_create_tables_needs(ready, fault):
    ready.configure({"sync": {"canary": "60s"}, "dynamodb": {"meta_table": "test-meta"}})
    assert ready.ctl("create-tables").returncode == 0
    assert ready.ctl("create-tables").returncode == 0  # which looks closer at what is there
    assert {r.op for r in fault.requests} == actions(policy(ready, "--for", "tables"))
    ready.configure(
        {
            "dynamodb": {"tag.a": "b", "point_in_time_recovery": "yes", "deletion_protection": "yes"},
            "table t": {"index.by-v": "v", "ttl_column": "id"},
        }
    )
    assert ready.ctl("create-tables", "--update").returncode == 0
    assert {r.op for r in fault.requests} == actions(policy(ready, "--for", "tables"))
    made = {r.split("/")[1] for _, r in pairs(policy(ready, "--for", "tables"))}
    assert made == set(fault.table_names())


def test_a_daemon_that_makes_tables_needs_what_they_are_to_have(ready, fault):
    ready.configure(
        {
            "dynamodb": {"tag.a": "b", "point_in_time_recovery": "yes"},
            "table t": {"index.by-v": "v", "ttl_column": "id"},
        }
    )
    ready.sql("INSERT INTO t VALUES(1, 'x')")
    ready.start().wait()
    # CreateTable with tags is the one that asks for TagResource; the others need an occasion.
    sent = {r.op for r in fault.requests}
    assert {"UpdateTimeToLive", "UpdateContinuousBackups", "CreateTable"} <= sent
    assert actions(policy(ready)) - sent <= {"TagResource", "Scan", "GetItem"}
    assert sent <= actions(policy(ready))


def test_what_the_first_move_needs(ready, fault):
    ready.configure({"dynamodb": {"meta_table": "test-meta", "create_tables": "no"}})
    ready.sql("INSERT INTO t VALUES(1, 'x')")
    done = ready.ctl("migrate", "--yes")
    assert done.returncode == 0, done.stderr
    move = pairs(policy(ready, "--for", "migrate"))
    assert {r.op for r in fault.requests} <= {action for action, _ in move}
    parts = (pairs(policy(ready, *p)) for p in ((), ("--for", "tables"), ("--for", "verify")))
    assert move == set().union(*parts)
    assert move == pairs(policy(ready, "--for", "daemon,tables,verify"))
    # What is to be made of the tables besides is as in the parts.
    ready.configure({"dynamodb": {"tag.a": "b"}, "table t": {"ttl_column": "id"}})
    parts = (pairs(policy(ready, *p)) for p in ((), ("--for", "tables"), ("--for", "verify")))
    assert pairs(policy(ready, "--for", "migrate")) == set().union(*parts)


def test_it_is_of_this_configuration(ready):
    arn = "arn:aws:dynamodb:eu-test-1:%s:table/" + ready.prefix
    ready.configure({"dynamodb": {"create_tables": "no"}})
    assert pairs(policy(ready)) == {
        (action, arn % "*" + table)
        for action in ("BatchWriteItem", "DescribeTable", "Scan")
        for table in "tu"
    } | {
        (action, arn % "*" + "meta")
        for action in ("BatchWriteItem", "DescribeTable", "GetItem", "PutItem", "Query")
    }
    ready.configure({"source": {"exclude_tables": "u"}, "table t": {"target": "elsewhere"}})
    assert {r for _, r in pairs(policy(ready, "--account", "123456789012"))} == {
        "arn:aws:dynamodb:eu-test-1:123456789012:table/elsewhere",
        (arn % "123456789012") + "meta",
    }
    for region, partition in (("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")):
        printed = policy(ready, "--region", region, "--for", "verify")
        for _, resource in pairs(printed):
            assert resource == "arn:%s:dynamodb:%s:*:table/elsewhere" % (partition, region)
    assert actions(policy(ready, "--for", "restore")) == {"DescribeTable", "GetItem", "Scan"}
    ready.configure({"dynamodb": {"keep_schema": "yes"}})
    meta = arn % "*" + "meta"
    assert pairs(policy(ready, "--for", "restore")) >= {(a, meta) for a in ("GetItem", "Scan")}
    assert pairs(policy(ready)) >= {(a, meta) for a in ("GetItem", "BatchWriteItem")}


@pytest.mark.parametrize(
    "arguments, part",
    [
        (("--for", "all"), "daemon, tables, verify, restore, purge, export and migrate"),
        (("--for", "verify,all"), "--for all is none of"),
        (("--for", ""), "is none of"),
        (("--account", "12345"), "12 digits"),
        (("x",), "takes no operand"),
    ],
)
def test_what_it_refuses(ready, arguments, part):
    done = ready.ctl("iam-policy", *arguments)
    assert done.returncode == 2 and part in done.stderr and done.stdout == ""


def test_a_policy_too_long_to_be_managed_is_told(ready):
    ready.sql(*("CREATE TABLE a_table_of_the_application_%d(id INTEGER PRIMARY KEY)" % n for n in range(90)))
    done = ready.ctl("iam-policy")
    assert done.returncode == 0 and "6144" in done.stderr
    assert len(pairs(json.loads(done.stdout))) == 4 * 92 + 6


def test_nothing_mirrored_needs_nothing(ready):
    ready.configure({"source": {"tables": "none_such"}})
    done = ready.ctl("iam-policy")
    assert done.returncode == 2 and "no table" in done.stderr


def test_a_refused_write_names_action_resource_and_remedy(ready, fault):
    ready.sql("INSERT INTO t VALUES(1, 'x')")
    ready.start().wait()
    target = ready.target("t")
    denied = fault.faults.add(
        Fault("access_denied", times=None, message=DENIED % ("BatchWriteItem", target))
    )
    ready.sql("INSERT INTO t VALUES(2, 'x')")

    def told():
        reasons = ready.status()["reasons"]
        return [r["message"] for r in reasons if r["code"] == "table_parked"]

    (message,) = eventually(told, "the reason")
    for text in (message, ready.log_text()):
        assert "dynamodb:BatchWriteItem is not allowed on arn:aws:dynamodb:eu-test-1:" in text
        assert ":table/" + target in text and "`syncctl iam-policy`" in text
    fault.faults.remove(denied)
    ready.ctl("reload")
    ready.settle()


def test_a_refused_look_names_them_too(ready, fault):
    fault.faults.add(
        Fault("access_denied", times=None, op="DescribeTable", message=DENIED % ("DescribeTable", "t"))
    )
    ready.start()
    eventually(lambda: "table_parked" in ready.reasons(), "parked")
    text = ready.log_text()
    assert "dynamodb:DescribeTable is not allowed on arn:" in text and "iam-policy" in text
