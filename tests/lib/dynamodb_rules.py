"""What DynamoDB accepts: values, keys, items, sizes, and one BatchWriteItem call.

Written from the API reference and from captured behaviour of the service, and independent of the
daemon: it is the judge of what the daemon sends. Every function raises Refused, whose code and
message are what the service would answer; nothing here touches a table or the network.
"""

import base64
import binascii
import re
from decimal import Decimal

MAX_REQUESTS = 25
MAX_BODY = 16 * 1024 * 1024
MAX_ITEM = 409600
MAX_DEPTH = 32
KEY_BYTES = {"HASH": 2048, "RANGE": 1024}
MAX_DIGITS = 38

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,5})?\Z")
TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}\Z")
LARGEST = Decimal("9." + "9" * 37 + "E+125")
SMALLEST = Decimal("1E-130")

VALIDATION = "com.amazon.coral.validate#ValidationException"
SERIALIZATION = "com.amazon.coral.service#SerializationException"
SERVICE = "com.amazonaws.dynamodb.v20120810#"


class Refused(Exception):
    """The call is refused as a whole. `breach` tells a broken protocol rule (a bug of the client)
    from an answer that a correct client may meet, such as a missing table."""

    def __init__(self, code, message, status=400, breach=False, extra=None):
        super().__init__("%s: %s" % (code.rsplit("#", 1)[-1], message))
        self.code = code
        self.message = message
        self.status = status
        self.breach = breach
        self.extra = extra or {}


def invalid(message):
    return Refused(VALIDATION, message, breach=True)


def malformed(message):
    return Refused(SERIALIZATION, message, breach=True)


def missing_table(name):
    return Refused(
        SERVICE + "ResourceNotFoundException",
        "Requested resource not found: Table: %s not found" % name,
    )


