#!/usr/bin/env python3
"""What somebody writes who has to move a table once: boto3 reads, psycopg2 writes. `make bench` measures
`syncctl export` beside it.

    export_script.py ENDPOINT TABLE FILE.jsonl
    export_script.py ENDPOINT TABLE postgresql://… SQL_TABLE

Pages of Scan, one after the other; upserts of a thousand rows by execute_values.
"""

import json
import sys
from decimal import Decimal

import boto3

COLUMNS = ["id", "name", "mail", "city", "amount", "quantity", "created_at"]


def items(endpoint, table):
    source = boto3.resource("dynamodb", endpoint_url=endpoint, region_name="eu-test-1").Table(table)
    reply = source.scan()
    while True:
        yield from reply["Items"]
        if "LastEvaluatedKey" not in reply:
            return
        reply = source.scan(ExclusiveStartKey=reply["LastEvaluatedKey"])


class Numbers(json.JSONEncoder):
    def default(self, o):
        if isinstance(o, Decimal):
            return int(o) if o == o.to_integral_value() else float(o)
        return super().default(o)


def to_file(found, path):
    with open(path, "w", encoding="utf-8") as out:
        for item in found:
            out.write(json.dumps(item, cls=Numbers) + "\n")


def to_postgres(found, uri, table):
    import psycopg2
    from psycopg2.extras import execute_values

    statement = "INSERT INTO %s(%s) VALUES %%s ON CONFLICT (id) DO UPDATE SET %s" % (
        table,
        ", ".join(COLUMNS),
        ", ".join("%s = EXCLUDED.%s" % (c, c) for c in COLUMNS[1:]),
    )
    db = psycopg2.connect(uri)
    with db.cursor() as cursor:
        batch = []
        for item in found:
            batch.append([item.get(c) for c in COLUMNS])
            if len(batch) == 1000:
                execute_values(cursor, statement, batch, page_size=1000)
                db.commit()
                batch = []
        if batch:
            execute_values(cursor, statement, batch, page_size=1000)
        db.commit()
    db.close()


def main():
    endpoint, table, to, *sql_table = sys.argv[1:]
    if sql_table:
        to_postgres(items(endpoint, table), to, sql_table[0])
    else:
        to_file(items(endpoint, table), to)


if __name__ == "__main__":
    main()
