"""Rows about calls through `bindwright serve`, with nothing behind, beside Dapr's SDKs on the same server."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from bindwright import Client, aio
from dapr.aio.clients import DaprClient as AsyncDaprClient
from dapr.clients import DaprClient
from dapr.conf import settings as dapr_settings

import node
from crowd import crowd
from harness import OURS, Figures, Row, Target, one_by_one, take_turns
from plan import Plan
from servers import REPOSITORY, noop_resources
from serving import Serving, serving

BINDING = "nothing"
ORDER = {
    "orderId": 4711,
    "customer": "c-0815",
    "items": [{"sku": "a-1", "count": 2}, {"sku": "b-7", "count": 1}],
}
"""About 100 bytes as JSON, which HTTP can carry."""
Way = Literal["sidecar-grpc", "sidecar-http"]
WAYS: tuple[Way, Way] = ("sidecar-grpc", "sidecar-http")
_FASTER = Target("at most", 0.7)
_MORE = Target("at least", 2)
_SDK_JS = REPOSITORY / "tests" / "serve" / "javascript"
_TIMES = ("p50", "p90", "p99")
_RATE = ("rate", "p50", "p99")
AT_ONCE = 64

Send = Callable[[int], Awaitable[object]]


def rows(plan: Plan, folder: Path) -> list[Row]:
    with serving(plan, noop_resources(folder / "nothing-sidecar")) as server:
        # The SDK asks there whether the sidecar is well, before its first call.
        dapr_settings.DAPR_HTTP_PORT = server.port  # type: ignore[attr-defined]
        made = [_python_one(plan, server, way) for way in WAYS]
        made += [_python_at_once(plan, server, way) for way in WAYS]
        for way in WAYS:
            made += _node(plan, server, way)
    return made


def _endpoint(server: Serving, way: Way) -> str:
    return f"127.0.0.1:{server.grpc_port}" if way == "sidecar-grpc" else f"http://127.0.0.1:{server.port}"


def _of_python() -> str:
    return (
        f"{BINDING!r} of `bindwright serve` returns at once. dapr {version('dapr')} for Python speaks gRPC "
        "only, so that both of our ways stand beside it."
    )


def _python_one(plan: Plan, server: Serving, way: Way) -> Row:
    with ExitStack() as stack:
        ours = stack.enter_context(Client(transport=way, sidecar_endpoint=_endpoint(server, way)))
        theirs = stack.enter_context(DaprClient(f"127.0.0.1:{server.grpc_port}"))

        def by_sdk() -> object:
            return theirs.invoke_binding(BINDING, "create", json.dumps(ORDER))

        measured = partial(one_by_one, plan.size.calls)
        rounds = take_turns(
            plan.size.rounds,
            {
                OURS: partial(measured, lambda: ours.invoke_binding(BINDING, "create", ORDER)),
                "dapr (gRPC)": partial(measured, by_sdk),
            },
        )
    return Row(f"{way}: Python, one at a time", "µs", "p50", _TIMES, rounds, _FASTER, note=_of_python())


def _python_at_once(plan: Plan, server: Serving, way: Way) -> Row:
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        senders = runner.run(_open(server, way, opened))
        peers = {
            peer: partial(lambda send: runner.run(crowd(send, plan.size.awaited // 4, AT_ONCE)), send)
            for peer, send in senders.items()
        }
        try:
            rounds = take_turns(plan.size.rounds, peers)
        finally:
            runner.run(opened.aclose())
    return Row(f"{way}: asyncio, {AT_ONCE} at once", "µs", "rate", _RATE, rounds, _MORE, note=_of_python())


async def _open(server: Serving, way: Way, opened: AsyncExitStack) -> dict[str, Send]:
    ours = await opened.enter_async_context(
        aio.Client(transport=way, sidecar_endpoint=_endpoint(server, way))
    )
    theirs = await opened.enter_async_context(AsyncDaprClient(f"127.0.0.1:{server.grpc_port}"))

    def by_sdk(_: int) -> Awaitable[object]:
        sent: Awaitable[object] = theirs.invoke_binding(BINDING, "create", json.dumps(ORDER))
        return sent

    return {OURS: lambda _: ours.invoke_binding(BINDING, "create", ORDER), "dapr (gRPC)": by_sdk}


def _node(plan: Plan, server: Serving, way: Way) -> list[Row]:
    """The SDK for JavaScript by the same protocol."""
    _install_sdk()
    ports = {"grpcPort": server.grpc_port, "httpPort": server.port}
    given = {**ports, "way": way, "binding": BINDING, "order": ORDER, "sdk": str(_SDK_JS)}
    protocol = "gRPC" if way == "sidecar-grpc" else "HTTP"
    peer = f"@dapr/dapr ({protocol})"
    note = f"In Node {node.version()}. @dapr/dapr {_sdk_version()} by the same protocol."
    with ExitStack() as stack:
        programs = {
            name: stack.enter_context(node.program("through_sidecar", {**given, "peer": who}))
            for name, who in ((OURS, "bindwright"), (peer, "dapr"))
        }

        def taken(calls: int, in_flight: int) -> dict[str, list[Figures]]:
            each = {
                name: partial(program.round, calls=calls, inFlight=in_flight)
                for name, program in programs.items()
            }
            return take_turns(plan.size.rounds, each)

        alone, many = taken(plan.size.calls, 1), taken(plan.size.awaited // 4, AT_ONCE)
    return [
        Row(f"{way}: Node, one at a time", "µs", "p50", _TIMES, alone, _FASTER, note=note),
        Row(f"{way}: Node, {AT_ONCE} at once", "µs", "rate", _RATE, many, _MORE, note=note),
    ]


def _install_sdk() -> None:
    """The one that the tests of serve use."""
    if not (_SDK_JS / "node_modules" / ".package-lock.json").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=_SDK_JS, check=True)


def _sdk_version() -> str:
    described = json.loads((_SDK_JS / "package.json").read_text())
    return str(described["dependencies"]["@dapr/dapr"])
