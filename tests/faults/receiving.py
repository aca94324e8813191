"""A handler in this process that notes what it sees."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger import Handled

    from bindwright import Client, Event


@contextmanager
def receiving(client: Client, binding: str, handled: Handled) -> Iterator[None]:
    """Handles the binding's events meanwhile; afterwards the client is closed, as `Client.run` does it."""
    failures: list[BaseException] = []

    @client.binding(binding)
    def handle(event: Event) -> None:
        metadata = event.metadata
        place = f"{metadata['__topic']}/{metadata['__partition']}"
        handled.note(event.data, place, int(metadata["__offset"]))

    def run() -> None:
        try:
            client.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        client.stop()
        thread.join()
    if failures:
        raise failures[0]
