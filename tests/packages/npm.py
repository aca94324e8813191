"""The npm packages as users get them: from a registry, here one on this machine, into an empty folder."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from programs import clean_environment

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "bindings-node"
COMPILER = SOURCES / "node_modules" / "typescript" / "bin" / "tsc"

sys.path.insert(0, str(ROOT / "scripts"))
import tarballs

OWN_SETTINGS = {"npm_config_userconfig": os.devnull, "npm_config_loglevel": "error"}
"""What npm on this machine is set to do must not count."""

COMPONENT = """
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: %s}
spec:
  type: bindings.kafka
  version: v1
  metadata:
  - {name: brokers, value: "%s"}
  - {name: authType, value: none}
  - {name: topics, value: %s}
  - {name: publishTopic, value: %s}
  - {name: consumerGroup, value: %s}
  - {name: initialOffset, value: oldest}
"""


def missing() -> str | None:
    """Why nothing can be tested here: no Node, or one that is too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "Node and npm are not installed"
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return None if int(said.strip().lstrip("v").split(".")[0]) >= 20 else f"Node {said.strip()} is older than 20"


def newest(folder: Path) -> tuple[Path, Path]:
    """The main package and the platform package: those of `make dist`, or packed from a later build."""
    library = SOURCES / tarballs.LIBRARY
    platform = next(iter(tarballs.PLATFORMS))
    if not library.exists():
        subprocess.run(["make", "--no-print-directory", "-C", SOURCES, "build"], check=True, stdout=sys.stderr)
    packed = sorted((ROOT / "dist").glob("bindwright-*.tgz"))
    if len(packed) == 2 and packed[0].stat().st_mtime > library.stat().st_mtime:
        (native,) = (file for file in packed if platform in file.name)
        (main,) = (file for file in packed if file != native)
        return main, native
    # It is small without what debuggers want.
    stripped = folder / tarballs.LIBRARY
    subprocess.run(["strip", "-o", stripped, library], check=True)
    return tarballs.pack(folder, stripped, platform)


@contextmanager
def registry(*files: Path) -> Iterator[str]:
    """The address of a registry that has these packages and nothing else."""
    answers: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    for file in files:
        manifest = tarballs.read(file).manifest
        name, version = manifest["name"], manifest["version"]
        data = file.read_bytes()
        digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
        source = {"tarball": f"{address}/-/{file.name}", "integrity": f"sha512-{digest}"}
        versions = {version: {**manifest, "dist": source}}
        answers[f"/{name}"] = json.dumps(
            {"name": name, "dist-tags": {"latest": version}, "versions": versions}
        ).encode()
        answers[f"/-/{file.name}"] = data
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class NodeProject:
    """A user's folder; nothing of this repository is found from it but what npm put there."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, registry: str, *options: str) -> NodeProject:
        (folder / "package.json").write_text('{"name": "project", "version": "1.0.0"}')
        project = cls(folder)
        settings: list[str | Path] = ["--registry", registry, "--cache", folder / "cache", "--no-audit", "--no-fund"]
        project.run("npm", "install", *settings, *options, "bindwright")
        return project

    def component(self, broker: str, name: str = "checkout", topic: str = "orders") -> Path:
        """Writes a component that sends to a topic and receives what is in it."""
        file = self.folder / "components" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(COMPONENT % (name, broker, topic, topic, f"{name}-{topic}"))
        return file

    def with_types(self) -> NodeProject:
        """As after `npm install --save-dev @types/node`."""
        (self.folder / "node_modules" / "@types").symlink_to(SOURCES / "node_modules" / "@types")
        return self

    def run(self, *command: str | Path, code: int = 0, **variables: str) -> str:
        """What a program prints, on both of its outputs."""
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=clean_environment() | OWN_SETTINGS | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        assert result.returncode == code, f"{command} ended with {result.returncode}:\n{result.stdout}"
        return result.stdout

    def compile(self, *options: str | Path, code: int = 0) -> str:
        return self.run("node", COMPILER, "--strict", "--target", "es2022", "--types", "node", *options, code=code)
