"""What people would use instead: boto3, and the AWS SDK for JavaScript with better-sqlite3.

They are found, or installed into build/bench, by setup(); one that cannot be had is left out, and the
reason is told. Each run reads the same table and sends it to the same sink as the daemon.
"""

import json
import os
import shutil
import subprocess
import sys

from rig import BUILD, HERE, BenchError

CACHE = os.path.join(BUILD, "bench")
NODE_PACKAGES = ("@aws-sdk/client-dynamodb", "better-sqlite3")
# name -> (words, rows that are enough to measure it, arguments)
BOTO3 = {
    "put_item": ("boto3 put_item loop", 3_000, ["put_item"]),
    "batch_writer": ("boto3 batch_writer", 20_000, ["batch_writer"]),
}
NODE = {
    "node8": ("Node SDK v3, 8 in flight", 50_000, ["8"]),
    "node32": ("Node SDK v3, 32 in flight", 50_000, ["32"]),
}


def _said(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, **options)


def python_with(packages):
    """A Python that can import these modules ({module: its package}); made in build/bench if there is
    none. BenchError when it cannot be had."""
    ask = "import " + ", ".join(packages)
    own = os.path.join(CACHE, "venv", "bin", "python")
    for python in (sys.executable, os.path.join(BUILD, "venv", "bin", "python"), own):
        if os.access(python, os.X_OK) and _said([python, "-c", ask]).returncode == 0:
            return python
    for command in ([sys.executable, "-m", "venv", os.path.dirname(os.path.dirname(own))],
                    [own, "-m", "pip", "install", "--quiet", *packages.values()]):
        done = _said(command)
        if done.returncode != 0:
            raise BenchError("%s cannot be installed: %s" % (
                " and ".join(packages), (done.stderr or done.stdout).strip()[-300:]))
    return own


def _boto3():
    """A Python that has boto3, and its version."""
    ask = "import boto3, platform; print('boto3', boto3.__version__, 'Python', platform.python_version())"
    python = python_with({"boto3": "boto3"})
    return python, _said([python, "-c", ask]).stdout.strip()


def _node():
    """A Node, where its packages are, and their versions."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise BenchError("node or npm is not installed")
    place = os.path.join(CACHE, "node")
    modules = os.path.join(place, "node_modules")
    os.makedirs(place, exist_ok=True)
    ask = ("for (const n of %s) console.log(n, require(n + '/package.json').version);"
           "require('better-sqlite3')(':memory:')" % json.dumps(NODE_PACKAGES))
    environment = dict(os.environ, NODE_PATH=modules)
    found = _said([node, "-e", ask], env=environment)
    if found.returncode != 0:
        with open(os.path.join(place, "package.json"), "w", encoding="utf-8") as out:
            out.write('{"private": true}\n')
        done = _said([npm, "install", "--no-audit", "--no-fund", "--loglevel=error", *NODE_PACKAGES],
                     cwd=place)
        found = _said([node, "-e", ask], env=environment)
        if done.returncode != 0 or found.returncode != 0:
            raise BenchError("npm cannot install %s: %s" % (
                " and ".join(NODE_PACKAGES), (done.stderr + found.stderr).strip()[-300:]))
    version = _said([node, "--version"]).stdout.strip()
    return node, modules, "Node %s, %s" % (version, ", ".join(found.stdout.split("\n")[:2]))


def setup():
    """What can be run: name -> (words, rows, command before the database, environment, version); and the
    reasons why others cannot."""
    found, missing = {}, []
    try:
        python, version = _boto3()
        for name, (words, rows, arguments) in BOTO3.items():
            command = [python, "-B", os.path.join(HERE, "peers", "with_boto3.py"), *arguments]
            found[name] = (words, rows, command, {}, version)
    except BenchError as error:
        missing.append("left out: %s" % error)
    try:
        node, modules, version = _node()
        for name, (words, rows, arguments) in NODE.items():
            command = [node, os.path.join(HERE, "peers", "with_node.js"), *arguments]
            found[name] = (words, rows, command, {"NODE_PATH": modules}, version)
    except BenchError as error:
        missing.append("left out: %s" % error)
    return found, missing


def run(rig, peer, database, sink):
    """One run: {"rate", "cpu_us", "peak_mb"}."""
    words, rows, command, more, _ = peer
    environment = dict(rig.environment, AWS_ENDPOINT_URL_DYNAMODB=sink.url, **more)
    if sink.certificate:
        environment["AWS_CA_BUNDLE"] = environment["NODE_EXTRA_CA_CERTS"] = sink.certificate
    before = sink.stats()["puts"]
    done = _said([*command, database, str(rows)], env=environment)
    if done.returncode != 0:
        raise BenchError("%s failed: %s" % (words, done.stderr.strip()[-400:]))
    came = sink.stats()["puts"] - before
    if came != rows:
        raise BenchError("%s sent %d of %d rows" % (words, came, rows))
    return json.loads(done.stdout)
