"""A program whose client receives through a sidecar: fails on purpose, and logs what it does before it returns.

python sidecar_app.py LOG FIRST_PARTITION

Where the sidecar is and which port is the program's own stands in the environment, by Dapr's names.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from serve_app import BINDING, Handler

from bindwright import Client, Event


class OnPurpose(Exception):
    pass


def main(log: Path, first_partition: int) -> None:
    logging.getLogger("bindwright").setLevel(logging.CRITICAL)
    handler = Handler(log, first_partition)
    client = Client()

    @client.binding(BINDING)
    def handle(event: Event) -> None:
        if not handler.handle(event.data or b"", event.metadata):
            raise OnPurpose

    client.run(drain=10)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
