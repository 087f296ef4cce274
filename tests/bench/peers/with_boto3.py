#!/usr/bin/env python3
"""What people write instead, with boto3: every row of table bench is put, by put_item or batch_writer.

    with_boto3.py put_item|batch_writer DATABASE ROWS

The endpoint, credentials and certificate come from the environment. Prints JSON: items a second, and
microseconds of processor time an item; importing and opening are not counted.
"""

import decimal
import json
import resource
import sqlite3
import sys
import time

import boto3


def value(v):
    return decimal.Decimal(repr(v)) if isinstance(v, float) else v


def used():
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime


def main():
    how, path, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    db = sqlite3.connect(path)
    cursor = db.execute("SELECT * FROM bench ORDER BY id LIMIT ?", (rows,))
    names = [column[0] for column in cursor.description]
    table = boto3.resource("dynamodb", region_name="eu-test-1").Table("bench")
    began, busy, count = time.monotonic(), used(), 0
    if how == "put_item":
        for row in cursor:
            table.put_item(Item={n: value(v) for n, v in zip(names, row)})
            count += 1
    else:
        with table.batch_writer() as batch:
            for row in cursor:
                batch.put_item(Item={n: value(v) for n, v in zip(names, row)})
                count += 1
    took = time.monotonic() - began
    print(json.dumps({
        "rate": count / took, "cpu_us": (used() - busy) * 1e6 / count,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }))


if __name__ == "__main__":
    main()
