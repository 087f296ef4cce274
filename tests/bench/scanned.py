#!/usr/bin/env python3
"""A table that can be scanned, for the benches: the items of a SQLite table, in pages made beforehand.

    scanned.py DATABASE TABLE KEY SEGMENTS PAGE

Prints the port it listens on (127.0.0.1) and serves until SIGTERM. Scan answers with whole pages, of
PAGE items, of any of the SEGMENTS; DescribeTable says that the table is there. The table syncd-meta
keeps what BatchWriteItem and PutItem bring, for GetItem, Query and Scan; nothing else is answered.
Only the standard library.
"""

import base64
import json
import signal
import socketserver
import sqlite3
import sys
import threading

NOTHING = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"


def attribute(value):
    if isinstance(value, bytes):
        return {"B": base64.b64encode(value).decode("ascii")}
    return {"S": value} if isinstance(value, str) else {"N": repr(value)}


def reply(text):
    body = text.encode("utf-8")
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n" % len(
        body
    ) + body


def pages_of(items, key, size):
    """Each page leads to the next by the key of its last item: {that key, or None: page}."""
    pages, start = {}, None
    for at in range(0, max(1, len(items)), size):
        part = items[at : at + size]
        last = json.loads(part[-1])[key] if at + size < len(items) else None
        text = '{"Items":[%s],"Count":%d,"ConsumedCapacity":{"CapacityUnits":%d}' % (
            ",".join(part),
            len(part),
            -(-sum(map(len, part)) // 8192),
        )
        if last is not None:
            text += ',"LastEvaluatedKey":%s' % json.dumps({key: last})
        pages[json.dumps(start)] = reply(text + "}")
        start = last
    return pages


def description(*keys):
    return reply(
        json.dumps(
            {
                "Table": {
                    "TableStatus": "ACTIVE",
                    "KeySchema": [
                        {"AttributeName": name, "KeyType": kind}
                        for (name, _), kind in zip(keys, ("HASH", "RANGE"))
                    ],
                    "AttributeDefinitions": [
                        {"AttributeName": name, "AttributeType": kind} for name, kind in keys
                    ],
                }
            }
        )
    )


META = "syncd-meta"
META_DESCRIBED = description(("id", "S"), ("kind", "S"))


def answer_meta(items, operation, call):
    """What the meta table says; `items` by id and kind."""
    place = lambda item: (item["id"]["S"], item["kind"]["S"])
    if operation == b"DescribeTable":
        return META_DESCRIBED
    if operation == b"GetItem":
        found = items.get(place(call["Key"]))
        return reply(json.dumps({"Item": found} if found else {}))
    if operation == b"BatchWriteItem":
        for write in call["RequestItems"][META]:
            if "PutRequest" in write:
                items[place(write["PutRequest"]["Item"])] = write["PutRequest"]["Item"]
            else:
                items.pop(place(write["DeleteRequest"]["Key"]), None)
        return reply('{"UnprocessedItems":{}}')
    if operation == b"PutItem":
        items[place(call["Item"])] = call["Item"]
        return reply("{}")
    if operation == b"Query":
        wanted = [v["S"] for v in call["ExpressionAttributeValues"].values()]
        found = [item for (name, _), item in items.items() if name in wanted]
    else:
        found = list(items.values())
    return reply(json.dumps({"Items": found, "Count": len(found)}))


def main():
    database, table, key, segments, size = sys.argv[1:4] + [int(n) for n in sys.argv[4:6]]
    db = sqlite3.connect(database)
    cursor = db.execute('SELECT * FROM "%s"' % table)
    names = [column[0] for column in cursor.description]
    items = [
        json.dumps({n: attribute(v) for n, v in zip(names, row) if v is not None}) for row in cursor
    ]
    db.close()
    share = -(-len(items) // segments)
    pages = [pages_of(items[i * share : (i + 1) * share], key, size) for i in range(segments)]
    del items
    described = description((key, "N"))
    meta = {}

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self):
            while True:
                length, operation, line = 0, b"", self.rfile.readline()
                while line not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                    elif name.lower() == b"x-amz-target":
                        operation = value.strip().rpartition(b".")[2]
                    line = self.rfile.readline()
                if not line:
                    return
                call = json.loads(self.rfile.read(length) or b"{}")
                if META in (call.get("TableName"), *call.get("RequestItems", ())):
                    answer = answer_meta(meta, operation, call)
                elif operation == b"Scan":
                    start = json.dumps(call.get("ExclusiveStartKey", {}).get(key))
                    answer = pages[call.get("Segment", 0)].get(start, NOTHING)
                else:
                    answer = described if operation == b"DescribeTable" else NOTHING
                self.wfile.write(answer)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
