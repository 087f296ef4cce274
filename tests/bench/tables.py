"""Tables: 20,000 rows in 1 to 1,000 tables, loaded over HTTPS and then left alone; and what the state file
takes for a row, with integer keys and with UUIDs."""

import contextlib
import os
import sqlite3
import uuid

from report import result
from rig import BenchError, Rig, memory_mb, running_seconds

COUNTS = (1, 10, 100, 1000)
ROWS = 20_000
STORE_ROWS = 200_000
OVER_KEY = 32  # bytes


def many(rig, count):
    schema = "".join("CREATE TABLE table_%d(id INTEGER PRIMARY KEY, body TEXT);" % i for i in range(count))
    path = rig.database("tables-%d" % count, schema=schema)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for i in range(count):
            db.executemany("INSERT INTO table_%d VALUES(?, ?)" % i,
                           ((k, "body %d" % k * 20) for k in range(ROWS // count)))
    return path


def one_count(rig, count):
    sink = rig.sink(https=True)
    daemon = rig.daemon(many(rig, count), sink, "tables-%d" % count).wait()
    cpu, memory = running_seconds(daemon.pid), memory_mb(daemon.pid, "VmHWM")
    puts = sink.stats()["puts"]
    if puts < ROWS:
        raise BenchError("only %d of %d rows came to the sink" % (puts, ROWS))
    daemon.stop()
    rig.end(sink)
    return cpu * 1e6 / ROWS, memory


def state_bytes(rig, name, column, values):
    """Bytes of the state file a row, beyond the text of its key."""
    path = rig.database(name, schema="CREATE TABLE bench(id %s PRIMARY KEY, n INTEGER)" % column)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO bench VALUES(?, 1)", ((v,) for v in values))
    sink = rig.sink(https=True, key="id:S" if column == "TEXT" else "id:N")
    rig.daemon(path, sink, name).wait(bound=120).stop()
    rig.end(sink)
    return (os.path.getsize(rig.path(name + ".state")) - sum(len(str(v)) for v in values)) / len(values)


def run(programs):
    results = []
    with Rig(programs) as rig:
        for count in COUNTS:
            cpu, memory = one_count(rig, count)
            results += [
                result("tables.%d.cpu_us" % count, "%s tables, processor time" % "{:,}".format(count),
                       [cpu], "us/item"),
                result("tables.%d.peak_mb" % count, "  most memory", [memory], "MB"),
            ]
        integers = list(range(1, STORE_ROWS + 1))
        uuids = [str(uuid.UUID(int=i * 0x9e3779b97f4a7c15f39cc0605cedc835 % 2**128)) for i in integers]
        for name, column, values, words in (("integer", "INTEGER", integers, "integer keys"),
                                            ("uuid", "TEXT", uuids, "UUIDs as keys")):
            results.append(result(
                "store.%s.bytes" % name, "state file, a row, beyond its key: %s" % words,
                [state_bytes(rig, name, column, values)], "B", at_most=OVER_KEY))
    return results
