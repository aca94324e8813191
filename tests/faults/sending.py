"""Threads that call a binding, at a pace that a scenario controls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from ledger import Sent, payload

from bindwright import BindwrightError, Client

LIST_SIZE = 500
# Long enough for any fault of the scenarios: no call may fail.
TIMEOUT_SECONDS = 120.0


class Pace:
    """Hands out numbers: so many a second, and none past the gate."""

    def __init__(self, total: int, per_second: float, gate: int | None = None) -> None:
        self.total = total
        self._gate = total if gate is None else gate
        self._per_second = per_second
        self._given = 0
        self._credit = 0.0
        self._at = time.monotonic()
        self._changed = threading.Condition()
        self._over = False

    @property
    def given(self) -> int:
        return self._given

    @property
    def is_over(self) -> bool:
        return self._over

    def open_gate(self, gate: int) -> None:
        with self._changed:
            self._gate = min(gate, self.total)
            self._at = time.monotonic()
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def take(self, most: int) -> range | None:
        """The next numbers, as soon as there are `most` of them or the gate's last ones; `None` at the end."""
        with self._changed:
            while not self._over and self._given < self.total:
                now = time.monotonic()
                self._credit = min(float(self._gate), self._credit + (now - self._at) * self._per_second)
                self._at = now
                ready, left = int(self._credit) - self._given, self._gate - self._given
                if ready > 0 and ready >= min(most, left):
                    first = self._given
                    self._given += min(most, ready)
                    self._changed.notify_all()
                    return range(first, self._given)
                wait = (min(most, left) - ready) / self._per_second if left else None
                self._changed.wait(wait)
            return None


class Workers:
    """Threads at work while the block runs; the first error of one of them is the block's."""

    def __init__(self, works: Iterable[Callable[[], None]], pace: Pace) -> None:
        self._pace = pace
        self._failure: BaseException | None = None
        self._threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the last answer; after an error nothing more is begun."""
        if kind is not None:
            self._pace.stop()
        for thread in self._threads:
            thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def is_alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._failure = self._failure or error
            self._pace.stop()
            raise


class Senders(Workers):
    """Some threads send lists, the others one by one; all of them note what they are told in `sent`."""

    def __init__(
        self, client: Client, binding: str, sent: Sent, pace: Pace, *, lists: int = 3, singles: int = 4
    ) -> None:
        super().__init__([self._send_lists] * lists + [self._send_singles] * singles, pace)
        self._client, self._binding, self._sent = client, binding, sent

    def _send_lists(self) -> None:
        while numbers := self._pace.take(LIST_SIZE):
            self._ask(numbers)
            began = time.monotonic()
            payloads = [payload(number) for number in numbers]
            results = self._client.invoke_many(self._binding, "create", payloads, timeout=TIMEOUT_SECONDS)
            self._sent.note(numbers, results, time.monotonic() - began)

    def _send_singles(self) -> None:
        while numbers := self._pace.take(1):
            self._ask(numbers)
            began = time.monotonic()
            try:
                data = payload(numbers.start)
                reply = self._client.invoke_binding(self._binding, "create", data, timeout=TIMEOUT_SECONDS)
                self._sent.note(numbers, [reply], time.monotonic() - began)
            except BindwrightError as error:
                self._sent.note(numbers, [error], time.monotonic() - began)

    def _ask(self, numbers: range) -> None:
        self._sent.asked[numbers.start : numbers.stop] = b"\x01" * len(numbers)


def wait_until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.02)


def wait_while_moving(missing: Callable[[], int], quiet_seconds: float = 30.0) -> None:
    """Until nothing is missing, or nothing has come for so long that it is lost: the figures will say it."""
    fewest, since = missing(), time.monotonic()
    while fewest > 0 and time.monotonic() - since < quiet_seconds:
        time.sleep(0.02)
        if (now := missing()) < fewest:
            fewest, since = now, time.monotonic()
