"""The first move in one command: syncctl migrate."""

import contextlib
import hashlib
import json
import os
import pty
import random
import resource
import select
import signal
import sqlite3
import subprocess
import time

import pytest

import harness
from fault_rules import Fault
from harness import eventually, writer

NOBODY = 65534
KILLS = int(os.environ.get("SYNCD_MIGRATE_KILLS", "1"))
SCHEMA = (
    "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, weight REAL)",
    "CREATE TABLE msgs(s TEXT, n INTEGER, body, PRIMARY KEY(s, n))",
)
INFINITY = ("INSERT INTO users VALUES(?, 'x', ?)", (90001, float("inf")))


def fill(mirror, rows=300):
    mirror.sql(*SCHEMA)
    mirror.many("INSERT INTO users VALUES(?, ?, ?)",
                [(i, "user %d" % i, i / 7) for i in range(rows)])
    mirror.many("INSERT INTO msgs VALUES(?, ?, ?)",
                [("s%d" % (i % 20), i, "m" * (i % 900)) for i in range(rows)])
    return 2 * rows


def migrate(mirror, *arguments, code=0, **options):
    done = mirror.ctl("migrate", *arguments, **options)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def migrate_json(mirror, *arguments):
    done = mirror.ctl("--json", "migrate", *arguments)
    assert done.stdout, (done.returncode, done.stderr)
    return json.loads(done.stdout)


