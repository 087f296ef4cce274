#!/usr/bin/env python3
"""A DynamoDB-like server on loopback that misbehaves as it is told.

It stands in for what real engines never do: UnprocessedItems, throttling, errors of every class,
resets at every moment, wrong checksums, broken, slow and huge bodies. It keeps tables in memory,
verifies signatures strictly, and notes in `violations` every rule of the protocol that a client
breaks, besides answering as the service would. Two requests in flight that hold one key are a
violation too.

    with FaultServer() as server:
        server.faults.add(Fault("unprocessed", count=3, times=10))
        ... a client at server.url ...
        assert server.violations == []

As a program (for benchmarks; Ctrl-C ends it): faultserver.py --port 0 [--no-verify] [--no-record]
"""

import argparse
import asyncio
import collections
import json
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import dynamodb_rules as rules  # noqa: E402
from dynamodb_rules import Refused, invalid, malformed  # noqa: E402
from fault_connection import CONTENT_TYPE, Connection  # noqa: E402
from fault_rules import FaultRules  # noqa: E402
from fault_tables import Tables  # noqa: E402
from sigv4_check import CORAL, Verifier  # noqa: E402

ACCESS_KEY = "AKIDSYNCDTEST"
SECRET_KEY = "syncdTestSecretKey"
TARGET_PREFIX = "DynamoDB_20120810."

Record = collections.namedtuple("Record", "at op writes fault status access_key request_id")
Record.__doc__ = "One request as it was answered; writes is [(table, key, 'put'|'delete')]."


