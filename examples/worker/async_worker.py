"""The same with asyncio, for jobs that wait: python async_worker.py [--examples]"""

from __future__ import annotations

import asyncio
import sys

from jobs import EXAMPLES, run_job

from bindwright.aio import Client


async def main() -> None:
    async with Client() as client:
        # A plain function runs in a thread; an `async def` would run on this loop.
        client.binding("jobs")(run_job)
        if "--examples" in sys.argv:
            await client.invoke_many("jobs", "create", EXAMPLES)
        await client.run(drain=30.0)  # after a signal, jobs that were begun have 30 s to end
    print("Stopped", flush=True)


asyncio.run(main())
