"""Components for `bindwright serve`: a queue inside it, and a topic of a real Kafka."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sidecar import Process, component
from skipping import skip

SERVERS = Path(__file__).resolve().parent.parent / "servers"
sys.path.insert(0, str(SERVERS))


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a Kafka, which makes topics on first use."""
    with Process([sys.executable, SERVERS / "kafka.py", "--fast-start"]) as server:
        ready = json.loads("{" + server.line("{"))
        if "bootstrap" not in ready:
            skip(f"no Kafka: {ready}")
        yield ready["bootstrap"]


@pytest.fixture(params=["memory", "kafka"])
def components(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the component `checkout`, which sends and receives."""
    if request.param == "memory":
        component(tmp_path, "checkout", "bindings.memory", retryPause="20ms")
        return tmp_path
    bootstrap = request.getfixturevalue("kafka")
    topic = f"serve-{uuid.uuid4().hex}"
    component(
        tmp_path,
        "checkout",
        "bindings.kafka",
        brokers=bootstrap,
        topics=topic,
        publishTopic=topic,
        consumerGroup=topic,
        initialOffset="oldest",
        authType="none",
    )
    return tmp_path
