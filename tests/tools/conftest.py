"""The fixtures of the integration tests: a DynamoDB engine and mirrors over it."""

import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

_spec = importlib.util.spec_from_file_location(
    "integration_fixtures", os.path.join(ROOT, "tests", "integration", "conftest.py")
)
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)

engine = _fixtures.engine
make_mirror = _fixtures.make_mirror
mirror = _fixtures.mirror
pytest_configure = _fixtures.pytest_configure
pytest_runtest_makereport = _fixtures.pytest_runtest_makereport
