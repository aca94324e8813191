"""The table: as Markdown on the screen and in a document, and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness import OURS, Row, Skipped

BEGIN = "<!-- figures: written by `make bench` -->"
END = "<!-- end of figures -->"


def markdown(rows: Sequence[Row | Skipped]) -> str:
    lines = [
        "| | Bindwright | peer | ratio (smallest – largest) | target | met |",
        "|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    for row in rows:
        if isinstance(row, Skipped):
            lines.append(f"| {row.name} | {'failed' if row.failed else 'skipped'}: {row.why} | | | | |")
            continue
        name = row.name
        if row.note:
            if row.note not in notes:
                notes.append(row.note)
            name += f" ({notes.index(row.note) + 1})"
        lines.append(f"| {name} | {' | '.join(_cells(row))} |")
    lines += ["", *(f"({number}) {note}  " for number, note in enumerate(notes, 1))]
    return "\n".join(lines).rstrip() + "\n"


def _cells(row: Row) -> list[str]:
    peer = row.peer()
    ratio, bounds = row.ratio(), row.ratio_range()
    verdicts = row.verdicts()
    return [
        _figures(row, OURS),
        f"{peer}: {_figures(row, peer)}" if peer else "",
        f"{ratio:.2f} ({bounds[0]:.2f} – {bounds[1]:.2f})" if ratio is not None and bounds else "",
        ", ".join(str(target) for target, _ in verdicts),
        ", ".join("yes" if met else "**no**" for _, met in verdicts),
    ]


def _figures(row: Row, peer: str) -> str:
    medians = row.medians(peer)
    texts = []
    for key in row.shown:
        if key == "rate":
            texts.append(f"{medians[key]:,.0f} /s")
        elif key == row.shown[0] or row.shown[0] == "rate":
            texts.append(
                f"{key} {_short(medians[key])} {row.unit}"
                if key != "value"
                else f"{_short(medians[key])} {row.unit}"
            )
        else:
            texts.append(f"{key} {_short(medians[key])}")
    return ", ".join(texts)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> dict[str, str]:
    """What the figures depend on, beside the code."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    memory = ""
    info = Path("/proc/meminfo")
    if info.exists():
        memory = f"{int(info.read_text().split()[1]) / 1024 / 1024:.0f} GiB"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": cpu,
        "processors": str(os.cpu_count()),
        "memory": memory,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def as_json(rows: Sequence[Row | Skipped], about: dict[str, str]) -> str:
    def described(row: Row | Skipped) -> dict[str, object]:
        if isinstance(row, Skipped):
            return {"name": row.name, "failed" if row.failed else "skipped": row.why}
        return {
            "name": row.name,
            "unit": row.unit,
            "compared": row.compared,
            "peer": row.peer(),
            "medians": {peer: row.medians(peer) for peer in row.rounds},
            "rounds": row.rounds,
            "ratio": row.ratio(),
            "ratio_range": row.ratio_range(),
            "targets": [{"target": str(target), "met": met} for target, met in row.verdicts()],
            "note": row.note,
        }

    return json.dumps({"machine": about, "rows": [described(row) for row in rows]}, indent=2) + "\n"


def write_into(document: Path, table: str, about: dict[str, str]) -> None:
    """Replaces what stands between the two markers."""
    text = document.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{document}: expected the lines {BEGIN!r} and {END!r}")
    heading = (
        f"{about['date']}, {about['processors']} × {about['processor']}, {about['memory']}, "
        f"{about['system']}, Python {about['python']}, {about['peers']}."
    )
    document.write_text(f"{before}{BEGIN}\n\n{heading}\n\n{table}\n{END}{after}")
