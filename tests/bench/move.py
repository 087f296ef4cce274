"""Move: `syncctl migrate` of a large table into a sink that answers at once.

The dry run is timed from outside: every row read and mapped, nothing sent. The load's rate is what
migrate tells of itself, from the start of its own daemon until all is over there (at the sink). The
verification reads what a sink does not have, and is left out.
"""

import json
import os
import resource
import subprocess
import time

from report import result
from rig import SYNCCTL, BenchError, Rig

ROWS = 1_000_000


def migrate(config, environment, *arguments):
    began = time.monotonic()
    done = subprocess.run([SYNCCTL, "--config", config, "--json", "migrate", *arguments],
                          env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise BenchError("syncctl migrate: " + done.stderr.strip())
    return json.loads(done.stdout), time.monotonic() - began


def run(programs):
    with Rig(programs) as rig:
        database = rig.database("move", ROWS)
        sink = rig.sink()
        config = rig.write_config("move", database, sink)
        plan, looked = migrate(config, rig.environment, "--dry-run")
        if plan["plan"]["rows"] != ROWS:
            raise BenchError("the dry run met %d of %d rows" % (plan["plan"]["rows"], ROWS))
        moved, whole = migrate(config, rig.environment, "--yes", "--no-verify")
        again, second = migrate(config, rig.environment, "--yes", "--no-verify")
        if moved["result"]["items_put"] != ROWS or not again["result"]["nothing_to_do"]:
            raise BenchError("%d of %d rows were sent, and %d by the second move" % (
                moved["result"]["items_put"], ROWS, again["result"]["items_put"]))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
        os.unlink(config)
    return [
        result("move.looked_per_second", "migrate: rows looked at (dry run)", [ROWS / looked],
               "rows/s"),
        result("move.items_per_second", "migrate: rows sent, 1,000,000",
               [ROWS / moved["result"]["seconds"]], "items/s",
               note="%.1f s in all; a second migrate, with nothing to do, %.1f s; no process over "
                    "%.0f MB" % (whole, second, peak)),
    ]
