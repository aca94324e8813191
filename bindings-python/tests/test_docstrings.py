"""What `help(bindwright)` says: everything public is described, and examples do what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bindwright

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from bindwright._native import DevBroker
    from conftest import Folder

MODULES = (
    "bindwright",
    "bindwright.aio",
    "bindwright.dapr",
    "bindwright.dapr.aio",
    "bindwright.errors",
    "bindwright.testing",
)

# The others need a program around them, or a loop.
EXAMPLES = ("bindwright.Client", "bindwright.dapr", "bindwright.dapr.DaprClient")


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Everything that a module offers, with the methods and properties of its classes."""
    for name in module.__all__:
        thing = getattr(module, name)
        if not inspect.isclass(thing) and not inspect.isroutine(thing):
            continue
        yield name, thing
        for member, value in vars(thing).items():
            if not member.startswith("_") and (callable(value) or inspect.isdatadescriptor(value)):
                yield f"{name}.{member}", value


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_described(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert [where for where, thing in public(module) if not inspect.getdoc(thing)] == []


def test_the_help_names_every_module() -> None:
    text = bindwright.__doc__ or ""
    assert [name for name in MODULES[1:] if f"`{name}`" not in text] == []


def test_the_help_names_the_variables_that_the_core_reads() -> None:
    sources = (Path(__file__).parents[2] / "core" / "src").rglob("*.rs")
    found = (re.findall(r'var(?:iable|_os)?\("([A-Z_]+)"\)', file.read_text()) for file in sources)
    expected = {name for names in found for name in names}
    assert "BINDWRIGHT_RESOURCES" in expected
    assert [name for name in sorted(expected) if f"`{name}`" not in (bindwright.__doc__ or "")] == []


@pytest.fixture
def at_components(folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A program's folder, with `./components`."""
    components = tmp_path / "components"
    components.mkdir()
    folder.path = components
    folder.kafka("checkout")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BINDWRIGHT_RESOURCES", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_do_what_they_say(at_components: Path, name: str) -> None:
    thing = _named(name)
    module = thing if inspect.ismodule(thing) else importlib.import_module(thing.__module__)
    names = {**vars(bindwright), **vars(module)}
    (example,) = doctest.DocTestFinder(recurse=False).find(thing, name, globs=names, module=False)
    assert example.examples
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


def test_the_document_and_the_first_programs_of_the_help_work(
    at_components: Path, broker: DevBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", bindwright.__doc__ or "", re.MULTILINE)
    document, call, handler = (textwrap.dedent(block) for block in blocks if block.strip())
    assert "localhost:9092" in document
    # Other tests use the same broker, and its topic `orders`.
    document = document.replace("localhost:9092", broker.bootstrap).replace(
        "value: orders", "value: of-the-help"
    )
    (at_components / "components" / "checkout.yaml").write_text(document)
    names: dict[str, Any] = {}
    exec(call, names)
    assert "'topic': 'of-the-help'" in capsys.readouterr().out
    with bindwright.Client() as client:
        assert client.faults() == []
    # It would wait for Ctrl-C; and what was sent before its group began is not its own.
    exec(handler.replace("client.run()", "client.stop(); client.run()"), names)
    names["on_order"](type("Event", (), {"json": lambda _: {"orderId": 1}})())
    assert capsys.readouterr().out == "{'orderId': 1}\n"


def _named(name: str) -> Any:
    """A module, or a class of one."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, member = name.rpartition(".")
        return getattr(importlib.import_module(module), member)
