"""The daemon with credentials that somebody hands out for a while: renewed in time, used on while
nobody renews them, and never the reason for a stall or a loss."""

import contextlib
import json
import os
import random
import resource
import signal
import sys
import time

import pytest

from credential_sources import CONTAINER_PATH, Reply
from harness import SYNCD, WRITE_ON, eventually, movable_clock, writer
from test_guides import EXAMPLES, JAAZ_TABLES, Application, fill_jaaz, jaaz_equals

CANARY = "CANARYof%s"
# The steps of a minute each that the busy test takes; 1440 are a day.
MINUTES = int(os.environ.get("SYNCD_CREDENTIAL_MINUTES", "60"))


@pytest.fixture
def on_instance(faulty, sources):
    """A mirror on a machine whose role hands out credentials."""
    env = faulty.environment
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
        del env[name]
    env.update(AWS_EC2_METADATA_SERVICE_ENDPOINT=sources.url, AWS_METADATA_SERVICE_TIMEOUT="1")
    faulty.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    faulty.sql("INSERT INTO t VALUES(1, 'first')")
    return faulty


def refused(fault):
    return [r for r in list(fault.requests) if r.status == 400 and r.op == "BatchWriteItem"]


def reason(mirror, code):
    return next((r["message"] for r in mirror.status()["reasons"] if r["code"] == code), None)


def credentials(mirror):
    return mirror.status()["target"]["credentials"]


def test_the_instances_role_and_its_end_are_shown(sources, on_instance):
    on_instance.start().settle()
    shown = credentials(on_instance)
    assert shown["provider"] == "instance role app-role"
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(sources.last["role"][3]))
    assert shown["expires"] == end
    page = on_instance.ctl("status").stdout
    assert "instance role app-role" in page and "left" in page
    assert sources.count("role") == 1


def test_role_credentials_of_a_minute_under_load(fault, sources, on_instance):
    """A whole day of it by SYNCD_CREDENTIAL_MINUTES=1440."""
    set_clock = movable_clock(on_instance)
    sources.life = 90
    on_instance.start().settle()
    with writer(on_instance.database, WRITE_ON):
        for minute in range(1, MINUTES + 1):
            before = sources.numbers["role"]
            fault.verifier.clock_offset = sources.verifier.clock_offset = 60 * minute
            set_clock(60 * minute)

            def renewed():
                latest = [r for r in fault.requests[-40:] if r.op == "BatchWriteItem"][-10:]
                new = {"ASIAROLE%d" % n for n in range(before + 1, sources.numbers["role"] + 1)}
                return len(latest) == 10 and {r.access_key for r in latest} <= new

            eventually(renewed, "ten requests in a row signed with new credentials")
    on_instance.wait(60)
    eventually(lambda: on_instance.status()["converged"], "converged: true")
    there = {
        int(i["id"]["N"]): i["v"]["S"] for i in fault.items(on_instance.target("t")).values()
    }
    assert there == dict(on_instance.sql("SELECT id, v FROM t")) and len(there) > 100
    assert refused(fault) == [], "each request is signed with what is good at its time"
    assert on_instance.dead_letters() == [] and on_instance.status()["health"] == "ok"
    assert MINUTES <= sources.numbers["role"] <= 4 * MINUTES + 10


def test_in_hand_credentials_are_used_on_while_nobody_renews_them(fault, sources, on_instance):
    set_clock = movable_clock(on_instance)
    ends = sources.allow
    sources.allow = lambda *args, **kwargs: ends(*args)  # the service takes them for longer
    on_instance.start().settle()
    sources.replies["token"] = sources.replies["role"] = Reply(500)

    def at(seconds):
        fault.verifier.clock_offset = sources.verifier.clock_offset = seconds
        set_clock(seconds)
        on_instance.sql("UPDATE t SET v = '%d'" % seconds)
        on_instance.wait()

    at(3600 - 590)
    text = eventually(lambda: reason(on_instance, "credentials_expiring"), "credentials_expiring")
    assert "instance role app-role" in text and "HTTP 500" in text
    assert on_instance.status()["health"] == "warning"
    at(3600 + 60)
    text = eventually(lambda: reason(on_instance, "credentials_expired"), "credentials_expired")
    assert "ended at " in text and on_instance.status()["health"] == "critical"
    sources.replies.clear()
    eventually(lambda: on_instance.status()["health"] == "ok", "health ok again")
    at(3600 + 120)
    assert fault.batches()[-1].access_key == "ASIAROLE2" and refused(fault) == []


