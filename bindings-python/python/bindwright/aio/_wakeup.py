"""How a loop hears that calls are done: through a file descriptor that it watches, once for many of them."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import weakref
from functools import partial
from typing import TYPE_CHECKING

from bindwright._native import LoopTasks

if TYPE_CHECKING:
    import asyncio

_WAKE = 4096
"""More bytes than ever wait in the socket; what is left would wake the loop once more."""

_tasks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopTasks] = weakref.WeakKeyDictionary()
_listeners: set[asyncio.Task[None]] = set()


def tasks_of(loop: asyncio.AbstractEventLoop) -> LoopTasks:
    """The calls that wait on the running loop; those of all clients are together."""
    tasks = _tasks.get(loop)
    if tasks is None:
        tasks = _tasks[loop] = _watched(loop)
    return tasks


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
        listener = loop.create_task(_listen(loop, wake, tasks), name="bindwright")
        _listeners.add(listener)
        listener.add_done_callback(partial(_ended, wake))
    return tasks


def _heard_socket(wake: socket.socket, tasks: LoopTasks) -> None:
    with contextlib.suppress(BlockingIOError):
        wake.recv(_WAKE)
    tasks.settle()


async def _listen(loop: asyncio.AbstractEventLoop, wake: socket.socket, tasks: LoopTasks) -> None:
    while await loop.sock_recv(wake, _WAKE):
        tasks.settle()


def _ended(wake: socket.socket, listener: asyncio.Task[None]) -> None:
    """The loop is being closed, and cancelled what was left."""
    _listeners.discard(listener)
    wake.close()
