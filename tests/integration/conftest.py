"""Fixtures: the programs under test, a DynamoDB engine, a fault server, and mirrors over them.

Tests marked `engine` hold on any DynamoDB: $SYNCD_TEST_ENDPOINT names one (with
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), otherwise scripts/dynamodb-local starts one for the
session. Nothing is skipped silently: an engine or program that is missing fails the test.
"""

import os
import signal
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

DUMMY = ("AKIDSYNCDTEST", "syncdTestSecretKey")


def pytest_configure(config):
    # A shell ignores SIGINT for what it starts in the background, and programs under test inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "engine: holds on any DynamoDB engine; also run on a second one"
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed_call = outcome.get_result().failed


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    from harness import Endpoint

    given = os.environ.get("SYNCD_TEST_ENDPOINT")
    if given:
        keys = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        yield Endpoint(given, *(keys if all(keys) else DUMMY))
        return
    script = os.path.join(ROOT, "scripts", "dynamodb-local")
    where = str(tmp_path_factory.mktemp("engine"))
    started = subprocess.run(
        [script, "start", "--dir", where], stdout=subprocess.PIPE, text=True, check=False
    )
    if started.returncode != 0:
        pytest.fail(
            "scripts/dynamodb-local start failed (%d); or set SYNCD_TEST_ENDPOINT"
            % started.returncode
        )
    yield Endpoint(started.stdout.strip().splitlines()[-1], *DUMMY)
    subprocess.run([script, "stop", "--dir", where], stdout=subprocess.DEVNULL, check=True)


@pytest.fixture
def fault():
    """A fault server of the test's own. Breaking a rule of the protocol fails the test."""
    from faultserver import FaultServer

    with FaultServer() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def sources(fault):
    """Whoever may hand out credentials, strict about how it is asked; the fault server takes them."""
    from credential_sources import Sources

    with Sources(fault.allow, fault.verifier.now) as made:
        made.verifier.credentials = fault.verifier.credentials
        yield made
        assert made.violations == []


@pytest.fixture
def fault_endpoint(fault):
    from faultserver import ACCESS_KEY, SECRET_KEY
    from harness import Endpoint

    return Endpoint(fault.url, ACCESS_KEY, SECRET_KEY)


@pytest.fixture
def make_mirror(request):
    """make_mirror(endpoint, settings, environment): closed after the test, log shown on failure."""
    from harness import Mirror

    made = []

    def make(endpoint, settings=None, environment=None):
        made.append(Mirror(endpoint, settings, environment))
        return made[-1]

    yield make
    failed = getattr(request.node, "failed_call", False)
    for mirror in made:
        if failed:
            print("--- log of %s\n%s" % (mirror.prefix, mirror.log_tail(80)))
            mirror.kill9()
        mirror.close()


@pytest.fixture
def mirror(engine, make_mirror):
    """A mirror on the session's engine, not started."""
    return make_mirror(engine)


@pytest.fixture
def faulty(fault_endpoint, make_mirror):
    """A mirror on the test's fault server, not started."""
    return make_mirror(fault_endpoint)
