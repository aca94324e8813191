"""Measures Bindwright beside its peers, in one run on one broker, and prints one table.

    make bench

How to read it is in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import awaited
import footprint
import in_core
import node
import node_footprint
import node_receiving
import node_sending
import receiving
import receiving_async
import report
import sending
import serving
import through_sidecar
from harness import Row, Skipped, Target
from plan import QUICK, Plan, Size
from servers import DELAY_MS, EXIT_SERVER_MISSING, ServerFailed, broker, build

Rows = Row | Skipped | list[Row | Skipped]
FAST_ENOUGH = Target("at least", 0.9)
AT_64 = Target("at least", 1.2)
AT_1000 = Target("at least", 1.5)
NODE_AT_64 = {"kafkajs": Target("at least", 5)}
NODE_AT_1000 = {"node-rdkafka": Target("at least", 3)}
P50_LIMIT_MS = 5.0


def on_loopback(folder: Path) -> dict[str, Callable[[Plan], Rows]]:
    return {
        "one": sending.one_at_a_time,
        "bulk": sending.bulk,
        "lists": sending.bulk_lists,
        "aio-one": awaited.one_at_a_time,
        "aio-64": lambda plan: awaited.at_once(plan, 64, target=AT_64),
        "aio-1000": lambda plan: awaited.at_once(plan, 1000, target=AT_1000),
        "uvloop-64": lambda plan: awaited.at_once(plan, 64, target=AT_64, on_uvloop=True),
        "uvloop-1000": lambda plan: awaited.at_once(plan, 1000, target=AT_1000, on_uvloop=True),
        "core-64": lambda plan: in_core.at_once(plan, 64, name="core: 64 at once", target=FAST_ENOUGH),
        "core-1000": lambda plan: in_core.at_once(plan, 1000, name="core: 1,000 at once", target=FAST_ENOUGH),
        "events": receiving.one_by_one,
        "pulled": receiving.pulled,
        "aio-events": receiving_async.one_by_one,
        "aio-batches": receiving_async.batches,
        "nothing": lambda plan: footprint.nothing(plan, folder),
        "aio-nothing": lambda plan: footprint.nothing_awaited(plan, folder),
        "memory": footprint.memory,
        "import": footprint.imports,
        "wheel": lambda _plan: footprint.wheel(),
        "node-one": node_sending.one_at_a_time,
        "node-64": lambda plan: node_sending.at_once(plan, 64, targets=NODE_AT_64),
        "node-1000": lambda plan: node_sending.at_once(plan, 1000, targets=NODE_AT_1000),
        "node-bulk": node_sending.bulk,
        "node-events": node_receiving.one_by_one,
        "node-iterated": node_receiving.iterated,
        "node-batches": node_receiving.batches,
        "node-nothing": lambda plan: node_footprint.nothing(plan, folder),
        "node-memory": node_footprint.memory,
        "serve": lambda plan: serving.requests(plan, folder),
        "serve-memory": serving.footprint,
        "serve-events": serving.events,
        "sidecar": lambda plan: list(through_sidecar.rows(plan, folder)),
    }


def across_a_network() -> dict[str, Callable[[Plan], Rows]]:
    where = f"keyed, 48 partitions, {DELAY_MS} ms"
    return {
        "core-keyed": lambda plan: in_core.at_once(
            plan,
            64,
            name=f"core: 64 at once, {where}",
            partitions=48,
            keyed=True,
            target=FAST_ENOUGH,
            limit_ms=P50_LIMIT_MS,
        ),
        "keyed": lambda plan: sending.threads(
            plan, 48, keyed=True, name=f"64 threads, {where}", target=FAST_ENOUGH, limit_ms=P50_LIMIT_MS
        ),
        "aio-keyed": lambda plan: awaited.keyed(
            plan, 48, name=f"asyncio, 64 at once, {where}", target=FAST_ENOUGH, limit_ms=P50_LIMIT_MS
        ),
        "node-keyed": lambda plan: node_sending.keyed(
            plan, 48, name=f"Node, 64 at once, {where}", target=FAST_ENOUGH, limit_ms=P50_LIMIT_MS
        ),
    }


def measure(size: Size, wanted: list[str]) -> list[Row | Skipped]:
    programs = build()
    rows: list[Row | Skipped] = []
    with tempfile.TemporaryDirectory(prefix="bindwright-bench-") as folder:
        for makers, proxy in (
            (on_loopback(Path(folder)), None),
            (across_a_network(), programs["delay-proxy"]),
        ):
            chosen = {name: make for name, make in makers.items() if not wanted or name in wanted}
            if not chosen:
                continue
            with broker(proxy) as running:
                plan = Plan(size, running, programs)
                for name, make in chosen.items():
                    print(f"measuring: {name}", file=sys.stderr, flush=True)
                    rows += _made(name, make, plan)
    return rows


def _made(name: str, make: Callable[[Plan], Rows], plan: Plan) -> list[Row | Skipped]:
    try:
        made = make(plan)
    except node.NodeMissing as error:
        return [Skipped(name, str(error))]
    except Exception as error:
        # The other rows are worth having all the same.
        traceback.print_exc()
        return [Skipped(name, f"{type(error).__name__}: {error}", failed=True)]
    return made if isinstance(made, list) else [made]


def main() -> int:
    names = [*on_loopback(Path()), *across_a_network()]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"only these: {', '.join(names)}")
    parser.add_argument(
        "--quick", action="store_true", help="tiny counts: shows that it works, measures nothing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures there")
    parser.add_argument(
        "--write", type=Path, metavar="DOCUMENT", help="put the table between the document's markers"
    )
    options = parser.parse_args()
    unknown = [row for row in options.rows if row not in names]
    if unknown:
        parser.error(f"no row is called {unknown[0]!r}; there are {', '.join(names)}")
    try:
        rows = measure(QUICK if options.quick else Size(), options.rows)
    except ServerFailed as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_SERVER_MISSING if error.missing else 1
    peers = ", ".join(f"{peer} {version(peer)}" for peer in ("confluent-kafka", "aiokafka", "uvloop"))
    about = report.machine() | {"peers": peers}
    table = report.markdown(rows)
    print(table)
    if options.json:
        options.json.write_text(report.as_json(rows, about))
    if options.write:
        report.write_into(options.write, table, about)
    return int(any(isinstance(row, Skipped) and row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
