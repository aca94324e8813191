"""Fakes in place of every component, for unit tests of programs that use bindings.

While a `Sandbox` is open, every client that is opened in the process, blocking or not, gets an in-memory
fake for each component of its resources: whatever its `spec.type`, and whether or not its secrets and its
servers are there. The code under test needs no change.

Real are documents, names, scopes, directions, settings, resiliency policies, the way of an event through
handlers (order, outcomes, redelivery, dead letters, emissions), deadlines and the texts of errors. Fake
is what stands outside: calls are recorded and answered as the test says, events are those that the test
pushes.

Example:
    >>> import pathlib, tempfile
    >>> from bindwright import Client
    >>> from bindwright.testing import Sandbox
    >>> components = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (components / "checkout.yaml").write_text('''
    ... apiVersion: dapr.io/v1alpha1
    ... kind: Component
    ... metadata:
    ...   name: checkout
    ... spec:
    ...   type: bindings.kafka
    ...   version: v1
    ...   metadata:
    ...   - {name: brokers, value: "localhost:9092"}
    ...   - {name: topics, value: orders}
    ...   - {name: publishTopic, value: orders}
    ...   - {name: consumerGroup, value: shop}
    ... ''')
    >>> with Sandbox() as sandbox, Client(components) as client:
    ...     _ = client.invoke_binding("checkout", "create", {"orderId": 1})
    ...     [sent.json() for sent in sandbox.invocations("checkout")]
    ...     sandbox.fail("checkout", "UNAVAILABLE")
    ...     try:
    ...         _ = client.invoke_binding("checkout", "create", {"orderId": 2})
    ...     except Exception as error:
    ...         type(error).__name__
    ...     pushed = sandbox.push("checkout", {"orderId": 3})
    ...     with client.events("checkout") as events:
    ...         _ = next(events).ack()
    ...     pushed.wait()
    [{'orderId': 1}]
    'UnavailableError'
    Progress(deliveries=1, ending='ack', cause=None)

With pytest the fixture `bindwright_sandbox` opens one for a test.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from bindwright._handlers import refuse
from bindwright._native import NativePushedEvent, NativeSandbox
from bindwright.errors import BindingTimeoutError, BindwrightError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from bindwright.client import Metadata, Seconds

__all__ = ["Answer", "Cause", "Ending", "Invocation", "Progress", "PushedEvent", "Sandbox"]

Ending = Literal["ack", "drop", "dead_letter", "emit", "held"]
"""How an event came to its end; `"held"`: it ran out of deliveries and holds its place, for want of a
`deadLetterBinding`."""

_LOOK_AGAIN = 0.002
"""Seconds between two looks of somebody who awaits."""

_Found = TypeVar("_Found")

_logger = logging.getLogger("bindwright")


@dataclass(frozen=True)
class Invocation:
    """One attempt of a call, as a fake saw it.

    * `binding`, `operation`: what was called.
    * `data`: the data as it was sent, `bytes`; `None` for no data at all.
    * `metadata`: names and values (`dict[str, str]`).
    * `error`: the code of the error that it was answered with, `"CANCELLED"` when the caller gave up before;
      `None` when it succeeded.
    """

    binding: str
    operation: str
    data: bytes | None
    metadata: dict[str, str]
    error: str | None

    def text(self) -> str:
        """The data as text; "" where there is none.

        Raises:
            UnicodeDecodeError: The data is not UTF-8.
        """
        return "" if self.data is None else self.data.decode()

    def json(self) -> Any:
        """The value that the data describes in JSON; `None` where there is no data.

        Raises:
            ValueError: The data is not JSON (`json.JSONDecodeError`) or not UTF-8.
        """
        return None if self.data is None else json.loads(self.data.decode())


@dataclass(frozen=True)
class Answer:
    """What a function given to `Sandbox.reply` may return: data, as in `invoke_binding`, and metadata."""

    data: object = None
    metadata: Metadata | None = None


@dataclass(frozen=True)
class Cause:
    """Why a delivery failed: a short name, such as that of an exception's class, and what happened."""

    code: str
    text: str


@dataclass(frozen=True)
class Progress:
    """How far a pushed event is.

    * `deliveries`: deliveries that a handler ended, or whose time was over.
    * `ending`: how it came to its end; `None` while it has not.
    * `cause`: why the last delivery that failed did so, else `None`.
    """

    deliveries: int
    ending: Ending | None
    cause: Cause | None