def traces(mirror):
    """Every file beside the database, and what is in it."""
    found = {}
    for name in sorted(os.listdir(mirror.dir)):
        path = os.path.join(mirror.dir, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                found[name] = hashlib.sha256(file.read()).hexdigest()
    return found


def jobs_left():
    """Daemons that a move left behind."""
    me, found = os.getuid(), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat("/proc/" + pid).st_uid == me:
                with open("/proc/%s/cmdline" % pid, "rb") as file:
                    words = file.read().split(b"\0")
                found += [(int(pid), words)] if words[0].endswith(b"/syncd") else []
    return found


def own_daemons(mirror):
    state = ("state.path=" + mirror.state).encode()
    return [pid for pid, words in jobs_left() if state in words]


# The way it is meant.


@pytest.mark.engine
def test_everything_is_moved_and_nothing_twice(mirror):
    rows = fill(mirror)
    first = migrate_json(mirror, "--yes", "--no-verify")
    assert first["by"] == "own" and first["plan"]["rows"] == rows
    result = first["result"]
    assert (result["items_put"], result["dead_letters"]) == (rows, 0)
    assert result["success_percent"] == 100 and not result["nothing_to_do"]
    assert not own_daemons(mirror) and not os.path.exists(mirror.socket)
    mirror.assert_equal()
    again = migrate_json(mirror, "--yes", "--no-verify")["result"]
    assert again["nothing_to_do"] and again["items_put"] == 0 and again["write_units"] == 0
    text = migrate(mirror, "--yes", "--no-verify").stdout
    assert "nothing to do: every row is in DynamoDB already" in text
    # The service carries on from the same state file: what came meanwhile, and nothing else.
    mirror.sql("INSERT INTO users VALUES(5000, 'late', 1.5)")
    mirror.start().settle()
    assert mirror.status()["totals"]["items_put"] == 1


@pytest.mark.engine
def test_every_attribute_is_verified(mirror):
    fill(mirror)
    done = migrate(mirror, "--yes")
    assert "every item and attribute is equal" in done.stdout
    assert migrate_json(mirror, "--yes")["result"]["verified"] is True


@pytest.mark.engine
def test_through_the_daemon_that_runs(mirror):
    rows = fill(mirror)
    mirror.start()
    first = migrate_json(mirror, "--yes", "--no-verify")
    assert first["by"] == "daemon" and first["plan"]["rows"] == rows
    mirror.settle()
    mirror.sql("UPDATE users SET name = 'changed' WHERE id = 7")
    migrate(mirror, "--yes", "--no-verify")
    mirror.assert_equal()
    assert migrate_json(mirror, "--yes", "--no-verify")["result"]["nothing_to_do"]
    assert mirror.process.poll() is None, "the daemon that ran was stopped"


@pytest.mark.engine
def test_a_daemon_that_maps_otherwise_is_refused(mirror):
    fill(mirror)
    mirror.start()
    mirror.settle()
    mirror.configure({"table users": {"rename.name": "fullName"}})
    done = migrate(mirror, "--yes", code=2)
    assert 'table "users" is mapped in another way by the running daemon' in done.stderr
    mirror.configure({"table users": {"rename.name": None}, "source": {"exclude_tables": "msgs"}})
    done = migrate(mirror, "--dry-run", code=2)
    assert 'table "msgs" is mirrored, other by the running daemon' in done.stderr
    mirror.configure({"source": {"exclude_tables": None}})
    done = migrate(mirror, "--yes", "--batch-size", 7, code=2)
    assert "--batch-size is for a move without a running daemon" in done.stderr
    migrate(mirror, "--yes", "--batch-size", 25)


def test_batch_size_and_options_of_the_guides(fault, faulty):
    fill(faulty, 60)
    other = os.path.join(faulty.dir, "elsewhere.db")
    os.rename(faulty.database, other)
    migrate(faulty, "--yes", "--resume", "--batch-size", "10", "--sqlite-path", other,
            "--dynamodb-region", harness.REGION, "--no-verify")
    assert max(len(r.writes) for r in fault.batches()) == 10
    faulty.database = other
    faulty.assert_equal()
    done = migrate(faulty, "--batch-size", "none", code=2)
    assert "is not a number from 1 to 25" in done.stderr


# Looking first.


def unmappable(mirror):
    """One row, or more, of each kind that DynamoDB cannot hold: how many."""
    mirror.sql(
        "CREATE TABLE k(a TEXT PRIMARY KEY, v) WITHOUT ROWID",
        "CREATE TABLE b(a BLOB PRIMARY KEY, v)",
        "CREATE TABLE j(id INTEGER PRIMARY KEY, tenant TEXT, v)",
        "INSERT INTO k VALUES('', 1)",
        ("INSERT INTO k VALUES(?, 1)", ("long" * 600,)),
        "INSERT INTO k VALUES('fine', 1)",
        "INSERT INTO k VALUES('huge number', 1e300)",
        "INSERT INTO k VALUES('tiny number', 1e-300)",
        ("INSERT INTO k VALUES('nowhere', ?)", (float("-inf"),)),
        "INSERT INTO k VALUES('no text', CAST(x'c328' AS TEXT))",
        ("INSERT INTO k VALUES('large', ?)", ("x" * 410000,)),
        ("INSERT INTO k VALUES('too large to read', ?)", (b"x" * 3000000,)),
        "INSERT INTO b VALUES(x'', 1)",
        "INSERT INTO b VALUES('a text', 1)",
        "INSERT INTO b VALUES(x'01', 1)",
        "INSERT INTO j VALUES(1, 't', 1), (2, 't', 2), (3, 'u', 3)",
    )
    mirror.configure({"table j": {"partition_key": "TENANT#{tenant}", "sort_key": "PROFILE"}})
    return 8 + 2 + 1


@pytest.mark.engine
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_dry_run_changes_nothing_and_finds_every_row_that_would_fail(mirror, mode):
    mirror.sql("PRAGMA journal_mode=%s" % mode)
    fill(mirror, 50)
    failing = unmappable(mirror)
    before = traces(mirror)
    plan = migrate_json(mirror, "--dry-run")["plan"]
    text = migrate(mirror, "--dry-run", code=1).stdout
    assert traces(mirror) == before and not mirror.tables_of_ours() and not own_daemons(mirror)
    found = {(t["name"], f["reason"]): f["rows"] for t in plan["tables"] for f in t["faults"]}
    assert plan["failing"] == failing, found
    assert "%d rows cannot be items" % failing in text and "key_taken" in text
    # And it is these that are left, for these reasons, when it is done.
    result = migrate_json(mirror, "--yes", "--no-verify")["result"]
    assert {(r["table"], r["reason"]): r["rows"] for r in result["reasons"]} == found
    assert result["dead_letters"] == failing
    mirror.start().settle()


@pytest.mark.engine
def test_a_dry_run_leaves_what_a_crashed_application_left(mirror):
    mirror.sql("PRAGMA journal_mode=wal")
    fill(mirror, 20)
    with writer(mirror.database, "db.execute(\"INSERT INTO users VALUES(777, 'crash', 1)\")\n"
                                 "import os\nprint('written', flush=True)\n"
                                 "while True: time.sleep(1)") as application:
        assert application.stdout.readline() == "written\n"
        application.kill()
        application.wait()
        before = traces(mirror)
        assert os.path.getsize(mirror.database + "-wal") > 0
        plan = migrate_json(mirror, "--dry-run")["plan"]
        after = traces(mirror)
        before.pop("app.db-shm"), after.pop("app.db-shm", None)  # rebuilt by whoever comes next
        assert plan["rows"] == 41 and before == after
        application.communicate = lambda *_, **__: (None, None)
        application.returncode = 0


@pytest.mark.engine
def test_the_plan_says_what_it_costs(mirror):
    fill(mirror, 100)
    mirror.configure({"price": {"write_million": "1000000", "currency": "EUR",
                                "as_of": "last Tuesday", "storage_gb_month": "0"},
                      "dynamodb": {"write_units_per_second": "50"}})
    plan = migrate_json(mirror, "--dry-run")["plan"]
    assert plan["write_units"] == 200 and plan["cost"]["writes"] == 200
    assert plan["estimated_seconds"] == 4
    text = migrate(mirror, "--dry-run").stdout
    assert "200.00 EUR for the writes" in text and "prices of last Tuesday" in text
    mirror.configure({"dynamodb": {"billing_mode": "PROVISIONED", "write_capacity": "10"}})
    plan = migrate_json(mirror, "--dry-run")["plan"]
    assert plan["estimated_seconds"] == 10 and plan["cost"]["writes"] == 0
    assert plan["cost"]["provisioned_hour"] == pytest.approx(20 * 0.00065)
    mirror.configure({"price": {"write_million": "cheap"}})
    assert "is not a price" in migrate(mirror, "--dry-run", code=2).stderr


@pytest.mark.engine
def test_rows_that_are_compressed_or_split_are_no_failures(mirror):
    mirror.sql("CREATE TABLE big(a TEXT, b TEXT, v, PRIMARY KEY(a, b))")
    mirror.many("INSERT INTO big VALUES('a', ?, ?)",
                [("zeros", "0" * 600000), ("random", random.Random(1).randbytes(600000)),
                 ("small", "x")])
    assert migrate_json(mirror, "--dry-run")["plan"]["failing"] == 2
    mirror.configure({"table big": {"oversize": "split"}})
    plan = migrate_json(mirror, "--dry-run")["plan"]
    assert plan["failing"] == 0
    result = migrate_json(mirror, "--yes")["result"]
    assert result["dead_letters"] == 0 and result["verified"] is True
    assert result["write_units"] == plan["write_units"]


@pytest.mark.engine
def test_rows_that_are_split_are_verified(mirror):
    mirror.sql("CREATE TABLE big(a TEXT, b TEXT, v, PRIMARY KEY(a, b))")
    mirror.configure({"table big": {"oversize": "split"}})
    rng = random.Random(1)
    rows = [("random %d" % i, rng.randbytes(500000)) for i in range(20)]
    rows += [("hexadecimal", rng.randbytes(400000).hex()), ("zeros", "0" * 500000), ("small", "x")]
    mirror.many("INSERT INTO big VALUES('a', ?, ?)", rows)
    first = migrate_json(mirror, "--yes")["result"]
    assert first["verified"] is True and first["dead_letters"] == 0
    # And by the daemon, after changes that make rows larger and smaller.
    mirror.start().wait()
    assert verified(mirror)["equal"]
    mirror.sql("UPDATE big SET v = 'y' WHERE b = 'random 3'", "DELETE FROM big WHERE b = 'random 4'",
               "UPDATE big SET v = randomblob(900000) WHERE b = 'small'")
    result = migrate_json(mirror, "--yes")["result"]
    assert result["verified"] is True and result["dead_letters"] == 0


# Beside items of others.


def verified(mirror):
    return json.loads(mirror.ctl("--json", "verify").stdout)


def table_of_others(mirror, name, keys, *items):
    mirror.client.create_table(
        TableName=mirror.target(name),
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in keys],
        KeySchema=[{"AttributeName": n, "KeyType": role}
                   for (n, _), role in zip(keys, ("HASH", "RANGE"))],
    )
    mirror.client.get_waiter("table_exists").wait(TableName=mirror.target(name))
    for item in items:
        mirror.client.put_item(TableName=mirror.target(name), Item=item)


