"""The manual pages say what the programs say of themselves, no more and no less."""

import glob
import os
import re
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYNCD = os.environ.get("SYNCD", os.path.join(ROOT, "build", "syncd"))
SYNCCTL = os.environ.get("SYNCCTL", os.path.join(ROOT, "build", "syncctl"))
MAN = os.path.join(os.path.dirname(SYNCD), "man")
PAGES = ["syncd.8", "syncctl.1", "syncd.conf.5"]
OPTION = re.compile(r"--([a-z][a-z-]*)")


def source(page):
    with open(os.path.join(MAN, page), encoding="utf-8") as f:
        return f.read()


def section(page, name):
    found = re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh |\Z)", source(page), re.M | re.S)
    assert found, f"{page} has no section {name}"
    return found.group(1)


def help_of(program, *command):
    return subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=True).stdout


def options_in(text):
    """The long options that items of a list begin with."""
    items = "\n".join(re.findall(r"^\.It (.*)$", text, re.M))
    return set(re.findall(r"Fl Fl ([a-z-]+)", items)) | set(OPTION.findall(items.replace("\\-", "-")))


def commands():
    """By name, the part of syncctl(1) about each, in its order."""
    parts = re.split(r"^\.It Ic (\S+).*$", section("syncctl.1", "COMMANDS"), flags=re.M)
    names = [name.replace("\\-", "-") for name in parts[1::2]]
    return dict(zip(names, parts[2::2]))


@pytest.mark.parametrize("page", PAGES)
def test_formats_without_a_warning(page):
    path = os.path.join(MAN, page)
    tools = [[*tool, path] for tool in (["mandoc", "-Tlint", "-Wwarning"], ["man", "-l", "--warnings"])
             if shutil.which(tool[0])]
    if not tools:
        pytest.skip("neither mandoc nor man is here")
    for tool in tools:
        ran = subprocess.run(tool, capture_output=True, text=True, check=False,
                             env={**os.environ, "LC_ALL": "C.UTF-8"})
        # Pages of other packages need not be installed to be named.
        said = [line for line in ran.stderr.splitlines() + (ran.stdout.splitlines() if tool[0] == "mandoc" else [])
                if "referenced manual not found" not in line and "outdated mandoc.db" not in line]
        assert said == []


def test_syncd_has_its_options():
    assert options_in(section("syncd.8", "OPTIONS")) == set(OPTION.findall(help_of(SYNCD).split("\n\n", 1)[1]))


def test_syncctl_has_its_options():
    said = help_of(SYNCCTL).split("\nOptions\n")[1].split("\n\nsyncctl COMMAND")[0]
    assert options_in(section("syncctl.1", "OPTIONS")) == set(OPTION.findall(said))


def test_syncctl_has_its_commands_and_their_options():
    listed = [line.split()[0] for line in help_of(SYNCCTL).split("\nOptions\n")[0].splitlines()[1:]
              if line.startswith("  ")]
    page = commands()
    assert list(page) == listed
    for name, text in page.items():
        explained = {o for line in help_of(SYNCCTL, name).splitlines()[1:] if line.startswith("  --")
                     for o in OPTION.findall(re.split(r"  +", line.strip())[0])}
        assert options_in(text) == explained, name
        assert len(text.split()) > 3, name


def test_every_setting_is_there_with_its_default():
    with open(os.path.join(ROOT, "etc", "syncd.conf"), encoding="utf-8") as f:
        sample = f.read()
    expected, here = [], None
    for line in sample.splitlines():
        if found := re.match(r"#?\[(\w+)", line):
            here = found.group(1)
        elif found := re.match(r"#([a-z_]+)[ .].*=", line):
            expected.append((here, found.group(1)))
    got, here = [], None
    for line in section("syncd.conf.5", "SETTINGS").splitlines():
        if found := re.match(r'\.Ss "\[(\w+)', line):
            here = found.group(1)
        elif found := re.match(r'\.It Ic "\\%([a-z_]+)"', line):
            got.append((here, found.group(1)))
    assert len(got) > 30
    assert got == expected


def test_every_variable_is_there():
    read = set()
    for part in ("common", "daemon"):
        for path in glob.glob(os.path.join(ROOT, part, "**", "*.c"), recursive=True):
            with open(path, encoding="utf-8") as f:
                read |= set(re.findall(r'"(AWS_[A-Z_]+)"', f.read()))
    assert {"AWS_REGION", "AWS_PROFILE"} <= read
    # The source puts these together.
    read |= {"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_STS"}
    named = set(re.findall(r"AWS_[A-Z_]+", section("syncd.8", "ENVIRONMENT")))
    assert read == named, read ^ named
