"""Verify: `syncctl verify` of a large table that equals its items, by itself, without a daemon.

The items come from scanned.py, in pages made beforehand, so that what is measured is the comparison.
"""

import os

from report import result
from rig import Rig

ROWS = int(os.environ.get("BENCH_VERIFY_ROWS", 1_000_000))
ROUNDS = 3
SEGMENTS, PAGE = 8, 1000  # as syncctl asks for them


def one_round(rig, config):
    return rig.timed(ROWS, "--config", config, "--quiet", "verify")


def run(programs):
    with Rig(programs) as rig:
        database = rig.database("verify", ROWS)
        server = rig.scanned(database, SEGMENTS, PAGE)
        config = rig.path("verify.conf")
        with open(config, "w", encoding="utf-8") as out:
            out.write(
                "[source]\ndatabase = %s\n[dynamodb]\nregion = eu-test-1\nendpoint_url = %s\n"
                "[state]\npath = %s\n[control]\nsocket = %s\n"
                % (database, server.url, rig.path("verify.state"), rig.path("verify.sock"))
            )
        rounds = [one_round(rig, config) for _ in range(ROUNDS)]

    def spread(key):
        return [one[key] for one in rounds]

    return [
        result("verify.items_per_second", "{:,} items and rows compared, items a second".format(ROWS),
               spread("rate"), "items/s"),
        result("verify.cpu_us_per_item", "the same, processor time", spread("cpu_us"), "us/item"),
        result("verify.peak_rss_mb", "the same, peak memory", spread("peak_mb"), "MB"),
    ]
