"""The service as an operator has it, in the order of its life: installed, set up, booted, used, hurt,
shut down. Each test leaves the service running."""

import contextlib
import json
import os
import signal

import pytest

from harness import eventually
from world import DATABASE, KEYS

UNIT = "syncd@app.service"


def active(world, unit):
    return world.machine.inside("systemctl", "is-active", unit, check=False).stdout.strip()


def running(world, unit=UNIT):
    return active(world, unit) == "active"


def status(world, name="app"):
    return json.loads(world.ctl("--json", "status", name=name).stdout)


def entries(world, unit, **fields):
    """Journal entries with these fields."""
    lines = world.machine.journal(unit, "-o", "json").splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [e for e in found if fields.items() <= e.items()]


@contextlib.contextmanager
def drop_in(world, unit, text, name="test"):
    """A drop-in for a while; the service is restarted with it, and without it."""
    path = "etc/systemd/system/%s.d/%s.conf" % (unit, name)
    world.machine.write(path, text)
    world.machine.inside("systemctl", "daemon-reload")
    world.machine.inside("systemctl", "restart", unit)
    try:
        yield
    finally:
        os.unlink(world.machine.path(path))
        world.machine.inside("systemctl", "daemon-reload")
        world.machine.inside("systemctl", "reset-failed", unit, check=False)
        world.machine.inside("systemctl", "restart", unit)


def test_installing_neither_enables_nor_starts(world):
    assert world.links_after_install == []


def test_setup_says_what_it_wrote_and_what_comes_next(world):
    out = world.setup_output
    assert "wrote /etc/syncd/app.conf" in out
    assert "User=app, Group=app, ReadWritePaths=/var/lib/app" in out
    assert "sudo systemctl enable --now syncd@app" in out
    again = world.machine.chroot("syncctl", "setup", "app", "--database", DATABASE, check=False)
    assert again.returncode == 2 and "/etc/syncd/app.conf" in again.stderr and "--force" in again.stderr


def test_it_starts_at_boot_before_the_network_and_before_the_application(world):
    m = world.machine
    m.chroot("systemctl", "enable", UNIT)
    m.boot()
    eventually(lambda: running(world), "the service at boot", 60)
    eventually(lambda: running(world, "app.service"), "the application at boot")
    assert active(world, "network-online.target") == "inactive"
    ready, began = (int(m.show(u, "ActiveEnterTimestampMonotonic")) for u in (UNIT, "app.service"))
    assert ready < int(m.show("app.service", "ExecMainStartTimestampMonotonic")) and ready < began
    assert status(world)["health"] != "ok"  # nobody answers at the endpoint
    m.shell("touch /run/network-is-up")
    eventually(lambda: active(world, "multi-user.target") == "active", "the end of the boot")


def test_it_mirrors_the_database_of_another_user(world):
    world.start_engine()
    world.settle()
    assert world.last_text() in ("first", "row")
    owners = world.machine.shell("stat -c '%U:%G' /var/lib/app/* /var/lib/app/.[!.]*")
    assert set(owners.split()) == {"app:app"}, owners
    eventually(lambda: status(world)["health"] == "ok", "health: ok")


def test_systemd_is_told_how_it_is(world):
    eventually(lambda: world.machine.show(UNIT, "StatusText").startswith("ok"), "StatusText")
    assert "pending" in world.machine.show(UNIT, "StatusText")


def test_the_journal_has_fields(world):
    started = entries(world, UNIT, SYNCD_EVENT="started")
    assert started and started[-1]["SYNCD_ENDPOINT"].startswith(world.endpoint.url)
    assert started[-1]["PRIORITY"] == "6" and started[-1]["_UID"] == world.machine.shell("id -u app").strip()
    assert len(started[-1]["MESSAGE_ID"]) == 32


def test_reload_takes_a_good_configuration_and_refuses_a_bad_one(world):
    m, extra = world.machine, "etc/syncd/app.conf.d/reload.conf"
    pid = m.show(UNIT, "MainPID")
    m.write(extra, "[sync]\nlag_warning = 30s\n")
    m.inside("systemctl", "reload", UNIT)
    m.write(extra, "[sync]\nlag_warming = 30s\n")
    refused = m.inside("systemctl", "reload", UNIT, check=False)
    assert refused.returncode != 0
    assert "lag_warming" in m.journal(UNIT)
    os.unlink(m.path(extra))
    m.inside("systemctl", "reload", UNIT)
    assert m.shell("stat -c %G /run/syncd/app/syncd.sock").strip() == "syncd"
    m.shell("kill -HUP %s" % pid)
    eventually(lambda: entries(world, UNIT, SYNCD_EVENT="reloaded"), "the signal taken")
    assert running(world) and m.show(UNIT, "MainPID") == pid


