"""syncctl setup: the configuration and the drop-in it writes, what it refuses, and that it is both or
none; and that root works on a database as its owner."""

import configparser
import os
import pathlib
import sqlite3
import subprocess
import tempfile

import pytest

from harness import SYNCCTL, SYNCD

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="giving files to others takes root")


def run(*arguments, program=SYNCCTL):
    return subprocess.run(
        [program, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def make(path, owner=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    db.close()
    if owner is not None:
        os.chown(path.parent, owner, owner)
        os.chown(path, owner, owner)
    return path


@pytest.fixture
def place(tmp_path):
    """Where setup writes to, and a way to call it."""

    class Place:
        root = tmp_path / "root"
        config = root / "etc/syncd/app.conf"
        drop_in = root / "etc/systemd/system/syncd@app.service.d/setup.conf"

        def setup(self, *arguments, name="app"):
            return run("setup", name, "--root", self.root, *arguments)

        def files(self):
            return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if not p.is_dir())

        def unit(self):
            text = configparser.RawConfigParser(strict=False)
            text.optionxform = str
            text.read(self.drop_in)
            return text

    return Place()


def test_the_configuration_is_one_that_syncd_takes(place, tmp_path):
    database = make(tmp_path / 'data and "more"' / "app.db")
    done = place.setup("--database", database, "--region", "eu-west-1", "--endpoint-url", "http://127.0.0.1:8000")
    assert done.returncode == 0, done.stderr
    checked = run("--config", place.config, "--check", program=SYNCD)
    assert checked.returncode == 0, checked.stderr
    assert str(database) in checked.stdout and "region eu-west-1" in checked.stdout
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  sudo")] == [
        "syncctl", "systemctl", "syncctl",
    ]


@root_only
def test_the_drop_in_says_user_paths_and_order(place, tmp_path):
    database = make(tmp_path / "data" / "app.db", NOBODY)
    assert place.setup("--database", database, "--application", "web").returncode == 0
    unit = place.unit()
    assert unit["Service"]["User"] == "nobody" and unit["Service"]["Group"] == "nogroup"
    assert unit["Service"]["ReadWritePaths"] == str(database.parent)
    assert unit["Unit"]["RequiresMountsFor"] == str(database.parent)
    assert unit["Unit"]["Before"] == "web.service"
    # What a private /tmp would hide.
    assert unit["Service"]["BindPaths"] == str(database.parent)
    assert os.stat(place.config).st_mode & 0o777 == 0o644


@root_only
def test_a_file_of_the_group_root_does_not_lead_into_it(place, tmp_path):
    database = make(tmp_path / "data" / "app.db", NOBODY)
    os.chown(database, NOBODY, 0)
    assert place.setup("--database", database).returncode == 0
    assert place.unit()["Service"]["Group"] == "nogroup"


def test_a_link_is_followed_for_the_directory_alone(place, tmp_path):
    database = make(tmp_path / "real" / "app.db")
    link = tmp_path / "link.db"
    link.symlink_to(database)
    assert place.setup("--database", link).returncode == 0
    assert "database = %s\n" % link in place.config.read_text()
    assert place.unit()["Service"]["ReadWritePaths"] == str(database.parent)


def test_specifiers_and_blanks_are_escaped(place, tmp_path):
    database = make(tmp_path / "100% my data" / "app.db")
    assert place.setup("--database", database).returncode == 0
    assert place.unit()["Service"]["ReadWritePaths"] == '"%s"' % str(database.parent).replace("%", "%%")


def test_nothing_is_overwritten_without_force(place, tmp_path):
    database = make(tmp_path / "data" / "app.db")
    place.drop_in.parent.mkdir(parents=True)
    place.drop_in.write_text("mine\n")
    refused = place.setup("--database", database)
    assert refused.returncode == 2 and str(place.drop_in) in refused.stderr and "--force" in refused.stderr
    assert place.files() == [str(place.drop_in.relative_to(place.root))] and place.drop_in.read_text() == "mine\n"
    assert place.setup("--database", database, "--force").returncode == 0
    assert "User=" in place.drop_in.read_text() and len(place.files()) == 2


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_both_files_or_none(place, tmp_path, force):
    database = make(tmp_path / "data" / "app.db")
    place.config.parent.mkdir(parents=True)
    if force:
        place.config.write_text("before\n")
    # No directory can be made where a file stands, nor a file moved onto a directory.
    (place.drop_in if force else place.drop_in.parent.parent.parent).parent.mkdir(parents=True, exist_ok=True)
    if force:
        place.drop_in.mkdir()
    else:
        place.drop_in.parent.parent.parent.write_text("in the way")
    before = place.files()
    done = place.setup("--database", database, *force)
    assert done.returncode != 0 and done.stderr.startswith("syncctl: %s" % place.root)
    assert place.files() == before
    if force:
        assert place.config.read_text() == "before\n"


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "--database"),
        (["--database", "/no/such/place/app.db"], "/no/such/place"),
        (["--database", "{dir}/missing.db"], "--user"),
        (["--database", "{dir}/missing.db", "--user", "no-such-user"], "no-such-user"),
        (["--database", "{dir}"], "not a file"),
        (["--database", "{dir}/a\nb.db"], "control character"),
        (["--database", "{db}", "--application", "a b"], "name of a unit"),
        (["--database", "{db}", "--credentials", "keys"], "--credentials"),
        (["--database", "{db}", "extra"], "extra"),
    ],
)
def test_what_is_refused_is_said(place, tmp_path, arguments, words):
    database = make(tmp_path / "data" / "app.db")
    done = place.setup(*[a.format(dir=database.parent, db=database) for a in arguments])
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1
    assert place.files() == []


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "ä", "../x"])
def test_a_name_is_one_of_files_and_units(place, tmp_path, name):
    done = place.setup("--database", make(tmp_path / "data" / "app.db"), name=name)
    assert done.returncode == 2 and not place.root.exists()


