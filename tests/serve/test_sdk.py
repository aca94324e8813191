"""Dapr's own clients against `bindwright serve`, unmodified."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

import pytest
from dapr.clients import DaprClient
from dapr.conf import settings
from grpc import RpcError  # type: ignore[import-untyped]
from ports import free_ports
from sidecar import HERE, PATIENCE, Process, Sidecar, component

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("app", ["http", "grpc"])
def test_a_python_program_sends_and_its_application_receives_everything(
    app: str, components: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    with (
        Process([sys.executable, HERE / f"{app}_app.py", str(port)]) as application,
        Sidecar(components, "--app-port", str(port), "--app-protocol", app) as sidecar,
    ):
        sidecar.wait_until_ready()
        for name, value in sidecar.variables.items():
            monkeypatch.setattr(settings, name, value)
        with DaprClient(f"127.0.0.1:{sidecar.variables['DAPR_GRPC_PORT']}") as client:
            for number in range(1, 6):
                client.invoke_binding("checkout", "create", str(number), {"colour": "red", "partitionKey": "one"})
        assert application.line("failed ") == "2"
        received = [application.line("received ") for _ in range(5)]
        assert received == [f"{number} red" for number in range(1, 6)]
        assert sidecar.end() == 0


def test_errors_reach_a_python_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    component(tmp_path, "checkout", "bindings.memory", failures="UNAVAILABLE")
    with Sidecar(tmp_path) as sidecar:
        for name, value in sidecar.variables.items():
            monkeypatch.setattr(settings, name, value)
        with DaprClient(f"127.0.0.1:{sidecar.variables['DAPR_GRPC_PORT']}") as client:
            with pytest.raises(RpcError) as unavailable:
                client.invoke_binding("checkout", "create", "1")
            assert "[UNAVAILABLE]" in str(unavailable.value)
            with pytest.raises(RpcError) as unknown:
                client.invoke_binding("nothing", "create", "1")
            assert "couldn't find output binding nothing" in str(unknown.value)
            (known,) = client.get_metadata().registered_components
            assert (known.name, list(known.capabilities)) == ("checkout", ["INPUT_BINDING", "OUTPUT_BINDING"])


def test_the_end_that_is_asked_for_over_http_is_an_end_without_error(tmp_path: Path) -> None:
    component(tmp_path, "checkout", "bindings.memory")
    for headers, status in (({}, 0), ({"dapr-force-shutdown": "true"}, 1)):
        with Sidecar(tmp_path) as sidecar:
            request = urllib.request.Request(f"http://{sidecar.http}/v1.0/shutdown", method="POST", headers=headers)
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                assert answer.status == 204
            assert sidecar.process.wait(timeout=PATIENCE) == status


def test_a_component_that_cannot_be_reached_ends_the_start(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    component(tmp_path, "checkout", "bindings.kafka", brokers=f"127.0.0.1:{port}", publishTopic="a", authType="none")
    with pytest.raises(AssertionError, match="UNAVAILABLE"):
        Sidecar(tmp_path)


def test_a_token_is_in_no_log_line(tmp_path: Path) -> None:
    component(tmp_path, "checkout", "bindings.memory")
    secrets = {"DAPR_API_TOKEN": "token-of-callers", "APP_API_TOKEN": "token-of-the-app"}
    flags = ("--log-level", "debug", "--enable-api-logging")
    with Sidecar(tmp_path, *flags, variables=secrets) as sidecar:
        headers = {"dapr-api-token": "token-of-callers"}
        body = b'{"operation": "create", "data": "data-of-callers"}'
        url = f"http://{sidecar.http}/v1.0/bindings/checkout"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE) as answer:
            assert answer.status == 204
        assert '"path":"/v1.0/bindings/checkout"' in sidecar.line('"method":"POST",')
        assert sidecar.end() == 0
        text = "\n".join(sidecar.lines)
        for secret in (*secrets.values(), "data-of-callers"):
            assert secret not in text
