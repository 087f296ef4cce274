"""What users get wrong: told in one sentence, and over as soon as it is mended."""

import os
import shutil
import sqlite3
import stat

import pytest

import harness
from harness import eventually, writer

pytestmark = pytest.mark.engine

T = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"
NOBODY = 65534


def complaint(mirror, *codes, prefix=()):
    """Starts the daemon where its source is no good: it reports one of `codes` and health is
    critical, or it ends with code 2 or 3 and a sentence. The sentence."""
    mirror.start(wait=False, prefix=prefix)

    def said():
        if mirror.process.poll() is not None:
            return True
        return set(codes) & mirror.reasons()

    eventually(said, "a word about " + " or ".join(codes))
    if mirror.process.poll() is not None:
        code, mirror.process = mirror.process.returncode, None
        assert code in (2, 3), mirror.log_tail()
        return mirror.log_text()
    assert mirror.status()["health"] == "critical"
    assert mirror.ctl("health").returncode == 2
    return next(r["message"] for r in mirror.status()["reasons"] if r["code"] in codes)


def mended(mirror, prefix=()):
    if mirror.process is None:
        mirror.start(prefix=prefix)
    mirror.settle(60)
    assert mirror.status()["health"] == "ok"


def test_a_missing_database(mirror):
    assert mirror.database in complaint(mirror, "source_missing")
    assert not os.path.exists(mirror.database), "an empty database was made in its place"
    mirror.sql(T, "INSERT INTO t VALUES(1, 'x')")
    mended(mirror)


def test_a_directory_for_a_database(mirror):
    os.mkdir(mirror.database)
    assert mirror.database in complaint(
        mirror, "source_unreadable", "not_a_database", "source_missing"
    )
    os.rmdir(mirror.database)
    mirror.sql(T, "INSERT INTO t VALUES(1, 'x')")
    mended(mirror)


@pytest.mark.parametrize(
    "content",
    [
        b"this is no database, but text " * 200,
        os.urandom(8192),
        b"SQLite format 3\x00" + b"\xff" * 4000,
    ],
)
def test_a_file_that_is_no_database(mirror, content):
    with open(mirror.database, "wb") as out:
        out.write(content)
    assert mirror.database in complaint(mirror, "not_a_database")
    with open(mirror.database, "rb") as kept:
        assert kept.read() == content
    os.unlink(mirror.database)
    mirror.sql(T, "INSERT INTO t VALUES(1, 'x')")
    mended(mirror)


def test_an_empty_file_is_an_empty_database(mirror):
    open(mirror.database, "wb").close()
    mirror.start(wait=False)
    eventually(
        lambda: mirror.process.poll() is not None or mirror.request("GET", "/v1/status")[0] == 200,
        "an answer or an end",
    )
    if mirror.process.poll() is None:
        mirror.stop()
    mirror.kill9()
    mirror.sql(T, "INSERT INTO t VALUES(1, 'x')")
    mirror.start().settle()


def test_a_database_that_vanishes_and_comes_back(mirror):
    mirror.sql(T, "INSERT INTO t VALUES(1, 'x')")
    mirror.start().settle()
    aside = mirror.database + ".aside"
    os.rename(mirror.database, aside)
    eventually(lambda: "source_missing" in mirror.reasons(), "source_missing")
    assert mirror.status()["converged"] is False
    os.rename(aside, mirror.database)
    mirror.sql("INSERT INTO t VALUES(2, 'y')")
    mended(mirror)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_holder_of_exclusive_locking_mode(mirror, mode):
    mirror.sql("PRAGMA journal_mode=%s" % mode, T)
    with writer(
        mirror.database,
        """
db.execute("PRAGMA locking_mode=EXCLUSIVE")
db.execute("INSERT INTO t VALUES(1, 'held')")
while not stopping():
    time.sleep(0.01)
""",
    ):
        eventually(lambda: not readable(mirror), "the lock")
        assert mirror.database in complaint(mirror, "source_locked")
    mended(mirror)
    assert len(mirror.items("t")) == 1


def readable(mirror):
    db = sqlite3.connect(mirror.database, timeout=0)
    try:
        db.execute("SELECT count(*) FROM t").fetchall()
        return True
    except sqlite3.OperationalError:
        return False
    finally:
        db.close()


