"""What tests of `syncctl export` share: a DynamoDB table with a configuration and a database of
PostgreSQL to take it, and the items of a guide with what they must become, reckoned by Python's own
means."""

import collections
import datetime
import json
import os
import random
import subprocess
import uuid

from harness import REGION, ROOT, SYNCCTL, dynamodb

EXAMPLE = os.path.join(ROOT, "etc", "examples", "conversations.conf")
STAMP = "2025-11-30T10:%02d:%02d.%06dZ"


class Export:
    """A DynamoDB table, a configuration that exports it, and a database of PostgreSQL to take it."""

    def __init__(self, endpoint, directory, server=None, config=None, schema=None):
        self.endpoint = endpoint
        self.dir = str(directory)
        self.server = server
        self.client = dynamodb(endpoint)
        self.table = "Conv-%s" % uuid.uuid4().hex[:12]
        self.client.create_table(
            TableName=self.table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        )
        self.client.get_waiter("table_exists").wait(
            TableName=self.table, WaiterConfig={"Delay": 1, "MaxAttempts": 10}
        )
        self.config = os.path.join(self.dir, "export.conf")
        if config is None:
            with open(EXAMPLE, encoding="utf-8") as text:
                config = text.read()
        self.configure(config)
        self.database = server.make_database() if server else None
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.dir,
            "TMPDIR": self.dir,
            "AWS_ACCESS_KEY_ID": endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def configure(self, text):
        with open(self.config, "w", encoding="utf-8") as out:
            out.write(text.replace("ConversationTable", self.table))

    def uri(self, **options):
        return self.server.uri(self.database, **options)

    def put(self, items):
        for at in range(0, len(items), 25):
            batch = [{"PutRequest": {"Item": item}} for item in items[at : at + 25]]
            left = {self.table: batch}
            while left:
                left = self.client.batch_write_item(RequestItems=left)["UnprocessedItems"]

    def items(self):
        found = []
        for page in self.client.get_paginator("scan").paginate(TableName=self.table):
            found += page["Items"]
        return sorted(found, key=lambda i: (i["pk"]["S"], i["sk"]["S"]))

    def command(self, *arguments, to=None, config=True):
        return [
            SYNCCTL,
            *(["--config", self.config] if config else []),
            *("--region", REGION, "--endpoint-url", self.endpoint.url, "--json", "export"),
            *("--to", to or self.uri()),
            *arguments,
        ]

    def run(self, *arguments, to=None, code=0, config=True, before=None, text=False):
        command = self.command(*arguments, to=to, config=config)
        if text:
            command.remove("--json")
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.dir,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            preexec_fn=before,
        )
        assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr)
        if code in (0, 1) and not text:
            return json.loads(done.stdout)
        return done.stdout + done.stderr

    def start(self, *arguments):
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            cwd=self.dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def query(self, sql, parameters=None):
        return self.server.query(sql, parameters, self.database)

    def rows(self, table, columns="*"):
        db = self.server.connect(self.database)
        try:
            with db.cursor() as cursor:
                cursor.execute("SELECT %s FROM %s" % (columns, table))
                names = [d[0] for d in cursor.description]
                return {row[0]: dict(zip(names, row)) for row in cursor.fetchall()}
        finally:
            db.close()

    def close(self):
        self.client.delete_table(TableName=self.table)


def table_of(report, name):
    return next(t for t in report["tables"] if t["name"] == name)