def test_who_may_use_the_socket(world):
    m = world.machine
    socket = "/run/syncd/app/syncd.sock"
    assert m.shell("stat -c '%%F %%a %%U %%G' %s" % socket).strip() == "socket 660 app syncd"
    modes = m.shell("stat -c '%a %U %G' /run/syncd /run/syncd/app /var/lib/syncd /var/lib/syncd/app").splitlines()
    assert modes == ["750 syncd syncd", "711 app app", "750 syncd syncd", "750 app app"]
    assert world.ctl("status", user="member").stdout
    paused = world.ctl("pause", user="member", check=False)
    assert paused.returncode != 0 and paused.stderr
    stranger = world.ctl("status", user="stranger", check=False)
    assert stranger.returncode == 3 and "syncd" in stranger.stderr
    m.inside("usermod", "--append", "--groups", "syncd", "app")
    world.ctl("pause", user="app")  # it is the daemon's own
    world.ctl("resume")


def test_systemd_may_listen_for_it(world):
    m, socket = world.machine, "syncd@app.socket"
    m.inside("systemctl", "stop", UNIT)
    m.inside("systemctl", "start", socket)
    assert active(world, UNIT) == "inactive"
    assert world.ctl("status", user="member").stdout  # whoever asks first starts it
    assert running(world)
    m.inside("systemctl", "reload", UNIT)
    assert world.ctl("status", user="member").stdout
    m.inside("systemctl", "restart", UNIT)
    assert world.ctl("status", user="member").stdout
    assert m.shell("stat -c '%a %G' /run/syncd/app/syncd.sock").strip() == "660 syncd"
    m.inside("systemctl", "stop", UNIT, socket)
    m.inside("systemctl", "start", UNIT)
    assert world.ctl("status", user="member").stdout
    world.settle()


INSIDE = {
    "write-elsewhere": "refused EROFS",
    "write-beside-the-database": "allowed",
    "read-homes": "refused ENOENT",
    "kernel-log": "refused ENOENT",
    "process-1": "refused ENOENT",
    "family-unix": "allowed",
    "family-inet6": "allowed",
    "family-netlink": "refused EAFNOSUPPORT",
    "memory-writable-and-executable": "refused EPERM",
    "memory-executed-after-written": "refused EPERM",
    "ptrace": "refused EPERM",
    "read-memory-of-others": "refused EPERM",
    "namespaces": "refused EPERM",
    "personality": "refused EPERM",
    "set-user-id-file": "refused EPERM",
    "core-files": "refused",
    "network": "allowed",
}


def test_the_sandbox_refuses_what_it_should(world):
    m = world.machine
    arguments = "%d /srv/open /var/lib/app /home/homely/private" % world.port
    m.inside("syncctl", "setup", "probe", "--database", DATABASE)
    m.write(
        "etc/systemd/system/syncd@probe.service.d/probe.conf",
        "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\n"
        "ExecStart=\nExecStart=/usr/local/bin/probe ${STATE_DIRECTORY}/told %s\n" % arguments,
    )
    m.inside("systemctl", "daemon-reload")
    m.inside("systemctl", "start", "syncd@probe")
    told = dict(line.split(" ", 1) for line in m.shell("cat /var/lib/syncd/probe/told").splitlines())
    assert {k: v if INSIDE[k] != "refused" else v.split()[0] for k, v in told.items()} == INSIDE
    # Without the sandbox the same user may do nearly all of it, so it is the sandbox that refuses.
    m.inside("/usr/local/bin/probe", "/srv/open/told", *arguments.split(), user="app")
    free = dict(line.split(" ", 1) for line in m.shell("cat /srv/open/told").splitlines())
    assert {k for k, v in free.items() if v != "allowed"} <= {"kernel-log", "namespaces", "read-memory-of-others"}


