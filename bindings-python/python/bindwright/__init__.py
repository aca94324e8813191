"""Bindings to outside systems, described in component YAML, inside your own process.

* `Client` calls bindings (`invoke_binding`, `invoke_many`) and receives events, with handlers (`binding`,
  `run`, `start`) or one by one (`events`).
* `Reply` is what a binding answered, `Event` what an input binding received.
* `Outcome` is what a handler may return to settle its event otherwise than by ack, `Emission` an invocation
  that it may ask for in one.
* `bindwright.testing` has fakes in place of every component, for unit tests of your program.
* Every error is a `BindwrightError`; `bindwright.errors` has one class for each code.

Handlers that fail are logged, with their traceback, by the logger `bindwright`; so is what else goes wrong
behind the program's back. Component types have loggers of their own, such as `bindwright.kafka`. Where the
program uses OpenTelemetry, calls and handlers are spans.
"""

from bindwright._native import VERSION, Emission, Event, Events, Outcome, Reply
from bindwright.client import Client, ComponentInfo, Ledger, Reload
from bindwright.errors import BindwrightError

__all__ = [
    "BindwrightError",
    "Client",
    "ComponentInfo",
    "Emission",
    "Event",
    "Events",
    "Ledger",
    "Outcome",
    "Reload",
    "Reply",
    "__version__",
]

__version__ = VERSION
