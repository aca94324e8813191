"""Runs the fault scenarios, each in a process of its own, and prints one table.

    make faults

What each one does stands at the top of its file; what the columns mean is in README.md. Exit code 1 says that a
guarantee did not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import report
from scenario import EXIT_SERVER_MISSING, LOAD_IS_OVER

FOLDER = Path(__file__).resolve().parent
# In the order of the table.
SCENARIOS = ("invocations", "events", "serve", "sidecar", "network", "reload", "footprint")
# Begun first, because it waits for the linger again and again.
FIRST = "footprint"
# Most of a short scenario is waiting for a fault to pass; figures of the long form are taken one at a time.
AT_ONCE = {"short": 3, "long": 1}


def run(names: Sequence[str], *, short: bool) -> list[dict[str, Any]]:
    slots = threading.Semaphore(AT_ONCE["short" if short else "long"])
    with tempfile.TemporaryDirectory(prefix="bindwright-faults-") as folder, ThreadPoolExecutor(len(names)) as pool:
        tasks = {}
        for name in sorted(names, key=lambda name: name != FIRST):
            slots.acquire()
            tasks[name] = pool.submit(_run_one, name, Path(folder) / f"{name}.json", slots, short=short)
        return [tasks[name].result() for name in names]


def _run_one(name: str, file: Path, slots: threading.Semaphore, *, short: bool) -> dict[str, Any]:
    """Gives its slot back as soon as only the linger is left."""
    print(f"faults: {name}", file=sys.stderr, flush=True)
    command = [sys.executable, str(FOLDER / f"scenario_{name}.py"), "--json", str(file)]
    over = False
    with subprocess.Popen([*command, *(["--short"] if short else [])], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == LOAD_IS_OVER:
                over = True
                slots.release()
    if not over:
        slots.release()
    if not file.exists():
        return {"name": name, "failed": f"the process ended with {process.returncode}"}
    row: dict[str, Any] = json.loads(file.read_text())
    # The exit code has the last word: a process may also die when it has said everything.
    if process.returncode not in (0, EXIT_SERVER_MISSING) and not row.get("broken"):
        row.setdefault("failed", f"the process ended with {process.returncode}")
    return row | {"server_missing": process.returncode == EXIT_SERVER_MISSING}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="small sizes, for `make test`")
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="only this one; may be given again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the table between the document's markers")
    options = parser.parse_args()
    rows = run(options.only or SCENARIOS, short=options.short)
    table, about = report.markdown(rows), report.machine()
    print(table)
    if options.json:
        options.json.write_text(report.as_json(rows, about))
    if any(row.get("server_missing") for row in rows):
        # Nothing was counted: the document keeps what it says.
        return EXIT_SERVER_MISSING if os.environ.get("CI") else 0
    if options.write:
        report.write_into(options.write, table, about)
    return int(any(row.get("broken") or row.get("failed") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
