"""How a loop hears that calls are done: through a file descriptor that it watches, once for many of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import weakref
from functools import partial
from typing import TypeVar

from bindwright._native import LoopTasks

_Result = TypeVar("_Result")

_WAKE = 4096
"""More bytes than ever wait in the socket; what is left would wake the loop once more."""

_tasks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopTasks] = weakref.WeakKeyDictionary()
_listeners: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}

_LAST_LOOK = 0.02
"""Seconds between two looks for results while a loop that watches nothing ends."""


def tasks_of(loop: asyncio.AbstractEventLoop) -> LoopTasks:
    """The calls that wait on the running loop; those of all clients are together."""
    tasks = _tasks.get(loop)
    if tasks is None:
        _sweep()
        tasks = _tasks[loop] = _watched(loop)
    return tasks


async def cancelling(tasks: LoopTasks, future: asyncio.Future[_Result]) -> _Result:
    """Wait for a call, and cancel it with the task."""
    try:
        return await future
    except asyncio.CancelledError:
        tasks.cancel(future)
        raise


def _sweep() -> None:
    """Let go of loops that were closed while calls waited: nobody settles those, and they keep their loop."""
    for loop, tasks in list(_tasks.items()):
        if loop.is_closed():
            tasks.abandon()
            _listeners.pop(loop, None)
            del _tasks[loop]


def _watched(loop: asyncio.AbstractEventLoop) -> LoopTasks:
    # Asked for the platform and not for the attribute: type checkers understand that.
    if sys.platform == "linux":
        wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        tasks = LoopTasks(os.dup(wake))
        try:
            loop.add_reader(wake, _heard_eventfd, wake, tasks)
        except NotImplementedError:
            os.close(wake)
        else:
            # Not before the loop is gone: it watches the descriptor for as long as it lives.
            weakref.finalize(loop, os.close, wake)
            return tasks
    return _watched_socket(loop)


def _heard_eventfd(wake: int, tasks: LoopTasks) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(wake, 8)
    tasks.settle()


def _watched_socket(loop: asyncio.AbstractEventLoop) -> LoopTasks:
    """For systems without eventfd, and for loops that watch nothing, such as the proactor's on Windows."""
    wake, wire = socket.socketpair()
    wake.setblocking(False)
    wire.setblocking(False)
    tasks = LoopTasks(wire.detach())
    try:
        loop.add_reader(wake, _heard_socket, wake, tasks)
        weakref.finalize(loop, wake.close)
    except NotImplementedError:
        listener = _listeners[loop] = loop.create_task(_listen(loop, wake, tasks), name="bindwright")
        listener.add_done_callback(partial(_ended, loop, wake))
    return tasks


def _heard_socket(wake: socket.socket, tasks: LoopTasks) -> None:
    with contextlib.suppress(BlockingIOError):
        wake.recv(_WAKE)
    tasks.settle()


async def _listen(loop: asyncio.AbstractEventLoop, wake: socket.socket, tasks: LoopTasks) -> None:
    try:
        while await loop.sock_recv(wake, _WAKE):
            tasks.settle()
    except asyncio.CancelledError:
        # The loop is about to end, and tasks that clean up may still call something.
        while asyncio.all_tasks(loop) - {asyncio.current_task()}:
            await asyncio.sleep(_LAST_LOOK)
            tasks.settle()
        raise


def _ended(loop: asyncio.AbstractEventLoop, wake: socket.socket, _listener: asyncio.Task[None]) -> None:
    _listeners.pop(loop, None)
    wake.close()
