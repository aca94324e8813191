"""The README and the documents tell the truth: their programs run, their excerpts are in the files that they name."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
from documents import blocks, marked, write_project
from programs import Program

from conftest import ROOT, Installed

sys.path.insert(0, str(ROOT / "tests" / "servers"))
from ports import free_ports

pytestmark = pytest.mark.timeout(240)

DOCUMENTS = [
    *[ROOT / folder / "README.md" for folder in (".", "bindings-python", "bindings-node")],
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]


def test_the_programs_of_the_readme_work(installed: Installed, broker: str, tmp_path: Path) -> None:
    names = write_project(ROOT / "README.md", tmp_path, broker)
    programs = ["sender.py", "receiver.py", "with_asyncio.py", "careful.py", "test_orders.py"]
    assert [name for name in names if not name.endswith(".mjs")] == ["components/checkout.yaml", *programs]

    with (
        Program([installed.python, "receiver.py"], tmp_path) as receiver,
        Program([installed.python, "sender.py"], tmp_path) as sender,
    ):
        received = [receiver.line("Received order ") for _ in range(3)]
        assert receiver.end() == 0, receiver.text
        sender.end()
    sent = [line.strip().replace("Sent", "Received") for line in sender.lines if line.startswith("Sent order ")]
    # Partitions are handled in parallel: only within one the order is certain.
    assert set(received) <= set(sent)

    with Program([installed.python, "careful.py"], tmp_path) as careful:
        assert careful.wait() == 0, careful.text
        assert careful.text.startswith("Sent to partition "), careful.text
    tests = "from test_orders import *; test_an_order_is_sent(); test_an_order_is_handled()"
    with Program([installed.python, "-c", tests], tmp_path) as checked:
        assert checked.wait() == 0, checked.text
    # The group continues where it left off, so the first to come may be one of the sender's.
    with Program([installed.python, "with_asyncio.py"], tmp_path) as program:
        program.line("Received order ")
        assert program.wait() == 0, program.text


def test_the_programs_of_the_page_for_users_of_dapr_work(installed: Installed, broker: str, tmp_path: Path) -> None:
    names = write_project(ROOT / "docs" / "migrating-from-dapr.md", tmp_path, broker)
    assert names == ["sender.py", "async_sender.py", "app.py", "components/checkout.yaml"]
    # They send once, maybe before the app has joined its group.
    with (tmp_path / "components" / "checkout.yaml").open("a") as file:
        file.write("  - name: initialOffset\n    value: oldest\n")

    with Program([installed.python, "app.py"], tmp_path) as app:
        for name in ("sender.py", "async_sender.py"):
            with Program([installed.python, name], tmp_path) as sender:
                assert sender.wait() == 0, sender.text
                assert sender.text.startswith("Sent to partition "), sender.text
        received = {app.line("Received "), app.line("Received ")}
        assert received == {'Received {"orderId": 1}', 'Received {"orderId": 2}'}
        assert app.end() == 0, app.text


@pytest.mark.parametrize("transport", ["embedded", "sidecar-grpc", "sidecar-http"])
def test_the_programs_of_the_page_about_transports_work(
    installed: Installed, broker: str, tmp_path: Path, transport: str
) -> None:
    names = write_project(ROOT / "docs" / "transports.md", tmp_path, broker)
    assert names == ["sender.py", "receiver.py", "components/checkout.yaml"]
    port = str(free_ports(1)[0])
    run: list[str | Path] = [installed.command, "run", "--app-port", port]
    # The sidecar's variables alone choose gRPC.
    variables = {} if transport == "sidecar-grpc" else {"BINDWRIGHT_TRANSPORT": transport}
    with (
        Program([*run, "--", installed.python, "receiver.py"], tmp_path, **variables) as receiver,
        Program([installed.command, "run", "--", installed.python, "sender.py"], tmp_path, **variables) as sender,
    ):
        assert sender.wait() == 0, sender.text
        # Partitions are handled in parallel: only within one the order is certain.
        received = {receiver.find(rf"Received (order \d by {transport})") for _ in range(3)}
        assert receiver.end() == 0, receiver.text
    expected = {f"order {number} by {transport}" for number in range(3)}
    assert expected == received == set(re.findall(r"Sent (order .*)", sender.text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_documents_import_from_bindwright_is_there(document: Path) -> None:
    for block in blocks(document, "python"):
        # Excerpts may await outside of a function.
        tree = compile(block, document.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bindwright":
                module = importlib.import_module(node.module or "")
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("document", sorted((ROOT / "docs").glob("*.md")), ids=lambda file: file.name)
def test_excerpts_are_in_the_files_that_they_name(document: Path) -> None:
    for name, text in marked(document, "from"):
        source = (ROOT / name).read_text()
        # An excerpt may leave lines out, but invents none, and keeps their order.
        rest = iter(source.splitlines())
        for line in text.splitlines():
            if line.strip():
                assert line in rest, f"{document.name}: {name} has no line {line!r}, or elsewhere"


def test_the_recipes_show_every_example() -> None:
    shown = {name for name, _ in marked(ROOT / "docs" / "recipes.md", "from")}
    assert shown >= {f"examples/{name}" for name in ("fastapi/app.py", "flask/app.py", "worker/worker.py")}
