"""Export: `syncctl export` of a large table into a file and into PostgreSQL, and what a script of boto3
and psycopg2 takes for the same (export_script.py), one after the other in one run.

The items come from scanned.py, in pages made beforehand. PostgreSQL is a server of its own, on a Unix
socket, without fsync, so that the disk is left out.
"""

import os
import subprocess
import sys
import time

import peers
from report import result
from rig import HERE, ROOT, SYNCCTL, BenchError, Rig, Sink

sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import postgres  # noqa: E402

ROWS = 200_000
ROUNDS = 3
SEGMENTS, PAGE = 4, 1000  # as syncctl asks for them

SECTION = """
[export "bench%d"]
from = bench
match.id = {id:integer}
column.id = bigint primary key
column.name = text
column.mail = text
column.city = text
column.amount = numeric
column.quantity = bigint
column.created_at = bigint
"""


def timed(rig, what, command):
    began = time.monotonic()
    process = subprocess.Popen(command, env=rig.environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    rig.processes.append(process)
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchError("%s ended with exit code %d: %s" % (what, process.returncode, said))
    return {
        "rate": ROWS / (time.monotonic() - began),
        "cpu_us": (used.ru_utime + used.ru_stime) * 1e6 / ROWS,
        "peak_mb": used.ru_maxrss * 1024 / 1e6,
    }


def served(rig, database, segments):
    server = subprocess.Popen(
        [sys.executable, os.path.join(HERE, "scanned.py"), database, "bench",
         "id", str(segments), str(PAGE)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    rig.processes.append(server)
    return Sink(server).url


def ours(rig, endpoint, number, *arguments):
    config = rig.path("export%d.conf" % number)
    with open(config, "w", encoding="utf-8") as out:
        out.write(SECTION % number)
    return timed(rig, "syncctl export",
                 [SYNCCTL, "--config", config, "--region", "eu-test-1", "--endpoint-url", endpoint,
                  "--quiet", "export", "--segments", str(SEGMENTS), *arguments])


def lines_of(path):
    with open(path, "rb") as out:
        count = sum(1 for _ in out)
    if count != ROWS:
        raise BenchError("%d of %d records came into %s" % (count, ROWS, path))


def figures(name, words, mine, theirs):
    out = [result(name + ".records_per_second", words + ", records a second",
                  [one["rate"] for one in mine], "records/s",
                  note="%.1f us of processor time a record, no process over %.0f MB" % (
                      min(one["cpu_us"] for one in mine), max(one["peak_mb"] for one in mine)))]
    if theirs:
        ratio = [one["rate"] / theirs["rate"] for one in mine]
        out.append(result(name + ".against_script", "the same, by how many times a script's rate",
                          ratio, "times",
                          note="boto3%s: %s records/s, %.1f us of processor time a record" % (
                              " and psycopg2" if "postgresql" in name else "",
                              "{:,.0f}".format(theirs["rate"]), theirs["cpu_us"])))
    return out


def into_files(rig, many, one, python):
    path, theirs = rig.path("out.jsonl"), None
    raw, mapped = [], []
    for _ in range(ROUNDS):
        raw.append(ours(rig, many, 0, "--typed", "--from", "bench", "--to", path, "--force"))
        lines_of(path)
        mapped.append(ours(rig, many, 0, "--to", path, "--force"))
        lines_of(path)
    if python:
        theirs = timed(rig, "the script", [python, os.path.join(HERE, "export_script.py"), one,
                                           "bench", path])
        lines_of(path)
    return (figures("export.typed", "200,000 whole items into JSON Lines", raw, None) +
            figures("export.jsonl", "the same by a section, validated", mapped, theirs))


def into_postgres(rig, many, one, python):
    reason = postgres.missing() if python == sys.executable else None
    if not postgres.programs() or reason:
        print("PostgreSQL is left out: its server is not here", file=sys.stderr)
        return []
    with postgres.Postgres() as server:
        mine = [ours(rig, many, n, "--all", "--to", server.uri()) for n in range(ROUNDS)]
        theirs = None
        ours(rig, many, ROUNDS, "--create-tables", "--to", server.uri())
        if python:
            theirs = timed(rig, "the script", [python, os.path.join(HERE, "export_script.py"), one,
                                               "bench", server.uri(), "bench%d" % ROUNDS])
            # Both did the same: what the script wrote is what the items say.
            ours(rig, many, ROUNDS, "--verify", "--to", server.uri())
    return figures("export.postgresql", "the same into PostgreSQL", mine, theirs)


def run(programs):
    try:
        python = peers.python_with({"boto3": "boto3", "psycopg2": "psycopg2-binary"})
    except BenchError as error:
        print("the script is left out: %s" % error, file=sys.stderr)
        python = None
    with Rig(programs) as rig:
        database = rig.database("export", ROWS)
        many, one = served(rig, database, SEGMENTS), served(rig, database, 1)
        return into_files(rig, many, one, python) + into_postgres(rig, many, one, python)