def adopted(mirror, others):
    assert mirror.ctl("migrate", "--yes").returncode != 0
    done = migrate(mirror, "--yes", "--adopt")
    assert "every item and attribute is equal" in done.stdout
    assert migrate_json(mirror, "--yes", "--adopt")["result"]["verified"] is True
    mirror.start().wait()
    report = verified(mirror)
    figures = report["tables"][0]
    assert report["equal"] and (figures["foreign"], figures["extra"]) == (others, 0)


@pytest.mark.engine
def test_it_is_verified_beside_items_of_others_under_a_template(mirror):
    mirror.sql(SCHEMA[0])
    mirror.many("INSERT INTO users VALUES(?, ?, 1)", [(i, "user %d" % i) for i in range(30)])
    mirror.configure({"table users": {"partition_key": "USER#{id}", "partition_key_name": "pk"}})
    table_of_others(mirror, "users", [("pk", "S")],
                    {"pk": {"S": "ORDER#1"}}, {"pk": {"S": "USER#somebody"}})
    adopted(mirror, 2)


@pytest.mark.engine
def test_it_is_verified_beside_items_of_others_with_plain_keys(mirror):
    mirror.sql(SCHEMA[0])
    mirror.many("INSERT INTO users VALUES(?, ?, 1)", [(i, "user %d" % i) for i in range(30)])
    table_of_others(mirror, "users", [("id", "N")],
                    *({"id": {"N": str(i)}, "whose": {"S": "theirs"}} for i in (900, 901, 902)))
    adopted(mirror, 3)


