"""Core's log lines in `logging`: a thread of our own takes them from core's bounded queue and hands them on.

Whoever logs in core never waits for a handler of `logging`, nor for the interpreter. Core is told which
levels anybody wants, so that other lines cost nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

from bindwright._native import take_logs, wait_for_logs, wake_logs

if TYPE_CHECKING:
    from bindwright._native import _LogLine

_LOOK_INTERVAL = 1.0
"""Seconds between two looks at the loggers' levels."""

_PATIENCE = 1.0
"""Seconds that the end of the program waits for a handler of `logging`."""

_NOTHING = 100
"""A level above all others."""

_logger = logging.getLogger("bindwright")


def follow() -> None:
    """Begin to hand on core's lines, unless that was done, and heed the loggers' levels as they are now."""
    _pump.start()


class _Pump:
    """The thread that hands on; one for each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._looked = 0.0
        self._ended = False

    def start(self) -> None:
        with self._lock:
            if self._ended:
                return
            taken = self._heed_levels()
            if taken and (self._thread is None or not self._thread.is_alive()):
                thread = threading.Thread(target=self._run, name="bindwright-log", daemon=True)
                # Not in an interpreter that ends.
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def end(self) -> None:
        """Hand on what is left; nothing comes afterwards."""
        self._ended = True
        thread = self._thread
        if thread is not None:
            wake_logs()
            thread.join(_PATIENCE)
            if not thread.is_alive():
                _hand_on(wait_for_logs(0.0))
            with self._lock:
                take_logs(_NOTHING)

    def _run(self) -> None:
        while not self._ended:
            _hand_on(wait_for_logs(_LOOK_INTERVAL))
            if time.monotonic() - self._looked >= _LOOK_INTERVAL:
                # Otherwise what was read here could come after what somebody read later.
                with self._lock:
                    self._heed_levels()

    def _heed_levels(self) -> bool:
        if self._ended:
            return False
        self._looked = time.monotonic()
        return take_logs(_wanted())


def _wanted() -> int:
    """Return the lowest level that one of our loggers lets pass."""
    loggers = (
        logger
        for name, logger in list(logging.Logger.manager.loggerDict.items())
        if name.startswith("bindwright.") and isinstance(logger, logging.Logger)
    )
    lowest = min(logger.getEffectiveLevel() for logger in (_logger, *loggers))
    return min(max(lowest, logging.Logger.manager.disable + 1), _NOTHING)


def _hand_on(lines: list[_LogLine]) -> None:
    for level, name, text, created, thread, file, number in lines:
        try:
            logger = logging.getLogger(name)
            if logger.isEnabledFor(level):
                record = logger.makeRecord(name, level, file or "", number or 0, text, (), None)
                _date(record, created)
                # Most threads of core are none of Python's.
                record.thread, record.threadName = 0, thread or "native"
                logger.handle(record)
        except Exception:  # what a filter or a handler of the program raises must not end the thread
            if logging.raiseExceptions and sys.stderr is not None:
                traceback.print_exc()


def _date(record: logging.LogRecord, created: float) -> None:
    """Give the record the time when it was logged, instead of when it was handed on."""
    record.relativeCreated -= (record.created - created) * 1000
    record.created = created
    record.msecs = float(int(created % 1 * 1000))


def _after_fork() -> None:
    # The thread stayed in the parent, perhaps with the lock; a client of the child begins anew.
    global _pump
    _pump = _Pump()


_pump = _Pump()
atexit.register(lambda: _pump.end())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
