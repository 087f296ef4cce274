"""Items that syncd compressed or split, put together again by what the README says of the format,
with none of syncd's code. Items are boto3's, {"id": {"N": "7"}, …}."""

import base64
import hashlib
import json
import struct
import subprocess

CHUNK = 131072


class Torn(Exception):
    """A chunk is missing: the row has changed since, or the item is damaged."""


def typed(attribute):
    """An attribute of the text as boto3 would give it."""
    ((kind, v),) = attribute.items()
    return {kind: base64.b64decode(v) if kind == "B" else v}


def unpacked(frame, length, version):
    assert hashlib.sha256(frame).digest()[:16] == version, "the compressed bytes are not the row's"
    text = subprocess.run(["zstd", "-dc"], input=frame, stdout=subprocess.PIPE, check=True).stdout
    assert len(text) == length
    return {name: typed(attribute) for name, attribute in json.loads(text).items()}


def key_of(item, names):
    """The key's values, binaries as bytes."""
    return tuple(v for name in names for v in item[name].values())


def chunk_key(key, version, number):
    suffix = "~syncd~%s~%04d" % (version.hex(), number)
    return (key[0], key[1] + (suffix if isinstance(key[1], str) else suffix.encode()))


def whole_item(item, names, chunks, used):
    packed = item["_syncd_packed"]["B"]
    form, method, count, length, stored, version = struct.unpack(">BBHQQ16s", packed[:36])
    assert (form, method) == (1, 1)
    frame = packed[36:]
    for number in range(count):
        place = chunk_key(key_of(item, names), version, number)
        if place not in chunks:
            raise Torn(place)
        chunk = chunks[place]["_syncd_chunk"]["B"]
        assert struct.unpack(">BBHH16s", chunk[:22]) == (1, 0, number, count, version)
        assert len(chunk) - 22 == CHUNK or number == count - 1
        frame += chunk[22:]
        used.add(place)
    assert len(frame) == stored
    row = unpacked(frame, length, version)
    # What stays beside the compressed attributes is the same there.
    for name in set(item) - {"_syncd_packed"}:
        assert row[name] == item[name] or "N" in item[name], name
    return row


def whole_items(items, names):
    """The items of a table as they were meant to be. Chunks that no head names stay among them."""
    items = list(items)
    chunks = {key_of(i, names): i for i in items if "_syncd_chunk" in i}
    used = set()
    whole = [
        whole_item(i, names, chunks, used) if "_syncd_packed" in i else i
        for i in items
        if "_syncd_chunk" not in i
    ]
    return whole + [chunk for key, chunk in chunks.items() if key not in used]
