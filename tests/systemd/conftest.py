"""One machine for all tests of this directory: installed, set up by `syncctl setup`, booted once."""

import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    world = item.funcargs.get("world")
    if report.failed and world is not None and world.machine.nspawn is not None:
        report.sections.append(("journal", world.machine.inside("journalctl", "--no-pager", "-n", "60", check=False).stdout))


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    from world import World

    made = World(os.environ["SYNCD_SYSTEMD_ROOT"], str(tmp_path_factory.mktemp("engine")))
    yield made
    made.close()
