"""Credentials that change or run out while requests are on their way: nothing is lost, and nothing is
said of it as long as the next ones are there."""

import os

import pytest

from fault_rules import Fault
from harness import WRITE_ON, eventually, writer

ROTATIONS = 200


@pytest.fixture
def rotating(fault, faulty):
    """A mirror whose credentials are in a file; rotate(n) puts the nth in the others' place."""
    path = os.path.join(faulty.dir, "credentials")
    del faulty.environment["AWS_ACCESS_KEY_ID"], faulty.environment["AWS_SECRET_ACCESS_KEY"]
    faulty.configure({"dynamodb": {"credentials_file": path}})
    faulty.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")

    def rotate(n):
        fault.allow("AKID%d" % n, "secret%d" % n, "token%d" % n)
        with open(path + ".new", "w", encoding="utf-8") as out:
            out.write(
                "[default]\naws_access_key_id = AKID%d\naws_secret_access_key = secret%d\n"
                "aws_session_token = token%d\n" % (n, n, n)
            )
        os.replace(path + ".new", path)

    faulty.rotate = rotate
    rotate(0)
    return faulty


def test_two_hundred_rotations_while_rows_are_written(fault, rotating):
    rotating.start().settle()
    with writer(rotating.database, WRITE_ON):
        for n in range(1, ROTATIONS + 1):
            rotating.rotate(n)
            fault.expire("AKID%d" % (n - 1))
            eventually(
                lambda: any(r.access_key == "AKID%d" % n for r in fault.batches()[-50:]),
                "a request signed with the new key",
            )
    rotating.settle(60)
    assert rotating.dead_letters() == []
    assert "does not accept" not in rotating.log_text()
    expired = sum(r.status == 400 for r in fault.batches())
    assert expired <= ROTATIONS * 9, "a rotation costs what was in flight"


def test_a_token_that_runs_out_within_a_load(fault, rotating):
    rotating.many("INSERT INTO t VALUES(?, 'x')", [(n,) for n in range(3000)])
    held = fault.faults.add(Fault("hold", times=3))
    rotating.start()
    eventually(lambda: held.spent(), "requests on their way")
    fault.expire("AKID0")
    fault.release()
    eventually(lambda: any(r.status == 400 for r in fault.batches()), "the expiry noticed")
    rotating.rotate(1)
    rotating.ctl("reload")
    rotating.settle(60)
    assert rotating.status()["health"] == "ok"


def test_a_file_that_is_replaced_too_late_or_broken_in_between(fault, rotating):
    rotating.start().settle()
    path = rotating.settings["dynamodb"]["credentials_file"]
    fault.expire("AKID0")
    with open(path, "w", encoding="utf-8") as out:
        out.write("[default]\naws_access_key_id = AKID1\n")
    rotating.sql("INSERT INTO t VALUES(1, 'x')")
    eventually(
        lambda: {"credentials_missing", "credentials_refused"} & rotating.reasons(), "the fault told"
    )
    assert rotating.status()["health"] == "critical"
    rotating.rotate(1)
    rotating.ctl("reload")
    rotating.settle(60)
    assert rotating.status()["health"] == "ok"
