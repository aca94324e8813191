"""Node: the peers' packages, ours as built for measuring, and the programs in `node/` that run rounds.

The peers are installed once, below `~/.cache/bindwright/`: node-rdkafka compiles librdkafka, which takes
minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from harness import Figures
from servers import REPOSITORY, asked, started

PROGRAMS = Path(__file__).resolve().parent / "node"
PACKAGE = REPOSITORY / "bindings-node"
OURS_BUILT = "bindwright_node"
_WHAT_NPM_READS = ("package.json", "package-lock.json", ".npmrc")


class NodeMissing(Exception):
    """There is no Node, or no npm."""


@cache
def version() -> str:
    if not (shutil.which("node") and shutil.which("npm")):
        raise NodeMissing("needs Node and npm")
    return _output("node", "--version").strip().removeprefix("v")


@cache
def packages() -> Path:
    """The folder in which the peers and our package are installed."""
    folder = _cache() / f"bench-node-{_fingerprint()}"
    if not (folder / "installed").exists():
        print("installing kafkajs and node-rdkafka, which is compiled: minutes", file=sys.stderr, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        for name in _WHAT_NPM_READS:
            shutil.copy(PROGRAMS / name, folder / name)
        subprocess.run(["npm", "ci"], cwd=folder, check=True, stdout=sys.stderr)
        (folder / "installed").touch()
    _put_ours(folder / "node_modules" / "bindwright")
    return folder


def peers() -> dict[str, str]:
    """The versions of the peers, by name."""
    described = json.loads((PROGRAMS / "package.json").read_text())
    return dict(described["dependencies"])


def _cache() -> Path:
    return Path.home() / ".cache" / "bindwright"


def _fingerprint() -> str:
    """Another lock file or another Node is another installation."""
    read = b"".join((PROGRAMS / name).read_bytes() for name in _WHAT_NPM_READS)
    return hashlib.sha256(read + version().split(".")[0].encode()).hexdigest()[:12]


def _put_ours(place: Path) -> None:
    """Builds the package with its feature `bench` and puts it beside the peers; the tree keeps its own."""
    command = ["cargo", "build", "--release", "-p", "bindwright-node", "--features", "bindwright-node/bench"]
    built = _output(*command, "--message-format=json-render-diagnostics")
    messages = (json.loads(line) for line in built.splitlines())
    libraries = [
        Path(file)
        for message in messages
        if message.get("target", {}).get("name") == OURS_BUILT
        for file in message.get("filenames", [])
    ]
    subprocess.run(["make", "--no-print-directory", "-C", PACKAGE, "script"], check=True, stdout=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    shutil.copy(libraries[0], place / "bindwright.node")
    shutil.copy(PACKAGE / "package.json", place)
    shutil.copytree(PACKAGE / "dist", place / "dist")


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout


class Program:
    """A program in `node/` that runs rounds."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def round(self, **asked_for: object) -> Figures:
        figures: Figures = asked(self._process, json.dumps(asked_for))
        return figures


@contextmanager
def program(name: str, given: Mapping[str, object]) -> Iterator[Program]:
    given = {**given, "packages": str(packages())}
    command = ["node", str(PROGRAMS / f"{name}.mjs"), json.dumps(given)]
    with started(command, env={**os.environ, "NODE_ENV": "production"}) as (process, _):
        yield Program(process)
