"""One HTTP/1.1 connection of the fault server: reads requests, answers them, and breaks what a
fault says should break. Runs on the server's thread; what is shared with the test is in faultserver.py.
"""

import asyncio
import email.utils
import json
import socket
import struct
import time
import uuid
import zlib

import dynamodb_rules as rules
from dynamodb_rules import Refused

CONTENT_TYPE = "application/x-amz-json-1.0"
RESET = struct.pack("ii", 1, 0)
ESTABLISHED = 1  # the first byte of struct tcp_info


class Request:
    """One HTTP request, and what became known of it."""

    def __init__(self, connection, method, path, headers, body):
        self.connection = connection
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.at = time.time()
        self.id = uuid.uuid4().hex.upper()
        self.op = headers.get("x-amz-target", "").rpartition(".")[2]
        self.access_key = None
        self.writes = []
        self.fault = None


class Connection(asyncio.Protocol):
    """HTTP/1.1 on one connection, one request at a time."""

    def __init__(self, server):
        self.server = server
        self.transport = None
        self.buffer = bytearray()
        self.head = None
        self.busy = False
        self.request = None

    def connection_made(self, transport):
        self.transport = transport
        self.server.connections.add(self)
        self.server.accepted += 1
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc):
        self.server.connections.discard(self)
        if self.request is not None:
            self.server.leave(self.request)

    def alive(self):
        """Whether the client still has the connection open: its FIN may not have been read yet."""
        sock = self.transport.get_extra_info("socket")
        try:
            return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED
        except OSError:
            return False

    def reset(self):
        if self.request is not None:
            self.server.leave(self.request)
        sock = self.transport.get_extra_info("socket")
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        except OSError:
            pass
        self.transport.abort()

    def data_received(self, data):
        self.buffer += data
        self.pump()

    def pump(self):
        while not self.busy and not self.transport.is_closing():
            if self.head is None and not self.read_head():
                return
            length = int(self.head[2].get("content-length", 0))
            if len(self.buffer) < length:
                return
            body = bytes(self.buffer[:length])
            del self.buffer[:length]
            method, path, headers = self.head
            self.head = None
            self.busy = True
            self.answer(Request(self, method, path, headers, body))

    def read_head(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        lines = bytes(self.buffer[:end]).decode("latin-1").split("\r\n")
        del self.buffer[: end + 4]
        method, path, version = (lines[0].split(" ") + ["", ""])[:3]
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            if name in headers:
                self.server.breach("header %s was sent twice" % name)
            headers[name] = value.strip()
        if version != "HTTP/1.1":
            self.server.breach("%r is not HTTP/1.1" % version)
        if "transfer-encoding" in headers:
            self.server.breach("the body is sent with Transfer-Encoding")
        self.head = (method, path, headers)
        op = headers.get("x-amz-target", "").rpartition(".")[2]
        if self.server.faults.choose(op, None, before_body=True):
            self.reset()
            return False
        return True

    def answer(self, request):
        server = self.server
        self.request = request
        if request.method == "GET" and request.path == "/":
            self.send(
                request, 200, b"healthy: syncd fault server\n", {"Content-Type": "text/plain"}
            )
            return
        if len(request.body) > rules.MAX_BODY:
            server.breach("the body has %d bytes" % len(request.body))
            self.send(request, 413, b"", {}, bare=True)
            return
        try:
            call = server.check(request)
            touched = [(call.get("TableName"), {})]
            if request.op == "BatchWriteItem":
                touched = rules.batch_shape(call)
            fault = request.fault = server.faults.choose(request.op, touched)
            if fault and fault.error and not fault.args.get("apply"):
                code, status, message, extra = fault.error
                raise Refused(code, message, status, extra=extra)
            if request.op == "BatchWriteItem":
                request.writes = server.tables.check_batch(call)
                server.enter(request)
                self.batch(request, call, fault)
                return
            reply = server.carry_out(request, call)
        except Refused as refused:
            if refused.breach:
                server.breach("%s: %s" % (request.op or request.method, refused))
            self.fail(request, refused)
            return
        if fault and fault.kind != "unprocessed":
            self.transport_fault(request, fault, lambda: reply)
        else:
            self.reply(request, reply)

    def batch(self, request, call, fault):
        def carry_out():
            return self.server.write_batch(request, call, [])

        if fault is None:
            if self.server.latency:
                asyncio.ensure_future(
                    self.wait(self.server.latency, lambda: self.reply(request, carry_out()))
                )
            else:
                self.reply(request, carry_out())
        elif fault.error:
            carry_out()
            code, status, message, extra = fault.error
            self.fail(request, Refused(code, message, status, extra=extra))
        elif fault.kind == "unprocessed":
            count = fault.args.get("count")
            if count is None:
                count = round(len(request.writes) * fault.args.get("share", 1.0))
            chosen = fault.random.sample(request.writes, min(count, len(request.writes)))
            self.reply(request, self.server.write_batch(request, call, chosen))
        else:
            self.transport_fault(request, fault, carry_out)

    # Sending.

    def encode(self, request, status, body, headers, bare=False):
        lines = ["HTTP/1.1 %d %s" % (status, "OK" if status == 200 else "Refused")]
        fields = {
            "Server": "Server",
            "Date": email.utils.formatdate(self.server.verifier.now(), usegmt=True),
        }
        if not bare:
            fields["x-amzn-RequestId"] = request.id
            fields["x-amz-crc32"] = str(zlib.crc32(body))
        fields.update(headers)
        fields["Content-Length"] = str(len(body))
        lines += ["%s: %s" % pair for pair in fields.items() if pair[1] is not None]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    def send(self, request, status, body, headers, bare=False):
        head = self.encode(request, status, body, headers, bare)
        self.finish(request, status)
        self.transport.write(head + body)
        self.next()

    def finish(self, request, status):
        """The request is no longer in flight: said before the client can know."""
        self.server.leave(request)
        self.server.note(request, status)
        self.request = None

    def next(self):
        self.busy = False
        if self.buffer:
            asyncio.get_running_loop().call_soon(self.pump)

    def reply(self, request, reply):
        body = json.dumps(reply, separators=(",", ":")).encode("utf-8")
        self.send(request, 200, body, {"Content-Type": CONTENT_TYPE})

    def fail(self, request, refused):
        body = json.dumps(
            dict({"__type": refused.code, "message": refused.message}, **refused.extra)
        ).encode("utf-8")
        extra = request.fault.args.get("headers", {}) if request.fault else {}
        self.send(request, refused.status, body, dict({"Content-Type": CONTENT_TYPE}, **extra))

    # Faults of the connection and the reply. `carry_out` applies the request and gives the body.

    def transport_fault(self, request, fault, carry_out):
        getattr(self, "fault_" + fault.kind)(request, fault, carry_out)

    def fault_bad_crc(self, request, fault, carry_out):
        body = json.dumps(carry_out()).encode("utf-8")
        wrong = str(zlib.crc32(body) ^ 1)
        self.send(request, 200, body, {"Content-Type": CONTENT_TYPE, "x-amz-crc32": wrong})

    def fault_not_json(self, request, fault, carry_out):
        carry_out()
        self.send(
            request,
            200,
            fault.args.get("body", b"this is not JSON"),
            {"Content-Type": CONTENT_TYPE},
        )

    def fault_empty(self, request, fault, carry_out):
        carry_out()
        self.send(request, 200, b"", {"Content-Type": CONTENT_TYPE})

    def fault_huge(self, request, fault, carry_out):
        carry_out()
        size = fault.args.get("size", 32 * 1024 * 1024)
        self.send(
            request,
            200,
            b'{"UnprocessedItems":{},"x":"' + b"x" * size + b'"}',
            {"Content-Type": CONTENT_TYPE},
        )

    def fault_html(self, request, fault, carry_out):
        body = b"<html><body><h1>502 Bad Gateway</h1></body></html>\n"
        self.send(
            request, fault.args.get("status", 502), body, {"Content-Type": "text/html"}, bare=True
        )

    def fault_too_large(self, request, fault, carry_out):
        self.send(request, 413, b"", {}, bare=True)

    def fault_redirect(self, request, fault, carry_out):
        location = fault.args.get("location", self.server.url + "/")
        self.send(request, 302, b"", {"Location": location}, bare=True)

    def fault_truncated(self, request, fault, carry_out):
        body = json.dumps(carry_out()).encode("utf-8")
        head = self.encode(request, 200, body, {"Content-Type": CONTENT_TYPE})
        self.finish(request, 200)
        self.transport.write(head + body[: len(body) // 2])
        self.transport.close()

    def fault_reset_after_read(self, request, fault, carry_out):
        self.finish(request, 0)
        self.reset()

    def fault_reset_after_apply(self, request, fault, carry_out):
        carry_out()
        self.finish(request, 0)
        self.reset()

    def fault_reset_mid_reply(self, request, fault, carry_out):
        body = json.dumps(carry_out()).encode("utf-8")
        head = self.encode(request, 200, body, {"Content-Type": CONTENT_TYPE})
        self.finish(request, 0)
        self.transport.write((head + body)[: len(head) + 3])
        self.reset()

    def fault_lie(self, request, fault, carry_out):
        """Says that all was written, and forgets it."""
        self.reply(request, {"UnprocessedItems": {}})

    def fault_late(self, request, fault, carry_out):
        self.server.late.extend(request.writes)
        self.finish(request, 0)
        self.reset()

    def fault_slow(self, request, fault, carry_out):
        body = json.dumps(carry_out()).encode("utf-8")
        head = self.encode(request, 200, body, {"Content-Type": CONTENT_TYPE})
        asyncio.ensure_future(self.drip(request, head + body, fault.args.get("seconds", 0.005)))

    async def drip(self, request, data, seconds):
        for position in range(len(data)):
            if self.transport.is_closing():
                return
            if position == len(data) - 1:
                self.finish(request, 200)
            self.transport.write(data[position : position + 1])
            await asyncio.sleep(seconds)
        self.next()

    def fault_delay(self, request, fault, carry_out):
        reply = carry_out()
        asyncio.ensure_future(
            self.wait(fault.args.get("seconds", 0.5), lambda: self.reply(request, reply))
        )

    async def wait(self, seconds, then):
        await asyncio.sleep(seconds)
        if not self.transport.is_closing():
            then()

    def fault_hold(self, request, fault, carry_out):
        event = asyncio.Event()
        self.server._held.append(event)
        asyncio.ensure_future(self.held(request, event, carry_out))

    async def held(self, request, event, carry_out):
        await event.wait()
        if not self.transport.is_closing():
            self.reply(request, carry_out())
