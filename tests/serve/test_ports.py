"""What each port offers, and to whom."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ports import free_ports
from sidecar import PATIENCE, Sidecar, component

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    component(tmp_path, "checkout", "bindings.memory")
    return tmp_path


def _curl(*arguments: str) -> str:
    """The status, or 000 where nobody answers."""
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE).stdout


INVOKE = ("-d", '{"operation": "create", "data": 1}')


def test_the_public_port_tells_health_and_metadata_without_a_token_and_nothing_else(folder: Path) -> None:
    (port,) = free_ports(1)
    flags = ("--dapr-public-port", str(port))
    with Sidecar(folder, *flags, variables={"DAPR_API_TOKEN": "right"}) as sidecar:
        sidecar.wait_until_ready()
        public, api = f"http://127.0.0.1:{port}/v1.0", f"http://{sidecar.http}/v1.0"
        for path, status in (("healthz", "204"), ("healthz/outbound", "204"), ("metadata", "200"), ("shutdown", "404")):
            assert _curl(f"{public}/{path}") == status
        assert _curl(f"{public}/bindings/checkout", *INVOKE) == "404"
        assert _curl("-X", "PUT", f"{public}/metadata/a", "-d", "b") == "404"
        assert _curl(f"{api}/bindings/checkout", *INVOKE) == "401"
        assert _curl(f"{api}/bindings/checkout", *INVOKE, "-H", "dapr-api-token: right") == "204"


def test_http2_without_tls_is_spoken_unless_it_is_switched_off(folder: Path) -> None:
    for variables, status in (({}, "204"), ({"DAPR_HTTP_DISABLE_H2C": "true"}, "000")):
        with Sidecar(folder, variables=variables) as sidecar:
            url = f"http://{sidecar.http}/v1.0/bindings/checkout"
            assert _curl("--http2-prior-knowledge", url, *INVOKE) == status
            assert _curl(url, *INVOKE) == "204"


def test_only_loopback_is_listened_on_unless_told_otherwise(folder: Path) -> None:
    with Sidecar(folder) as sidecar:
        port = sidecar.http.rsplit(":", 1)[1]
        assert sidecar.http == f"127.0.0.1:{port}"
        # Another address of this machine.
        assert _curl(f"http://127.0.0.2:{port}/v1.0/healthz") == "000"
    with Sidecar(folder, "--dapr-listen-addresses", "127.0.0.2,127.0.0.3") as sidecar:
        sidecar.wait_until_ready()
        port = sidecar.http.rsplit(":", 1)[1]
        for address, status in (("127.0.0.2", "204"), ("127.0.0.3", "204"), ("127.0.0.1", "000")):
            assert _curl(f"http://{address}:{port}/v1.0/healthz") == status
