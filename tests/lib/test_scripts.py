"""The scripts that other tests stand on: what they count, and what they say when something is wrong."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def script(name, *arguments, **environment):
    return subprocess.run([ROOT / "scripts" / name, *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, env={**os.environ, **environment})


def program(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def test_unit_tests_are_counted_honestly(tmp_path):
    program(tmp_path / "test_good", "exit 0\n")
    program(tmp_path / "pure" / "test_good", "exit 0\n")
    program(tmp_path / "test_bad", "echo what went wrong; exit 3\n")
    program(tmp_path / "pure" / "test_killed", "kill -9 $$\n")
    program(tmp_path / "test_passed_over", "echo no kernel support; exit 77\n")
    done = script("run-unit-tests", tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode != 0
    assert lines[-2:] == ["1 skipped", "2 passed, 2 failed"]
    assert "FAIL  test_bad (exit code 3)" in lines and "      what went wrong" in lines
    assert "skip  test_passed_over: no kernel support" in lines


def test_unit_tests_all_good(tmp_path):
    program(tmp_path / "test_good", "exit 0\n")
    done = script("run-unit-tests", tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed")


def test_no_unit_tests_is_a_failure(tmp_path):
    assert script("run-unit-tests", tmp_path).returncode != 0
    assert script("run-unit-tests", tmp_path / "nowhere").returncode != 0


@pytest.mark.parametrize("arguments, word", [
    (["start", "--engine", "nosuch"], "nosuch"),
    (["start", "--port", "65536"], "65536"),
    (["frobnicate"], "start"),
    ([], "start"),
])
def test_dynamodb_local_says_what_is_wrong(arguments, word):
    done = script("dynamodb-local", *arguments)
    assert done.returncode != 0 and done.stdout == "" and word in done.stderr


def test_dynamodb_local_that_does_not_run(tmp_path):
    status = script("dynamodb-local", "status", "--dir", tmp_path)
    assert status.returncode == 3 and status.stdout == ""
    assert script("dynamodb-local", "stop", "--dir", tmp_path).returncode == 0


def test_dynamodb_local_does_not_take_a_stranger_for_its_own(tmp_path):
    """A pid file that outlived its engine names some other process now: it must be left alone."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (tmp_path / "pid").write_text(f"{stranger.pid}\n")
        (tmp_path / "started").write_text("1\n")
        assert script("dynamodb-local", "status", "--dir", tmp_path).returncode == 3
        assert script("dynamodb-local", "stop", "--dir", tmp_path).returncode == 0
        assert stranger.poll() is None
        stranger.kill()


def test_install_deps_refuses_what_it_does_not_know():
    assert script("install-deps", "--frobnicate").returncode == 2


def test_sample_refuses_to_overwrite(tmp_path):
    path = tmp_path / "there.db"
    path.write_text("something of yours")
    sample = [sys.executable, "-B", ROOT / "tests" / "lib" / "sample.py"]
    done = subprocess.run([*sample, "create", path], capture_output=True, text=True)
    assert done.returncode == 1 and "there.db" in done.stderr
    assert path.read_text() == "something of yours"