@pytest.mark.parametrize("unit", [UNIT, "syncd.service"])
def test_exposure_is_low(world, unit):
    out = world.machine.inside("systemd-analyze", "security", "--no-pager", unit).stdout
    line = next(line for line in out.splitlines() if "Overall exposure level" in line)
    assert float(line.split(":")[1].split()[0]) <= 1.5, line


def test_a_stuck_daemon_is_ended_and_started_again(world):
    m = world.machine
    with drop_in(world, UNIT, "[Service]\nWatchdogSec=3s\nRestartSec=100ms\n"):
        pid = int(m.show(UNIT, "MainPID"))
        before = int(m.show(UNIT, "NRestarts"))
        m.shell("kill -STOP %d" % pid)
        eventually(lambda: int(m.show(UNIT, "NRestarts")) > before and running(world), "the restart", 60)
        assert int(m.show(UNIT, "MainPID")) != pid
        assert "Watchdog timeout" in m.journal(UNIT)
        assert not m.shell("find /var/lib/syncd/app /var/lib/app -name 'core*'")
    world.settle()


def test_a_wrong_configuration_ends_it_for_good(world):
    m, extra = world.machine, "etc/syncd/app.conf.d/wrong.conf"
    m.write(extra, "[source]\ndatabas = /x\n")
    m.inside("systemctl", "restart", UNIT, check=False)
    eventually(lambda: active(world, UNIT) == "failed", "the end")
    assert m.show(UNIT, "ExecMainStatus") == "2" and m.show(UNIT, "NRestarts") == "0"
    assert "databas" in m.journal(UNIT)
    os.unlink(m.path(extra))
    m.inside("systemctl", "reset-failed", UNIT)
    m.inside("systemctl", "start", UNIT)
    world.settle()


def test_it_stops_by_itself_while_nobody_answers(world):
    m, engine = world.machine, world.engine_pid()
    os.kill(engine, signal.SIGSTOP)
    try:
        eventually(lambda: status(world)["target"]["requests_in_flight"] > 0, "a request under way")
        m.inside("systemctl", "stop", UNIT)
    finally:
        os.kill(engine, signal.SIGCONT)
    assert m.show(UNIT, "Result") == "success" and active(world, UNIT) == "inactive"
    m.inside("systemctl", "start", UNIT)
    world.settle()


def test_instances_of_different_users_side_by_side(world):
    """Among them one whose database is under a home, and the unit without a name."""
    m = world.machine
    home = "/home/homely/my data/app.db"
    m.inside("install", "-d", "-o", "homely", "-g", "homely", "-m", "0700", os.path.dirname(home))
    m.inside("install", "-d", "-o", "stranger", "-g", "stranger", "/var/lib/plain")
    for user, path in (("homely", home), ("stranger", "/var/lib/plain/p.db")):
        m.inside("sqlite3", path, "CREATE TABLE log(id INTEGER PRIMARY KEY, text); INSERT INTO log VALUES(1, 'x')", user=user)
    world.set_up("home", home, where=m.inside)
    world.set_up("syncd", "/var/lib/plain/p.db", "--force", where=m.inside)
    for unit in ("syncd@home", "syncd"):
        m.inside("systemctl", "enable", "--now", unit)
    for user, name, path in (("homely", "home", home), ("stranger", "syncd", "/var/lib/plain/p.db")):
        m.inside("sqlite3", "-cmd", ".timeout 5000", path, "INSERT INTO log VALUES(2, 'y')", user=user)
        world.settle(name, path)
        assert m.shell("stat -c %%U /run/syncd/%s /var/lib/syncd/%s" % (name, name)).split() == [user] * 2
    pid = m.show("syncd@home", "MainPID")
    seen = m.shell("nsenter -t %s -m find /home -mindepth 1 -maxdepth 3 -not -name '*-wal' -not -name '*-shm'" % pid)
    assert "/home/homely/my data" in seen and "private" not in seen and "stranger" not in seen
    assert running(world) and status(world)["health"] == "ok"
    # The socket of the unit without a name is where it is looked for.
    assert m.shell("readlink -f /run/syncd/syncd.sock").strip().endswith("/syncd/syncd/syncd.sock")
    assert m.inside("syncctl", "status").stdout


