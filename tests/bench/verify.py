"""Verify: `syncctl verify` of a large table that equals its items, by itself, without a daemon.

The items come from scanned.py, in pages made beforehand, so that what is measured is the comparison.
"""

import os
import subprocess
import sys
import time

from report import result
from rig import HERE, BenchError, Rig, SYNCCTL, Sink

ROWS = 1_000_000
ROUNDS = 3
SEGMENTS, PAGE = 8, 1000  # as syncctl asks for them


def one_round(rig, config):
    began = time.monotonic()
    process = subprocess.Popen(
        [SYNCCTL, "--config", config, "--quiet", "verify"],
        env=rig.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    rig.processes.append(process)
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchError("syncctl verify ended with exit code %d: %s" % (process.returncode, said))
    seconds = time.monotonic() - began
    return {
        "rate": ROWS / seconds,
        "cpu_us": (used.ru_utime + used.ru_stime) * 1e6 / ROWS,
        "peak_mb": used.ru_maxrss * 1024 / 1e6,
    }


def run(programs):
    with Rig(programs) as rig:
        database = rig.database("verify", ROWS)
        server = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "scanned.py"), database, "bench", "id",
             str(SEGMENTS), str(PAGE)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        rig.processes.append(server)
        config = rig.path("verify.conf")
        with open(config, "w", encoding="utf-8") as out:
            out.write(
                "[source]\ndatabase = %s\n[dynamodb]\nregion = eu-test-1\nendpoint_url = %s\n"
                "[state]\npath = %s\n[control]\nsocket = %s\n"
                % (database, Sink(server).url, rig.path("verify.state"), rig.path("verify.sock"))
            )
        rounds = [one_round(rig, config) for _ in range(ROUNDS)]

    def spread(key):
        return [one[key] for one in rounds]

    return [
        result("verify.items_per_second", "1,000,000 items and rows compared, items a second",
               spread("rate"), "items/s"),
        result("verify.cpu_us_per_item", "the same, processor time", spread("cpu_us"), "us/item"),
        result("verify.peak_rss_mb", "the same, peak memory", spread("peak_mb"), "MB"),
    ]
