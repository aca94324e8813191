"""Ports of 127.0.0.1 for servers that are killed and come back."""

from __future__ import annotations

import random
import socket

# Under the range from which Linux and macOS take the ports of outgoing connections. While a killed server is down, no
# client may be given its port by chance (or even connect to itself there), or the server could not come back.
PORTS = range(15_000, 32_000)
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Held open together, so that no two are the same; and none that was given before, whose server may be down."""
    taken: list[socket.socket] = []
    try:
        while len(taken) < count:
            port = random.choice(PORTS)
            if port in _given:
                continue
            candidate = socket.socket()
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                candidate.close()
            else:
                _given.add(port)
                taken.append(candidate)
        return [candidate.getsockname()[1] for candidate in taken]
    finally:
        for candidate in taken:
            candidate.close()
