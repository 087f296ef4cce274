#!/usr/bin/env python3
"""Real daemons under real trouble: killed at random and at every failpoint, stopped and continued, cut
off, throttled, answered with rubbish, out of disk, robbed of their state file; an application writes all
the while, and after each of these both sides must come to be equal.

    tests/chaos/run [--seed N] [--seconds S] [--lanes N] [--only PATTERN] [--late]

Without --seconds (600, 10m, 2h) every failpoint and fault comes once; with it, rounds follow one another
until the time is over. One seed decides what happens, and when, as far as processes can be told; --only (a pattern of
names such as "failpoint:ack_*") does a part of it. Lanes are worlds side by side: a database, an
application, a daemon, and a fault server before the engine, which is $SYNCD_TEST_ENDPOINT or one of
scripts/dynamodb-local's own. --late also carries out requests after newer ones of the same items.

The daemon is $SYNCD, else build-chaos/syncd (make FAILPOINTS=1). What a failed case leaves is kept in
build-chaos/failed/. The last line is "N passed, N failed"; the exit code says whether N is 0.
"""

import argparse
import fnmatch
import multiprocessing
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build-chaos")
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(ROOT, "tests", "lib"), HERE]
os.environ.setdefault("SYNCD", os.path.join(BUILD, "syncd"))
os.environ.setdefault("SYNCCTL", os.path.join(BUILD, "syncctl"))
os.environ.setdefault("SYNCD_TEST_BOUND", "40")

import cases  # noqa: E402
import world as worlds  # noqa: E402
from harness import Endpoint  # noqa: E402

DUMMY = ("AKIDSYNCDTEST", "syncdTestSecretKey")
WORLD_CASES = 15  # then another one


class Lane:
    """Cases one after another, in one process. `say` takes what came of each."""

    def __init__(self, number, options, endpoint, say):
        self.number, self.options, self.endpoint, self.say = number, options, endpoint, say
        self.small = number == 0 and worlds.private_mounts()
        self.world, self.made, self.used = None, 0, 0

    def make_world(self):
        self.close_world()
        self.made += 1
        self.used = 0
        seed = "%s/%d/%d" % (self.options.seed, self.number, self.made)
        self.world = worlds.World(self.endpoint, seed, self.small, self.options.settings)

    def close_world(self):
        if self.world is not None:
            world, self.world = self.world, None
            world.close()
            self.say(
                ("world", world.counts, world.fired, world.writer.transactions, world.writer.rows)
            )

    def play(self, names):
        for name in names:
            began = time.monotonic()
            verdict, text = self.one(name)
            if verdict == "failed":
                self.keep(name, text)
                self.close_world()
            self.say(("case", name, self.number, verdict, time.monotonic() - began, text))
        self.close_world()

    def one(self, name):
        if name.partition(":")[0] in cases.SMALL_ONLY and not self.small:
            return "skipped", "no file system can be mounted here"
        try:
            if self.world is None or self.used == WORLD_CASES:
                self.make_world()
            self.used += 1
            self.world.refill()
            self.world.settle()
            self.world.writer.go()
            try:
                cases.act(self.world, name)
            except cases.NotReached:
                self.world.settle()
                # Later passings may not come; the first must.
                return ("passed", "not reached") if name.count(":") > 1 else ("failed", "not reached")
            self.world.settle()
            return "passed", ""
        except Exception:  # noqa: BLE001: whatever it is, the case has failed
            return "failed", traceback.format_exc()

    def keep(self, name, text):
        """What there is to look at afterwards."""
        if self.world is None:
            return
        where = os.path.join(BUILD, "failed", "%s-%s" % (self.options.seed, name.replace(":", "-")))
        shutil.rmtree(where, ignore_errors=True)
        try:
            self.world.mirror.kill9()
            shutil.copytree(self.world.mirror.dir, where, ignore=_sockets_and_ballast)
            with open(os.path.join(where, "report"), "w", encoding="utf-8") as out:
                out.write(text)
                for request in self.world.server.requests:
                    out.write("%r\n" % (request,))
        except OSError as error:
            self.say(("note", "nothing could be kept: %s" % error))


def _sockets_and_ballast(where, names):
    return [n for n in names if n.endswith(".sock") or n == "ballast"]


def end_orderly(number, frame):
    sys.exit(1)


def lane_main(number, options, endpoint, hands, results):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_orderly)
    worlds.end_with_parent()
    lane = Lane(number, options, endpoint, results.put)
    try:
        lane.play(hands)
    except Exception:  # noqa: BLE001
        results.put(("case", "lane", number, "failed", 0.0, traceback.format_exc()))
    finally:
        lane.close_world()
        results.put(("end", number))


def hands_of(options, number):
    """The cases of a lane, for as long as there is time."""
    end = time.monotonic() + options.seconds if options.seconds else None
    turn = 0
    while turn == 0 or (end and time.monotonic() < end):
        names = cases.deck(random.Random("%s/%d" % (options.seed, turn)), turn == 0, options.late)
        if options.only:
            names = [n for n in names if fnmatch.fnmatch(n, options.only)]
        # Those that need a small file system are the first lane's; the others go round.
        special = [n for n in names if n.partition(":")[0] in cases.SMALL_ONLY]
        names = [n for n in names if n not in special]
        mine = names[number :: options.lanes]
        if number == 0:
            for name in special:
                mine.insert(random.Random(name).randrange(len(mine) + 1), name)
        for name in mine:
            if end and turn and time.monotonic() >= end:
                return
            yield name
        turn += 1
        if not names and not special:
            return