def as_nobody(mirror, directory_mode, owner):
    """Gives the mirror's files to `owner`, the state to nobody; how to start the daemon as nobody."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to run the daemon as another user")
    program = os.path.join(mirror.dir, "syncd")
    shutil.copy(harness.SYNCD, program)
    os.chmod(program, 0o755)
    place = os.path.join(mirror.dir, "data")
    own = os.path.join(mirror.dir, "own")
    for path in (place, own):
        os.mkdir(path)
    os.chmod(mirror.dir, 0o755)
    os.chmod(mirror.config, 0o644)
    os.chown(own, NOBODY, NOBODY)
    mirror.database = os.path.join(place, "app.db")
    mirror.state = os.path.join(own, "state.db")
    mirror.socket = os.path.join(own, "s.sock")
    mirror.configure(
        {
            "source": {"database": mirror.database},
            "state": {"path": mirror.state},
            "control": {"socket": mirror.socket},
        }
    )
    mirror.sql("PRAGMA journal_mode=wal", T, "INSERT INTO t VALUES(1, 'x')")
    os.chown(mirror.database, owner, owner)
    os.chown(place, owner, owner)
    os.chmod(place, directory_mode)
    return ["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups", "--"]


def test_a_database_of_another_user_is_refused_untouched(mirror):
    prefix = as_nobody(mirror, 0o777, 12345)
    os.chmod(mirror.database, 0o644)
    message = complaint(mirror, "source_owner", prefix=prefix)
    assert mirror.database in message and ("12345" in message or "owner" in message.lower())
    assert sorted(os.listdir(os.path.dirname(mirror.database))) == ["app.db"]
    os.chown(mirror.database, NOBODY, NOBODY)
    mended(mirror, prefix)


def test_a_database_that_may_not_be_read(mirror):
    prefix = as_nobody(mirror, 0o777, 12345)
    os.chmod(mirror.database, 0o600)
    assert mirror.database in complaint(mirror, "source_unreadable", "source_owner", prefix=prefix)


def test_a_directory_that_is_read_only(mirror):
    prefix = as_nobody(mirror, 0o555, NOBODY)
    message = complaint(mirror, "source_readonly", "source_unreadable", prefix=prefix)
    assert os.path.dirname(mirror.database) in message
    os.chmod(os.path.dirname(mirror.database), 0o755)
    mended(mirror, prefix)


def test_files_made_by_root_belong_to_the_databases_owner(mirror):
    if os.geteuid() != 0:
        pytest.skip("needs root, to give the database to another user")
    mirror.sql("PRAGMA journal_mode=wal", T)
    os.chown(mirror.database, 12345, 12345)
    mirror.start().settle()
    db = mirror.connect()
    db.execute("INSERT INTO t VALUES(1, 'x')")
    owners = {os.stat(mirror.database + s).st_uid for s in ("", "-wal", "-shm")}
    db.close()
    assert owners == {12345}
    mirror.settle()


WRONG = [
    ({"dynamodb": {"endpoint_ulr": "x"}}, ["endpoint_ulr", "endpoint_url"]),
    ({"dynamodbb": {"region": "x"}}, ["dynamodbb", "dynamodb"]),
    ({"sync": {"linger": "5 parsecs"}}, ["linger", "parsecs"]),
    ({"dynamodb": {"max_requests_in_flight": "0"}}, ["max_requests_in_flight"]),
    ({"dynamodb": {"create_tables": "perhaps"}}, ["create_tables", "perhaps"]),
    ({"source": {"database": None}}, ["database"]),
    ({"source": {"database": "relative.db"}}, ["relative.db"]),
    ({"dynamodb": {"table_name": "${NOT_SET_ANYWHERE}-{table}"}}, ["NOT_SET_ANYWHERE"]),
    ({"dynamodb": {"endpoint_url": "http://dynamodb.example.com"}}, ["http", "allow_plain_http"]),
    (
        {
            "dynamodb": {
                "endpoint_url": "http://dynamodb.eu-west-1.amazonaws.com",
                "allow_plain_http": "yes",
            }
        },
        ["http"],
    ),
    ({"dynamodb": {"endpoint_url": "ftp://127.0.0.1/"}}, ["endpoint_url"]),
    ({"log": {"level": "loud"}}, ["level", "loud"]),
    ({"sync": {"hold_deletes": "5"}}, ["hold_deletes", "0% to 100%"]),
]


@pytest.mark.parametrize("settings, words", WRONG, ids=[",".join(w[1]) for w in WRONG])
def test_a_mistake_in_the_configuration_ends_with_code_2(mirror, settings, words):
    mirror.sql(T)
    mirror.configure(settings)
    for arguments in ([], ["--check"]):
        code, output = mirror.run_to_end(arguments)
        assert code == 2, output
        assert all(word in output for word in words), output
        assert len(output.strip().splitlines()) <= 2, output
    assert mirror.triggers() == set()


def test_mistakes_name_file_and_line(mirror):
    mirror.sql(T)
    with open(mirror.config, "a", encoding="utf-8") as out:
        out.write("[sync]\n# a comment\nlinger = never\n")
    with open(mirror.config, encoding="utf-8") as text:
        lines = len(text.read().splitlines())
    code, output = mirror.run_to_end()
    assert code == 2 and "syncd.conf:%d:" % lines in output


def test_a_configuration_that_is_not_there(mirror):
    os.unlink(mirror.config)
    code, output = mirror.run_to_end()
    assert code == 2 and mirror.config in output
    os.mkdir(mirror.config)
    code, output = mirror.run_to_end()
    assert code == 2 and mirror.config in output


def test_a_missing_region_says_where_to_put_it(mirror):
    mirror.sql(T)
    mirror.configure({"dynamodb": {"region": None}})
    code, output = mirror.run_to_end()
    assert code == 2 and "region" in output and "AWS_REGION" in output
    mirror.environment["AWS_REGION"] = harness.REGION
    mirror.start().settle()


def test_a_target_with_another_key_is_parked_while_others_flow(mirror):
    mirror.sql(
        T,
        "CREATE TABLE u(id INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES(1, 'x')",
        "INSERT INTO u VALUES(1)",
    )
    mirror.client.create_table(
        TableName=mirror.target("t"),
        KeySchema=[{"AttributeName": "other", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "other", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    mirror.start()
    eventually(lambda: "table_parked" in mirror.reasons(), "the parked table")
    eventually(lambda: len(mirror.items("u")) == 1, "the other table's row")
    reason = mirror.table("t")["reason"]
    assert "other" in reason and "id" in reason
    assert mirror.status()["health"] == "warning" and mirror.dead_letters() == []
    waiting = mirror.ctl("wait", "--timeout", "30s")
    assert waiting.returncode == 1 and "t" in waiting.stdout + waiting.stderr
    assert mirror.items("t") == []


def test_a_target_whose_key_has_another_type_is_parked(mirror):
    mirror.sql(T, "INSERT INTO t VALUES(1, 'x')")
    mirror.client.create_table(
        TableName=mirror.target("t"),
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    mirror.start()
    eventually(lambda: "table_parked" in mirror.reasons(), "the parked table")
    assert "id" in mirror.table("t")["reason"] and mirror.dead_letters() == []


def test_tables_with_other_keys_for_one_target_are_refused(mirror):
    mirror.sql(T, "CREATE TABLE u(id TEXT PRIMARY KEY)")
    mirror.configure(
        {"table t": {"target": mirror.prefix + "one"}, "table u": {"target": mirror.prefix + "one"}}
    )
    code, output = mirror.run_to_end(["--check"])
    assert code == 2 and mirror.prefix + "one" in output


def test_a_socket_in_a_directory_that_is_not_there(mirror):
    mirror.sql(T)
    mirror.configure({"control": {"socket": os.path.join(mirror.dir, "missing", "s.sock")}})
    code, output = mirror.run_to_end()
    assert code in (2, 3) and os.path.join(mirror.dir, "missing") in output


def test_a_file_that_is_no_socket_is_not_removed(mirror):
    mirror.sql(T)
    with open(mirror.socket, "w", encoding="ascii") as out:
        out.write("precious")
    code, output = mirror.run_to_end()
    assert code in (2, 3) and mirror.socket in output
    assert stat.S_ISREG(os.stat(mirror.socket).st_mode)


def test_a_state_file_that_is_no_database_is_named(mirror):
    mirror.sql(T, "INSERT INTO t VALUES(1, 'x')")
    with open(mirror.state, "wb") as out:
        out.write(b"garbage " * 1000)
    mirror.start(wait=False)
    eventually(
        lambda: mirror.process.poll() is not None or mirror.status()["health"] == "critical",
        "an end or a critical health",
    )
    shown = (
        mirror.log_text() if mirror.process.poll() is not None else str(mirror.status()["reasons"])
    )
    mirror.kill9()
    assert mirror.state in shown
    os.unlink(mirror.state)
    mirror.start().settle()
