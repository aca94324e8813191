"""Waiting until components are ready, changing them while the program runs, and their states."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from bindwright import BindwrightError, Client
from bindwright.errors import (
    BindingTimeoutError,
    ClosedError,
    ComponentNotFoundError,
    InvalidManifestError,
    InvalidOptionsError,
    UnavailableError,
)

if TYPE_CHECKING:
    from conftest import Folder


def state(client: Client, name: str = "orders") -> str:
    return {component.name: component.state for component in client.components()}[name]


def test_a_client_that_waited_is_ready(folder: Folder) -> None:
    folder.memory()
    with Client(folder.path) as client:
        assert state(client) == "idle"
        client.ready(20.0)
        assert state(client) == "ready"
    with Client(folder.path, wait="ready", wait_timeout=20.0) as client:
        assert state(client) == "ready"


def test_waiting_for_what_is_away_raises_in_time(folder: Folder) -> None:
    folder.memory(ready="1h")
    began = time.monotonic()
    with pytest.raises((UnavailableError, BindingTimeoutError), match="orders"):
        Client(folder.path, wait="ready", wait_timeout=0.3)
    assert time.monotonic() - began < 5
    with Client(folder.path) as client:
        with pytest.raises((UnavailableError, BindingTimeoutError)):
            client.ready(0.3)
        assert state(client) == "connecting"
        # It stays usable: what is asked of it is its own affair.
        client.invoke_binding("orders", "create", b"")


def test_waiting_for_something_else_is_refused(folder: Folder) -> None:
    with pytest.raises(InvalidOptionsError, match='expected "ready" or None'):
        Client(folder.path, wait="forever")  # type: ignore[arg-type]


def test_components_can_be_added_and_removed(folder: Folder) -> None:
    folder.memory("orders")
    folder.memory("later")
    later = folder.path / "later.yaml"
    text = later.read_text()
    later.unlink()
    with Client(folder.path) as client, Client(folder.path) as other:
        with pytest.raises(ComponentNotFoundError):
            client.invoke_binding("later", "create", b"")
        assert client.add_component(text) == ["later"]
        client.invoke_binding("later", "create", b"")
        with pytest.raises(ComponentNotFoundError):
            other.invoke_binding("later", "create", b"")
        with pytest.raises(InvalidManifestError, match="later"):
            client.add_component(text)
        client.remove_component("later")
        with pytest.raises(ComponentNotFoundError):
            client.invoke_binding("later", "create", b"")
        with pytest.raises(ComponentNotFoundError):
            client.remove_component("later")
        with pytest.raises(BindwrightError):
            client.add_component("nonsense")
    with pytest.raises(ClosedError):
        client.add_component(text)


def test_a_reload_tells_what_changed(folder: Folder) -> None:
    for name in ("changed", "removed", "same"):
        folder.memory(name)
    with Client(folder.path, hot_reload=True) as client:
        folder.memory("added")
        folder.memory("changed", retryPause="1s")
        (folder.path / "removed.yaml").unlink()
        (folder.path / "broken.yaml").write_text("kind: [")
        reload = client.reload()
        assert (reload.added, reload.changed, reload.removed) == (["added"], ["changed"], ["removed"])
        [fault] = reload.faults
        assert isinstance(fault, InvalidManifestError)
        assert "broken.yaml" in str(fault)
        client.invoke_binding("added", "create", b"")
        with pytest.raises(ComponentNotFoundError):
            client.invoke_binding("removed", "create", b"")


def test_a_reload_can_be_turned_off(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.memory()
    with Client(folder.path, hot_reload=False) as client, pytest.raises(InvalidOptionsError, match="reload"):
        client.reload()
    monkeypatch.setenv("BINDWRIGHT_HOT_RELOAD", "false")
    with Client(folder.path) as client, pytest.raises(InvalidOptionsError, match="reload"):
        client.reload()
