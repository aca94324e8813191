"""One consumer process of the scenario `events`: fails on purpose, and logs what it does before it returns.

python event_worker.py RESOURCES LOG FAILS_FOR_EVER_OF
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from event_log import FAILED, HANDLED, RECORD, fails_for_ever, fails_once
from ledger import number_of

from bindwright import Client, Event


class OnPurpose(Exception):
    pass


def main(resources: Path, log: Path, fails_for_ever_of: int) -> None:
    logging.getLogger("bindwright").setLevel(logging.CRITICAL)
    # Small records written at once, without a buffer: what is in the file was there before the handler returned.
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    client = Client(resources)

    @client.binding("events")
    def handle(event: Event) -> None:
        number, metadata = number_of(event.data), event.metadata
        failing = fails_for_ever(number, fails_for_ever_of) or (event.attempt == 1 and fails_once(number))
        kind = FAILED if failing else HANDLED
        place = (int(metadata["__offset"]), number, int(metadata["__partition"]), kind)
        os.write(file, RECORD.pack(time.monotonic_ns(), *place))
        if failing:
            raise OnPurpose

    client.run(drain=10)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
