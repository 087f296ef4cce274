"""What `convert.COLUMN` must make of a value, written a second time from the documentation, with
Python's own uuid, datetime, fractions, decimal and json: it shares nothing with the mirror's encoder.

Attributes are as boto3 gives them, but numbers are Decimal, a double in an N is a float, and a double
that became text is a RealText."""

import datetime
import decimal
import fractions
import json
import math
import re
import uuid

EXACT = decimal.Context(prec=400)
EPOCH = datetime.datetime(1970, 1, 1)
JULIAN_EPOCH = fractions.Fraction(4881175, 2)
FIRST, LAST = -62167219200000, 253402300799999
NAMESPACES = {"dns": uuid.NAMESPACE_DNS, "url": uuid.NAMESPACE_URL, "oid": uuid.NAMESPACE_OID,
              "x500": uuid.NAMESPACE_X500}
WORDS = {"1": True, "true": True, "t": True, "yes": True, "y": True, "on": True,
         "0": False, "false": False, "f": False, "no": False, "n": False, "off": False}
TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?"
                  r" *(?:[Zz]|([+-])(\d\d):(\d\d))?)?", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Refused(Exception):
    """The conversion does not take the value."""


class RealText(float):
    """The text of a double: any that reads back to it, told from an integer's."""


def decimal_of(text):
    """Exactly, within what DynamoDB holds."""
    if not NUMBER.fullmatch(text):
        raise Refused("no number")
    number = decimal.Decimal(text).normalize(EXACT)
    if number and (len(number.as_tuple().digits) > 38 or not -130 <= number.adjusted() <= 125):
        raise Refused("a number that DynamoDB cannot hold")
    return number


def utf8(value):
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("text that is not UTF-8") from None


def half_away(exact):
    return int(math.copysign(math.floor(abs(exact) + fractions.Fraction(1, 2)), exact))


def in_range(ms):
    if not FIRST <= ms <= LAST:
        raise Refused("no time from the year 0 to 9999")
    return ms


def number_ms(form, value):
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused("an infinite time")
    exact = fractions.Fraction(value)
    julian = form == "julian" or (not form and isinstance(value, float) and 0 <= value < 5373484.5)
    if julian:
        if not 0 <= exact < fractions.Fraction(10746969, 2):
            raise Refused("no Julian day")
        return in_range(half_away(exact * 86400000) - int(JULIAN_EPOCH * 86400000))
    if form == "ms" or (not form and abs(exact) >= 10**11):
        return in_range(half_away(exact))
    return in_range(half_away(exact * 1000))


def text_ms(text):
    found = TIME.fullmatch(text)
    if not found:
        raise Refused("no time in one of SQLite's forms")
    year, month, day, hour, minute, second = (int(found[i] or 0) for i in range(1, 7))
    if not year:
        raise NotImplementedError("this oracle knows no year 0")
    try:
        when = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        raise Refused("no day or time of day") from None
    delta = when - EPOCH
    ms = (delta.days * 86400 + delta.seconds) * 1000
    if found[7]:
        ms += half_away(fractions.Fraction(int(found[7]) * 1000, 10 ** len(found[7])))
    if found[8]:
        if int(found[9]) > 14 or int(found[10]) > 59:
            raise Refused("no time zone")
        ms -= int(found[8] + "1") * (int(found[9]) * 60 + int(found[10])) * 60000
    return in_range(ms)


def milliseconds(form, value):
    if isinstance(value, (int, float)):
        if form == "text":
            raise Refused("a number")
        return number_ms(form, value)
    if not is_text(value):
        raise Refused("bytes")
    text = utf8(value)
    if form in ("", "text"):
        return text_ms(text)
    number = decimal_of(text)
    return number_ms(form, int(text) if re.fullmatch(r"[+-]?\d+", text) else float(number))


def iso(ms):
    if ms < -62135596800000:
        raise NotImplementedError("this oracle knows no year 0")
    return (EPOCH + datetime.timedelta(milliseconds=ms)).isoformat(timespec="milliseconds") + "Z"


def is_text(value):
    return type(value).__name__ == "Text"


