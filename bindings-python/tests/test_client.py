"""The client itself: options, components, what is exported, the command."""

from __future__ import annotations

import inspect
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bindwright
from bindwright import Client, _native
from bindwright.errors import InvalidOptionsError

if TYPE_CHECKING:
    from conftest import Folder, Program


def test_components_tell_what_they_can_do(folder: Folder) -> None:
    folder.kafka("both")
    folder.kafka("sender", direction="output")
    with Client([folder.path]) as client:
        both, sender = client.components()
    assert (both.name, both.type, both.version) == ("both", "bindings.kafka", "v1")
    assert (both.input, both.output, both.state, both.error) == (True, True, "idle", None)
    assert (sender.input, sender.output) == (False, True)


def test_resources_come_from_the_environment(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.kafka()
    monkeypatch.setenv("BINDWRIGHT_RESOURCES", str(folder.path))
    with Client() as client:
        assert [component.name for component in client.components()] == ["orders"]


def test_no_resources_at_all_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BINDWRIGHT_RESOURCES", raising=False)
    with pytest.raises(InvalidOptionsError, match="components"):
        Client()


def test_the_transport_is_embedded(client: Client) -> None:
    assert client.transport == "embedded"
    assert repr(client) == "<Client, embedded>"


def test_defaults_are_those_of_the_native_part() -> None:
    for parameter in ("timeout", "wait_timeout"):
        assert inspect.signature(Client).parameters[parameter].default == _native.DEFAULT_TIMEOUT
    assert inspect.signature(Client.ready).parameters["timeout"].default == _native.DEFAULT_TIMEOUT
    for method in (Client.run, Client.close):
        assert inspect.signature(method).parameters["drain"].default == _native.DEFAULT_DRAIN


@pytest.mark.parametrize("timeout", [-1, "5", [1]], ids=repr)
def test_a_timeout_that_makes_no_sense_is_refused(folder: Folder, timeout: float) -> None:
    with pytest.raises(InvalidOptionsError, match="timeout: expected"):
        Client(folder.path, timeout=timeout)


def test_a_timeout_may_be_a_timedelta(folder: Folder) -> None:
    Client(str(folder.path), timeout=timedelta(seconds=1), app_id="app", transport="embedded").close()


@pytest.mark.parametrize("name", bindwright.__all__)
def test_everything_exported_is_documented(name: str) -> None:
    value = getattr(bindwright, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        for member, attribute in vars(value).items():
            if not member.startswith("_") and not isinstance(attribute, bindwright.Outcome):
                assert inspect.getdoc(attribute), f"{name}.{member}"


def test_a_client_that_nobody_closed_does_no_harm(program: Program, folder: Folder) -> None:
    folder.kafka()
    process = program(
        "from bindwright import Client\n"
        "client = Client('.')\n"
        "client.invoke_binding('orders', 'create', b'x' * 5000)\n"
        "events = client.events('orders')\n"
        "print(next(events).data[:1])\n"
    )
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out, error) == (0, "b'x'\n", "")


@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "bindwright"], [str(Path(sys.executable).with_name("bindwright"))]]
)
def test_the_package_brings_the_command(command: list[str]) -> None:
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, f"bindwright {bindwright.__version__}\n")
    done = subprocess.run([*command, "nonsense"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "nonsense" in done.stderr
