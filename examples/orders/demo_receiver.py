"""The receiver of the demo: counts what arrives until SIGTERM."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from demo_parts import COMPONENT, PROBE, tell

from bindwright import Client, Event


def main(folder: str) -> None:
    lock = threading.Lock()
    seen: set[int] = set()
    counts = {"probes": 0, "deliveries": 0, "unique": 0, "last_ns": 0}
    arrival_ms: list[float] = []
    over = threading.Event()

    client = Client(resources=folder)

    # Partitions are handled in parallel, so the counts need a lock.
    @client.binding(COMPONENT)
    def on_order(event: Event) -> None:
        now = time.monotonic_ns()
        order: Any = event.json()
        number = order["orderId"]
        with lock:
            if number == PROBE:
                counts["probes"] += 1
                return
            counts["deliveries"] += 1
            counts["last_ns"] = now
            if number not in seen:
                seen.add(number)
                counts["unique"] = len(seen)
                if "sentNs" in order:
                    arrival_ms.append((now - order["sentNs"]) / 1e6)

    def tell_progress() -> None:
        while not over.wait(0.05):
            tell(**counts)

    progress = threading.Thread(target=tell_progress)
    progress.start()
    try:
        client.run()  # until SIGTERM
    finally:
        over.set()
        progress.join()
    tell(result={**counts, "arrival_ms": arrival_ms})


if __name__ == "__main__":
    main(sys.argv[1])