class Summary:
    def __init__(self, options):
        self.seed = options.seed
        self.again = "tests/chaos/run --seed %d --lanes %d%s" % (
            options.seed,
            options.lanes,
            " --late" if options.late else "",
        )
        self.classes, self.fired, self.counts = {}, {}, {}
        self.transactions = self.rows = self.worlds = 0
        self.points, self.unreached = set(), 0
        self.passed = self.failed = self.skipped = 0
        self.began = time.monotonic()

    def take(self, result):
        kind = result[0]
        if kind == "note":
            print(result[1], flush=True)
        elif kind == "world":
            _, counts, fired, transactions, rows = result
            self.worlds += 1
            self.transactions += transactions
            self.rows += rows
            for into, more in ((self.counts, counts), (self.fired, fired)):
                for name, count in more.items():
                    into[name] = into.get(name, 0) + count
        elif kind == "case":
            self.take_case(*result[1:])

    def take_case(self, name, lane, verdict, seconds, text):
        group = name.partition(":")[0]
        row = self.classes.setdefault(group, [0, 0, 0.0])
        row[0] += 1
        row[1] += verdict == "failed"
        row[2] += seconds
        setattr(self, verdict, getattr(self, verdict) + 1)
        if group == "failpoint" and verdict == "passed":
            if text:
                self.unreached += 1
            else:
                self.points.add(name.split(":")[1])
        if verdict == "failed":
            print("FAILED %s (lane %d; again: %s; alone: --only '%s')\n%s" % (
                name, lane, self.again, name, text), flush=True)

    def kills(self):
        ends = {"failpoint": 1, "kill": 1, "unseen": 1, "storm": 2}
        return sum(self.classes.get(g, [0])[0] * n for g, n in ends.items()) - self.unreached

    def show(self):
        print("%-16s %6s %7s %9s" % ("what", "cases", "failed", "seconds"))
        for group, (count, failed, seconds) in sorted(self.classes.items()):
            print("%-16s %6d %7d %9.1f" % (group, count, failed, seconds))
        faults = " ".join("%s %d" % pair for pair in sorted(self.fired.items()))
        print("faults: %s" % (faults or "none"))
        print(
            "at least %d kills, %d of %d failpoints; %d worlds, %d transactions, %d rows; %d requests, "
            "%d comparisons; `converged` asked %d times, true %d times; %.0f s"
            % (
                self.kills(),
                len(self.points),
                len(worlds.failpoints()),
                self.worlds,
                self.transactions,
                self.rows,
                self.counts.get("requests", 0),
                self.counts.get("compared", 0),
                self.counts.get("samples", 0),
                self.counts.get("converged", 0),
                time.monotonic() - self.began,
            )
        )
        print("seed %s" % self.seed)
        if self.skipped:
            print("%d skipped" % self.skipped)
        print("%d passed, %d failed" % (self.passed, self.failed))


def play(options, endpoint):
    results = multiprocessing.Queue()
    lanes = [
        multiprocessing.Process(
            target=lane_main, args=(n, options, endpoint, hands_of(options, n), results)
        )
        for n in range(options.lanes)
    ]
    summary = Summary(options)
    for lane in lanes:
        lane.start()
    running = len(lanes)
    try:
        while running:
            try:
                result = results.get(timeout=1)
            except queue.Empty:
                if not any(lane.is_alive() for lane in lanes) and results.empty():
                    summary.take(("case", "lane", 0, "failed", 0.0, "a lane ended without a word"))
                    break
                continue
            running -= result[0] == "end"
            summary.take(result)
    finally:
        for lane in lanes:
            lane.terminate()
            lane.join()
    summary.show()
    return summary


def start_engine():
    """(endpoint, what stops it)."""
    if os.environ.get("SYNCD_TEST_ENDPOINT"):
        keys = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        return (
            Endpoint(os.environ["SYNCD_TEST_ENDPOINT"], *(keys if all(keys) else DUMMY)),
            lambda: None,
        )
    script = os.path.join(ROOT, "scripts", "dynamodb-local")
    where = os.path.join(BUILD, "engine-%d" % os.getpid())
    started = subprocess.run(
        [script, "start", "--dir", where], stdout=subprocess.PIPE, text=True, check=True
    )

    def stop():
        subprocess.run([script, "stop", "--dir", where], stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(where, ignore_errors=True)

    return Endpoint(started.stdout.split()[-1], *DUMMY), stop


def horizon(options):
    """A daemon that minds items of unknown outcome for a while is given a short while: longer than
    what is late comes late."""
    with open(os.path.join(ROOT, "etc", "syncd.conf"), encoding="utf-8") as sample:
        known = "unconfirmed_horizon" in sample.read()
    return {"sync": {"unconfirmed_horizon": "5s" if options.late else "2s"}} if known else {}


def duration(text):
    """Seconds: 600, 600s, 10m, 2h."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in tuple("smh") else (text, "s")
    return float(number) * {"s": 1, "m": 60, "h": 3600}[unit]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seconds", type=duration, default=0, metavar="S")
    parser.add_argument("--lanes", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--late", action="store_true")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int(time.time())
    options.settings = horizon(options)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end_orderly)
    print("seed %d, %d lanes" % (options.seed, options.lanes), flush=True)
    worlds.failpoints()
    endpoint, stop = start_engine()
    try:
        summary = play(options, endpoint)
    finally:
        stop()
    return 0 if summary.failed == 0 and summary.passed else 1


if __name__ == "__main__":
    sys.exit(main())
