"""The few Kafka requests that the test servers need, written by hand.

A client library would be a dependency, and the very thing the tests are about. All versions used here but one come
before Kafka's "flexible" encoding, so a request is nothing but big-endian numbers and length-prefixed strings.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass

TIMEOUT_SECONDS = 5.0
CREATE_TIMEOUT_SECONDS = 30.0

# By number, as Kafka's protocol has them.
_SCRAM_HASHES = {1: "sha256", 2: "sha512"}
_SCRAM_ITERATIONS = 4096
_RESOURCES = {"topic": 2, "group": 3, "cluster": 4}
_TOO_FEW_BROKERS = 38
_OPERATIONS = {"all": 2, "read": 3, "write": 4, "create": 5, "describe": 8, "idempotent-write": 12}


class KafkaError(Exception):
    """The broker answered with an error code."""


@dataclass(frozen=True)
class Partition:
    error: int
    index: int
    leader: int
    replicas: frozenset[int]
    in_sync: frozenset[int]


@dataclass(frozen=True)
class Metadata:
    # The port that each live broker advertises to clients.
    brokers: dict[int, int]
    partitions: dict[str, list[Partition]]

    def topic_is_served(self, topic: str, running: Iterable[int]) -> bool:
        """Every partition has a leader among the running brokers, and they have all caught up with it."""
        alive = set(running)
        partitions = self.partitions.get(topic, [])
        return bool(partitions) and all(
            partition.error == 0 and partition.leader in alive and partition.replicas & alive <= partition.in_sync
            for partition in partitions
        )


class _Reader:
    """Takes values from the front of a reply."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big", signed=True)

    def string(self) -> str | None:
        length = self.number(2)
        return None if length < 0 else self._take(length).decode()

    def compact(self) -> str | None:
        """A string of the flexible encoding."""
        length, shift = 0, 0
        while True:
            byte = self.number(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte >= 0:
                break
        return None if length == 0 else self._take(length - 1).decode()

    def count(self) -> range:
        return range(max(0, self.number(4)))

    def numbers(self) -> frozenset[int]:
        return frozenset(self.number(4) for _ in self.count())

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ConnectionError("the broker's reply is too short")
        piece = self._data[self._at : end]
        self._at = end
        return piece


def metadata(broker_port: int, topics: Iterable[str] = ()) -> Metadata:
    """What this broker knows: the live brokers, and the given topics (which are not created by asking)."""
    names = list(topics)
    body = struct.pack(">i", len(names)) + b"".join(_string(name) for name in names) + b"\x00"
    reply = _ask(broker_port, api=3, version=4, body=body)
    reply.number(4)  # throttle time
    brokers: dict[int, int] = {}
    for _ in reply.count():
        node, _host, port = reply.number(4), reply.string(), reply.number(4)
        brokers[node] = port
        reply.string()  # rack
    reply.string()  # cluster id
    reply.number(4)  # controller id
    found: dict[str, list[Partition]] = {}
    for _ in reply.count():
        reply.number(2)  # error: an unknown topic simply has no partitions
        name = reply.string() or ""
        reply.number(1)  # is internal
        found[name] = [
            Partition(reply.number(2), reply.number(4), reply.number(4), reply.numbers(), reply.numbers())
            for _ in reply.count()
        ]
    return Metadata(brokers, found)


def find_coordinator(port: int, group: str) -> int:
    """The id of the broker that looks after this consumer group. Asking makes Kafka create `__consumer_offsets`."""
    reply = _ask(port, api=10, version=1, body=_string(group) + b"\x00")
    reply.number(4)  # throttle time
    error, text, node = reply.number(2), reply.string(), reply.number(4)
    if error:
        raise KafkaError(f"no coordinator for group {group!r}: error {error} {text or ''}".rstrip())
    return node


def fetch_offsets(port: int, group: str) -> None:
    """Succeeds only if this broker is the group's coordinator and has finished loading its part of the offsets."""
    reply = _ask(port, api=9, version=3, body=_string(group) + struct.pack(">i", -1))
    reply.number(4)  # throttle time
    for _ in reply.count():
        reply.string()  # topic
        for _ in reply.count():
            reply.number(4 + 8)  # index and offset
            reply.string()  # what the consumer stored beside the offset
            reply.number(2)  # error of this partition
    error = reply.number(2)
    if error:
        raise KafkaError(f"the coordinator of group {group!r} is not ready: error {error}")


def create_topic(port: int, topic: str, partitions: int) -> None:
    """Creates a topic with the cluster's default replication factor.

    A broker that stood still for a while counts as dead until it was heard again, so too few brokers are waited for.
    """
    deadline = time.monotonic() + CREATE_TIMEOUT_SECONDS
    while True:
        refused = _create_topic(port, topic, partitions)
        if refused is None:
            return
        error, text = refused
        if error != _TOO_FEW_BROKERS or time.monotonic() > deadline:
            raise KafkaError(f"topic {topic!r} was not created: error {error} {text}".rstrip())
        time.sleep(0.1)


def _create_topic(port: int, topic: str, partitions: int) -> tuple[int, str] | None:
    """Why it was not created."""
    body = struct.pack(">i", 1) + _string(topic) + struct.pack(">ihii", partitions, -1, 0, 0)
    body += struct.pack(">i?", int(CREATE_TIMEOUT_SECONDS * 1000), False)
    reply = _ask(port, api=19, version=4, body=body, timeout=CREATE_TIMEOUT_SECONDS + TIMEOUT_SECONDS)
    reply.number(4)  # throttle time
    for _ in reply.count():
        reply.string()  # topic
        error, text = reply.number(2), reply.string()
        if error:
            return error, text or ""
    return None


def set_password(port: int, user: str, password: str) -> None:
    """Makes a user of both SCRAM mechanisms, or gives one another password."""
    for number, hash_name in _SCRAM_HASHES.items():
        # One request each: Kafka takes a user once in a request.
        salt = os.urandom(16)
        salted = hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, _SCRAM_ITERATIONS)
        entry = _compact(user.encode()) + struct.pack(">bi", number, _SCRAM_ITERATIONS)
        entry += _compact(salt) + _compact(salted) + b"\x00"
        # Flexible: lengths are one more than they are, and every structure ends with its count of tagged fields.
        reply = _ask(port, api=51, version=0, body=b"\x00" + b"\x01" + b"\x02" + entry + b"\x00")
        reply.number(1)  # tagged fields of the header
        reply.number(4)  # throttle time
        for _ in range(reply.number(1) - 1):
            reply.compact()  # user
            error, text = reply.number(2), reply.compact()
            reply.number(1)
            if error:
                raise KafkaError(f"the password of {user!r} was not set: error {error} {text or ''}".rstrip())