def _progress(parts: tuple[int, Ending | None, tuple[str, str] | None]) -> Progress:
    deliveries, ending, cause = parts
    return Progress(deliveries, ending, None if cause is None else Cause(*cause))


def _seconds(timeout: Seconds) -> float:
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout


def _block(what: str, wait: Callable[[Seconds], _Found], timeout: Seconds) -> _Found:
    try:
        return wait(0.0)
    except BindingTimeoutError:
        if _seconds(timeout) == 0:
            raise
    if _is_in_loop():
        message = f"{what} would block the event loop, and with it what it waits for"
        refuse(message, f"Await `{what}_async` instead.")
    return wait(timeout)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _wait(wait: Callable[[Seconds], _Found], patience: Seconds) -> _Found:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _seconds(patience)
    while True:
        late = loop.time() >= deadline
        try:
            return wait(0.0)
        except BindingTimeoutError:
            if late:
                raise
        await asyncio.sleep(_LOOK_AGAIN)


class PushedEvent:
    """An event that a test pushed; made by `Sandbox.push`."""

    __slots__ = ("_native",)

    def __init__(self, native: NativePushedEvent) -> None:
        self._native = native

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        return _progress(self._native.progress())

    def wait(self, timeout: Seconds = 5.0, *, deliveries: int | None = None) -> Progress:
        """Wait until it is settled, or holds its place for want of a way out.

        With `deliveries`: until so many of them are over, for an event that comes again and again. Blocks the
        calling thread; in a coroutine use `wait_async`. `timeout` is in seconds or a `timedelta`.

        Raises:
            BindingTimeoutError: `timeout` was over first; the text tells how far it is. Also when it came to
                its end with fewer deliveries.
            ClosedError: The sandbox ended.
            InvalidOptionsError: It would block a running event loop.
        """
        return _block("wait", lambda time: _progress(self._native.wait(deliveries, time)), timeout)

    async def wait_async(
        self,
        timeout: Seconds = 5.0,  # noqa: ASYNC109 - as `wait`
        *,
        deliveries: int | None = None,
    ) -> Progress:
        """`wait` for coroutines of asyncio."""
        return await _wait(lambda time: _progress(self._native.wait(deliveries, time)), timeout)

    def __repr__(self) -> str:
        return f"<PushedEvent, {self.progress}>"


