"""What a request comes to, by every way in which it can end: its items are written, given back, refused
for good, definitely not written, or of unknown fate.

The two kinds of failure are told apart by what follows. A row that is changed and goes back to what
DynamoDB was known to hold needs no write when the change definitely was not written; when it may have
been, it must be written again whatever is known, or the change would stand. So each way to fail is tried
on a row of its own: change it, let it fail, change it back, let all be well, and look whether the service
was asked to write it.
"""

import pytest

from dynamodb_rules import SERVICE, VALIDATION
from fault_rules import CORAL, Fault, attribute_equals, concerns
from harness import eventually

BACK = "back to what it was"


def error(code, status=400, message="no words", prefix=CORAL):
    return lambda: Fault("internal", code=prefix + code, status=status, message=message)


def way(kind, **args):
    return lambda: Fault(kind, **args)


# Nothing of the request was written, for sure.
NOT_WRITTEN = {
    "throughput exceeded": way("provisioned_throughput"),
    "throttling": way("throttling"),
    "request limit": way("request_limit"),
    "throttling of the front end": error("Throttling"),
    "control plane limit": error("LimitExceededException", prefix=SERVICE),
    "any 429": error("SomethingNewException", 429),
    "429 of a proxy": way("html", status=429),
    "expired token": way("expired_token"),
    "expired token, the other name": error("ExpiredToken", 403),
    "unknown client": way("unrecognized_client"),
    "wrong signature": error("InvalidSignatureException", 400, "The request signature we ..."),
    "wrong signature, the other name": error("SignatureDoesNotMatch", 403),
    "half a signature": error("IncompleteSignatureException"),
    "no signature": error("MissingAuthenticationTokenException"),
    "no signature, the other name": error("MissingAuthenticationToken", 403),
    "authentication failed": error("AuthFailure", 403),
    "unknown access key": error("InvalidClientTokenId", 403),
    "clock, behind": way("skew"),
    "clock, ahead": error("InvalidSignatureException", 400, "Signature not yet current: ..."),
    "request expired": error("RequestExpired"),
    "clock too skewed": error("RequestTimeTooSkewed", 403),
    "request in the future": error("RequestInTheFuture", 403),
    "all given back": way("unprocessed", share=1.0),
}

# It may have been written: no answer, none that can be believed, or one that leaves it open.
UNKNOWN = {
    "internal error": way("internal"),
    "internal error, written": way("internal", apply=True),
    "internal failure": error("InternalFailure", 500),
    "unavailable": way("unavailable"),
    "unavailable, the other name": error("ServiceUnavailableException", 503),
    "bad gateway": way("html", status=502),
    "gateway timeout": way("html", status=504),
    "timeout of the service": error("RequestTimeoutException"),
    "timeout of the service, the other name": error("RequestTimeout"),
    "conflict between replicas": way("replicated_conflict"),
    "transaction in progress": error("TransactionInProgressException"),
    "transaction conflict": error("TransactionConflictException"),
    "table in use": error("ResourceInUseException"),
    "an error nobody knows": error("SomethingNewException"),
    "an operation nobody knows": error("UnknownOperationException"),
    "400 without a code": way("html", status=400),
    "403 of a proxy": way("html", status=403),
    "404 of a proxy": way("html", status=404),
    "200 of a proxy": way("html", status=200),
    "redirect": way("redirect"),
    "wrong checksum": way("bad_crc"),
    "cut short": way("truncated"),
    "no JSON": way("not_json"),
    "JSON of something else": way("not_json", body=b"{}"),
    "items given back that were not sent": way(
        "not_json",
        body=b'{"UnprocessedItems":{"t":[{"DeleteRequest":{"Key":{"id":{"N":"77"}}}}]}}',
    ),
    "no body": way("empty"),
    "too large a body": way("huge"),
    "reset before the request's body": way("reset_before_read"),
    "reset after the request": way("reset_after_read"),
    "reset after it was written": way("reset_after_apply"),
    "reset within the reply": way("reset_mid_reply"),
    "no reply in time": way("hold"),
}


@pytest.fixture
def table(faulty):
    """A mirror of a row for each way, loaded; nothing else is in any request."""
    faulty.configure({"sync": {"request_timeout": "400ms", "backoff_max": "20ms"}})
    faulty.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.many("INSERT INTO t VALUES(?, ?)", [(n, BACK) for n in range(100)])
    faulty.start().settle()
    return faulty


