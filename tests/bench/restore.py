"""Restore: `syncctl restore` of a large table into a new database, checked as always.

The items come from scanned.py, in pages made beforehand; the schema from a daemon of an empty database
like it, which keeps it there, so that what is measured is the way from Scan's replies to a file.
"""

import os

from report import result
from rig import Daemon, Rig, eventually

ROWS = int(os.environ.get("BENCH_RESTORE_ROWS", 1_000_000))
ROUNDS = 3
SEGMENTS, PAGE = 8, 1000


def keep_schema(rig, sink):
    """A daemon's schema and mapping are in the meta table: its configuration."""
    config = rig.path("keep.conf")
    with open(config, "w", encoding="utf-8") as out:
        out.write(
            "[source]\ndatabase = %s\n[dynamodb]\nregion = eu-test-1\nendpoint_url = %s\n"
            "[state]\npath = %s\n[control]\nsocket = %s\n[log]\nformat = text\n"
            % (rig.database("keep"), sink.url, rig.path("keep.state"), rig.path("keep.sock"))
        )
    daemon = Daemon(config, rig.path("keep.log")).start(rig.environment)
    rig.processes.append(daemon.process)
    eventually(lambda: os.path.exists(rig.path("keep.sock")), "the daemon's socket")
    eventually(lambda: (daemon.status().get("schema") or {}).get("kept"), "a schema that is kept")
    daemon.stop()
    return config


def one_round(rig, config):
    rig.forget("restored.db")
    return rig.timed(ROWS, "--config", config, "--quiet", "restore", "--to",
                     rig.path("restored.db"), "--segments", str(SEGMENTS))


def run(programs):
    with Rig(programs) as rig:
        database = rig.database("restore", ROWS)
        server = rig.scanned(database, SEGMENTS, PAGE)
        config = keep_schema(rig, server)
        rounds = [one_round(rig, config) for _ in range(ROUNDS)]

    def of(key):
        return [one[key] for one in rounds]

    return [
        result("restore.items_per_second", "restore of {:,} items".format(ROWS), of("rate"),
               "items/s", note="scan, insert, check of each row and of the file"),
        result("restore.cpu_per_item", "its CPU time per item", of("cpu_us"), "us"),
        result("restore.peak_memory", "its highest memory", of("peak_mb"), "MB"),
    ]
