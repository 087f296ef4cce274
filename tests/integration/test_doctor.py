"""syncctl doctor: one thing wrong at a time, and that it is the one that is named."""

import json
import os
import shutil

import pytest

T = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"


def doctor(mirror):
    """(exit code, {check: [(result, text)…]})"""
    done = mirror.ctl("--json", "doctor")
    told = json.loads(done.stdout)
    checks = {}
    for line in told["checks"]:
        checks.setdefault(line["check"], []).append((line["result"], line["text"]))
    results = {line["result"] for line in told["checks"]}
    worst = next(r for r in ("failed", "warning", "ok") if r in results)
    assert told["result"] == worst and done.returncode == (1 if worst == "failed" else 0)
    return done.returncode, checks


def failed(checks):
    return {name for name, lines in checks.items() if any(r == "failed" for r, _ in lines)}


@pytest.mark.engine
def test_all_is_well_beside_a_daemon_and_without(mirror):
    mirror.sql("PRAGMA journal_mode=wal", T)
    code, checks = doctor(mirror)
    assert code == 0 and not failed(checks)
    assert checks["daemon"] == [("warning", "not running")]
    assert "to be made (create_tables = yes): 1" in checks["tables"][0][1]
    before = sorted(os.listdir(mirror.dir))
    doctor(mirror)
    assert sorted(os.listdir(mirror.dir)) == before and mirror.triggers() == set()
    mirror.start()
    mirror.settle()
    code, checks = doctor(mirror)
    assert code == 0
    assert checks["daemon"] == [("ok", "running, health ok, converged")]
    assert checks["tables"] == [("ok", "there with the right keys: 1")]
    assert checks["credentials"] == [("ok", "found: environment")]
    assert "wal mode" in checks["sqlite"][0][1]


def test_a_line_a_check_aligned(faulty):
    faulty.sql(T)
    done = faulty.ctl("doctor")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) > 10
    for line in lines:
        assert line[:8].strip() in ("ok", "warning", "failed") and line[7] == " " and line[8] != " "
        assert line[22] == " " and line[23] != " "


def test_a_database_that_is_not_there(faulty):
    code, checks = doctor(faulty)
    assert code == 1 and failed(checks) == {"database"}
    assert faulty.database in checks["database"][0][1]


def test_a_configuration_that_is_wrong(faulty):
    faulty.configure({"sync": {"lingr": "1ms"}})
    code, checks = doctor(faulty)
    assert code == 1 and list(checks) == ["configuration"] and "linger" in checks["configuration"][0][1]


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to others takes root")
@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_file_of_another_user_beside_the_database(faulty, suffix):
    faulty.sql(T)
    os.chown(faulty.dir, 65534, -1)
    os.chown(faulty.database, 65534, -1)
    with open(faulty.database + suffix, "w", encoding="ascii"):
        pass
    code, checks = doctor(faulty)
    assert code == 1 and "files" in failed(checks)
    assert "chown" in checks["files"][0][1] and faulty.database + suffix in checks["files"][0][1]


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to others takes root")
def test_a_directory_that_the_owner_may_not_write(faulty):
    faulty.sql(T)
    os.chown(faulty.database, 65534, -1)
    os.chmod(faulty.dir, 0o755)
    code, checks = doctor(faulty)
    assert code == 1 and "directory" in failed(checks)


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no tmpfs at /dev/shm")
def test_a_file_system_in_memory(faulty):
    where = "/dev/shm/%s" % faulty.prefix
    os.mkdir(where)
    try:
        faulty.database = os.path.join(where, "app.db")
        faulty.configure({"source": {"database": faulty.database}})
        faulty.sql(T)
        _, checks = doctor(faulty)
        assert checks["filesystem"][0][0] == "warning" and "tmpfs" in checks["filesystem"][0][1]
    finally:
        shutil.rmtree(where)


def test_no_credentials(faulty):
    faulty.sql(T)
    del faulty.environment["AWS_SECRET_ACCESS_KEY"], faulty.environment["AWS_ACCESS_KEY_ID"]
    code, checks = doctor(faulty)
    assert code == 1 and failed(checks) == {"credentials"}


def test_credentials_that_are_refused(faulty, fault):
    faulty.sql(T)
    faulty.environment["AWS_SECRET_ACCESS_KEY"] = "another"
    code, checks = doctor(faulty)
    assert len(fault.violations) == 1  # the first refusal ends it
    fault.violations.clear()
    assert code == 1 and failed(checks) == {"credentials"}
    assert checks["credentials"][-1][1].startswith("DynamoDB does not accept")


def test_an_endpoint_that_is_not_there(faulty, fault):
    faulty.sql(T)
    fault.refuse_connections()
    code, checks = doctor(faulty)
    assert code == 1 and failed(checks) == {"endpoint"} and "cannot be reached" in checks["endpoint"][0][1]
    assert "credentials" in checks and "tables" not in checks


def test_a_table_that_is_missing(faulty):
    faulty.sql(T)
    faulty.configure({"dynamodb": {"create_tables": "no"}})
    code, checks = doctor(faulty)
    assert code == 1 and failed(checks) == {"tables"} and faulty.prefix + "t" in checks["tables"][0][1]


def test_a_table_with_another_key(faulty):
    faulty.sql(T)
    faulty.client.create_table(
        TableName=faulty.prefix + "t",
        KeySchema=[{"AttributeName": "other", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "other", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    code, checks = doctor(faulty)
    assert code == 1 and failed(checks) == {"tables"} and "other" in checks["tables"][0][1]


def test_a_clock_that_is_wrong(faulty, fault):
    faulty.sql(T)
    fault.verifier.clock_offset = 3600
    _, checks = doctor(faulty)
    assert checks["clock"][0][0] == "warning" and "behind" in checks["clock"][0][1]


def test_tables_that_cannot_be_mirrored_are_named(faulty):
    faulty.sql(T, "CREATE TABLE untyped(a PRIMARY KEY)")
    _, checks = doctor(faulty)
    assert checks["mapping"][0][0] == "warning" and "untyped" in checks["mapping"][0][1]
