"""Reads a topic completely with confluent-kafka, which knows nothing of Bindwright.

A program of its own, so that its memory and threads are not counted as those of the process under test:

    python topic_reader.py BOOTSTRAP TOPIC FILE FORM
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path

from ledger import NUMBER_OF, Stored

TIMEOUT_SECONDS = 300


def read_topics(bootstrap: str, topics: Sequence[str], total: int, form: str = "bytes") -> Stored:
    """What the topics hold of the numbers below `total`; `form` is that of their payloads."""
    stored = Stored.nothing(total)
    for topic in topics:
        with tempfile.NamedTemporaryFile(prefix="bindwright-faults-") as file:
            command = [sys.executable, str(Path(__file__).resolve()), bootstrap, topic, file.name, form]
            subprocess.run(command, check=True, timeout=TIMEOUT_SECONDS)
            found = array("q")
            found.frombytes(Path(file.name).read_bytes())
        for at in range(0, len(found), 3):
            stored.note(found[at], found[at + 1], found[at + 2])
    return stored


def main(bootstrap: str, topic: str, file: Path, form: str) -> None:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "topic-reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "check.crcs": True,
        }
    )
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    found, number_of = array("q"), NUMBER_OF[form]
    open_partitions = set(partitions)
    while open_partitions:
        for message in consumer.consume(10_000, timeout=1.0):
            error = message.error()
            if error is None:
                found.extend((message.partition() or 0, message.offset() or 0, number_of(message.value())))
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition() or 0)
            else:
                raise SystemExit(f"{topic}: {error.str()}")
    consumer.close()
    file.write_bytes(found.tobytes())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
