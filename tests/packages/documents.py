"""Code blocks of documents that are marked, so that a test can run them or compare them with a file.

<!-- test: sender.py -->             the next block is a file of a reader's project: a test writes and runs it
<!-- from: examples/x/app.py -->     the next block stands in that file of the repository, line by line
"""

from __future__ import annotations

import re
from pathlib import Path

_MARKED = re.compile(
    r"<!-- (?P<kind>test|from): (?P<name>\S+) -->\n```\w*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def marked(document: Path, kind: str) -> list[tuple[str, str]]:
    """Names and texts of the marked blocks of a kind."""
    found = _MARKED.finditer(document.read_text())
    return [(block["name"], block["text"]) for block in found if block["kind"] == kind]


def write_project(document: Path, folder: Path, broker: str) -> list[str]:
    """Writes the document's files to a folder, with the broker's address instead of the usual one; their names."""
    files = marked(document, "test")
    for name, text in files:
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        # The reader's broker is on the usual port; ours takes a free one.
        file.write_text(text.replace("localhost:9092", broker))
    return [name for name, _ in files]


def blocks(document: Path, languages: str) -> list[str]:
    """All blocks of these languages (`a|b`), marked or not."""
    return re.findall(rf"^```(?:{languages})\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