def allow(port: int, principal: str, operation: str, resource: str, name: str) -> None:
    """Lets a principal such as `User:alice` do an operation on one resource: `allow(…, "read", "topic", "orders")`."""
    literal, permitted = 3, 3
    body = struct.pack(">ib", 1, _RESOURCES[resource]) + _string(name) + struct.pack(">b", literal)
    body += _string(principal) + _string("*") + struct.pack(">bb", _OPERATIONS[operation], permitted)
    reply = _ask(port, api=30, version=1, body=body)
    reply.number(4)  # throttle time
    for _ in reply.count():
        error, text = reply.number(2), reply.string()
        if error:
            raise KafkaError(f"{principal} was not allowed to {operation}: error {error} {text or ''}".rstrip())


def _compact(data: bytes) -> bytes:
    assert len(data) < 127
    return bytes([len(data) + 1]) + data


def _ask(port: int, api: int, version: int, body: bytes, timeout: float = TIMEOUT_SECONDS) -> _Reader:
    header = struct.pack(">hhi", api, version, 1) + _string("bindwright-test-server")
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        (size,) = struct.unpack(">i", _receive(connection, 4))
        reply = _Reader(_receive(connection, size))
    reply.number(4)  # correlation id: there is one request per connection
    return reply


def _receive(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the broker closed the connection")
        data += piece
    return bytes(data)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data
