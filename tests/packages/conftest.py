"""The wheel and the npm packages as users get them, in an environment and a folder that have nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import npm
import pytest
from npm import NodeProject
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


@pytest.fixture(scope="session")
def npm_packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tarballs of the main package and of the platform's."""
    reason = npm.missing()
    if reason is not None:
        # A laptop does without; in CI, green means that it ran.
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return npm.newest(tmp_path_factory.mktemp("tarballs"))


@pytest.fixture(scope="session")
def npm_registry(npm_packages: tuple[Path, Path]) -> Iterator[str]:
    with npm.registry(*npm_packages) as address:
        yield address


@pytest.fixture(scope="session")
def node_modules(npm_registry: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm install bindwright` makes of an empty folder."""
    project = NodeProject.create(tmp_path_factory.mktemp("node"), npm_registry).with_types()
    return project.folder / "node_modules"


@pytest.fixture
def project(node_modules: Path, tmp_path: Path) -> NodeProject:
    """A folder of the test's own with the package installed."""
    (tmp_path / "node_modules").symlink_to(node_modules)
    return NodeProject(tmp_path)


@pytest.fixture(scope="session")
def node_broker(node_modules: Path) -> Iterator[str]:
    """`npx bindwright dev kafka`."""
    with Program(["npx", "bindwright", "dev", "kafka", "--port", "0"], node_modules.parent) as program:
        yield program.line("Kafka for development is ready").split()[-1]