def writes_of(fault, key):
    """How often the service was asked to write the row, and said that it did."""
    return sum(
        1
        for r in fault.batches()
        if r.status == 200 and r.fault is None and any(k == (str(key),) for _, k, _ in r.writes)
    )


def change_and_take_back(fault, mirror, key, failing, definite):
    """The row is changed, which fails, and changed back, which is read before all is well again. Says
    how often it was written then. `definite`: once it was read, nothing is on its way any more."""
    # What was left open of the rows before may be sent again now: that is not to meet the failure.
    if failing.kind == "reset_before_read":
        mirror.settle(60)
    else:
        failing.when = concerns("id", {"N": str(key)})
    changes, before = mirror.status()["totals"]["changes"], writes_of(fault, key)
    # Only the first is held: one let go of later is answered after all, and counts as a failure here.
    failing.times = 1 if failing.kind == "hold" else None
    fault.faults.add(failing)
    mirror.sql("UPDATE t SET v = 'changed' WHERE id = %d" % key)
    eventually(lambda: failing.fired > 0, "the failure")
    mirror.sql("UPDATE t SET v = '%s' WHERE id = %d" % (BACK, key))
    eventually(
        lambda: mirror.status()["totals"]["changes"] >= changes + 2, "the second change read"
    )
    if definite:
        eventually(
            lambda: mirror.status()["target"]["requests_in_flight"] == 0, "the last request answered"
        )
    fault.faults.remove(failing)
    fault.release()
    mirror.ctl("reload")
    mirror.wait()
    return writes_of(fault, key) - before


def try_all(fault, mirror, ways, expected):
    wrong = []
    for key, (name, make) in enumerate(ways.items()):
        if (change_and_take_back(fault, mirror, key, make(), not expected) > 0) != expected:
            wrong.append(name)
    assert wrong == []
    mirror.settle(60)
    assert mirror.dead_letters() == []
    assert {item["v"] for item in mirror.items("t")} == {BACK}


def test_what_was_not_written_is_known_as_such(fault, table):
    try_all(fault, table, NOT_WRITTEN, expected=False)


def test_what_may_have_been_written_is_written_again(fault, table):
    try_all(fault, table, UNKNOWN, expected=True)


def test_what_was_never_sent_was_not_written(fault, table):
    before, changes = writes_of(fault, 1), table.status()["totals"]["changes"]
    fault.refuse_connections()
    table.sql("UPDATE t SET v = 'changed' WHERE id = 1")
    eventually(
        lambda: (table.status()["target"]["last_error"] or {}).get("code") == "connect_failed",
        "the failure",
    )
    table.sql("UPDATE t SET v = '%s' WHERE id = 1" % BACK)
    eventually(lambda: table.status()["totals"]["changes"] >= changes + 2, "the change read")
    fault.listen()
    table.settle(60)
    assert writes_of(fault, 1) == before


@pytest.mark.parametrize(
    "refusal",
    [
        way("access_denied"),
        way("not_found"),
        error("ValidationException", 400, "The provided key element does not match the schema"),
    ],
    ids=["denied", "no table", "another key"],
)
def test_a_refused_table_waits_and_nothing_of_it_is_a_dead_letter(fault, table, refusal):
    failing = refusal()
    failing.times = None
    fault.faults.add(failing)
    table.sql("UPDATE t SET v = 'changed' WHERE id = 1")
    eventually(lambda: table.table("t")["state"] == "parked", "the table parked")
    assert table.status()["totals"]["dead_letters"] == 0
    table.sql("UPDATE t SET v = 'newer' WHERE id = 1")
    fault.faults.remove(failing)
    table.ctl("reload")
    table.settle(60)
    assert table.by_id("t")[1]["v"] == "newer" and table.dead_letters() == []


@pytest.mark.parametrize(
    "code",
    [
        VALIDATION,
        CORAL + "SerializationException",
        SERVICE + "ItemCollectionSizeLimitExceededException",
    ],
)
def test_a_refused_item_is_set_aside_with_the_services_words(fault, table, code):
    bad = attribute_equals("v", {"S": "bad"})
    fault.faults.add(Fault("poison", times=None, when=bad, code=code, message="the very words"))
    table.sql("UPDATE t SET v = CASE id WHEN 3 THEN 'bad' ELSE 'good' END")
    table.wait()
    (letter,) = table.dead_letters()
    assert letter["key"] == "id=3" and "the very words" in letter["message"]
    assert sum(item["v"] == "good" for item in table.items("t")) == 99


