"""Makes fixtures.json: bodies of an encoder that is not ours.

    pip install fastavro==1.13.1 && python tests/avro/fixtures.py > tests/avro/fixtures.json

Each fixture has a schema, the data as plain JSON and as Avro's JSON, and the body that fastavro writes for it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import fastavro

LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        {"name": "sku", "type": "string"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "count", "type": "int", "default": 1},
    ],
}
ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "com.example.shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "lines", "type": {"type": "array", "items": LINE}},
        {"name": "gift", "type": "Line"},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "tags", "type": {"type": "map", "values": "long"}},
        {"name": "weight", "type": "double"},
        {"name": "ratio", "type": "float"},
        {"name": "paid", "type": "boolean"},
        {"name": "checksum", "type": {"type": "fixed", "name": "Md4", "size": 4}},
        {"name": "raw", "type": "bytes"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
    ],
}
TREE = {
    "type": "record",
    "name": "Tree",
    "fields": [{"name": "value", "type": "int"}, {"name": "children", "type": {"type": "array", "items": "Tree"}}],
}
CHAIN = {
    "type": "record",
    "name": "Chain",
    "fields": [{"name": "value", "type": "long"}, {"name": "next", "type": ["null", "Chain"]}],
}
CHOICE = [
    "null",
    "boolean",
    "int",
    "long",
    "double",
    "string",
    {"type": "record", "name": "Cat", "namespace": "pets", "fields": [{"name": "lives", "type": "int"}]},
    {"type": "record", "name": "Dog", "namespace": "pets", "fields": [{"name": "barks", "type": "boolean"}]},
    {"type": "array", "items": "int"},
    {"type": "map", "values": "string"},
]
MONEY = {"type": "fixed", "name": "Money", "size": 6, "logicalType": "decimal", "precision": 12, "scale": 3}


def fixture(name: str, schema: Any, native: Any, plain: Any, avro: Any = None) -> dict[str, Any]:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), native)
    return {
        "name": name,
        "schema": schema,
        "plain": plain,
        "avro": plain if avro is None else avro,
        "hex": out.getvalue().hex(),
    }


def order() -> dict[str, Any]:
    def line(sku: str, price: str, count: int) -> tuple[Any, Any, Any]:
        native = {"sku": sku, "price": Decimal(price), "count": count}
        unscaled = int(Decimal(price) * 100)
        length = max(1, (unscaled.bit_length() + 8) // 8)
        raw = unscaled.to_bytes(length, "big", signed=True).decode("latin-1")
        return native, {"sku": sku, "price": price, "count": count}, {"sku": sku, "price": raw, "count": count}

    lines = [line("ä-1", "12.34", 3), line("", "-0.01", -2_147_483_648)]
    gift = line("gift", "0.00", 1)
    shared = {
        "id": 9_223_372_036_854_775_807,
        "state": "PAID",
        "tags": {"a": -9_223_372_036_854_775_808, "ü": 0},
        "weight": 0.1,
        "ratio": 0.5,
        "paid": True,
        "at": 1_763_748_000_123,
        "day": 20_000,
        "uuid": "2f1c8e2e-6f8e-4c5c-9f6e-0d8d0a9b7c11",
    }
    texts = {"checksum": "\u0000\u007f\u0080\u00ff", "raw": 'a"\\\n\u00e4'}
    names = [field["name"] for field in ORDER["fields"]]

    def whole(index: int, note: Any, raw: dict[str, Any]) -> dict[str, Any]:
        parts = {"lines": [line[index] for line in lines], "gift": gift[index], "note": note, **raw, **shared}
        return {name: parts[name] for name in names}

    native = whole(0, "hello", {name: text.encode("latin-1") for name, text in texts.items()})
    return fixture("an order", ORDER, native, whole(1, "hello", texts), whole(2, {"string": "hello"}, texts))


def choices() -> Iterator[dict[str, Any]]:
    for name, native, plain, avro in [
        ("null", None, None, None),
        ("boolean", False, False, {"boolean": False}),
        ("int", 7, 7, {"int": 7}),
        ("long", 2**40, 2**40, {"long": 2**40}),
        ("double", 1.5, 1.5, {"double": 1.5}),
        ("string", "x", "x", {"string": "x"}),
        ("first record", ("pets.Cat", {"lives": 9}), {"lives": 9}, {"pets.Cat": {"lives": 9}}),
        ("second record", ("pets.Dog", {"barks": True}), {"barks": True}, {"pets.Dog": {"barks": True}}),
        ("array", [1, 2], [1, 2], {"array": [1, 2]}),
        ("map", {"k": "v"}, {"k": "v"}, {"map": {"k": "v"}}),
    ]:
        made = fixture(f"union: {name}", CHOICE, native, plain)
        made["avro"] = avro
        yield made


def fixtures() -> Iterator[dict[str, Any]]:
    yield order()
    yield from choices()
    tree = {"value": 1, "children": [{"value": 2, "children": []}, {"value": -3, "children": []}]}
    yield fixture("a tree", TREE, tree, tree)
    chain = {"value": 1, "next": {"value": 2, "next": None}}
    yield fixture("a chain", CHAIN, chain, chain, {"value": 1, "next": {"Chain": {"value": 2, "next": None}}})
    yield fixture("a text alone", "string", "grüße \u2603 \U0001f600", "grüße \u2603 \U0001f600")
    unscaled = (-123_456_789_012).to_bytes(6, "big", signed=True).decode("latin-1")
    yield fixture("a fixed decimal", MONEY, Decimal("-123456789.012"), "-123456789.012", unscaled)
    yield fixture("an empty array", {"type": "array", "items": "long"}, [], [])
    yield fixture("a long array", {"type": "array", "items": "int"}, list(range(-70, 70)), list(range(-70, 70)))


if __name__ == "__main__":
    print(json.dumps(list(fixtures()), indent=1, ensure_ascii=True))
