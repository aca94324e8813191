"""The table: as Markdown on the screen and in a document, and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BEGIN = "<!-- figures: written by `make faults` -->"
END = "<!-- end of figures -->"
COUNTS = ("sent", "acknowledged", "handled", "lost", "duplicated")
COLUMNS = (*COUNTS, "longest stall", "threads", "descriptors", "memory", "holds")

Row = Mapping[str, Any]


def markdown(rows: Sequence[Row]) -> str:
    lines = [
        f"| | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    lines += [f"| {row['name']} | {' | '.join(_cells(row))} |" for row in rows]
    lines.append("")
    for row in rows:
        special = [f"{name} {_figure(value)}" for name, value in row.get("special", {}).items()]
        if special:
            lines.append(f"* **{row['name']}**: {'; '.join(special)}.")
        lines += [f"* **{row['name']} is broken**: {broken}." for broken in row.get("broken", [])]
    return "\n".join(lines).rstrip() + "\n"


def _cells(row: Row) -> list[str]:
    if "skipped" in row or "failed" in row:
        why = f"skipped: {row['skipped']}" if "skipped" in row else f"**failed**: {row['failed']}"
        return [" ".join(why.split())] + [""] * (len(COLUMNS) - 1)
    return [
        *(_figure(row[name]) for name in COUNTS),
        f"{row['longest_stall_ms']:,.0f} ms",
        *(f"{before} → {after}" for before, after in (row["threads"], row["descriptors"])),
        "{:.0f} → {:.0f} MiB".format(*row["memory_mib"]),
        "**no**" if row["broken"] else "yes",
    ]


def _figure(value: object) -> str:
    match value:
        case None:
            return ""
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}"
        case dict():
            return ", ".join(f"{name} {_figure(part)}" for name, part in value.items()) or "none"
        case list():
            return ", ".join(map(_figure, value)) or "none"
        case _:
            return str(value)


def machine() -> dict[str, str]:
    """What the stalls depend on, beside the code."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processors": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def as_json(rows: Sequence[Row], about: dict[str, str]) -> str:
    return json.dumps({"machine": about, "scenarios": rows}, indent=2) + "\n"


def write_into(document: Path, table: str, about: dict[str, str]) -> None:
    """Replaces what stands between the two markers."""
    text = document.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{document}: expected the lines {BEGIN!r} and {END!r}")
    heading = f"{about['date']}, {about['processors']} processors, {about['system']}, Python {about['python']}."
    document.write_text(f"{before}{BEGIN}\n\n{heading}\n\n{table}\n{END}{after}")
