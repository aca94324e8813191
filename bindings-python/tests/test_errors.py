"""Errors: one class for each code, with its attributes, and never one that `except Exception` misses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import bindwright.errors
from bindwright import BindwrightError, Client, _native
from bindwright.errors import (
    BY_CODE,
    BindingTimeoutError,
    ClosedError,
    ComponentNotFoundError,
    InvalidManifestError,
    InvalidOptionsError,
    UnknownTypeError,
    UnsupportedDirectionError,
    UnsupportedOperationError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Folder


def test_the_table_of_classes_is_that_of_the_native_part() -> None:
    assert [(code, kind.__name__) for code, kind in BY_CODE.items()] == _native.ERROR_CODES


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=lambda kind: kind.code)
def test_every_class_is_exported_and_documented(kind: type[BindwrightError]) -> None:
    assert kind.__name__ in bindwright.errors.__all__
    assert issubclass(kind, BindwrightError)
    assert kind.__doc__
    assert BY_CODE[kind.code] is kind


def test_an_unknown_component_is_named_with_those_that_are_there(client: Client) -> None:
    with pytest.raises(ComponentNotFoundError, match="orders") as caught:
        client.invoke_binding("nobody", "create", b"")
    error = caught.value
    assert error.code == "COMPONENT_NOT_FOUND"
    assert error.component == "nobody"
    assert error.retriable is False
    assert error.message in str(error)
    assert error.what_to_do in str(error)
    assert "[COMPONENT_NOT_FOUND]" in str(error)


def test_an_unknown_operation_is_named(client: Client) -> None:
    with pytest.raises(UnsupportedOperationError, match="create") as caught:
        client.invoke_binding("orders", "fetch", b"")
    assert (caught.value.component, caught.value.operation) == ("orders", "fetch")


def test_the_wrong_direction_is_told(folder: Folder) -> None:
    folder.kafka("only-in", direction="input")
    folder.kafka("only-out", direction="output")
    with Client(folder.path) as client:
        with pytest.raises(UnsupportedDirectionError):
            client.invoke_binding("only-in", "create", b"")
        with pytest.raises(UnsupportedDirectionError):
            client.events("only-out")


def test_a_timeout_is_also_the_builtin_one() -> None:
    assert issubclass(BindingTimeoutError, TimeoutError)


def test_a_closed_client_says_so(folder: Folder) -> None:
    folder.kafka()
    client = Client(folder.path)
    client.close()
    client.close()
    with pytest.raises(ClosedError):
        client.invoke_binding("orders", "create", b"")
    with pytest.raises(ClosedError):
        client.events("orders")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionsError, match="nowhere"):
        Client(tmp_path / "nowhere")


def test_an_unknown_transport_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionsError, match="pigeon"):
        Client(tmp_path, transport="pigeon")  # type: ignore[arg-type]


def test_two_components_of_one_name_are_refused(folder: Folder) -> None:
    folder.kafka()
    text = (folder.path / "orders.yaml").read_text()
    (folder.path / "again.yaml").write_text(text)
    with pytest.raises(InvalidManifestError, match="orders") as caught:
        Client(folder.path)
    assert caught.value.place is not None


def test_faults_are_errors_that_were_not_raised(folder: Folder) -> None:
    folder.kafka()
    folder.kafka("odd")
    odd = folder.path / "odd.yaml"
    odd.write_text(odd.read_text().replace("bindings.kafka", "bindings.kafkaa"))
    with Client(folder.path) as client:
        [fault] = client.faults()
        assert isinstance(fault, UnknownTypeError)
        assert fault.place is not None
        assert "odd.yaml" in fault.place
        client.invoke_binding("orders", "create", b"")
