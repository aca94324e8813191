"""The wheel as users get it, in an environment that has nothing else."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from programs import Program, clean_environment

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and nothing of this repository on its path."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def command(self) -> Path:
        return self.folder / "bin" / "bindwright"

    def run(self, *command: str | Path) -> str:
        result = subprocess.run(
            command, cwd=self.folder, env=clean_environment(), capture_output=True, text=True, check=False, timeout=120
        )
        assert result.returncode == 0, f"{command}:\n{result.stdout}{result.stderr}"
        return result.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newest of those that `make dist` and `make test` built; else built now."""
    found = [file for folder in ("dist", "target/wheels") for file in (ROOT / folder).glob("bindwright-*.whl")]
    if found:
        return max(found, key=lambda file: file.stat().st_mtime)
    out = tmp_path_factory.mktemp("wheel")
    maturin = Path(sys.executable).with_name("maturin")
    manifest = ROOT / "bindings-python" / "Cargo.toml"
    subprocess.run([maturin, "build", "--quiet", "--release", "-m", manifest, "--out", out], cwd=ROOT, check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    environment = Installed(tmp_path_factory.mktemp("environment"))
    venv.create(environment.folder, with_pip=True)
    # No index and no dependencies: the wheel has to be enough.
    environment.run(environment.python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    return environment


@pytest.fixture
def broker(installed: Installed, tmp_path: Path) -> Iterator[str]:
    """The address of `bindwright dev kafka`, started from the wheel."""
    with Program([installed.command, "dev", "kafka", "--port", "0"], tmp_path) as program:
        yield program.line("Kafka for development is ready").split()[-1]