# The question.


@pytest.mark.engine
def test_without_a_terminal_it_wants_yes(mirror):
    fill(mirror, 5)
    before = traces(mirror)
    done = migrate(mirror, code=2)
    assert "stdin is no terminal: say --yes" in done.stderr
    assert traces(mirror) == before and not mirror.tables_of_ours()


def at_a_terminal(mirror, answer, *arguments):
    """(exit code, all that the terminal showed)"""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [harness.SYNCCTL, "--config", mirror.config, "--socket", mirror.socket, "migrate",
         *arguments],
        env={**mirror.environment, "TERM": "xterm"}, stdin=follower, stdout=follower,
        stderr=follower)
    os.close(follower)
    shown, answered = b"", False
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([leader], [], [], 0.05)[0]:
            try:
                shown += os.read(leader, 65536)
            except OSError:
                break
        if b"[y/N]?" in shown and not answered:
            os.write(leader, answer + b"\n")
            answered = True
    code = process.wait(30)
    os.close(leader)
    return code, shown.decode()


@pytest.mark.engine
def test_the_question_and_its_answers(mirror):
    rows = fill(mirror, 100)
    before = traces(mirror)
    for answer in (b"", b"n", b"maybe", b"\x04"):
        code, shown = at_a_terminal(mirror, answer, "--no-verify")
        assert code == 1 and "nothing was done" in shown, shown
        assert traces(mirror) == before and not mirror.tables_of_ours()
    code, shown = at_a_terminal(mirror, b"yes", "--no-verify")
    assert code == 0 and "Send %d rows to DynamoDB in %s" % (rows, harness.REGION) in shown, shown
    assert "\033[" in shown
    mirror.assert_equal()