def plain_number(value):
    if isinstance(value, int):
        return {"N": decimal.Decimal(value)}
    if not math.isfinite(value) or (value and not 1e-130 <= abs(value) < 1e126):
        raise Refused("a number that DynamoDB cannot hold")
    return {"N": value}


def to_bool(value, kind):
    if isinstance(value, (int, float)) and value in (0, 1):
        return {"BOOL": bool(value)}
    if is_text(value) and kind != "N" and bytes(value).lower() in [w.encode() for w in WORDS]:
        return {"BOOL": WORDS[bytes(value).decode().lower()]}
    raise Refused("neither true nor false")


class Exactly(str):
    """A number's own text, out of json's hands."""


def no_constant(word):
    raise ValueError(word)


def unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names) or "" in names or any("\0" in n for n in names):
        raise ValueError("keys")
    return dict(pairs)


def typed(value, depth):
    if isinstance(value, Exactly):
        return {"N": decimal_of(value)}
    if isinstance(value, bool):
        return {"BOOL": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, str):
        value.encode()  # refuses half a surrogate pair
        return {"S": value}
    if depth == 31:
        raise Refused("nested too deep")
    if isinstance(value, list):
        return {"L": [typed(v, depth + 1) for v in value]}
    for name in value:
        name.encode()
    return {"M": {name: typed(v, depth + 1) for name, v in value.items()}}


def to_json(value, _kind):
    if isinstance(value, (int, float)):
        return plain_number(value)
    if not is_text(value):
        raise Refused("bytes")
    try:
        return typed(json.loads(utf8(value), parse_int=Exactly, parse_float=Exactly,
                                parse_constant=no_constant, object_pairs_hook=unique), 0)
    except (ValueError, RecursionError):
        raise Refused("no JSON") from None


def to_string(value, kind):
    if isinstance(value, int):
        return {"S": str(value)}
    if isinstance(value, float):
        return {"S": RealText(value)}
    if not is_text(value):
        raise Refused("bytes")
    if kind == "N" and bytes(value) in (b"Infinity", b"-Infinity"):
        raise Refused("text that reads as a number")
    return {"S": utf8(value)}


def to_number(value, _kind):
    if isinstance(value, (int, float)):
        return plain_number(value)
    if not is_text(value):
        raise Refused("bytes")
    try:
        return {"N": decimal_of(bytes(value).decode("ascii"))}
    except UnicodeDecodeError:
        raise Refused("no number") from None


def to_binary(value, _kind):
    if isinstance(value, (int, float)):
        raise Refused("a number")
    return {"B": bytes(value)}


def to_uuid(inside, value, kind):
    space, _, name = inside.partition(":")
    try:
        namespace = uuid.UUID(space) if len(space) == 36 else NAMESPACES[space]
    except (ValueError, KeyError):
        namespace = uuid.uuid5(uuid.NAMESPACE_DNS, space)
    if isinstance(value, float):
        whole = math.isfinite(value) and value == int(value) and abs(value) < 2**63
        text = str(int(value)) if whole else repr(value)
    elif isinstance(value, int):
        text = str(value)
    elif is_text(value):
        text = utf8(value)
    elif kind == "N" or kind == "S":
        raise Refused("bytes")
    else:
        text = value.hex()
    return {"S": str(uuid.uuid5(namespace, f"{name}:{text}" if name else text))}


TOTAL = {"bool": to_bool, "json": to_json, "string": to_string, "number": to_number,
         "binary": to_binary}


def convert(text, value, kind):
    """The attribute that `convert.COLUMN = text` makes of a value (not None) in a column whose
    affinity is N, S, B or None. Raises Refused."""
    word, _, inside = text.partition("(")
    inside = inside[:-1]
    if word == "uuid5":
        return to_uuid(inside, value, kind)
    if word == "timestamp":
        return {"S": iso(milliseconds(inside, value))}
    if word == "epoch":
        return {"N": decimal.Decimal(milliseconds(inside, value) // 1000)}
    return TOTAL[word](value, kind)


def kind_of(text, kind):
    """The type of a key that is converted so."""
    word = text.partition("(")[0]
    return {"epoch": "N", "number": "N", "binary": "B", "timestamp": "S", "string": "S",
            "uuid5": "S", "bool": None, "json": None}[word] if text else kind
