"""Latency over HTTPS: from the moment COMMIT returned to the moment the whole request was at the sink,
and to the moment at which the daemon answers that it is there and will not be forgotten.

One-row commits, 2 to 20 ms apart, in WAL mode; the row's id leads from the commit to the request. The
daemon runs with its defaults. The two levels of synchronous take turns; "loaded" is NORMAL, with
another application that writes 1,000 rows a second, ten a transaction.

What was read is sent only when the application's -wal is on the disk. How long that took is noted
within the daemon (synctimes.c), and is told apart: "beyond" is what is left of each commit's time.
"""

import array
import contextlib
import os
import socket
import sqlite3
import statistics
import subprocess
import time

from report import result
from rig import BenchError, Rig, percentile

COMMITS = 600
RUNS = 5
ACKNOWLEDGED = 300
KINDS = {"normal": ("NORMAL", "NORMAL", False), "full": ("FULL", "FULL", False),
         "loaded": ("NORMAL, loaded", "NORMAL", True)}
GAP_US = "2000:20000"
BEYOND = {"p50": 0.4, "p99": 1.0}
PERCENTILES = {"p50": 50, "p99": 99, "p999": 99.9}


def syncs_in(path):
    times = array.array("Q")
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        times.frombytes(file.read())
    return sorted(zip(times[0::2], times[1::2]))


def within(syncs, began, ended):
    """How much of that time some sync took."""
    return sum(max(0, min(end, ended) - max(start, began)) for start, end in syncs
               if end > began and start < ended)


def split(commits, arrivals, syncs):
    """For each commit: until the request was there, what of it was the sync, the rest; in ms."""
    found = []
    at = 0
    for key, _, committed in commits:
        while at < len(syncs) and syncs[at][1] < committed:
            at += 1
        near = syncs[at:at + 50]
        whole = arrivals[key] - committed
        sync = within(near, committed, arrivals[key])
        found.append((whole / 1e6, sync / 1e6, (whole - sync) / 1e6))
    return found


def one_run(rig, database, sink, daemon, kind, first):
    _, level, loaded = KINDS[kind]
    company = None
    if loaded:
        rows = COMMITS * 12  # about as long as the commits take
        company = subprocess.Popen(
            rig.writing(database, first=first + 10_000_000, transactions=rows // 10, rows=10, rate=1000),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        rig.processes.append(company)
    commits, _ = rig.write(
        database, first=first, transactions=COMMITS, synchronous=level, gap=GAP_US)
    if company and company.wait() != 0:
        raise BenchError("the writer beside failed")
    daemon.wait()
    arrivals = sink.arrivals()
    lost = [key for key, _, _ in commits if key not in arrivals]
    if lost:
        raise BenchError("%d of %d commits never came to the sink" % (len(lost), COMMITS))
    times = split(commits, arrivals, syncs_in(rig.path("syncs")))
    found = {"commit": statistics.median((done - began) / 1e6 for _, began, done in commits)}
    for name, column in (("request", 0), ("sync", 1), ("beyond", 2)):
        values = [t[column] for t in times]
        for key, percent in PERCENTILES.items():
            found[name + "." + key] = percentile(values, percent)
    return found


def until_acknowledged(rig, database, daemon, first):
    """Commits, each followed by POST /v1/wait: ms until its answer."""
    found = []
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = NORMAL")
        for i in range(ACKNOWLEDGED):
            time.sleep(0.005)
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
                s.connect(rig.path("syncd.sock"))
                db.execute("INSERT INTO bench VALUES(?, 'n', 'm', 'c', 1.5, 2, 3)", (first + i,))
                began = time.monotonic()
                s.sendall(b"POST /v1/wait?timeout=10 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                answer = b""
                while not answer.endswith(b"}"):
                    more = s.recv(4096)
                    if not more:
                        daemon.fail("no answer to POST /v1/wait")
                    answer += more
                found.append((time.monotonic() - began) * 1e3)
            if b'"done":true' not in answer:
                daemon.fail("POST /v1/wait answered %r" % answer)
    return found


def of_kind(kind, runs):
    words = KINDS[kind][0]
    results = []
    for key in PERCENTILES:
        note = "a commit takes %.3f ms; fdatasync p50 %.2f, p99 %.2f, p99.9 %.2f ms" % (
            statistics.median(one["commit"] for one in runs),
            *(statistics.median(one["sync." + k] for one in runs) for k in PERCENTILES))
        label = key.replace("p999", "p99.9")
        results += [
            result("latency.%s.request.%s_ms" % (kind, key),
                   "commit to request, %s, %s" % (words, label),
                   [one["request." + key] for one in runs], "ms", note=note if key == "p50" else ""),
            result("latency.%s.beyond.%s_ms" % (kind, key), "  beyond the fdatasync",
                   [one["beyond." + key] for one in runs], "ms",
                   at_most=BEYOND.get(key) if kind == "normal" else None),
        ]
    return results


def run(programs):
    runs = {kind: [] for kind in KINDS}
    acknowledged = []
    with Rig(programs) as rig:
        database = rig.database("latency", rows=1000)
        sink = rig.sink("--record", "2000000", https=True)
        daemon = rig.daemon(database, sink, environment={
            "LD_PRELOAD": programs["synctimes"], "SYNCTIMES_OF": os.path.dirname(database),
            "SYNCTIMES_TO": rig.path("syncs")}).wait()
        first = 1_000_000
        for _ in range(RUNS):
            for kind in KINDS:
                runs[kind].append(one_run(rig, database, sink, daemon, kind, first))
                first += COMMITS * 13
            acknowledged.append(until_acknowledged(rig, database, daemon, first))
            first += ACKNOWLEDGED
        daemon.stop()
    results = [one for kind, found in runs.items() for one in of_kind(kind, found)]
    for key, percent in PERCENTILES.items():
        results.append(result(
            "latency.acknowledged.%s_ms" % key,
            "commit to acknowledged, %s" % key.replace("p999", "p99.9"),
            [percentile(found, percent) for found in acknowledged], "ms",
            note="NORMAL: until POST /v1/wait answers, the outcome being on the disk"
            if key == "p50" else ""))
    return results
