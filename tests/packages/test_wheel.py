"""The wheel in an empty environment: it is complete and the command works."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from programs import Program

if TYPE_CHECKING:
    from conftest import Installed

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_needs_nothing_else(installed: Installed) -> None:
    assert installed.run(installed.python, "-m", "pip", "check").strip() == "No broken requirements found."
    where = installed.run(installed.python, "-c", "import bindwright; print(bindwright.__file__)")
    assert str(installed.folder) in where


def test_the_wheel_has_types(installed: Installed) -> None:
    files = installed.run(installed.python, "-m", "pip", "show", "--files", "bindwright")
    assert "bindwright/py.typed" in files
    assert ".pyi" in files


def native_library(installed: Installed) -> Path:
    told = "import bindwright._native; print(bindwright._native.__file__)"
    return Path(installed.run(installed.python, "-c", told).strip())


def test_only_pythons_entry_point_is_exported(installed: Installed) -> None:
    # OpenSSL, zlib and librdkafka stay inside: another copy in the process must not be mixed with ours.
    command = ("nm", "--dynamic", "--defined-only", native_library(installed))
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["PyInit__native"]


# What both ends of a connection in memory agree on; a cipher without certificates, as nothing is proved here.
HANDSHAKES = """
import ssl, sys
from bindwright import Client

def handshake():
    def context(protocol):
        made = ssl.SSLContext(protocol)
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers("AECDH:@SECLEVEL=0")
        return made

    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(to_client, to_server)
    server = context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(to_server, to_client, server_side=True)
    done = set()
    while len(done) < 2:
        for end in (client, server):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
    return client.cipher()[0]

print(handshake())
with Client(".") as client:
    for _ in range(2):
        client.invoke_binding("checkout", "create", b"x")
        print(handshake())
"""


def test_pythons_own_openssl_works_beside_the_one_inside(installed: Installed, broker: str, tmp_path: Path) -> None:
    # Kafka's client library sets up the OpenSSL that it was built with when it is first used.
    assert b"OpenSSL 3." in native_library(installed).read_bytes()
    document = (ROOT / "examples" / "orders" / "components" / "checkout.yaml").read_text()
    (tmp_path / "checkout.yaml").write_text(document.replace("localhost:9092", broker))
    (tmp_path / "program.py").write_text(HANDSHAKES)
    with Program([installed.python, "program.py"], tmp_path) as program:
        assert program.wait() == 0, program.text
    assert program.text.splitlines() == ["AECDH-AES256-SHA"] * 3


@pytest.mark.parametrize("name", ["serve", "run"])
def test_the_command_serves_programs_in_other_languages(installed: Installed, name: str) -> None:
    assert "--dapr-http-port" in installed.run(installed.command, name, "--help")


def test_the_command_tells_the_package_version(installed: Installed) -> None:
    said = installed.run(installed.command, "--version").strip()
    told = "from importlib.metadata import version; print('bindwright', version('bindwright'))"
    assert said == installed.run(installed.python, "-c", told).strip()
    assert said == installed.run(installed.python, "-m", "bindwright", "--version").strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_broker_well(installed: Installed, tmp_path: Path, number: signal.Signals) -> None:
    with Program([installed.command, "dev", "kafka", "--port", "0"], tmp_path) as program:
        program.line("  stop")
        assert program.end(number) == 0, program.text
        assert program.text.endswith("stopped\n")
