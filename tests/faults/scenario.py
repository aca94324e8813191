"""What every scenario's program does around its load: arguments, footprints, the verdict, the figures."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "servers"))

import footprint
import report
from kafka_install import ServerMissing

if TYPE_CHECKING:
    from ledger import Figures

EXIT_BROKEN = 1
EXIT_SERVER_MISSING = 3
# Printed when only the linger is left to wait for: another scenario may begin.
LOAD_IS_OVER = "load is over; waiting for threads and descriptors to end"
# What a component may keep of queued records (maxQueuedBytes, 64 MiB), and half as much again for pages that are used
# in part, which an allocator cannot give back.
MEMORY_BOUND_MIB = 96.0

Plan = TypeVar("Plan")


class NotInThisBuild(Exception):
    """The scenario needs something that the installed package does not have."""


def main(name: str, short: Plan, long: Plan, measure: Callable[[Plan], Figures]) -> int:
    parser = argparse.ArgumentParser(description=f"The scenario {name!r} alone; run.py runs all of them.")
    parser.add_argument("--short", action="store_true", help="the sizes of `make test`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    # Failures on purpose are not worth a traceback each.
    logging.getLogger("bindwright").setLevel(logging.CRITICAL)
    row, status = _row(name, lambda: measure(short if options.short else long))
    print(report.markdown([row]))
    if options.json:
        options.json.write_text(json.dumps(row, indent=2))
    return status


def _row(name: str, load: Callable[[], Figures]) -> tuple[dict[str, Any], int]:
    before = footprint.at_rest()
    try:
        figures = load()
    except ServerMissing as error:
        return {"name": name, "skipped": str(error)}, EXIT_SERVER_MISSING
    except NotInThisBuild as error:
        return {"name": name, "skipped": f"not in this build: {error}"}, 0
    except Exception as error:
        traceback.print_exc()
        return {"name": name, "failed": f"{type(error).__name__}: {error}"}, EXIT_BROKEN
    finally:
        print(LOAD_IS_OVER, flush=True)
    after = footprint.settled(before)
    figures.expect(
        after.threads == before.threads, f"{before.threads} threads before, {after.threads} after the linger"
    )
    figures.expect(
        after.descriptors == before.descriptors,
        f"{before.descriptors} file descriptors before, {after.descriptors} after the linger",
    )
    grown = after.memory_mib - before.memory_mib
    figures.expect(grown <= MEMORY_BOUND_MIB, f"memory grew by {grown:.0f} MiB, more than {MEMORY_BOUND_MIB:.0f}")
    row = {"name": name} | asdict(figures)
    row["threads"] = [before.threads, after.threads]
    row["descriptors"] = [before.descriptors, after.descriptors]
    row["memory_mib"] = [round(before.memory_mib, 1), round(after.memory_mib, 1)]
    return row, EXIT_BROKEN if figures.broken else 0