class Story:
    """Conversations and messages: most of them valid, some not, some half."""

    def __init__(self, conversations=40, messages=8, seed=1):
        self.random = random.Random(seed)
        self.items = []
        self.conversations, self.messages = {}, {}  # what must come out, by id
        self.wrong = {}  # sort key -> kind
        for number in range(conversations):
            self.conversation(number, messages)
        self.broken()

    def uuid(self):
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def stamps(self):
        moments = [
            datetime.datetime(2025, 11, 30, 10, self.random.randrange(60), self.random.randrange(60),
                              self.random.choice([0, 1, 250000, 999999]))
            for _ in range(2)
        ]
        texts = [STAMP % (m.minute, m.second, m.microsecond) for m in moments]
        return moments, {"createdAt": {"S": texts[0]}, "updatedAt": {"S": texts[1]}}

    def conversation(self, number, messages):
        key, user = self.uuid(), "user%d" % (number % 7)
        moments, times = self.stamps()
        item = {"pk": {"S": "USER#" + user}, "sk": {"S": "CONV#" + key}, "userId": {"S": user}, **times}
        row = {"id": key, "user_id": user, "title": None, "filter_values": None, "is_active": True,
               "created_at": moments[0], "updated_at": moments[1]}
        if number % 3:
            row["title"] = "Title %d\t\"quoted\" \\ é 日本, line\nnext" % number
            item["title"] = {"S": row["title"]}
        if number % 4 == 1:
            row["filter_values"] = {"tags": ["a", "b"], "depth": {"n": 12}, "none": None, "yes": True}
            item["filterValues"] = {
                "M": {"tags": {"SS": ["a", "b"]}, "depth": {"M": {"n": {"N": "12"}}},
                      "none": {"NULL": True}, "yes": {"BOOL": True}}
            }
        if number % 5 == 2:
            row["is_active"] = False
            item["isActive"] = {"BOOL": False}
        self.items.append(item)
        self.conversations[key] = row
        for at in range(messages):
            self.message(key.upper() if at % 9 == 5 else key, user, at)

    def message(self, conversation, user, number, **changes):
        key = self.uuid()
        moments, times = self.stamps()
        item = {"pk": {"S": "USER#" + user}, "sk": {"S": "MSG#%s#%s" % (conversation, key)},
                "userId": {"S": user}, "role": {"S": ["user", "assistant"][number % 2]},
                "content": {"S": "message %d\r\n\\N \\. of %s" % (number, key)}, **times}
        row = {"id": key, "conversation_id": conversation.lower(), "user_id": user,
               "role": ["user", "assistant"][number % 2], "content": item["content"]["S"],
               "feedback": None, "filter_values": None, "is_user_filter_text": False,
               "msg_metadata": None, "created_at": moments[0], "updated_at": moments[1]}
        if number % 3 == 0:
            row["msg_metadata"] = {"tokens": [1, 2.5, {"x": "y"}]}
            item["msgMetadata"] = {
                "M": {"tokens": {"L": [{"N": "1"}, {"N": "2.5"}, {"M": {"x": {"S": "y"}}}]}}
            }
        item.update(changes)
        item = {name: value for name, value in item.items() if value is not None}
        self.items.append(item)
        self.messages[key] = row
        return key, item

    def bad(self, key, item, kind):
        self.messages.pop(key, None)
        self.wrong[item["sk"]["S"]] = kind

    def broken(self):
        first = next(iter(self.conversations))
        _, times = self.stamps()
        for user in ("userId", "role", "content", "createdAt"):
            self.bad(*self.message(first, "u", 1, **{user: None}), "required")
        self.bad(*self.message(first, "u", 1, createdAt={"S": "yesterday"}), "type")
        self.bad(*self.message(first, "u", 1, content={"L": []}), "type")
        self.bad(*self.message(first, "u", 1, role={"S": "x" * 51}), "range")
        self.bad(*self.message(first, "u", 1, userId={"NULL": True}), "required")
        self.bad(*self.message(self.uuid(), "u", 1), "reference")
        for sort_key, kind in (("MSG#%s#no-uuid" % first, "uuid"), ("MSG#%s" % first, "key_shape"),
                               ("CONV#not-a-uuid", "uuid"), ("CONV#%s#x" % self.uuid(), "key_shape")):
            self.items.append({"pk": {"S": "USER#u"}, "sk": {"S": sort_key}, "userId": {"S": "u"}, **times})
            self.wrong[sort_key] = kind
        # A conversation that is left out takes its messages with it.
        lost = self.uuid()
        self.items.append({"pk": {"S": "USER#u"}, "sk": {"S": "CONV#" + lost}, **times})
        self.wrong["CONV#" + lost] = "required"
        self.bad(*self.message(lost, "u", 1), "reference")
        # The same conversation under two users: the first by its key stays.
        twin, row = next(iter(self.conversations.items()))
        self.items.append({"pk": {"S": "USER#zzz"}, "sk": {"S": "CONV#" + twin.upper()},
                           "userId": {"S": "zzz"}, **times})
        self.wrong["CONV#" + twin.upper()] = "duplicate"
        self.unmatched = [{"pk": {"S": "USER#u"}, "sk": {"S": "PROFILE"}}]
        self.items += self.unmatched

    def expect(self, report):
        """Every failure by its key, no other; and the counts."""
        told = {f["key"].split("sk=", 1)[1]: f["kind"] for f in report["failures"]}
        assert told == self.wrong
        assert report["problems"] == dict(collections.Counter(self.wrong.values()))
        assert report["unmatched"] == len(self.unmatched)
        found = len(self.items) - len(self.unmatched)
        good = len(self.conversations) + len(self.messages)
        assert report["success_rate"] == int(good * 1000 / found) / 10
        assert sum(t["found"] for t in report["tables"]) == found
        assert report["clean"] is False

    def compare(self, export):
        assert export.rows("conversations") == self.conversations
        assert export.rows("messages") == self.messages
