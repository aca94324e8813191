"""What README.md, docs/node.md and the package's own README show of Node runs as it stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from documents import blocks, marked, write_project
from programs import Program
from test_documents import DOCUMENTS

from conftest import ROOT, Installed

if TYPE_CHECKING:
    from pathlib import Path

    from npm import NodeProject

pytestmark = pytest.mark.timeout(240)

NODE = ROOT / "docs" / "node.md"
README = ROOT / "README.md"
OWN_README = ROOT / "bindings-node" / "README.md"
LANGUAGES = "js|mjs|javascript|ts|typescript"


def oldest(project: NodeProject) -> None:
    """A sender may be done before the receiver has joined its group."""
    with (project.folder / "components" / "checkout.yaml").open("a") as file:
        file.write("  - name: initialOffset\n    value: oldest\n")


def test_every_program_is_run() -> None:
    shown = {text for document in DOCUMENTS for text in blocks(document, LANGUAGES)}
    run = {text for document in (README, NODE, OWN_README) for _, text in marked(document, "test")}
    assert shown - run == set()


def test_the_programs_of_the_readme_work_with_each_other_and_with_pythons(
    project: NodeProject, installed: Installed, broker: str
) -> None:
    write_project(README, project.folder, broker)
    oldest(project)
    node: tuple[list[str | Path], ...] = (["node", "sender.mjs"], ["node", "receiver.mjs"])
    python: tuple[list[str | Path], ...] = ([installed.python, "sender.py"], [installed.python, "receiver.py"])
    for sends, receives in ((node[0], node[1]), (python[0], node[1]), (node[0], python[1])):
        with Program(receives, project.folder) as receiver, Program(sends, project.folder) as sender:
            sent = sender.line("Sent order ")
            # What another one sent before may come first.
            receiver.line(sent.replace("Sent", "Received"))
            sender.end()
            assert receiver.end() == 0, receiver.text


def test_the_program_of_the_packages_readme_works(project: NodeProject, broker: str) -> None:
    assert write_project(OWN_README, project.folder, broker) == ["components/checkout.yaml", "program.mjs"]
    oldest(project)
    with Program(["node", "program.mjs"], project.folder) as program:
        program.line("Sent order 1 to offset ")
        program.find("(Received order 1)$")
        assert program.end() == 0, program.text


def test_the_programs_of_the_page_for_node_work(project: NodeProject, node_broker: str) -> None:
    names = write_project(NODE, project.folder, node_broker)
    assert names == ["app.mts", "calls.mts", "events.cjs", "either.mjs", "shop.test.mjs", "shop.mjs", "dapr.mjs"]
    for name, topic in (("checkout", "orders-of-page"), ("orders", "orders-of-page"), ("shipments", "shipments")):
        project.component(node_broker, name, topic)
    compiled = [name for name in names if name.endswith(".mts")]
    assert project.compile("--module", "node16", "--lib", "es2023,esnext.disposable", *compiled) == ""

    assert project.run("node", "calls.mjs").startswith("Sent to partition ")
    assert project.run("node", "--test", "--test-reporter=tap", "shop.test.mjs").count("# pass 1") == 1
    project.run("npx", "bindwright", "invoke", "checkout", "create", "--data", '{"orderId": 5}')
    assert project.run("node", "events.cjs") == "Received order 5\n"
    kinds = "checkout bindings.kafka\norders bindings.kafka\nshipments bindings.kafka\n"
    assert project.run("node", "either.mjs") == f"Bindings are embedded\n{kinds}"
    beside = ("npx", "bindwright", "run", "--resources-path", "components", "--", "node", "either.mjs")
    printed = [line.removeprefix("== APP == ") for line in project.run(*beside).splitlines() if "== APP == " in line]
    assert printed == f"Bindings are sidecar-grpc\n{kinds}".splitlines()
    with Program(["node", "dapr.mjs"], project.folder) as program:
        program.line("Received order 1")
    with Program(["node", "app.mjs"], project.folder) as app:
        project.run("npx", "bindwright", "invoke", "checkout", "create", "--data", '{"orderId": 11}')
        reader = (project.folder / "events.cjs").read_text().replace("'orders'", "'shipments'")
        reader = reader.replace("orderId)", "order)").replace(
            "    break\n", "    if (event.json().order === 11) break\n"
        )
        (project.folder / "reader.cjs").write_text(reader)
        assert project.run("node", "reader.cjs").endswith("Received order 11\n")
        assert app.end() == 0, app.text