def test_keys_are_handed_over_by_systemd(place, tmp_path):
    database = make(tmp_path / "data" / "app.db")
    assert place.setup("--database", database, "--credentials", "/etc/syncd/app.keys").returncode == 0
    assert place.unit()["Service"]["LoadCredential"] == "aws-credentials:/etc/syncd/app.keys"


def test_a_database_that_is_not_there_yet(place, tmp_path):
    done = place.setup("--database", tmp_path / "app.db", "--user", "nobody")
    assert done.returncode == 0, done.stderr
    assert place.unit()["Service"]["User"] == "nobody"


@pytest.fixture
def open_directory():
    """One that another user gets through to; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="syncd-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@root_only
def test_root_works_as_the_owner(open_directory, engine):
    """Whatever is made beside the database belongs to its owner; a command around which it is detached
    stays the caller's."""
    database = make(open_directory / "data" / "app.db", NOBODY)
    config = open_directory / "app.conf"
    config.write_text(
        "[source]\ndatabase = %s\n[dynamodb]\nregion = eu-west-1\nendpoint_url = %s\n[control]\nsocket = %s\n"
        % (database, engine.url, open_directory / "s")
    )

    def owners():
        return {(os.stat(p).st_uid, os.stat(p).st_gid) for p in database.parent.iterdir()}

    db = sqlite3.connect(database)  # WAL files stay while somebody has it open
    db.execute("PRAGMA journal_mode=wal")
    for file in database.parent.iterdir():
        os.chown(file, NOBODY, NOBODY)
    for command in (["attach"], ["detach"], ["check"], ["detach", "--", "id", "-u"], ["uninstall"]):
        done = run("--config", config, *command)
        assert done.returncode == 0, (command, done.stderr)
        assert owners() == {(NOBODY, NOBODY)}, command
        if "--" in command:
            assert done.stdout.splitlines()[0] == "0"
    db.close()
    done = run("--config", config, "--check", program=SYNCD)
    assert done.returncode == 0 and owners() == {(NOBODY, NOBODY)}
