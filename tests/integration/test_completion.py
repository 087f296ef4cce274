"""bash completion: what readline would be given, from the real programs and a small fake daemon."""

import json
import os
import shlex
import subprocess

import pytest

from test_syncctl_cli import ROOT, STATUS, SYNCCTL, Daemon

SYNCD = os.environ.get("SYNCD", os.path.join(ROOT, "build", "syncd"))
ETC = os.path.join(ROOT, "etc", "completion")


def complete(program, *words, env=None):
    """The completions of the last of `words`, as bash splits a line."""
    name = os.path.basename(program)
    line = [program, *words]
    script = f"""
        set -u
        . {shlex.quote(os.path.join(ETC, name))}
        COMP_WORDS=({" ".join(map(shlex.quote, line))}) COMP_CWORD={len(words)}
        _{name}
        printf '%s\\n' ${{COMPREPLY[@]+"${{COMPREPLY[@]}}"}}
    """
    ran = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=20,
                         env={**os.environ, **(env or {})}, check=True)
    assert ran.stderr == ""
    return ran.stdout.split("\n")[:-1] if ran.stdout != "\n" else []


def commands():
    text = subprocess.run([SYNCCTL, "--help"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in text.split("\nOptions\n")[0].splitlines()[1:] if line.startswith("  ")]


@pytest.fixture
def daemon(tmp_path):
    server = Daemon(str(tmp_path / "s"))
    yield server
    server.stop()


def test_every_command_is_offered():
    assert complete(SYNCCTL, "") == commands()
    assert complete(SYNCCTL, "--json", "--name", "shop", "sta") == ["status"]
    assert complete(SYNCCTL, "--name", "=", "shop", "sta") == ["status"]


def test_options_are_those_of_the_program_and_of_the_command():
    assert {"--config", "--json", "--database"} <= set(complete(SYNCCTL, "--"))
    assert "--watch" not in complete(SYNCCTL, "--")
    assert complete(SYNCCTL, "status", "--wa") == ["--watch"]
    assert complete(SYNCCTL, "wait", "--ti") == ["--timeout"]


@pytest.mark.parametrize("dump", [json.dumps, lambda o: json.dumps(o, separators=(",", ":"))])
def test_tables_are_asked_of_the_daemon_that_is_meant(daemon, dump):
    tables = [dict(STATUS["tables"][0], name=name) for name in ("books", "book loans", "users")]
    daemon.will("GET", "/v1/status", dump(dict(STATUS, tables=tables)))
    assert complete(SYNCCTL, "--socket", daemon.path, "resync", "") == ["books", "book\\ loans", "users"]
    assert complete(SYNCCTL, "--socket", "=", daemon.path, "resync", "users", "book") == ["books", "book\\ loans"]
    assert complete(SYNCCTL, "--socket", daemon.path, "status", "") == []


def test_dead_letters_by_what_is_done_and_by_id(daemon):
    assert complete(SYNCCTL, "dead-letters", "") == ["list", "show", "retry", "discard"]
    daemon.will("GET", "/v1/dead-letters", {"dead_letters": [{"id": 7}, {"id": 71}, {"id": 12}]})
    assert complete(SYNCCTL, "--socket", daemon.path, "dead-letters", "retry", "7") == ["7", "71"]


def test_no_daemon_no_tables(tmp_path):
    assert complete(SYNCCTL, "--socket", str(tmp_path / "nothing"), "resync", "") == []


def test_instances_and_files(tmp_path):
    for name in ("syncd.conf", "shop.conf", "shop.env"):
        (tmp_path / name).touch()
    env = {"SYNCD_CONFIG_DIRECTORY": str(tmp_path)}
    assert complete(SYNCCTL, "--name", "", env=env) == ["shop", "syncd"]
    assert complete(SYNCCTL, "--name", "=", env=env) == ["shop", "syncd"]
    assert complete(SYNCCTL, "--name", "=", "sh", env=env) == ["shop"]
    assert complete(SYNCCTL, "--config", str(tmp_path / "sho")) == [str(tmp_path / n) for n in ("shop.conf", "shop.env")]


def test_the_command_that_runs_between_detach_and_attach():
    assert "env" in complete(SYNCCTL, "detach", "--", "env")
    assert "/etc/passwd" in complete(SYNCCTL, "detach", "--", "env", "/etc/passw")


def test_syncd():
    assert complete(SYNCD, "--ch") == ["--check"]
    assert {"--config", "--help", "--log-level", "--version"} <= set(complete(SYNCD, ""))
    assert complete(SYNCD, "--log-level", "w") == ["warning"]


def test_import_takes_files_and_words(tmp_path):
    (tmp_path / "users.json").touch()
    assert complete(SYNCCTL, "import", str(tmp_path / "us")) == [str(tmp_path / "users.json")]
    assert complete(SYNCCTL, "import", "--to", str(tmp_path / "us")) == [str(tmp_path / "users.json")]
    assert complete(SYNCCTL, "import", "--format", "m") == ["mongo"]
    assert complete(SYNCCTL, "import", "--existing", "") == ["refuse", "skip", "update"]
    assert complete(SYNCCTL, "create-tables", "--format", "c") == ["cloudformation"]
