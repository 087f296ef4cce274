"""Idle: what the daemon costs when nothing happens, with a loaded table and its HTTPS connections kept.

The daemon is started anew over a table that is there already, as after a boot, and sends a change: what
a first load needed is not counted."""

import time

from report import result
from rig import Rig, context_switches, eventually, is_quiet, memory_mb, running_seconds

ROWS = 200_000
SECONDS = 60


def run(programs):
    with Rig(programs) as rig:
        sink = rig.sink(https=True)
        database = rig.database("idle", ROWS)
        rig.daemon(database, sink).wait().stop()
        daemon = rig.daemon(database, sink).wait()
        rig.write(database, first=ROWS + 1, transactions=30, gap="1000:2000")
        daemon.wait()
        pid = daemon.pid
        eventually(lambda: is_quiet(pid), "a quiet daemon")
        switches, running, began = context_switches(pid), running_seconds(pid), time.monotonic()
        time.sleep(SECONDS)
        took = time.monotonic() - began
        switches = (context_switches(pid) - switches) / took
        running = (running_seconds(pid) - running) * 1e3 / took
        memory = memory_mb(pid, "VmRSS")
        daemon.stop()
    return [
        result("idle.wakeups_per_second", "idle, wake-ups a second", [switches], "1/s", at_most=1,
               note="voluntary context switches of all its threads over %d s" % SECONDS),
        result("idle.cpu_ms_per_second", "idle, processor time", [running], "ms/s"),
        result("idle.rss_mb", "idle, memory (RSS)", [memory], "MB", at_most=16),
    ]