# Backups.


@pytest.mark.engine
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_backup_of_a_database_that_is_written(mirror, mode):
    mirror.sql("PRAGMA journal_mode=%s" % mode)
    fill(mirror, 400)
    mirror.sql("CREATE TABLE pairs(id INTEGER PRIMARY KEY, half)")
    code = """
n = 0
while not stopping():
    n += 1
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO pairs VALUES(?, 1)", (2 * n,))
    db.execute("INSERT INTO pairs VALUES(?, 2)", (2 * n + 1,))
    db.execute("COMMIT")
    time.sleep(0.005)
"""
    copy = os.path.join(mirror.dir, "copy.db")
    with writer(mirror.database, code):
        done = migrate(mirror, "--yes", "--no-verify", "--backup=" + copy)
    assert "backup   %s" % copy in done.stdout and "checked" in done.stdout
    with contextlib.closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*) FROM users").fetchone() == (400,)
        assert db.execute("SELECT count(*) % 2 FROM pairs").fetchone() == (0,), "half a transaction"
    assert not os.path.exists(copy + ".part")
    done = migrate(mirror, "--yes", "--no-verify", "--backup=" + copy, code=3)
    assert "is there already" in done.stderr
    # Another command has made one in the same second, whichever that is.
    for at in range(int(time.time()) - 1, int(time.time()) + 20):
        when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        open("%s-%s.backup" % (mirror.database, when), "x", encoding="utf-8").close()
    migrate(mirror, "--yes", "--no-verify", "--backup")
    made = [n for n in os.listdir(mirror.dir) if n.startswith("app.db-") and n.endswith(".backup.2")]
    with contextlib.closing(sqlite3.connect(os.path.join(mirror.dir, *made))) as db:
        assert db.execute("SELECT count(*) FROM users").fetchone() == (400,)


@pytest.mark.engine
def test_a_full_disk_stops_it_before_anything_is_moved(mirror):
    fill(mirror, 2000)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))

    done = subprocess.run(
        [harness.SYNCCTL, "--config", mirror.config, "migrate", "--yes", "--backup"],
        env=mirror.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        preexec_fn=limit, timeout=60)
    assert done.returncode == 3 and "make room" in done.stderr, done.stderr
    assert [n for n in os.listdir(mirror.dir) if "backup" in n] == []
    assert not mirror.tables_of_ours() and not mirror.triggers()


# Whatever interrupts it.


