"""The control socket among real users: who may do what, clients without manners, systemd's socket."""

import grp
import os
import pwd
import stat
import subprocess
import sys

import pytest

from harness import SYNCCTL, eventually
from rude import RudeClients

NOBODY = "nobody"

# Binds the socket that systemd would, and becomes the daemon with it as descriptor 3.
ACTIVATE = """
import os, socket, sys
path = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind(path)
os.chmod(path, 0o660)
s.listen(128)
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = "1", str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def running(faulty):
    faulty.sql("PRAGMA journal_mode=wal", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    return faulty


def as_user(mirror, groups, *arguments):
    """syncctl as nobody, with these groups besides its own."""
    user = pwd.getpwnam(NOBODY)
    return subprocess.run(
        [SYNCCTL, "--socket", mirror.socket, *arguments],
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[grp.getgrnam(g).gr_gid for g in groups],
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_groups_decide_who_may_do_what(running):
    running.configure({"control": {"socket_group": "games", "operator_group": "backup"}})
    os.chmod(running.dir, 0o711)
    running.start().wait()
    mode = os.stat(running.socket)
    assert stat.S_IMODE(mode.st_mode) == 0o660 and mode.st_gid == grp.getgrnam("games").gr_gid

    outside = as_user(running, [], "status")
    assert outside.returncode == 3 and "usermod -aG games" in outside.stderr
    assert as_user(running, [], "health").returncode == 3

    for command in (["status"], ["health"], ["tables"], ["metrics"], ["dead-letters"]):
        assert as_user(running, ["games"], *command).returncode == 0, command
    for command in (["wait"], ["resync", "t"], ["detach"], ["attach"]):
        refused = as_user(running, ["games"], *command)
        assert refused.returncode == 2 and "usermod -aG backup" in refused.stderr, command
        assert as_user(running, ["games", "backup"], *command).returncode == 0, command
    for command in (["pause"], ["resume"], ["approve"], ["reload"], ["uninstall"]):
        refused = as_user(running, ["games", "backup"], *command)
        assert refused.returncode == 2 and "only root" in refused.stderr, command
    adopts = as_user(running, ["games", "backup"], "attach", "--adopt")
    assert adopts.returncode == 2 and "only root" in adopts.stderr
    running.sql("INSERT INTO t VALUES(1, 'x')")
    running.settle()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives the socket to another group")
def test_a_directory_closed_to_the_group_is_told(running):
    running.configure({"control": {"socket_group": "games"}})
    running.start()
    assert "members of the group games cannot reach the control socket" in running.log_text()
    assert running.dir in running.log_text()


def test_a_thousand_clients_without_manners(running, fault):
    running.start().wait()
    with RudeClients(running.socket, 1000) as rude:  # at once, as many as get in
        eventually(lambda: rude.connected >= 2000, "a thousand of them, twice")
        for number in range(20):
            assert running.request("GET", "/v1/health")[0] == 200
            running.sql(("INSERT INTO t VALUES(?, 'x')", (number,)))
        running.wait()
        assert len(fault.items(running.target("t"))) == 20
        seen = rude.connected, rude.cut
        eventually(lambda: rude.cut > seen[1] + 500, "they keep coming")
        assert running.ctl("health").returncode == 0
        with open("/proc/%d/status" % running.process.pid, encoding="ascii") as status:
            print([line for line in status if line.startswith(("VmHWM", "FDSize"))])
        assert len(os.listdir("/proc/%d/fd" % running.process.pid)) < 200
    running.settle()


def test_the_loops_longest_stall_is_a_metric(running):
    running.start().wait()
    text = running.ctl("metrics").stdout
    line = next(s for s in text.splitlines() if s.startswith("syncd_loop_stall_max_seconds "))
    assert 0 < float(line.split()[1])


def test_systemds_socket_is_used_and_left(running):
    running.start(prefix=[sys.executable, "-c", ACTIVATE, running.socket])
    running.sql("INSERT INTO t VALUES(1, 'x')")
    running.settle()
    running.stop()
    assert stat.S_ISSOCK(os.stat(running.socket).st_mode)


def test_systemds_socket_must_be_the_configured_one(running):
    elsewhere = os.path.join(running.dir, "other.sock")
    code, output = running.run_to_end(prefix=[sys.executable, "-c", ACTIVATE, elsewhere])
    assert code == 2 and "ListenStream=" in output and running.socket in output


def test_a_dead_letters_id_is_a_number_and_nothing_else(faulty):
    faulty.sql("CREATE TABLE t(id TEXT PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES('', 'no key')")
    faulty.start()
    eventually(lambda: len(faulty.dead_letters()) == 1, "the dead letter")
    number = str(faulty.dead_letters()[0]["id"])
    for wrong in (number + ",99", number + "x", "%20" + number, "9" * 20, "0", ""):
        for what in ("retry", "discard"):
            code, body = faulty.request("POST", "/v1/dead-letters/%s?id=%s" % (what, wrong))
            assert code == 400 and body["error"]["code"] == "bad_argument", (what, wrong, body)
    # Beside a wrong one a right one is not carried out either.
    code, _ = faulty.request("POST", "/v1/dead-letters/discard?id=%s&id=x" % number)
    assert code == 400 and len(faulty.dead_letters()) == 1