def test_an_item_too_large_by_itself_is_set_aside(fault, table):
    large = attribute_equals("v", {"S": "big"})
    fault.faults.add(Fault("too_large", times=None, when=large))
    table.sql("UPDATE t SET v = CASE id WHEN 3 THEN 'big' ELSE 'small' END")
    table.wait()
    (letter,) = table.dead_letters()
    assert letter["key"] == "id=3" and "413" in letter["message"]
    assert sum(item["v"] == "small" for item in table.items("t")) == 99


def test_of_a_partial_reply_only_what_was_given_back_goes_again(fault, table):
    fault.faults.add(Fault("unprocessed", count=2, seed=3))
    table.sql("UPDATE t SET v = 'new' WHERE id < 10")
    table.settle()
    first = next(r for r in fault.batches() if r.fault == "unprocessed")
    again = [k for r in fault.batches() if r.at > first.at for _, k, _ in r.writes]
    assert len(first.writes) == 10 and len(again) == 2 and len(set(again)) == 2


def test_a_dead_letter_tells_its_story(fault, table):
    def letter():
        (only,) = table.dead_letters()
        return only

    refusal = fault.faults.add(
        Fault("poison", times=None, when=attribute_equals("v", {"S": "bad"}), message="rule 7")
    )
    table.sql("UPDATE t SET v = 'bad' WHERE id = 3")
    table.wait()
    first = letter()
    assert (first["table"], first["key"], first["reason"]) == ("t", "id=3", "refused")
    assert (first["message"], first["attempts"]) == ("rule 7", 1) and first["first"] == first["last"]

    # Neither a retry nor another change of the row that changes nothing about it is forgotten.
    assert table.ctl("dead-letters", "retry", first["id"]).returncode == 0
    table.wait()
    assert letter()["attempts"] == 2
    refusal.args["message"] = "rule 8"
    table.sql("UPDATE t SET v = 'other' WHERE id = 4", "UPDATE t SET v = 'bad' WHERE id = 3")
    table.wait()
    table.restart().wait()
    third = letter()
    assert (third["id"], third["attempts"], third["message"]) == (first["id"], 3, "rule 8")
    assert third["first"] == first["first"] <= third["last"]
    shown = table.ctl("dead-letters", "show", third["id"]).stdout
    assert "rule 8" in shown and "attempts 3" in shown
    assert table.status()["health"] == "warning" and "dead_letters" in table.reasons()
    assert table.by_id("t")[4]["v"] == "other", "other rows flow on"

    # A later change of the same row is not held up, and clears it.
    table.sql("UPDATE t SET v = 'good' WHERE id = 3")
    table.settle()
    assert table.dead_letters() == [] and table.by_id("t")[3]["v"] == "good"
    eventually(lambda: table.status()["health"] == "ok", "health ok again")


def test_what_is_to_be_forgotten_is_named(fault, table):
    table.sql("UPDATE t SET v = CAST(x'ff' AS TEXT) WHERE id IN (3, 4)")
    table.wait()
    first, second = table.dead_letters()
    done = table.ctl("dead-letters", "discard", "--all")
    assert done.returncode == 2 and "--all goes with retry" in done.stderr
    done = table.ctl("dead-letters", "discard", first["id"], "9999")
    assert done.returncode == 1 and "1 of 2" in done.stderr
    assert [d["id"] for d in table.dead_letters()] == [second["id"]]


def test_a_retry_that_cannot_be_says_so(fault, table):
    table.sql("UPDATE t SET v = CAST(x'ff' AS TEXT) WHERE id = 3")
    table.wait()
    (letter,) = table.dead_letters()
    assert table.ctl("detach").returncode == 0
    done = table.ctl("dead-letters", "retry", letter["id"])
    assert done.returncode != 0 and "cannot be used now" in done.stderr
    assert table.ctl("attach").returncode == 0
    assert table.ctl("dead-letters", "retry", letter["id"]).returncode == 0