def test_a_source_that_hands_out_what_is_over(fault, sources, on_instance):
    """The service refuses them; as soon as the source has better ones the stream goes on."""
    sources.life = -60
    on_instance.start()
    eventually(lambda: reason(on_instance, "credentials_refused"), "credentials_refused")
    sources.life = 3600
    on_instance.settle(60)
    assert on_instance.status()["health"] == "ok"


def test_a_stuck_metadata_service_holds_up_nothing(fault, sources, on_instance):
    on_instance.environment["AWS_METADATA_SERVICE_TIMEOUT"] = "60"
    sources.replies["roles"] = Reply(hang=True)
    on_instance.start()
    eventually(lambda: sources.count("roles") == 1, "a question that is not answered")
    for n in range(20):
        on_instance.sql("INSERT INTO t(v) VALUES('while it hangs')")
        eventually(lambda: on_instance.status()["source"]["journal_entries"] > n, "the changes seen")
    assert sources.count("roles") == 1, "all that happened while the question was open"
    assert reason(on_instance, "credentials_missing") is None
    sources.replies.clear()
    sources.ended.set()
    on_instance.settle(60)
    assert on_instance.status()["health"] == "ok"


def test_a_question_to_the_metadata_service_has_an_end(fault, sources, on_instance):
    sources.replies["role"] = Reply(hang=True)
    on_instance.environment["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] = "1"
    on_instance.start()
    text = eventually(lambda: reason(on_instance, "credentials_missing"), "credentials_missing")
    assert "no answer from " + sources.url in text
    assert on_instance.ctl("health").returncode == 2
    sources.replies.clear()
    on_instance.settle(60)
    assert on_instance.status()["health"] == "ok"


def test_the_region_comes_from_the_instance_whenever_that_answers(fault, sources, on_instance):
    on_instance.configure({"dynamodb": {"region": None}})
    sources.replies["token"] = Reply(503)
    on_instance.start()
    text = eventually(lambda: reason(on_instance, "region_missing"), "region_missing")
    assert "no AWS region: write region = " in text and "HTTP 503" in text
    assert on_instance.status()["health"] == "critical" and on_instance.triggers()
    sources.replies.clear()
    on_instance.settle(60)
    assert on_instance.status()["target"]["region"] == sources.region
    assert on_instance.status()["health"] == "ok"


def test_a_replaced_key_is_taken_by_reload(fault, faulty):
    path = os.path.join(faulty.dir, "loaded", "aws-credentials")
    os.mkdir(os.path.dirname(path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del faulty.environment[name]
    faulty.environment["CREDENTIALS_DIRECTORY"] = os.path.dirname(path)
    faulty.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")

    def write(key):
        fault.allow(key, "s")
        with open(path, "w", encoding="utf-8") as out:
            out.write("[default]\naws_access_key_id=%s\naws_secret_access_key=s\n" % key)

    write("AKIDONE")
    faulty.start().settle()
    assert path in credentials(faulty)["provider"]
    write("AKIDTWO")
    faulty.ctl("reload")

    def written_with():
        faulty.sql("INSERT INTO t(v) VALUES('x')")
        faulty.wait()
        return fault.batches()[-1].access_key == "AKIDTWO"

    eventually(written_with, "a request signed with the new key")
    assert refused(fault) == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_of_a_role_is_ever_shown(fault, sources, on_instance, form):
    """In logs, status and metrics, whatever goes wrong with what hands it out."""
    sources.secret = CANARY
    sources.life = 4
    token = os.path.join(on_instance.dir, "token")
    with open(token, "w", encoding="utf-8") as out:
        out.write("CANARYtoken")
    sources.authorization = "CANARYtoken"
    on_instance.environment.update(
        AWS_CONTAINER_CREDENTIALS_FULL_URI=sources.url + CONTAINER_PATH,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=token,
    )
    on_instance.configure({"log": {"level": "debug", "format": form}})
    on_instance.start().settle()
    shown = [json.dumps(on_instance.status())]
    good = sources.document("container")
    for reply in (
        Reply(body=b"CANARY"),
        Reply(body=dict(good, Expiration="CANARY")),
        Reply(body=json.dumps(good).encode()[:-20]),
        Reply(body=dict(good, Token="CANARY\nCANARY")),
        Reply(403, b"CANARY" + json.dumps(good).encode()),
        Reply(cut=True, body=dict(good)),
    ):
        seen = sources.count("container")
        sources.replies["container"] = [reply]
        on_instance.ctl("reload")
        eventually(lambda: sources.count("container") > seen, "a look at the container's endpoint")
        shown.append(json.dumps(on_instance.status()))
    for path in ("/v1/health", "/metrics"):
        shown.append(str(on_instance.request("GET", path)))
    for command in (["status"], ["check"], ["health"]):
        done = on_instance.ctl(*command)
        shown.append(done.stdout + done.stderr)
    on_instance.wait()
    on_instance.stop()
    shown.append(on_instance.log_text())
    assert "cannot be used" in shown[-1]
    for text in shown:
        assert "CANARY" not in text and "tokenOf" not in text


def dumps_core(at_work, program, arguments, env, where):
    """Whether the kernel writes a core of a program that is aborted while it may."""
    pid = os.fork()
    if pid == 0:
        os.chdir(where)
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.execve(program, [program, *arguments], env)
    end = signal.SIGKILL
    try:
        eventually(at_work, "the program at work")
        end = signal.SIGABRT
    finally:
        os.kill(pid, end)
        _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGABRT
    return os.WCOREDUMP(status)


def test_no_core_is_written_that_could_hold_a_secret(on_instance, tmp_path):
    ready = tmp_path / "ready"
    code = "import time; open(%r, 'w').close(); time.sleep(60)" % str(ready)
    there = dumps_core(ready.exists, sys.executable, ["-c", code], os.environ, tmp_path)
    for core in tmp_path.glob("core*"):
        core.unlink()
    if not there:
        pytest.skip("this machine writes no core files (kernel.core_pattern, limits)")
    arguments = ["--config", on_instance.config]

    def works():
        return on_instance.status()["state"] == "running"

    assert not dumps_core(works, SYNCD, arguments, on_instance.environment, on_instance.dir)


def test_a_guide_by_the_instances_role(fault, fault_endpoint, sources):
    """Move, both stores, and nothing else at hand than the machine's role, whose keys are renewed on
    the way."""
    example = os.path.join(EXAMPLES, "jaaz.conf")
    with Application(fault_endpoint, example, "us-west-2", JAAZ_TABLES.values()) as app:
        env = app.environment
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
            del env[name]
        env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = sources.url
        with contextlib.closing(app.connect()) as db:
            fill_jaaz(db, random.Random(5))
            (rows,) = db.execute("SELECT sum(n) FROM (%s)" % " UNION ALL ".join(
                "SELECT count(*) AS n FROM %s" % t for t in JAAZ_TABLES)).fetchone()
        del fault.requests[:]
        assert "credentials: instance role app-role" in app.migrate("--dry-run").stdout
        result = app.migrated("--yes")["result"]
        assert result["items_put"] == rows and result["verified"] is True
        with app.daemon() as socket:
            with contextlib.closing(app.connect()) as db:
                db.execute("UPDATE chat_messages SET message = 'edited' WHERE id % 7 = 0")
                db.execute("DELETE FROM files WHERE width IS NULL")
            app.ctl("wait", socket=socket)
            status = json.loads(app.ctl("--json", "status", socket=socket).stdout)
            assert status["target"]["credentials"]["provider"] == "instance role app-role"
        keys = {r.access_key for r in fault.requests}
        assert len(keys) > 2 and all(k.startswith("ASIAROLE") for k in keys)
        jaaz_equals(app)
