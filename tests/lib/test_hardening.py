"""The programs have what the build promises: SECURITY.md, "What we promise"."""

import os
import platform
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = [os.environ.get(name.upper(), os.path.join(ROOT, "build", name)) for name in ("syncd", "syncctl")]


def readelf(option, program):
    return subprocess.run(["readelf", "-W", option, program], capture_output=True, text=True, check=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


@pytest.fixture(params=PROGRAMS, ids=os.path.basename)
def program(request):
    with open(request.param, "rb") as f:
        sanitized = re.search(rb"__[at]san_init", f.read())
    if sanitized:
        pytest.skip("sanitized programs are not hardened ones")
    return request.param


def test_is_position_independent_and_bound_before_it_runs(program):
    assert re.search(r"Type:\s+DYN", readelf("-h", program))
    dynamic = readelf("-d", program)
    assert re.search(r"FLAGS_1\).*\bNOW\b.*\bPIE\b", dynamic)
    assert "(RPATH)" not in dynamic and "(RUNPATH)" not in dynamic and "(TEXTREL)" not in dynamic
    assert "GNU_RELRO" in readelf("-l", program)


def test_has_no_stack_or_segment_that_can_be_written_and_run(program):
    flags = re.findall(r"^\s+(GNU_STACK|LOAD)\s+(?:0x\S+\s+){5}([RWE ]{3})", readelf("-l", program), re.M)
    assert {kind for kind, _ in flags} == {"GNU_STACK", "LOAD"}
    assert not any("W" in flag and "E" in flag for _, flag in flags)
    assert [flag.strip() for kind, flag in flags if kind == "GNU_STACK"] == ["RW"]


def test_guards_the_stack_and_checks_lengths(program):
    symbols = readelf("--dyn-syms", program)
    assert "__stack_chk_fail" in symbols
    assert len(set(re.findall(r"\b__\w+_chk\b", symbols))) >= 3


def test_has_a_shadow_stack_and_marks_where_calls_may_land(program):
    if platform.machine() != "x86_64":
        pytest.skip("CET is of x86-64")
    # The other mark, IBT, also needs a start-up code of the C library that has it; Debian's has not.
    assert "SHSTK" in readelf("-n", program)
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-j", ".text", program], capture_output=True,
                          text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout
    begins = re.search(r"<main>:\n\s+\S+:\s+(\S+)", code)
    assert begins and begins.group(1) == "endbr64"