def _unique_members(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise malformed("a JSON object names a member twice")
    return out


def parse_json(body):
    try:
        call = json.loads(body.decode("utf-8"), object_pairs_hook=_unique_members)
    except (ValueError, RecursionError):
        raise malformed("the body is not JSON in UTF-8") from None
    if not isinstance(call, dict):
        raise malformed("the body is not a JSON object")
    return call


class FaultServer:
    """Runs its own thread between start() and stop(). Public attributes are read by tests; the
    lists only grow."""

    def __init__(self, port=0, verify=True, record=True, latency=0.0):
        self.verifier = Verifier({ACCESS_KEY: (SECRET_KEY, None)})
        self.tables = Tables()
        self.faults = FaultRules()
        self.violations = []
        self.requests = []
        self.accepted = 0
        self.max_in_flight = 0
        self.verify = verify
        self.record = record
        self.latency = latency
        self.port = port
        self.connections = set()
        self.in_flight = {}
        self.late = []
        self._held = []
        self._loop = None
        self._listener = None
        self._thread = None

    # Life.

    def start(self):
        ready = threading.Event()

        def run():
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
            self._loop.call_soon(ready.set)
            self._loop.run_forever()
            self._loop.close()

        self._thread = threading.Thread(target=run, name="faultserver", daemon=True)
        self._thread.start()
        ready.wait()
        self.listen()
        return self

    def stop(self):
        if self._thread is None:
            return
        self.refuse_connections()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread = None

    __enter__ = start

    def __exit__(self, *exc):
        self.stop()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def listen(self):
        """Answer connections, at the same port as before once one was chosen."""

        async def go():
            self._listener = await self._loop.create_server(
                lambda: Connection(self), "127.0.0.1", self.port, backlog=512
            )
            self.port = self._listener.sockets[0].getsockname()[1]

        self._run(go())

    def refuse_connections(self):
        """The service is gone: nothing listens, what was connected is reset. Items stay."""

        async def go():
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            for connection in list(self.connections):
                connection.reset()

        self._run(go())

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    # What a test asks and orders.

    def allow(self, access_key, secret, token=None, ends=None):
        """`ends`: the Unix time, by the service's clock, at which they run out."""
        self.verifier.credentials[access_key] = (secret, token)
        if ends is not None:
            self.verifier.ends[access_key] = ends

    def forbid(self, access_key):
        self.verifier.credentials.pop(access_key, None)

    def expire(self, access_key):
        self.verifier.expired.add(access_key)

    def items(self, table):
        """Items of a table by key, as DynamoDB JSON; a copy."""
        with self.tables.lock:
            return dict(self.tables.get(table).items)

    def table_names(self):
        with self.tables.lock:
            return sorted(self.tables.by_name)

    def batches(self):
        return [r for r in list(self.requests) if r.op == "BatchWriteItem"]

    def held(self):
        return len(self._held)

    def release(self):
        """Lets every request held by a `hold` fault go on."""

        async def go():
            held, self._held = self._held, []
            for event in held:
                event.set()

        self._run(go())

    def apply_late(self):
        """Carries out what `late` faults put off; says how many writes that were."""

        async def go():
            late, self.late = self.late, []
            self.tables.apply(late)
            return len(late)

        return self._run(go())

    # Requests, on the server's thread.

    def breach(self, text):
        self.violations.append(text)

    def enter(self, request):
        """Notes the keys in flight. A request whose client has gone no longer counts."""
        if not self.record:
            return
        for write in request.writes:
            slot = (write.table, write.key)
            other = self.in_flight.get(slot)
            if other is not None and other.connection.alive():
                self.breach(
                    "two requests in flight hold key %r of table %s" % (write.key, write.table)
                )
            self.in_flight[slot] = request
        self.max_in_flight = max(self.max_in_flight, len({id(r) for r in self.in_flight.values()}))

    def leave(self, request):
        for write in request.writes:
            slot = (write.table, write.key)
            if self.in_flight.get(slot) is request:
                del self.in_flight[slot]

    def note(self, request, status):
        if not self.record:
            return
        writes = [(w.table, w.key, w.kind) for w in request.writes]
        fault = request.fault.kind if request.fault else None
        self.requests.append(
            Record(request.at, request.op, writes, fault, status, request.access_key, request.id)
        )

    def check(self, request):
        """The call's body, after everything that stands before the operation itself."""
        headers = request.headers
        if request.method != "POST" or request.path != "/":
            raise invalid("%s %s: only POST / is answered" % (request.method, request.path))
        if "expect" in headers:
            self.breach("an Expect header was sent")
        if headers.get("content-type") != CONTENT_TYPE:
            raise malformed("Content-Type is %r" % headers.get("content-type"))
        if not headers.get("x-amz-target", "").startswith(TARGET_PREFIX):
            raise Refused(
                CORAL + "UnknownOperationException", "X-Amz-Target is unknown", breach=True
            )
        if self.verify:
            request.access_key = self.verifier.verify(
                request.method, request.path, headers, request.body
            )
        return parse_json(request.body)

    def carry_out(self, request, call):
        """The reply's body of any operation but BatchWriteItem."""
        operations = {
            "CreateTable": self.tables.create_table,
            "DescribeTable": self.tables.describe_table,
            "DeleteTable": self.tables.delete_table,
            "ListTables": self.tables.list_tables,
            "GetItem": self.tables.get_item,
            "BatchGetItem": self.tables.batch_get_item,
            "PutItem": self.tables.put_item,
            "Query": self.tables.query,
            "Scan": self.tables.scan,
        }
        if request.op not in operations:
            raise Refused(
                CORAL + "UnknownOperationException",
                "%s is not answered here" % request.op,
                breach=True,
            )
        return operations[request.op](call)

    def write_batch(self, request, call, unprocessed):
        """Applies a checked batch but for the writes in `unprocessed`, and gives the reply's body."""
        back, left = {}, set(map(id, unprocessed))
        for write in unprocessed:
            back.setdefault(write.table, []).append(write.request)
        done = [w for w in request.writes if id(w) not in left]
        self.tables.apply(done)
        body = {"UnprocessedItems": back}
        if call.get("ReturnConsumedCapacity", "NONE") != "NONE":
            units = {}
            for write in done:
                size = rules.item_size(write.item) if write.item else 0
                units[write.table] = units.get(write.table, 0) + max(1, -(-size // 1024))
            body["ConsumedCapacity"] = [
                {"TableName": t, "CapacityUnits": float(u)} for t, u in units.items()
            ]
        return body


def main(argv=None):
    parser = argparse.ArgumentParser(
        description="A DynamoDB-like server on loopback, for tests and benchmarks."
    )
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--access-key", default=ACCESS_KEY)
    parser.add_argument("--secret-key", default=SECRET_KEY)
    parser.add_argument("--no-verify", action="store_true", help="do not check signatures")
    parser.add_argument(
        "--no-record", action="store_true", help="keep no list of requests and keys in flight"
    )
    parser.add_argument(
        "--latency-ms", type=float, default=0.0, help="answer each batch this much later"
    )
    options = parser.parse_args(argv)
    server = FaultServer(
        options.port, not options.no_verify, not options.no_record, options.latency_ms / 1000
    )
    server.allow(options.access_key, options.secret_key)
    with server:
        print(server.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
    for violation in server.violations:
        print("violation: " + violation, file=sys.stderr)
    return 1 if server.violations else 0


if __name__ == "__main__":
    sys.exit(main())
