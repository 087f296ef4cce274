"""Credentials: where they come from, when they run out, and that no output ever shows them."""

import json
import os

import pytest

from fault_rules import Fault
from harness import eventually

SECRET = "CANARYsecretKeyThatMustNeverBeSeen"
TOKEN = "CANARYtokenThatMustNeverBeSeen"


@pytest.fixture
def by_file(fault, faulty):
    """A mirror that reads its credentials from a file, not started; write_keys() fills the file."""
    path = os.path.join(faulty.dir, "credentials")
    del faulty.environment["AWS_ACCESS_KEY_ID"], faulty.environment["AWS_SECRET_ACCESS_KEY"]
    faulty.configure({"dynamodb": {"credentials_file": path}})
    faulty.credentials_path = path
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES(1, 'first')")
    fault.allow("AKIDFIRST", SECRET, TOKEN)
    return faulty


def write_keys(mirror, access_key, secret=SECRET, token=TOKEN, profile="default"):
    with open(mirror.credentials_path + ".new", "w", encoding="utf-8") as out:
        out.write(
            "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n"
            % (profile, access_key, secret)
        )
        if token:
            out.write("aws_session_token = %s\n" % token)
    os.replace(mirror.credentials_path + ".new", mirror.credentials_path)


def test_an_expired_token_is_replaced_from_the_file(fault, by_file):
    write_keys(by_file, "AKIDFIRST")
    by_file.start().settle()
    assert {r.access_key for r in fault.batches()} == {"AKIDFIRST"}
    fault.allow("AKIDSECOND", SECRET + "2", TOKEN + "2")
    write_keys(by_file, "AKIDSECOND", SECRET + "2", TOKEN + "2")
    fault.expire("AKIDFIRST")
    by_file.sql("INSERT INTO t VALUES(2, 'second')")
    by_file.settle()
    assert fault.batches()[-1].access_key == "AKIDSECOND"


def test_a_token_that_runs_out_first_and_is_replaced_later(fault, by_file):
    write_keys(by_file, "AKIDFIRST")
    by_file.start().settle()
    fault.expire("AKIDFIRST")
    by_file.sql("INSERT INTO t VALUES(2, 'second')")
    eventually(lambda: "credentials_refused" in by_file.reasons(), "the refusal as a reason")
    assert by_file.status()["health"] == "critical"
    assert by_file.status()["target"]["last_error"]["code"] == "ExpiredTokenException"
    fault.allow("AKIDSECOND", SECRET, TOKEN)
    write_keys(by_file, "AKIDSECOND")
    by_file.ctl("reload")
    by_file.settle(60)
    assert by_file.status()["health"] == "ok"


def test_missing_credentials_are_critical_until_they_are_there(by_file):
    by_file.start()
    eventually(lambda: "credentials_missing" in by_file.reasons(), "credentials_missing")
    status = by_file.status()
    assert status["health"] == "critical" and status["converged"] is False
    message = next(r["message"] for r in status["reasons"] if r["code"] == "credentials_missing")
    assert by_file.credentials_path in message and "AWS_ACCESS_KEY_ID" in message
    assert by_file.ctl("health").returncode == 2
    assert by_file.request("GET", "/v1/health")[0] == 503
    write_keys(by_file, "AKIDFIRST")
    by_file.ctl("reload")
    by_file.settle(60)
    assert by_file.status()["health"] == "ok"


def test_half_given_credentials_are_named(by_file):
    by_file.environment["AWS_ACCESS_KEY_ID"] = "AKIDFIRST"
    by_file.start()
    eventually(lambda: "credentials_missing" in by_file.reasons(), "credentials_missing")
    message = next(
        r["message"] for r in by_file.status()["reasons"] if r["code"] == "credentials_missing"
    )
    assert "AWS_SECRET_ACCESS_KEY" in message


def test_a_profile_is_used_and_its_name_shown(fault, by_file):
    write_keys(by_file, "AKIDFIRST", profile="work")
    by_file.configure({"dynamodb": {"profile": "work"}})
    by_file.start().settle()
    provider = by_file.status()["target"]["credentials"]["provider"]
    assert "work" in provider and SECRET not in provider


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_ever_shown(fault, by_file, form):
    by_file.configure({"log": {"level": "debug", "format": form}})
    write_keys(by_file, "AKIDFIRST")
    by_file.start().settle()
    shown = []
    for kind in (
        "unrecognized_client",
        "expired_token",
        "internal",
        "reset_after_read",
        "html",
        "skew",
    ):
        fault.faults.add(Fault(kind))
        by_file.sql("UPDATE t SET v = '%s'" % kind)
        by_file.wait(60)
        shown.append(json.dumps(by_file.status()))
    for path in ("/v1/health", "/v1/dead-letters", "/metrics"):
        shown.append(str(by_file.request("GET", path)))
    for command in (["status"], ["check"], ["tables"], ["health"]):
        done = by_file.ctl(*command)
        shown.append(done.stdout + done.stderr)
    for name in ("cmdline", "environ"):
        with open("/proc/%d/%s" % (by_file.process.pid, name), encoding="utf-8") as text:
            shown.append(text.read())
    by_file.stop()
    shown.append(by_file.log_text())
    assert len(shown[-1]) > 100
    for text in shown:
        assert SECRET not in text and TOKEN not in text


def test_no_row_content_in_the_log_above_debug(fault, by_file):
    write_keys(by_file, "AKIDFIRST")
    by_file.start().settle()
    by_file.sql("INSERT INTO t VALUES(2, 'CANARYrow'), (3, CAST(x'43414e415259ff' AS TEXT))")
    fault.faults.add(Fault("poison", times=3))
    by_file.sql("INSERT INTO t VALUES(4, 'CANARYpoison')")
    by_file.wait()
    by_file.stop()
    assert "CANARY" not in by_file.log_text()


def test_a_start_that_waits_for_credentials_is_critical_beside_a_warning(faulty):
    faulty.sql("CREATE TABLE t(id TEXT PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES('', 'no key')")
    faulty.start()
    eventually(lambda: len(faulty.dead_letters()) == 1, "the dead letter")
    faulty.stop()
    del faulty.environment["AWS_ACCESS_KEY_ID"], faulty.environment["AWS_SECRET_ACCESS_KEY"]
    faulty.environment["AWS_CONFIG_FILE"] = os.path.join(faulty.dir, "aws-config")
    with open(faulty.environment["AWS_CONFIG_FILE"], "w", encoding="utf-8") as out:
        out.write("[default]\ncredential_process = sleep 100\n")
    faulty.start()
    assert faulty.status()["state"] == "starting" and "dead_letters" in faulty.reasons()
    eventually(lambda: "starting" in faulty.reasons(), "the start as a reason", 45)
    assert faulty.status()["health"] == "critical"
