"""The fault server's tables: items in memory by key, and the calls that make, list and read them.

Puts replace whole items, deletes of missing items succeed, a batch touches each key once. A table
is CREATING for `creating_seconds` after CreateTable and refuses writes until then, as the service
does. Everything here is under one lock: the server's thread and the test's both look.
"""

import random
import threading
import time
import uuid
import zlib

import dynamodb_rules as rules
from dynamodb_rules import Refused, SERVICE, invalid, missing_table
from fault_control import ControlPlane, check_index_keys, check_indexes, described_indexes

PAGE_BYTES = 1024 * 1024


class Table:
    def __init__(self, name, schema, ready_at, description):
        self.name = name
        self.schema = schema
        self.ready_at = ready_at
        self.description = description
        self.items = {}
        self.ttl = None
        self.recovery = False
        self.tags = {}

    def active(self):
        return time.monotonic() >= self.ready_at

    def describe(self):
        out = dict(self.description)
        out["TableStatus"] = "ACTIVE" if self.active() else "CREATING"
        out["ItemCount"] = len(self.items)
        return out


class Tables(ControlPlane):
    def __init__(self):
        self.lock = threading.RLock()
        self.by_name = {}
        self.creating_seconds = 0.0
        self.numbered = True  # a description tells a TableId, as not everywhere
        self.page_items = None  # a page holds no more items, whatever a Scan asks for
        self.random = random.Random(1)
        self.empty_pages = False  # before each page of a Scan comes one without items
        self.ignore_segments = False  # as DynamoDB Local does
        self.most_keys = 100  # of a BatchGetItem; the rest comes back unprocessed

    def get(self, name):
        table = self.by_name.get(name)
        if table is None:
            raise missing_table(name)
        return table

    def writable_schema(self, name):
        if not isinstance(name, str) or not rules.TABLE_NAME.match(name):
            raise invalid("Invalid table/index name: %r" % (name,))
        table = self.get(name)
        if not table.active():
            raise missing_table(name)
        return table.schema

    def check_batch(self, call):
        with self.lock:
            writes = rules.batch_writes(call, self.writable_schema)
            for write in writes:
                if write.item is not None:
                    check_index_keys(self.by_name[write.table], write.item)
            return writes

    def apply(self, writes):
        with self.lock:
            for write in writes:
                table = self.by_name.get(write.table)
                if table is None:
                    continue
                if write.item is None:
                    table.items.pop(write.key, None)
                else:
                    table.items[write.key] = write.item

    # Control plane and reads; each takes the call's body and gives the reply's.

    def create_table(self, call):
        name = call.get("TableName")
        if not isinstance(name, str) or not rules.TABLE_NAME.match(name):
            raise invalid("Invalid table/index name")
        schema = _schema(call)
        if (
            call.get("BillingMode", "PROVISIONED") == "PROVISIONED"
            and "ProvisionedThroughput" not in call
        ):
            raise invalid(
                "ReadCapacityUnits and WriteCapacityUnits must be specified when BillingMode is PROVISIONED"
            )
        if call.get("BillingMode") == "PAY_PER_REQUEST" and "ProvisionedThroughput" in call:
            raise invalid(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified with PAY_PER_REQUEST"
            )
        with self.lock:
            if name in self.by_name:
                raise Refused(SERVICE + "ResourceInUseException", "Table already exists: %s" % name)
            description = {
                "TableName": name,
                "KeySchema": call["KeySchema"],
                "AttributeDefinitions": call["AttributeDefinitions"],
                "CreationDateTime": time.time(),
                "TableId": str(uuid.uuid4()),
                "TableSizeBytes": 0,
                "TableArn": "arn:aws:dynamodb:local:000000000000:table/" + name,
                "BillingModeSummary": {"BillingMode": call.get("BillingMode", "PROVISIONED")},
                "ProvisionedThroughput": dict(
                    {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
                    **call.get("ProvisionedThroughput", {})
                ),
            }
            check_indexes(call, "ProvisionedThroughput" in call)
            if call.get("GlobalSecondaryIndexes"):
                description["GlobalSecondaryIndexes"] = described_indexes(
                    call["GlobalSecondaryIndexes"]
                )
            description["DeletionProtectionEnabled"] = call.get("DeletionProtectionEnabled", False)
            table = Table(name, schema, time.monotonic() + self.creating_seconds, description)
            table.tags = {t["Key"]: t["Value"] for t in call.get("Tags", [])}
            self.by_name[name] = table
            return {"TableDescription": table.describe()}

    def describe_table(self, call):
        with self.lock:
            description = self.get(call.get("TableName")).describe()
        if not self.numbered:
            del description["TableId"]
        return {"Table": description}

    def delete_table(self, call):
        with self.lock:
            table = self.get(call.get("TableName"))
            self.deletable(table)
            del self.by_name[table.name]
            return {"TableDescription": dict(table.describe(), TableStatus="DELETING")}

    def list_tables(self, call):
        limit = call.get("Limit", 100)
        start = call.get("ExclusiveStartTableName", "")
        with self.lock:
            names = sorted(n for n in self.by_name if n > start)
        out = {"TableNames": names[:limit]}
        if len(names) > limit:
            out["LastEvaluatedTableName"] = names[limit - 1]
        return out

    def get_item(self, call):
        with self.lock:
            table = self.get(call.get("TableName"))
            key = rules.key_of(rules.check_item(call.get("Key")), table.schema, exact=True)
            item = table.items.get(key)
        return {} if item is None else {"Item": item}

    def batch_get_item(self, call):
        if set(call) - {"RequestItems", "ReturnConsumedCapacity"}:
            raise invalid("BatchGetItem: a member that is not answered here")
        responses, left, units = {}, {}, []
        with self.lock:
            for name, wanted in call.get("RequestItems", {}).items():
                table = self.get(name)
                asked = [
                    (rules.key_of(rules.check_item(k), table.schema, exact=True), k)
                    for k in wanted["Keys"]
                ]
                if len({key for key, _ in asked}) != len(asked):
                    raise invalid("Provided list of item keys contains duplicates")
                if not 1 <= len(asked) <= 100:
                    raise invalid("Too many items requested for the BatchGetItem call")
                items = [table.items.get(key) for key, _ in asked[: self.most_keys]]
                responses[name] = [item for item in items if item is not None]
                if asked[self.most_keys :]:
                    left[name] = dict(wanted, Keys=[k for _, k in asked[self.most_keys :]])
                units.append({"TableName": name, "CapacityUnits": _read_units(call, items, wanted)})
        out = {"Responses": responses, "UnprocessedKeys": left}
        if call.get("ReturnConsumedCapacity", "NONE") != "NONE":
            out["ConsumedCapacity"] = units
        return out

    def put(self, name, item):
        """As somebody else's PutItem."""
        with self.lock:
            table = self.get(name)
            table.items[rules.key_of(rules.check_item(item), table.schema)] = item

    def remove(self, name, key):
        """As somebody else's DeleteItem."""
        with self.lock:
            table = self.get(name)
            del table.items[rules.key_of(rules.check_item(key), table.schema, exact=True)]
    def put_item(self, call):
        """With a condition on one attribute: `attribute_not_exists(#x)` or `#x = :y`."""
        with self.lock:
            table = self.get(call.get("TableName"))
            item = rules.check_item(call.get("Item"))
            key = rules.key_of(item, table.schema)
            if not _holds(call, table.items.get(key)):
                raise Refused(
                    SERVICE + "ConditionalCheckFailedException", "The conditional request failed"
                )
            table.items[key] = item
        return {}

    def query(self, call):
        """By the partition key alone: `#x = :y`."""
        left, equals, right = call["KeyConditionExpression"].split()
        with self.lock:
            table = self.get(call.get("TableName"))
            name = call["ExpressionAttributeNames"][left]
            if equals != "=" or name != table.schema[0][0]:
                raise invalid("Query: only the partition key is answered here")
            value = call["ExpressionAttributeValues"][right]
            items = [table.items[k] for k in sorted(table.items) if table.items[k][name] == value]
        return {"Count": len(items), "ScannedCount": len(items), "Items": items}

    def scan(self, call):
        known = {
            "ProjectionExpression",
            "ExpressionAttributeNames",
            "TableName",
            "Limit",
            "ExclusiveStartKey",
            "Segment",
            "TotalSegments",
            "ConsistentRead",
            "ReturnConsumedCapacity",
            "Select",
            "ProjectionExpression",
            "ExpressionAttributeNames",
        }
        if set(call) - known:
            raise invalid("Scan: %s is not answered here" % sorted(set(call) - known)[0])
        with self.lock:
            table = self.get(call.get("TableName"))
            if self.ignore_segments:
                call = {k: v for k, v in call.items() if k not in ("Segment", "TotalSegments")}
            if self.page_items:
                call = dict(call, Limit=min(call.get("Limit", self.page_items), self.page_items))
            if self.empty_pages and self.random.random() < 0.5:
                return _empty_page(table, call)
            return _scan_page(table, call)


def _read_units(call, items, wanted):
    """4 KB a unit, each item by itself, half where it may be stale; one at least for each key."""
    units = sum(max(1, -(-rules.item_size(i) // 4096)) if i else 1 for i in items)
    return float(units if wanted.get("ConsistentRead") else units / 2)


def _empty_page(table, call):
    """A page that ended before it found anything: it begins again where it began."""
    start = call.get("ExclusiveStartKey")
    if start is None:
        return _scan_page(table, call)
    return {"Items": [], "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": start}


def _schema(call):
    kinds = {d["AttributeName"]: d["AttributeType"] for d in call.get("AttributeDefinitions", [])}
    schema = [
        (k["AttributeName"], k["KeyType"], kinds.get(k["AttributeName"]))
        for k in call.get("KeySchema", [])
    ]
    if [role for _, role, _ in schema] not in (["HASH"], ["HASH", "RANGE"]):
        raise invalid("Invalid KeySchema: a HASH key, then perhaps a RANGE key")
    if len({name for name, _, _ in schema}) != len(schema):
        raise invalid(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name"
        )
    indexed = {
        k["AttributeName"]
        for index in call.get("GlobalSecondaryIndexes", []) + call.get("LocalSecondaryIndexes", [])
        for k in index["KeySchema"]
    }
    if set(kinds) != {name for name, _, _ in schema} | indexed:
        raise invalid(
            "Number of attributes in KeySchema does not exactly match number of attributes defined"
        )
    if any(kind not in ("S", "N", "B") for kind in kinds.values()):
        raise invalid("AttributeType must be S, N or B")
    if any(not 1 <= len(name.encode("utf-8")) <= 255 for name in kinds):
        raise invalid("a key attribute's name is 1 to 255 bytes long")
    return schema


def _holds(call, item):
    text = call.get("ConditionExpression")
    if text is None:
        return True
    names, values = call.get("ExpressionAttributeNames", {}), call.get("ExpressionAttributeValues", {})
    if text.startswith("attribute_not_exists("):
        return item is None or names[text[len("attribute_not_exists(") : -1]] not in item
    left, equals, right = text.split()
    if equals != "=":
        raise invalid("ConditionExpression: %s is not answered here" % text)
    return item is not None and item.get(names[left]) == values[right]


def _projected(item, call):
    if "ProjectionExpression" not in call:
        return item
    names = call.get("ExpressionAttributeNames", {})
    wanted = {names.get(n.strip(), n.strip()) for n in call["ProjectionExpression"].split(",")}
    return {name: value for name, value in item.items() if name in wanted}


def _scan_page(table, call):
    keys = sorted(table.items)
    if "TotalSegments" in call:
        total, segment = call["TotalSegments"], call.get("Segment", 0)
        keys = [
            k for k in keys if zlib.crc32(repr(k).encode("utf-8", "replace")) % total == segment
        ]
    if "ExclusiveStartKey" in call:
        start = rules.key_of(call["ExclusiveStartKey"], table.schema, exact=True)
        keys = [k for k in keys if k > start]
    items, size, last = [], 0, None
    limit = call.get("Limit", len(keys) + 1)
    for position, key in enumerate(keys):
        item = table.items[key]
        items.append(_projected(item, call))
        size += rules.item_size(item)
        if len(items) >= limit or (size > PAGE_BYTES and position + 1 < len(keys)):
            last = {name: item[name] for name, _, _ in table.schema}
            break
    out = {"Count": len(items), "ScannedCount": len(items)}
    if call.get("ReturnConsumedCapacity", "NONE") != "NONE":
        units = -(-size // 4096) or 1
        out["ConsumedCapacity"] = {
            "TableName": table.name,
            "CapacityUnits": float(units if call.get("ConsistentRead") else units / 2),
        }
    if call.get("Select") != "COUNT":
        out["Items"] = [_projected(item, call) for item in items]
    if last is not None:
        out["LastEvaluatedKey"] = last
    return out
