"""The fault server itself: a judge must be right before it judges. boto3 is the client."""

import base64
import concurrent.futures
import http.client
import json
import time
import urllib.error
import urllib.request
import zlib

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
)

import dynamodb_rules as rules
from fault_rules import Fault, attribute_equals
from faultserver import ACCESS_KEY, SECRET_KEY, FaultServer
from harness import eventually


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


@pytest.fixture
def client(server):
    made = connect(server)
    made.create_table(
        TableName="things",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return made


def connect(server, access_key=ACCESS_KEY, secret=SECRET_KEY, token=None):
    return boto3.client(
        "dynamodb",
        endpoint_url=server.url,
        region_name="eu-test-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=10),
    )


def put(**attributes):
    return {"PutRequest": {"Item": attributes}}


def delete(**key):
    return {"DeleteRequest": {"Key": key}}


def write(client, *requests, table="things"):
    return client.batch_write_item(RequestItems={table: list(requests)})


def raw(
    server,
    body,
    access_key=ACCESS_KEY,
    secret=SECRET_KEY,
    edit=None,
    op="BatchWriteItem",
    wrong_crc=False,
):
    """(status, body) of one signed request with any body; `edit` spoils it after signing."""
    request = AWSRequest(
        "POST",
        server.url + "/",
        data=body,
        headers={
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "DynamoDB_20120810." + op,
        },
    )
    SigV4Auth(Credentials(access_key, secret), "dynamodb", "eu-test-1").add_auth(request)
    prepared = request.prepare()
    sent = dict(prepared.headers.items())
    if edit:
        edit(sent)
    call = urllib.request.Request(server.url + "/", data=prepared.body, headers=sent, method="POST")
    try:
        with urllib.request.urlopen(call, timeout=10) as reply:
            status, headers_back, text = reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        status, headers_back, text = error.code, error.headers, error.read()
    if "x-amz-crc32" in headers_back:
        assert (int(headers_back["x-amz-crc32"]) == zlib.crc32(text)) is not wrong_crc
    return status, json.loads(text) if text.startswith(b"{") else text


def code_of(error):
    return error.value.response["Error"]["Code"]


def test_put_replaces_the_whole_item_and_delete_removes_it(server, client):
    write(
        client,
        put(id={"N": "1"}, a={"S": "x"}, b={"S": "y"}),
        put(id={"N": "2"}, a={"B": b"\x00\xff"}),
    )
    write(client, put(id={"N": "1.0"}, a={"S": "z"}))
    assert client.get_item(TableName="things", Key={"id": {"N": "1"}})["Item"] == {
        "id": {"N": "1"},
        "a": {"S": "z"},
    }
    assert write(client, delete(id={"N": "2"}), delete(id={"N": "99"}))["UnprocessedItems"] == {}
    assert client.scan(TableName="things")["Items"] == [{"id": {"N": "1"}, "a": {"S": "z"}}]
    assert server.violations == []
    assert [len(r.writes) for r in server.batches()] == [2, 1, 2]


def test_scan_gives_every_item_once_over_its_pages(server, client):
    for first in range(0, 100, 25):
        write(
            client,
            *[put(id={"N": str(n)}, pad={"S": "p" * 30000}) for n in range(first, first + 25)]
        )
    pages = list(client.get_paginator("scan").paginate(TableName="things"))
    assert len(pages) > 2
    assert sorted(int(i["id"]["N"]) for p in pages for i in p["Items"]) == list(range(100))
    segments = [
        client.scan(TableName="things", Segment=s, TotalSegments=3, Limit=1000)["Count"]
        for s in range(3)
    ]
    assert all(segments)


def test_a_table_is_creating_for_the_time_set(server):
    server.tables.creating_seconds = 3600
    client = connect(server)
    made = client.create_table(
        TableName="later",
        KeySchema=[
            {"AttributeName": "a", "KeyType": "HASH"},
            {"AttributeName": "b", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in "ab"],
        BillingMode="PAY_PER_REQUEST",
    )
    assert made["TableDescription"]["TableStatus"] == "CREATING"
    with pytest.raises(ClientError) as refused:
        write(client, put(a={"S": "1"}, b={"S": "1"}), table="later")
    assert code_of(refused) == "ResourceNotFoundException"
    server.tables.by_name["later"].ready_at = time.monotonic()
    assert client.describe_table(TableName="later")["Table"]["TableStatus"] == "ACTIVE"
    write(client, put(a={"S": "1"}, b={"S": "1"}), table="later")
    with pytest.raises(ClientError) as again:
        client.create_table(
            TableName="later",
            KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    assert code_of(again) == "ResourceInUseException"
    assert client.list_tables()["TableNames"] == ["later"]


@pytest.mark.parametrize(
    "requests, message",
    [
        ([put(id={"N": "1"}), delete(id={"N": "1.0"})], "duplicates"),
        ([put(id={"N": str(n)}) for n in range(26)], "Too many items"),
        ([put(id={"S": "1"})], "Type mismatch"),
        ([put(a={"S": "1"})], "Missing the key id"),
        ([put(id={"N": "1"}, a={"N": "1" * 39})], "38 significant digits"),
        ([put(id={"N": "1"}, a={"N": "1e126"})], "overflow"),
        ([put(id={"N": "1"}, a={"N": "1e-131"})], "underflow"),
        ([put(id={"N": "1"}, a={"N": "NaN"})], "numeric value"),
        ([put(id={"N": "1"}, a={"S": "x" * 409600})], "maximum allowed size"),
        ([put(id={"N": "1"}, a={"NULL": False})], "value of true"),
        ([delete(id={"N": "1"}, a={"N": "1"})], "does not match the schema"),
    ],
)
def test_a_broken_rule_is_refused_noted_and_writes_nothing(server, client, requests, message):
    with pytest.raises(ClientError) as refused:
        write(client, *requests)
    assert code_of(refused) == "ValidationException"
    assert message in refused.value.response["Error"]["Message"]
    assert len(server.violations) == 1
    assert server.items("things") == {}


@pytest.mark.parametrize(
    "body",
    [
        b'{"RequestItems":{"things":[{"PutRequest":{"Item":{"id":{"N":1}}}}]}}',
        b'{"RequestItems":{"things":[{"PutRequest":{"Item":{"id":{"N":"1"},"id":{"N":"2"}}}}]}}',
        b'{"RequestItems":{"things":[{"PutRequest":{"Item":{"id":{"N":"1"},"a":{"S":"\xff"}}}}]}}',
        b'{"RequestItems":{"things":[{"PutRequest":{"Item":{"id":{"N":"1"},"a":{"S":"\\ud800"}}}}]}}',
        b'{"RequestItems":{"things":[{"PutRequest":{"Item":{"id":{"N":"1"},"a":{"B":"YQ"}}}}]}}',
        b'{"RequestItems":',
    ],
)
def test_a_malformed_body_is_a_serialization_error(server, client, body):
    status, answer = raw(server, body)
    assert status == 400 and answer["__type"].endswith("#SerializationException")
    assert server.violations and server.items("things") == {}


def test_sizes_at_the_limit(server, client):
    exact = "x" * (409600 - len("id") - 2 - len("a"))
    write(client, put(id={"N": "1"}, a={"S": exact}))
    with pytest.raises(ClientError):
        write(client, put(id={"N": "1"}, a={"S": exact + "x"}))
    nested = {"S": "x"}
    for _ in range(31):
        nested = {"L": [nested]}
    rules.check_item({"a": nested})
    with pytest.raises(rules.Refused):
        rules.check_item({"a": {"L": [nested]}})
    status, _ = raw(server, b"x" * (16 * 1024 * 1024 + 1))
    assert status == 413


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("0042.1200", "42.12"),
        ("1.5E2", "150"),
        ("-0", "0"),
        ("1e-7", "0.0000001"),
        ("1E125", "1" + "0" * 125),
        ("-9223372036854775808", "-9223372036854775808"),
        ("5e-100", "0." + "0" * 99 + "5"),
    ],
)
def test_numbers_come_back_canonical(text, canonical):
    assert rules.number(text) == canonical


@pytest.mark.parametrize(
    "text, size", [("1", 2), ("3.14159", 5), ("100.5", 4), ("-42", 3), ("0", 1)]
)
def test_numbers_are_sized_as_captured_from_the_service(text, size):
    assert rules.number_bytes(text) == size


def test_empty_values_are_kept_and_empty_keys_refused(server):
    client = connect(server)
    client.create_table(
        TableName="named",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    write(client, put(k={"S": "a"}, s={"S": ""}, b={"B": b""}), table="named")
    assert server.items("named")[("a",)]["s"] == {"S": ""}
    with pytest.raises(ClientError) as refused:
        write(client, put(k={"S": ""}), table="named")
    assert "empty string value. Key: k" in str(refused.value)


GOOD = json.dumps({"RequestItems": {"things": [put(id={"N": "1"})]}}).encode()


def test_a_signature_is_verified_over_what_was_signed(server, client):
    assert raw(server, GOOD)[0] == 200
    assert server.violations == []
    wrong = {
        "secret": dict(secret="another"),
        "body": dict(
            edit=lambda h: h.update(
                {
                    "Authorization": h["Authorization"][:-1]
                    + ("0" if h["Authorization"][-1] != "0" else "1")
                }
            )
        ),
        "target not signed": dict(
            edit=lambda h: h.update(
                {"Authorization": h["Authorization"].replace(";x-amz-target", "")}
            )
        ),
        "token not signed": dict(edit=lambda h: h.update({"X-Amz-Security-Token": "t"})),
        "no authorization": dict(edit=lambda h: h.pop("Authorization")),
        "header gone": dict(
            edit=lambda h: h.update(
                {"Authorization": h["Authorization"].replace("host;", "host;x-amz-")}
            )
        ),
    }
    for name, how in wrong.items():
        before = len(server.violations)
        status, answer = raw(server, GOOD, **how)
        assert status == 400, name
        assert "Signature" in answer["__type"] or "Authentication" in answer["__type"], name
        assert len(server.violations) == before + 1, name


def test_credentials_are_judged_by_key_token_and_clock(server, client):
    server.allow("AKIDTEMPORARY", "s3cret", "tok/en==")
    temporary = connect(server, "AKIDTEMPORARY", "s3cret", "tok/en==")
    assert temporary.list_tables()["TableNames"] == ["things"]
    server.expire("AKIDTEMPORARY")
    for someone, expected in (
        (temporary, "ExpiredTokenException"),
        (connect(server, "AKIDUNKNOWN", "x"), "UnrecognizedClientException"),
        (connect(server, "AKIDTEMPORARY", "s3cret", "other"), "ExpiredTokenException"),
    ):
        with pytest.raises(ClientError) as refused:
            someone.list_tables()
        assert code_of(refused) == expected
    server.verifier.clock_offset = 1000
    with pytest.raises(ClientError) as skewed:
        client.list_tables()
    assert code_of(skewed) == "InvalidSignatureException" and "Signature expired" in str(
        skewed.value
    )
    assert server.violations == []


@pytest.mark.parametrize("count", [1, 12, 25])
def test_unprocessed_items_come_back_as_sent_and_are_not_written(server, client, count):
    server.faults.add(Fault("unprocessed", count=count))
    sent = [put(id={"N": "%d.0" % n}) for n in range(24)] + [delete(id={"N": "77"})]
    back = write(client, *sent)["UnprocessedItems"]["things"]
    assert len(back) == count and all(b in sent for b in back)
    assert len(server.items("things")) == 24 - sum("PutRequest" in b for b in back)
    assert write(client, *back)["UnprocessedItems"] == {}
    assert len(server.items("things")) == 24


@pytest.mark.parametrize(
    "kind, code",
    [
        ("provisioned_throughput", "ProvisionedThroughputExceededException"),
        ("throttling", "ThrottlingException"),
        ("internal", "InternalServerError"),
        ("unavailable", "ServiceUnavailable"),
        ("expired_token", "ExpiredTokenException"),
        ("unrecognized_client", "UnrecognizedClientException"),
        ("access_denied", "AccessDeniedException"),
        ("not_found", "ResourceNotFoundException"),
        ("skew", "InvalidSignatureException"),
    ],
)
def test_an_error_is_answered_once_and_nothing_is_written(server, client, kind, code):
    fault = server.faults.add(Fault(kind, table="things"))
    with pytest.raises(ClientError) as refused:
        write(client, put(id={"N": "1"}))
    assert code_of(refused) == code
    assert server.items("things") == {}
    write(client, put(id={"N": "1"}))
    assert fault.fired == 1 and len(server.items("things")) == 1


def test_poison_refuses_the_batch_that_holds_the_item(server, client):
    server.faults.add(Fault("poison", times=None, when=attribute_equals("a", {"S": "bad"})))
    with pytest.raises(ClientError):
        write(client, put(id={"N": "1"}, a={"S": "good"}), put(id={"N": "2"}, a={"S": "bad"}))
    write(client, put(id={"N": "1"}, a={"S": "good"}))
    assert list(server.items("things")) == [("1",)]
    assert server.violations == []


@pytest.mark.parametrize(
    "kind, applied",
    [
        ("reset_before_read", False),
        ("reset_after_read", False),
        ("reset_after_apply", True),
        ("reset_mid_reply", True),
    ],
)
def test_a_broken_connection_leaves_what_it_says(server, client, kind, applied):
    server.faults.add(Fault(kind))
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        write(client, put(id={"N": "1"}))
    assert len(server.items("things")) == int(applied)
    write(client, put(id={"N": "2"}))
    assert len(server.items("things")) == 1 + int(applied)
    assert server.violations == []


def test_a_wrong_checksum_is_sent_once(server, client):
    server.faults.add(Fault("bad_crc"))
    assert raw(server, GOOD, wrong_crc=True)[0] == 200
    assert raw(server, GOOD)[0] == 200


def test_a_truncated_reply_ends_before_its_length(server, client):
    server.faults.add(Fault("truncated"))
    with pytest.raises(http.client.IncompleteRead):
        raw(server, GOOD)
    assert len(server.items("things")) == 1


@pytest.mark.parametrize(
    "kind, status, body, applied",
    [
        ("not_json", 200, b"this is not JSON", 1),
        ("html", 502, b"<html>", 0),
        ("too_large", 413, b"", 0),
        ("empty", 200, b"", 1),
    ],
)
def test_replies_that_say_nothing(server, client, kind, status, body, applied):
    server.faults.add(Fault(kind))
    answer = raw(server, GOOD)
    assert answer[0] == status and (answer[1].startswith(body) if body else answer[1] == b"")
    assert len(server.items("things")) == applied


def test_a_huge_reply_and_a_redirect(server, client):
    server.faults.add(Fault("huge", size=3000000))
    assert len(raw(server, GOOD)[1]["x"]) == 3000000
    server.faults.add(Fault("redirect", location="http://127.0.0.1:9/"))
    with pytest.raises(urllib.error.URLError):
        raw(server, GOOD)


def test_slow_and_delayed_replies_arrive_whole(server, client):
    server.faults.add(Fault("slow", seconds=0.0005))
    server.faults.add(Fault("delay", seconds=0.01))
    for number in range(2):
        assert write(client, put(id={"N": str(number)}))["UnprocessedItems"] == {}
    assert len(server.items("things")) == 2


def test_a_late_write_lands_when_it_is_let(server, client):
    server.faults.add(Fault("late"))
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        write(client, put(id={"N": "1"}, v={"S": "old"}))
    write(client, put(id={"N": "1"}, v={"S": "new"}))
    assert server.items("things")[("1",)]["v"] == {"S": "new"}
    assert server.apply_late() == 1
    assert server.items("things")[("1",)]["v"] == {"S": "old"}


def test_one_key_in_two_requests_at_once_is_noted(server, client):
    server.faults.add(Fault("hold"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(write, connect(server), put(id={"N": "1"}))
        eventually(lambda: server.held() == 1)
        write(client, put(id={"N": "2"}))
        assert server.violations == []
        write(client, put(id={"N": "1"}))
        assert len(server.violations) == 1 and "in flight" in server.violations[0]
        server.release()
        assert first.result(10)["UnprocessedItems"] == {}
    assert server.max_in_flight == 2


def test_a_fraction_of_requests_is_chosen_by_the_seed(server):
    def fired(seed):
        fault = Fault("internal", fraction=0.3, seed=seed)
        return [fault.applies("BatchWriteItem", []) for _ in range(200)]

    assert fired(7) == fired(7) != fired(8)
    assert 30 < sum(fired(7)) < 90


def test_the_service_goes_and_comes_back_with_its_items(server, client):
    write(client, put(id={"N": "1"}, a={"B": base64.b64decode("AAEC")}))
    server.refuse_connections()
    with pytest.raises(EndpointConnectionError):
        client.list_tables()
    server.listen()
    assert (
        client.get_item(TableName="things", Key={"id": {"N": "1"}})["Item"]["a"]["B"]
        == b"\x00\x01\x02"
    )
