"""Tables of a fault server that are a real engine's: what the fault server would keep in memory is
asked of the engine instead, so that faults stand between the daemon and a DynamoDB that is not ours.

    server = FaultServer()
    server.tables = EngineTables(endpoint)
"""

import http.client
import json
import threading
import urllib.parse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import dynamodb_rules as rules
from dynamodb_rules import Refused
from harness import REGION

BATCH = 25


class EngineTables:
    """Used on the fault server's thread only, but for `lock`."""

    def __init__(self, endpoint):
        self.lock = threading.RLock()
        self.url = endpoint.url.rstrip("/") + "/"
        parts = urllib.parse.urlsplit(self.url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self.connection = kind(parts.hostname, parts.port, timeout=30)
        self.signer = SigV4Auth(
            Credentials(endpoint.access_key, endpoint.secret_key), "dynamodb", REGION
        )
        self.schemas = {}

    def call(self, op, body):
        request = AWSRequest(
            "POST",
            self.url,
            data=json.dumps(body).encode("utf-8"),
            headers={
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": "DynamoDB_20120810." + op,
            },
        )
        self.signer.add_auth(request)
        status, text = self.exchange(request.data, dict(request.headers.items()))
        reply = json.loads(text)
        if status == 200:
            return reply
        message = reply.get("message") or reply.get("Message") or ""
        raise Refused(reply.get("__type", "Unknown"), message, status)

    def exchange(self, data, headers):
        """An engine may have closed an idle connection: once more on a new one."""
        for last in (False, True):
            try:
                self.connection.request("POST", "/", data, headers)
                reply = self.connection.getresponse()
                return reply.status, reply.read()
            except (OSError, http.client.HTTPException):
                self.connection.close()
                if last:
                    raise

    def schema(self, name):
        if name not in self.schemas:
            table = self.describe_table({"TableName": name})["Table"]
            kinds = {d["AttributeName"]: d["AttributeType"] for d in table["AttributeDefinitions"]}
            self.schemas[name] = [
                (k["AttributeName"], k["KeyType"], kinds[k["AttributeName"]])
                for k in table["KeySchema"]
            ]
        return self.schemas[name]

    def check_batch(self, call):
        return rules.batch_writes(call, self.schema)

    def apply(self, writes):
        """In the order given; a key that comes twice in two requests."""
        chunk, keys = [], set()
        for write in writes:
            if len(chunk) == BATCH or (write.table, write.key) in keys:
                self.write(chunk)
                chunk, keys = [], set()
            chunk.append(write)
            keys.add((write.table, write.key))
        self.write(chunk)

    def write(self, chunk):
        items = {}
        for write in chunk:
            items.setdefault(write.table, []).append(write.request)
        while items:
            items = self.call("BatchWriteItem", {"RequestItems": items}).get("UnprocessedItems")

    def delete_table(self, call):
        self.schemas.pop(call.get("TableName"), None)
        return self.call("DeleteTable", call)

    def __getattr__(self, name):
        """Any other operation, put_item for PutItem, as the engine answers it."""
        operation = "".join(word.capitalize() for word in name.split("_"))
        return lambda call: self.call(operation, call)
