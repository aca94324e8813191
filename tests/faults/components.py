"""Documents of the components that the scenarios use."""

from __future__ import annotations

from pathlib import Path

# A lone broker is its own controller. On a busy machine it would take itself for dead again and again within the 3 s of
# the tests, and all groups would lose their coordinator meanwhile.
PATIENT = {"broker.session.timeout.ms": "9000"}


def kafka_document(name: str, brokers: str, topic: str, **settings: str) -> str:
    """A component that sends to the topic and, with `consumerGroup`, reads it from its start."""
    settings = {"brokers": brokers, "authType": "none", "publishTopic": topic} | settings
    if "consumerGroup" in settings:
        settings = {"topics": topic, "initialOffset": "oldest"} | settings
    lines = "".join(f'    - {{name: {key}, value: "{value}"}}\n' for key, value in settings.items())
    return (
        f"apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\n"
        f"spec:\n  type: bindings.kafka\n  version: v1\n  metadata:\n{lines}"
    )


def write_document(folder: Path, name: str, document: str) -> None:
    """In one step, so that nobody reads half of it."""
    temporary = folder / f".{name}.new"
    temporary.write_text(document)
    temporary.rename(folder / f"{name}.yaml")