def number(text):
    """The canonical text of a number, as the service would give it back."""
    if not isinstance(text, str):
        raise malformed("NUMBER_VALUE cannot be converted to String")
    if not NUMBER.match(text):
        raise invalid("The parameter cannot be converted to a numeric value: %s" % text)
    value = Decimal(text)
    digits = "".join(map(str, value.as_tuple().digits)).strip("0")
    if len(digits) > MAX_DIGITS:
        raise invalid("Attempting to store more than 38 significant digits in a Number")
    if value == 0:
        return "0"
    if abs(value) > LARGEST:
        raise invalid(
            "Number overflow. Attempting to store a number with magnitude larger than supported range"
        )
    if abs(value) < SMALLEST:
        raise invalid(
            "Number underflow. Attempting to store a number with magnitude smaller than supported range"
        )
    plain = format(value, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return plain


def number_bytes(canonical):
    """Stored bytes of a canonical number: whole and fractional digits are packed in pairs apart."""
    negative = canonical.startswith("-")
    whole, _, fraction = canonical.lstrip("-").partition(".")
    whole = whole.lstrip("0")
    if not whole:
        fraction = fraction.lstrip("0")
    if not fraction:
        whole = whole.rstrip("0")
    return 1 + (len(whole) + 1) // 2 + (len(fraction) + 1) // 2 + (1 if negative else 0)


def text_bytes(text):
    if not isinstance(text, str):
        raise malformed("STRING_VALUE expected")
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise malformed("a string holds a lone surrogate") from None


def blob_bytes(text):
    if not isinstance(text, str):
        raise malformed("base64 text expected")
    try:
        return len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise malformed("Invalid Base64 encoding detected") from None


def _members(value, kind):
    if not isinstance(value, list) or not value:
        raise invalid(
            "One or more parameter values were invalid: An %s set may not be empty" % kind
        )
    return value


def check_value(value, depth=1):
    """(canonical value, bytes) of one attribute value."""
    if not isinstance(value, dict) or len(value) != 1:
        raise invalid("Supplied AttributeValue must contain exactly one of the supported datatypes")
    if depth > MAX_DEPTH:
        raise invalid("Nesting Levels have exceeded supported limits")
    kind, content = next(iter(value.items()))
    if kind == "S":
        return value, text_bytes(content)
    if kind == "N":
        canonical = number(content)
        return {"N": canonical}, number_bytes(canonical)
    if kind == "B":
        return value, blob_bytes(content)
    if kind == "BOOL":
        if not isinstance(content, bool):
            raise malformed("BOOL expects true or false")
        return value, 1
    if kind == "NULL":
        if content is not True:
            raise invalid("Null attribute value types must have the value of true")
        return value, 1
    return _check_compound(kind, content, depth)


def _check_compound(kind, content, depth):
    if kind == "L" and isinstance(content, list):
        pairs = [check_value(v, depth + 1) for v in content]
        return {"L": [p[0] for p in pairs]}, 3 + sum(1 + p[1] for p in pairs)
    if kind == "M" and isinstance(content, dict):
        out, size = {}, 3
        for name, inner in content.items():
            out[name], inner_size = check_value(inner, depth + 1)
            size += 1 + text_bytes(name) + inner_size
        return {"M": out}, size
    if kind in ("SS", "NS", "BS"):
        scalar = kind[0]
        pairs = [check_value({scalar: v}, depth) for v in _members(content, scalar)]
        values = [p[0][scalar] for p in pairs]
        if len(set(values)) != len(values):
            raise invalid("Input collection contains duplicates")
        return {kind: values}, sum(p[1] for p in pairs)
    raise malformed("unknown attribute type %r" % kind)


def check_item(item):
    """The canonical item; refused when it is larger than DynamoDB holds."""
    if not isinstance(item, dict):
        raise malformed("an item is a map of attributes")
    out, size = {}, 0
    for name, value in item.items():
        name_bytes = text_bytes(name)
        if not 1 <= name_bytes <= 65535:
            raise invalid(
                "One or more parameter values were invalid: an attribute name is 1 to 65535 bytes long"
            )
        out[name], value_bytes = check_value(value)
        size += name_bytes + value_bytes
    if size > MAX_ITEM:
        raise invalid("Item size has exceeded the maximum allowed size")
    return out


def item_size(item):
    return sum(text_bytes(n) + check_value(v)[1] for n, v in item.items())


def key_of(item, schema, exact=False):
    """The key of a canonical item as a hashable tuple. `schema` is [(name, HASH|RANGE, S|N|B)]."""
    if exact and set(item) != {name for name, _, _ in schema}:
        raise invalid("The provided key element does not match the schema")
    key = []
    for name, role, kind in schema:
        if name not in item:
            raise invalid(
                "One or more parameter values were invalid: Missing the key %s in the item" % name
            )
        value = item[name]
        if kind not in value:
            raise invalid(
                "One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s"
                % (name, kind, next(iter(value)))
            )
        _check_key_length(name, role, kind, value[kind])
        key.append(value[kind])
    return tuple(key)


def _check_key_length(name, role, kind, content):
    if kind == "N":
        return
    size = text_bytes(content) if kind == "S" else blob_bytes(content)
    if size == 0:
        raise invalid(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot "
            "contain an empty %s value. Key: %s" % ("string" if kind == "S" else "binary", name)
        )
    if size > KEY_BYTES[role]:
        raise invalid(
            "One or more parameter values were invalid: Size of %s has exceeded the maximum size limit of %d bytes"
            % ("hashkey" if role == "HASH" else "rangekey", KEY_BYTES[role])
        )


class Write:
    """One put or delete of a batch, checked. `request` is what was sent, for UnprocessedItems."""

    __slots__ = ("table", "key", "item", "request")

    def __init__(self, table, key, item, request):
        self.table = table
        self.key = key
        self.item = item
        self.request = request

    @property
    def kind(self):
        return "delete" if self.item is None else "put"


def batch_shape(call):
    """[(table, request)] of a BatchWriteItem body; refuses whatever breaks its shape."""
    tables = call.get("RequestItems")
    if not isinstance(tables, dict) or not tables:
        raise invalid(
            "1 validation error detected: Value at 'requestItems' failed to satisfy constraint"
        )
    unknown = set(call) - {"RequestItems", "ReturnConsumedCapacity", "ReturnItemCollectionMetrics"}
    if unknown:
        raise malformed("unknown member %s" % sorted(unknown)[0])
    pairs = []
    for table, requests in tables.items():
        if not isinstance(requests, list) or not requests:
            raise invalid("1 validation error detected: a table's list of writes is empty")
        pairs.extend((table, request) for request in requests)
    if len(pairs) > MAX_REQUESTS:
        raise invalid("Too many items requested for the BatchWriteItem call")
    return pairs


def batch_writes(call, schema_of):
    """Checked writes of a BatchWriteItem body. schema_of(table) gives the key schema or raises."""
    writes, seen = [], set()
    for table, request in batch_shape(call):
        schema = schema_of(table)
        if not isinstance(request, dict) or len(request) != 1:
            raise invalid("Supplied AttributeValue has more than one datatypes set")
        kind, body = next(iter(request.items()))
        if kind == "PutRequest" and isinstance(body, dict) and set(body) == {"Item"}:
            item = check_item(body["Item"])
            key = key_of(item, schema)
        elif kind == "DeleteRequest" and isinstance(body, dict) and set(body) == {"Key"}:
            item = None
            key = key_of(check_item(body["Key"]), schema, exact=True)
        else:
            raise malformed("a write is a PutRequest with an Item or a DeleteRequest with a Key")
        if (table, key) in seen:
            raise invalid("Provided list of item keys contains duplicates")
        seen.add((table, key))
        writes.append(Write(table, key, item, request))
    return writes