@pytest.mark.engine
@pytest.mark.parametrize("whom", ["syncctl", "both"])
@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_at_any_moment_it_goes_on(mirror, seed, whom):
    chance = random.Random("%s %d" % (whom, seed))
    fill(mirror, 2500)
    mirror.configure({"dynamodb": {"write_units_per_second": "20000"}})
    for _ in range(3):
        process = subprocess.Popen(
            [harness.SYNCCTL, "--config", mirror.config, "--socket", mirror.socket, "migrate",
             "--yes", "--no-verify"],
            env=mirror.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.random() ** 2 * 1.2)
        if whom == "both":
            for pid in own_daemons(mirror):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
        mirror.sql("UPDATE users SET name = name || '!' WHERE id = %d" % chance.randrange(2500),
                   "DELETE FROM msgs WHERE n = %d" % chance.randrange(2500))
    done = migrate_json(mirror, "--yes", "--no-verify")
    assert done["result"]["dead_letters"] == 0
    mirror.assert_equal()
    eventually(lambda: not own_daemons(mirror), "no daemon of a killed move is left")
    if whom == "syncctl":
        mirror.start().settle()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_stops_cleanly(fault, faulty, number):
    fill(faulty, 400)
    fault.faults.add(Fault("delay", times=None, seconds=0.2))
    faulty.configure({"dynamodb": {"max_requests_in_flight": "1"}})
    process = subprocess.Popen(
        [harness.SYNCCTL, "--config", faulty.config, "migrate", "--yes", "--no-verify"],
        env=faulty.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    eventually(lambda: fault.batches(), "the load begun")
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1, errors
    assert "interrupted; run this again then, and it goes on where it stopped" in errors
    assert not own_daemons(faulty)
    sent = sum(len(r.writes) for r in fault.batches())
    fault.faults.clear()
    result = migrate_json(faulty, "--yes", "--no-verify")["result"]
    assert result["items_put"] + sent == 800, "what was sent before was sent again"
    faulty.assert_equal()


@pytest.mark.engine
@pytest.mark.parametrize("room", [False, True])
def test_a_full_disk_for_the_state_file_amid_the_load(mirror, room):
    """It is said; once there is room it goes on, by itself or when it is run again, and nothing of it
    is lost or done twice."""
    fill(mirror, 3000)
    mirror.configure({"dynamodb": {"write_units_per_second": "3000"}})
    said = os.path.join(mirror.dir, "said")
    with open(said, "wb") as out:
        process = subprocess.Popen(
            [harness.SYNCCTL, "--verbose", "--config", mirror.config, "migrate", "--yes", "--no-verify"],
            env=mirror.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    (pid,) = eventually(lambda: own_daemons(mirror), "a daemon for the move")
    eventually(lambda: mirror.tables_of_ours() and mirror.items("users"), "the load begun")
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (96 * 1024, hard))

    def text():
        with open(said, encoding="utf-8") as file:
            return file.read()

    eventually(lambda: "state file %s cannot be written" % mirror.state in text(), "the sentence")
    assert "nothing is acknowledged until it can" in text()
    if room:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
        assert process.wait(60) == 0, text()
        assert "state file %s can be written again" % mirror.state in text()
    else:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1, text()
        assert "run this again then, and it goes on where it stopped" in text()
    os.unlink(said)
    assert not own_daemons(mirror)
    result = migrate_json(mirror, "--yes", "--no-verify")["result"]
    assert result["dead_letters"] == 0 and result["nothing_to_do"] is room
    mirror.assert_equal()


@pytest.mark.engine
def test_a_second_move_at_the_same_time(mirror):
    fill(mirror, 1500)
    mirror.configure({"dynamodb": {"write_units_per_second": "2000"}})
    command = [harness.SYNCCTL, "--config", mirror.config, "migrate", "--yes", "--no-verify"]
    both = [subprocess.Popen(command, env=mirror.environment, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
    mirror.assert_equal()


@pytest.mark.engine
def test_while_the_application_writes(mirror):
    fill(mirror, 1500)
    mirror.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    with writer(mirror.database, harness.WRITE_ON):
        migrate(mirror, "--yes", "--no-verify")
    mirror.start().settle()


@pytest.mark.engine
@pytest.mark.parametrize("by", ["daemon", "own"])
def test_what_was_detached_is_put_in_again(mirror, by):
    fill(mirror, 50)
    mirror.start()
    mirror.settle()
    assert mirror.ctl("detach").returncode == 0
    mirror.sql("UPDATE users SET name = 'unseen' WHERE id = 3")
    if by == "own":
        mirror.stop()
    assert migrate_json(mirror, "--yes")["result"]["items_put"] == 1
    assert mirror.triggers("users")
    mirror.assert_equal()


@pytest.mark.engine
def test_a_pause_is_told(mirror):
    fill(mirror, 5)
    mirror.start()
    mirror.settle()
    mirror.ctl("pause")
    mirror.sql("DELETE FROM users")
    done = migrate(mirror, "--yes", code=1)
    assert "sending is paused; `syncctl resume` goes on" in done.stderr
    assert mirror.process.poll() is None


@pytest.mark.engine
@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")
def test_root_works_as_the_owner_of_the_database(mirror):
    fill(mirror, 50)
    os.chmod(mirror.dir, 0o755)
    for path in (mirror.dir, mirror.database):
        os.chown(path, NOBODY, NOBODY)
    migrate(mirror, "--yes", "--backup")
    mirror.assert_equal()
    for name in os.listdir(mirror.dir):
        if name.startswith((".", "app.db", "state.db")):
            assert os.stat(os.path.join(mirror.dir, name)).st_uid == NOBODY, name
    mirror.start(prefix=["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups"])
    mirror.wait()
    assert mirror.status()["totals"]["items_put"] == 0


# What goes wrong.


def test_no_credentials(faulty):
    fill(faulty, 3)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del faulty.environment[name]
    before = traces(faulty)
    done = migrate(faulty, "--yes", code=2)
    assert "credentials" in done.stderr and done.stderr.count("\n") == 1
    assert traces(faulty) == before


def test_another_endpoint_than_any(faulty):
    fill(faulty, 3)
    faulty.configure({"dynamodb": {"region": "nowhere 1", "endpoint_url": None}})
    done = migrate(faulty, "--yes", code=2)
    assert "region" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("operation", ["DescribeTable", "CreateTable"])
def test_missing_rights_are_told_before_anything_is_sent(fault, faulty, operation):
    fill(faulty, 3)
    fault.faults.add(Fault("access_denied", times=None, op=operation))
    done = migrate(faulty, "--yes", code=2)
    assert operation in done.stderr or "AccessDenied" in done.stderr
    assert done.stderr.count("\n") == 1 and not fault.batches()
    assert not faulty.triggers()
    fault.faults.clear()
    migrate(faulty, "--yes", "--no-verify")


def test_a_right_that_is_missing_while_sending(fault, faulty):
    fill(faulty, 3)
    fault.faults.add(Fault("access_denied", times=None))
    done = migrate(faulty, "--yes", code=1)
    assert "is parked" in done.stderr and "it goes on where it stopped" in done.stderr
    assert not own_daemons(faulty)
    fault.faults.clear()
    migrate(faulty, "--yes", "--no-verify")
    faulty.assert_equal()


@pytest.mark.engine
def test_a_table_with_another_key(mirror):
    fill(mirror, 3)
    mirror.client.create_table(
        TableName=mirror.target("users"), BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}])
    before = traces(mirror)
    done = migrate(mirror, "--yes", code=2)
    assert mirror.target("users") in done.stderr and "name" in done.stderr
    assert traces(mirror) == before
    assert mirror.tables_of_ours() == [mirror.target("users")]


@pytest.mark.engine
def test_a_database_that_cannot_be_used(mirror):
    done = migrate(mirror, "--yes", code=3)
    assert "does not exist" in done.stderr
    with open(mirror.database, "wb") as out:
        out.write(b"this is no database " * 500)
    assert "is not a SQLite database" in migrate(mirror, "--dry-run", code=3).stderr


def test_throttling_is_waited_out(fault, faulty):
    fill(faulty, 100)
    fault.faults.add(Fault("unprocessed", times=20, share=0.5))
    fault.faults.add(Fault("throttling", times=3))
    result = migrate_json(faulty, "--yes", "--no-verify")["result"]
    assert result["dead_letters"] == 0
    faulty.assert_equal()