class Sandbox:
    """Fakes in place of every component of the clients that are opened while it is open.

    One at a time in a process. Clients that were opened before keep their real components. Those opened
    inside keep their fakes when it ends; then their calls raise `ClosedError`, and they receive nothing.
    End it with `close()`, or use it in a `with`. A forked child has a sandbox of its own, in which
    nothing has happened yet.

    Names need not be known: answers and events may be given before a client is opened.

    `longest_pause`: no pause before another attempt of a call or another delivery of an event is longer,
    whatever policies, settings and handlers ask for; seconds or a `timedelta`, 10 ms when left out. How
    often, time-outs, and the time for which a circuit breaker stays open are as they say.

    Raises:
        InvalidOptionsError: There is a sandbox in this process already.
    """

    __slots__ = ("__weakref__", "_native")

    def __init__(self, *, longest_pause: Seconds | None = None) -> None:
        self._native = NativeSandbox(longest_pause)

    def invocations(self, binding: str | None = None) -> list[Invocation]:
        """What was sent, to one binding or to all of them.

        Every attempt that was answered, in the order in which they began; dead letters and emissions are
        among them. They are kept until `forget()`, also after the sandbox has ended.
        """
        return [Invocation(*parts) for parts in self._native.invocations(binding)]

    def forget(self) -> None:
        """Forget what was sent so far."""
        self._native.forget()

    def wait_for(
        self, binding: str, count: int = 1, *, operation: str | None = None, timeout: Seconds = 5.0
    ) -> list[Invocation]:
        """Wait until so many attempts of a binding were answered, or of one operation; all there are by then.

        Blocks the calling thread; in a coroutine use `wait_for_async`. `timeout` is in seconds or a
        `timedelta`.

        Raises:
            BindingTimeoutError: There were fewer in that time; the text tells what there was instead.
            ClosedError: The sandbox ended.
            InvalidOptionsError: It would block a running event loop.
        """
        return _block("wait_for", lambda time: self._look_for(binding, count, operation, time), timeout)

    async def wait_for_async(
        self,
        binding: str,
        count: int = 1,
        *,
        operation: str | None = None,
        timeout: Seconds = 5.0,  # noqa: ASYNC109 - as `wait_for`
    ) -> list[Invocation]:
        """`wait_for` for coroutines of asyncio."""
        return await _wait(lambda time: self._look_for(binding, count, operation, time), timeout)

    def _look_for(self, binding: str, count: int, operation: str | None, time: Seconds) -> list[Invocation]:
        return [Invocation(*parts) for parts in self._native.wait_for(binding, operation, count, time)]

    def reply(
        self,
        binding: str,
        data: object = None,
        metadata: Metadata | None = None,
        *,
        operation: str | None = None,
        times: int | None = None,
        delay: Seconds = 0.0,
    ) -> None:
        """Let calls of a binding succeed with this; without being told, they succeed without data.

        `data` is treated as in `Client.invoke_binding`. Or it is a function that gets the `Invocation`
        and returns data or an `Answer`; a `BindwrightError` that it raises is what the caller gets, by
        its code. The function runs on the thread of the call.

        `operation`: only calls of this one. `times`: only the next so many calls, attempts of policies
        included; else for ever. Replies and failures for a number of times are used up first, in their
        order; of the others the last one counts for its operation, and one for an operation before one
        for all. `delay`: the reply takes so long; past the call's deadline the call ends with
        `BindingTimeoutError`.

        Raises:
            InvalidOptionsError: The data or the metadata cannot be sent, the function is `async`, or a number
                is out of range.
        """
        conditions = (operation, _times(times), delay)
        if not callable(data):
            self._native.reply(binding, data, metadata, conditions)
            return
        if inspect.iscoroutinefunction(data):
            refuse("reply: the function is async, which nobody would await", "Give a plain function.")
        if metadata is not None:
            refuse("reply: metadata beside a function", "Let the function return an `Answer`.")
        function: Callable[[Invocation], object] = data

        def answer(
            parts: tuple[str, str, bytes | None, dict[str, str], str | None],
        ) -> tuple[object, Metadata | None]:
            try:
                answer = function(Invocation(*parts))
            except BindwrightError:
                raise
            except Exception:
                _logger.exception("the function that replies for binding %r failed", binding)
                raise
            return (answer.data, answer.metadata) if isinstance(answer, Answer) else (answer, None)

        self._native.reply_with(binding, answer, conditions)

    def fail(
        self,
        binding: str,
        code: str | type[BindwrightError],
        *,
        times: int | None = 1,
        operation: str | None = None,
        delay: Seconds = 0.0,
        message: str | None = None,
    ) -> None:
        """Let calls of a binding fail: the next one, the next `times`, or all of them with `times=None`.

        `code` is a code such as `"UNAVAILABLE"`, or a class of `bindwright.errors`. Whether trying again
        can help follows from it, so policies retry it or not as they would outside. `operation`: only
        calls of this one. `delay`: it takes so long, at most until the call's deadline. `message`: what
        the error tells.

        Raises:
            InvalidOptionsError: There is no such code, or a number is out of range.
        """
        name = code if isinstance(code, str) else code.code
        self._native.fail(binding, name, message, (operation, _times(times), delay))

    def push(
        self,
        binding: str,
        data: object = b"",
        metadata: Metadata | None = None,
        *,
        key: str | None = None,
    ) -> PushedEvent:
        """Have a binding receive an event; does not wait for a handler.

        `data` is treated as in `Client.invoke_binding`. `metadata` arrives as given: what a real
        component would add, such as Kafka's `__offset`, is yours to give. A binding has one partition
        here; `key` counts where the component says `orderBy: key`. Without a handler the event waits for
        one.

        Raises:
            InvalidOptionsError: The data or the metadata cannot be sent.
            ClosedError: The sandbox ended.
        """
        return PushedEvent(self._native.push(binding, data, metadata, key))

    def close(self) -> None:
        """End it. Ending it twice is fine."""
        self._native.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _times(times: int | None) -> int | None:
    if times is not None and times < 1:
        refuse(f"times: expected at least 1, or None for ever, got {times}", "Correct the argument.")
    return times
