"""The asyncio client: as `bindwright.Client`, with methods to await.

>>> async with Client(resources="./components") as client:
...     reply = await client.invoke_binding("checkout", "create", {"orderId": 1})

Calls need no thread: they run on the event loop that awaits them, any loop that asyncio accepts, also
uvloop's, and many results wake it once. Cancelling a task cancels its call. Trio has a loop of its own:
there, call the blocking `bindwright.Client` through `trio.to_thread.run_sync`.
"""

from bindwright._native import Emission, Event, Outcome, Reply
from bindwright.aio._client import Client
from bindwright.aio._events import Events
from bindwright.errors import BindwrightError

__all__ = ["BindwrightError", "Client", "Emission", "Event", "Events", "Outcome", "Reply"]