def test_keys_that_systemd_hands_over(world):
    """They are in no environment, and in no file that the daemon's user may read."""
    m, keys = world.machine, "/etc/syncd/keys"
    m.inside("install", "-d", "-o", "stranger", "-g", "stranger", "/var/lib/keys")
    m.inside("sqlite3", "/var/lib/keys/k.db", "CREATE TABLE log(id INTEGER PRIMARY KEY, text)", user="stranger")
    world.set_up("keys", "/var/lib/keys/k.db", "--credentials", keys, where=m.inside)
    os.unlink(m.path("etc/syncd/keys.env"))
    m.write(keys, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % KEYS, 0o600)
    told = world.ctl("doctor", name="keys", check=False).stdout
    assert "LoadCredential" in next(line for line in told.splitlines() if " credentials " in line)
    m.inside("systemctl", "enable", "--now", "syncd@keys")
    m.inside("sqlite3", "-cmd", ".timeout 5000", "/var/lib/keys/k.db", "INSERT INTO log VALUES(1, 'x')", user="stranger")
    world.settle("keys", "/var/lib/keys/k.db")
    assert "aws-credentials" in status(world, "keys")["target"]["credentials"]["provider"]
    assert world.ctl("doctor", name="keys").returncode == 0
    m.inside("systemctl", "disable", "--now", "syncd@keys")


def lines_of(world, **options):
    """What doctor says, by check."""
    told = json.loads(world.ctl("--json", "doctor", check=False, **options).stdout)
    lines = {}
    for line in told["checks"]:
        lines.setdefault(line["check"], []).append(line)
    return told["result"], lines


def test_doctor_is_content_and_changes_nothing(world):
    eventually(lambda: lines_of(world)[0] == "ok", "doctor being content")
    _, lines = lines_of(world)
    assert {line["result"] for of in lines.values() for line in of} == {"ok"}
    assert {"unit", "user", "sandbox", "daemon", "credentials", "tables"} <= set(lines)
    assert lines_of(world, user="app")[0] == "ok"  # the owner may ask as well


@pytest.mark.parametrize(
    "check, text",
    [
        ("user", "[Service]\nUser=stranger\nGroup=stranger\n"),
        ("sandbox", "[Service]\nReadWritePaths=\n"),
        ("unit", "[Unit]\nDescription=changed\n"),
    ],
)
def test_doctor_finds_what_is_wrong_with_the_unit(world, check, text):
    m, path = world.machine, "etc/systemd/system/syncd@app.service.d/wrong.conf"
    m.write(path, text)
    if check != "unit":
        m.inside("systemctl", "daemon-reload")
    try:
        result, lines = lines_of(world)
        found = [line for of in lines.values() for line in of if line["result"] != "ok"]
        assert [line["check"] for line in found] == [check], found
        assert result == ("warning" if check == "unit" else "failed")
    finally:
        os.unlink(m.path(path))
        m.inside("systemctl", "daemon-reload")


def test_doctor_finds_a_home_that_the_unit_does_not_see(world):
    m, path = world.machine, "etc/systemd/system/syncd@home.service.d/wrong.conf"
    m.write(path, "[Service]\nBindPaths=\n")
    m.inside("systemctl", "daemon-reload")
    _, lines = lines_of(world, name="home")
    assert lines["sandbox"][0]["result"] == "failed" and "BindPaths=" in lines["sandbox"][0]["text"]
    os.unlink(m.path(path))
    m.inside("systemctl", "daemon-reload")
    _, lines = lines_of(world, name="home")
    assert lines["sandbox"][0]["result"] == "ok"


def test_root_works_as_the_owner_of_the_database(world):
    m = world.machine
    m.inside("systemctl", "stop", "app", UNIT)
    m.inside("syncctl", "--name", "app", "detach")
    m.inside("syncctl", "--name", "app", "attach")
    assert m.inside("syncctl", "--name", "app", "check").stdout
    asked = m.inside("syncctl", "--name", "app", "detach", "--", "id", "-un")
    assert asked.stdout.strip() == "root"  # the command is the caller's, not ours
    owners = m.shell("stat -c '%U:%G' /var/lib/app/* /var/lib/app/.[!.]* /var/lib/syncd/app/*")
    assert set(owners.split()) == {"app:app"}, owners
    m.inside("systemctl", "start", UNIT, "app")
    world.settle()


def test_at_shutdown_it_stops_after_the_application_and_sends_its_last_change(world):
    world.machine.poweroff()
    assert world.last_text() == "last"
    assert world.report().equal
