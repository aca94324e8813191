"""Many awaited calls on one loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from harness import Figures, percentiles


async def crowd(send: Callable[[int], Awaitable[object]], calls: int, in_flight: int) -> Figures:
    """So many tasks, each awaiting one call after the other; `send` is given the number of the call."""
    seconds: list[float] = []
    numbers = iter(range(calls))

    async def work() -> None:
        for number in numbers:
            began = time.perf_counter()
            await send(number)
            seconds.append(time.perf_counter() - began)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(in_flight):
            tasks.create_task(work())
    return {"rate": calls / (time.perf_counter() - start)} | percentiles(seconds)
