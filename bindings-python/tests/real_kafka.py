"""A real Kafka for tests, started by `tests/servers`.

A module that needs it says `pytest_plugins = ("real_kafka",)`, and imports this one for type checking only:
pytest wants to be the first to import it.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SERVERS = Path(__file__).resolve().parents[2] / "tests" / "servers"
PATIENCE_SECONDS = 30.0

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Kafka:
    """A broker that all tests share and none harms."""

    bootstrap: str
    # The tests' own small client, from `tests/servers`.
    wire: Any

    @staticmethod
    def unique(what: str) -> str:
        """A name that no other test and no other run uses."""
        return f"{what}-py-{os.getpid()}-{next(_numbers)}"

    def create_topic(self, topic: str, partitions: int) -> None:
        """Create a topic and wait until it is served."""
        port = int(self.bootstrap.split(",")[0].rpartition(":")[2])
        self.wire.create_topic(port, topic, partitions)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            known = self.wire.metadata(port, [topic])
            if known.topic_is_served(topic, known.brokers):
                return
            assert time.monotonic() < deadline, f"{topic} has no leaders"
            time.sleep(0.02)

    def document(self, topic: str, group: str, **settings: object) -> str:
        """The document of a component `orders`."""
        settings = {
            "brokers": self.bootstrap,
            "authType": "none",
            "topics": topic,
            "publishTopic": topic,
            "consumerGroup": group,
            "initialOffset": "oldest",
        } | settings
        lines = [f'    - {{name: {name}, value: "{value}"}}\n' for name, value in settings.items()]
        return (
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: orders}\nspec:\n"
            "  type: bindings.kafka\n  version: v1\n  metadata:\n" + "".join(lines)
        )


@pytest.fixture(scope="session")
def kafka() -> Kafka:
    sys.path.insert(0, str(SERVERS))
    servers = importlib.import_module("kafka")
    wire = importlib.import_module("kafka_wire")
    try:
        return Kafka(servers.shared_bootstrap(), wire)
    except servers.ServerMissing as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Kafka: {error}")
