"""Fakes of what hands out AWS credentials: the instance metadata service (version 2 only), a
container's credentials endpoint, and STS, on one port of loopback.

They are strict: a method, path, header or token that the real service would not take is refused as it
would refuse it, and noted in `violations`. Each answer can be replaced:

    sources.replies["role"] = [Reply(500), Reply(body=b"garbage")]   # the next two, then as usual
    sources.replies["token"] = Reply(hang=True)                      # every one
"""

import collections
import email.utils
import http.server
import json
import threading
import time
import urllib.parse

from dynamodb_rules import Refused
from sigv4_check import Verifier

REGION = "eu-test-1"
ROLE = "app-role"
CONTAINER_PATH = "/v2/credentials/some-task"
Seen = collections.namedtuple("Seen", "kind method path headers form")


class Reply:
    """hang: no answer until the server ends; drop: closes without a word; cut: half of the body."""

    def __init__(self, status=200, body=b"", hang=False, drop=False, cut=False, headers=None):
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8")
        self.hang, self.drop, self.cut = hang, drop, cut
        self.headers = headers or {}


def stamp(unix):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix))


class Sources:
    """`allow` registers what is handed out with the service it is for: FaultServer.allow."""

    def __init__(self, allow=None, clock=time.time):
        self.allow = allow or (lambda *args, **kwargs: None)
        self.clock = clock
        self.violations = []
        self.seen = []
        self.replies = {}
        self.role = ROLE
        self.region = REGION
        self.life = 3600  # seconds of what is handed out
        self.secret = "secretOf%s"
        self.authorization = None  # what the container's endpoint wants to see
        self.web_identities = set()  # tokens that STS takes
        self.tokens = set()  # of the metadata service, good ones
        self.numbers = collections.Counter()
        self.last = {}
        self.lock = threading.Lock()
        self.verifier = Verifier({}, "sts", ("content-type", "host", "x-amz-date"))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server.server_port

    def count(self, kind):
        return sum(s.kind == kind for s in list(self.seen))

    def issue(self, kind):
        """Fresh credentials: (access key id, secret, token, end)."""
        with self.lock:
            self.numbers[kind] += 1
            name = "ASIA%s%d" % (kind.upper(), self.numbers[kind])
        made = (name, self.secret % name, "tokenOf%s+/=" % name, int(self.clock()) + self.life)
        self.allow(*made[:3], ends=made[3])
        self.verifier.credentials[name] = made[1:3]
        self.last[kind] = made
        return made

    # What each source answers: (status, body).

    def document(self, kind):
        key, secret, token, end = self.issue(kind)
        return {
            "Code": "Success",
            "LastUpdated": stamp(self.clock()),
            "Type": "AWS-HMAC",
            "AccessKeyId": key,
            "SecretAccessKey": secret,
            "Token": token,
            "Expiration": stamp(end),
        }

    def token(self, seen):
        ttl = seen.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if seen.method != "PUT":
            return 405, b""
        if not ttl.isdigit() or not 1 <= int(ttl) <= 21600 or "x-forwarded-for" in seen.headers:
            return self.breach(seen, 400, b"")
        with self.lock:
            self.numbers["token"] += 1
            token = "AQAEAtoken%d==" % self.numbers["token"]
            self.tokens.add(token)
        return 200, token.encode()

    def metadata(self, seen, answer):
        if seen.method != "GET":
            return self.breach(seen, 405, b"")
        given = seen.headers.get("x-aws-ec2-metadata-token")
        if given is None:
            return self.breach(seen, 401, b"")
        return answer() if given in self.tokens else (401, b"<html>Unauthorized</html>")

    def roles(self, seen):
        return self.metadata(seen, lambda: (200, self.role.encode()) if self.role else (404, b""))

    def get_role(self, seen):
        return self.metadata(seen, lambda: (200, self.document("role")))

    def get_region(self, seen):
        return self.metadata(seen, lambda: (200, self.region.encode()))

    def container(self, seen):
        if seen.method != "GET" or seen.headers.get("authorization") != self.authorization:
            return 401, {"code": "AccessDeniedException", "message": "not this token"}
        document = self.document("container")
        del document["Code"]
        return 200, dict(document, RoleArn="arn:aws:iam::1:role/task")

    def sts(self, seen):
        form = seen.form
        if seen.method != "POST" or form.get("Version") != "2011-06-15":
            return self.breach(seen, 400, b"")
        if seen.headers.get("accept") != "application/json":
            return self.breach(seen, 200, b"<AssumeRoleResponse/>")
        if not form.get("RoleArn") or not 2 <= len(form.get("RoleSessionName", "")) <= 64:
            return self.breach(seen, 400, self.sts_error("ValidationError", "role or session name"))
        if form["Action"] == "AssumeRoleWithWebIdentity":
            if "authorization" in seen.headers:
                return self.breach(seen, 400, self.sts_error("ValidationError", "signed"))
            if form.get("WebIdentityToken") not in self.web_identities:
                return 400, self.sts_error("InvalidIdentityToken", "No such token")
        else:
            try:
                self.verifier.verify("POST", "/", seen.headers, seen.raw)
            except Refused as refused:
                return 403, self.sts_error(
                    {
                        "InvalidSignatureException": "SignatureDoesNotMatch",
                        "UnrecognizedClientException": "InvalidClientTokenId",
                        "ExpiredTokenException": "ExpiredToken",
                    }.get(refused.code.rpartition("#")[2], refused.code),
                    refused.message,
                )
        key, secret, token, end = self.issue("sts")
        credentials = {
            "AccessKeyId": key,
            "SecretAccessKey": secret,
            "SessionToken": token,
            "Expiration": float(end),
        }
        action = form["Action"]
        return 200, {action + "Response": {action + "Result": {"Credentials": credentials}}}

    @staticmethod
    def sts_error(code, message):
        error = {"Code": code, "Message": message, "Type": "Sender"}
        return {"Error": error, "RequestId": "1"}

    def breach(self, seen, status, body):
        self.violations.append("%s %s %r" % (seen.method, seen.path, seen.headers))
        return status, body

    def route(self, seen):
        known = {
            "token": self.token,
            "roles": self.roles,
            "role": self.get_role,
            "region": self.get_region,
            "container": self.container,
            "sts": self.sts,
        }
        if seen.kind not in known:
            return self.breach(seen, 404, b"")
        return known[seen.kind](seen)

    def kind_of(self, method, path):
        roles = "/latest/meta-data/iam/security-credentials/"
        return {
            roles + self.role: "role",
            roles: "roles",
            "/latest/api/token": "token",
            "/latest/meta-data/placement/region": "region",
            CONTAINER_PATH: "container",
            "/": "sts",
        }.get(path, "unknown")

    def replacement(self, kind):
        with self.lock:
            waiting = self.replies.get(kind)
            if isinstance(waiting, list):
                return waiting.pop(0) if waiting else None
            return waiting

    def _handler(self):
        sources = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self):
                length = int(self.headers.get("content-length") or 0)
                raw = self.rfile.read(length)
                headers = {n.lower(): v for n, v in self.headers.items()}
                kind = sources.kind_of(self.command, self.path)
                form = dict(urllib.parse.parse_qsl(raw.decode())) if kind == "sts" else {}
                seen = _Request(kind, self.command, self.path, headers, form)
                seen.raw = raw
                sources.seen.append(seen)
                reply = sources.replacement(kind)
                if reply is None:
                    status, body = sources.route(seen)
                    reply = Reply(status, body)
                self.give(reply)

            def give(self, reply):
                if reply.hang:
                    sources.ended.wait()
                if reply.hang or reply.drop:
                    self.close_connection = True
                    return
                offset = sources.verifier.clock_offset
                lines = ["HTTP/1.1 %d Reply" % reply.status]
                fields = {
                    "Date": email.utils.formatdate(time.time() + offset, usegmt=True),
                    "Content-Length": str(len(reply.body)),
                    **reply.headers,
                }
                lines += ["%s: %s" % pair for pair in fields.items()]
                body = reply.body[: len(reply.body) // 2] if reply.cut else reply.body
                self.wfile.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
                self.close_connection = reply.cut

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

        return Handler


class _Request(Seen):
    """With the bytes of the body as `raw`."""
